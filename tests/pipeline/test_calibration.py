"""Thresholds from data: an exact quantile, whatever the batches; silence and NaN are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport.hw import BadInput
from spikeport.models import GraphNet
from spikeport.models.qcfs import as_qcfs
from spikeport.pipeline.calibration import activation_scales, qcfs_scales
from spikeport.pipeline.folding import fold_batchnorm

from . import tiny_nets

NETS = {name: fold_batchnorm(tiny_nets.ann(build())) for name, build in tiny_nets.ARCHITECTURES.items()}


def pooled(net: GraphNet, x: torch.Tensor) -> dict[str, np.ndarray]:
    """All activations of every hidden unit, sorted."""
    hidden = [unit.name for unit in net.architecture.units[:-1]]
    with torch.no_grad():
        _, taps = net(x, hidden)
    return {name: np.sort(taps[name].numpy().ravel()) for name in hidden}


@settings(deadline=None, max_examples=30)
@given(
    st.sampled_from(list(NETS)),
    st.sampled_from([0.5, 0.9, 0.99, 0.999, 0.9999, 1.0]),
    st.lists(st.integers(1, 7), min_size=1, max_size=5),
)
def test_the_scale_is_the_value_at_its_rank_however_the_images_are_batched(name, quantile, sizes):
    """numpy's inverted distribution function over all values of all images: rank ceil(q n) of n."""
    net = NETS[name]
    x = tiny_nets.images(net.architecture, sum(sizes))
    expected = {u: float(np.quantile(v, quantile, method="inverted_cdf")) for u, v in pooled(net, x).items()}
    if min(expected.values()) <= 0:
        with pytest.raises(BadInput, match="silent"):
            activation_scales(net, x.split(sizes), quantile)
        return
    scales = activation_scales(net, x.split(sizes), quantile)
    assert list(scales) == [unit.name for unit in net.architecture.units[:-1]]
    assert scales == pytest.approx(expected, rel=1e-5)


def test_the_rank_is_counted_from_below():
    """Exactly, on one image: n sorted values, the one at place ceil(q n)."""
    net = NETS["chain"]
    x = tiny_nets.images(net.architecture, 1)
    values = pooled(net, x)["a"]
    n = 4 * 6 * 6
    for rank in (n, n - 1, n - 10):
        assert activation_scales(net, [x], rank / n)["a"] == float(values[rank - 1])


def test_the_maximum_bounds_every_activation():
    net = NETS["residual"]
    x = tiny_nets.images(net.architecture, 12)
    scales = activation_scales(net, x.split(5), 1.0)
    assert all(scales[unit] == pytest.approx(values[-1], rel=1e-5) for unit, values in pooled(net, x).items())


def test_batches_may_come_from_a_generator():
    net = NETS["chain"]
    x = tiny_nets.images(net.architecture, 6)
    assert activation_scales(net, (part for part in x.split(2)), 0.9) == activation_scales(net, x.split(2), 0.9)


def test_no_images_are_refused():
    with pytest.raises(BadInput, match="calibration: no images; give at least one"):
        activation_scales(NETS["chain"], [], 1.0)


def test_a_silent_layer_is_refused_with_the_way_out():
    net = fold_batchnorm(tiny_nets.ann(tiny_nets.chain()))
    with torch.no_grad():
        net.state_dict()["nodes.b.synapses.0.weighted.bias"].fill_(-1e4)
    x = tiny_nets.images(net.architecture)
    with pytest.raises(BadInput, match=r"b has scale 0.0 at quantile 0.999; .*raise convert.percentile, or train"):
        activation_scales(net, [x], 0.999)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_broken_activations_are_refused_by_name(value):
    net = fold_batchnorm(tiny_nets.ann(tiny_nets.chain()))
    with torch.no_grad():
        net.state_dict()["nodes.b.synapses.0.weighted.bias"][2] = value
    with pytest.raises(BadInput, match="b gives NaN or infinity; the ANN's weights or the images are broken"):
        activation_scales(net, [tiny_nets.images(net.architecture)], 0.999)


def test_the_learned_ends_are_the_thresholds_and_a_pool_has_its_sources():
    relu = fold_batchnorm(tiny_nets.ann(tiny_nets.chain()))
    assert qcfs_scales(as_qcfs(relu, 4, {"a": 2.0, "b": 3.0, "c": 5.0})) == {"a": 2.0, "b": 3.0, "c": 5.0}
    units = list(tiny_nets.varied().units)
    units[2] = replace(units[2], ceiling=None)
    pooled_net = tiny_nets.ann(replace(tiny_nets.varied(), units=tuple(units)))
    scales = qcfs_scales(as_qcfs(pooled_net, 4, {"a": 2.0, "b": 3.0, "c.1": 5.0, "c.2": 7.0}))
    assert scales == {"a": 2.0, "pool": 2.0, "b": 3.0, "c.1": 5.0, "c.2": 7.0}


def test_an_ann_without_learned_ends_has_no_learned_thresholds():
    with pytest.raises(BadInput, match=r"a: was not trained with QCFS; use train\.activation: qcfs, or another"):
        qcfs_scales(NETS["chain"])


def test_an_end_that_training_made_negative_is_refused():
    net = as_qcfs(NETS["chain"], 4)
    with torch.no_grad():
        net.state_dict()["nodes.b.neuron.lam"].fill_(-0.5)
    with pytest.raises(BadInput, match=r"b: its learned end lam is -0\.5, so no threshold follows; lower train.lr"):
        qcfs_scales(net)
