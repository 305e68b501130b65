"""Thresholds of least squared error, against the search written out."""

from __future__ import annotations

import pytest
import torch
from spikeport.models import PROFILES, Spiking
from spikeport.pipeline.calibration import activation_scales
from spikeport.pipeline.conversion import mmse
from spikeport.pipeline.conversion.mmse import mmse_scales
from spikeport.pipeline.folding import fold_batchnorm

from .. import tiny_nets


def by_hand(values: torch.Tensor, profile, n_steps: int) -> float:
    """Every share of the maximum tried on every value, with the neuron itself."""
    best, found = float("inf"), 0.0
    for i in range(95):
        scale = float(values.max()) * (1 - 0.01 * i)
        neuron = Spiking(profile, n_steps, threshold=profile.threshold)
        rate = neuron(values.double() / scale, static=True).mean(0)
        error = float((values - scale * rate).square().mean())
        if error < best:
            best, found = error, scale
    return found


@pytest.mark.parametrize("name", ["soft_if", "qcfs_if", "loihi", "sj_if", "tet_lif", "braincog_lif"])
def test_the_threshold_is_the_best_of_95(name):
    net = fold_batchnorm(tiny_nets.ann(tiny_nets.chain()))
    x = tiny_nets.images(net.architecture, 12)
    scales = mmse_scales(net, x.split(5), PROFILES[name], 4)
    with torch.no_grad():
        _, activations = net(x, list(scales))
    assert list(scales) == ["a", "b", "c"]
    for unit, scale in scales.items():
        assert scale == pytest.approx(by_hand(activations[unit], PROFILES[name], 4), rel=1e-6)


def test_more_timesteps_clip_less():
    """With few levels it pays to clip the largest activations; with many the staircase reaches them."""
    net = fold_batchnorm(tiny_nets.ann(tiny_nets.residual()))
    x = [tiny_nets.images(net.architecture, 32)]
    highest = activation_scales(net, x, 1.0)
    early, late = (mmse_scales(net, x, PROFILES["qcfs_if"], n_steps) for n_steps in (2, 64))
    assert all(early[unit] < late[unit] <= highest[unit] for unit in early)


def test_soft_and_hard_reset_have_thresholds_of_their_own():
    net = fold_batchnorm(tiny_nets.ann(tiny_nets.chain()))
    x = [tiny_nets.images(net.architecture, 32)]
    soft, hard = (mmse_scales(net, x, PROFILES[name], 8) for name in ("soft_if", "loihi"))
    assert all(soft[unit] != hard[unit] for unit in soft)


def test_a_pool_has_the_threshold_of_its_source():
    net = fold_batchnorm(tiny_nets.ann(tiny_nets.varied()))
    scales = mmse_scales(net, [tiny_nets.images(net.architecture, 16)], PROFILES["loihi"], 4)
    assert scales["pool"] == scales["a"]


def test_a_part_of_the_values_taken_evenly_gives_nearly_the_same_threshold(monkeypatch):
    net = fold_batchnorm(tiny_nets.ann(tiny_nets.residual()))
    x = [tiny_nets.images(net.architecture, 64)]
    whole = mmse_scales(net, x, PROFILES["qcfs_if"], 4)
    monkeypatch.setattr(mmse, "VALUES", 2000)  # of 16,384 in the stem
    assert mmse_scales(net, x, PROFILES["qcfs_if"], 4) == pytest.approx(whole, rel=0.15)
