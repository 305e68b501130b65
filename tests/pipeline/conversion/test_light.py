"""Light calibration: every channel's mean is where the ANN's is, layer by layer, with either reset."""

from __future__ import annotations

import pytest
import torch
from spikeport.models import PROFILES, GraphNet
from spikeport.pipeline.calibration import activation_scales
from spikeport.pipeline.conversion.layerwise import channel_mean
from spikeport.pipeline.conversion.light import light_calibration
from spikeport.pipeline.convert import convert
from spikeport.pipeline.folding import fold_batchnorm

from .. import tiny_nets


def gaps(ann: GraphNet, source: GraphNet, scales, profile, n_steps: int, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """|mean(a) - theta mean(N) / T| of every channel of each unit, and of the logits."""
    units = [unit.name for unit in ann.architecture.units]
    with torch.no_grad():
        _, wanted = ann(x, units)
        _, got = convert(source, scales, profile, n_steps)(x, units)
    worth = {**scales, units[-1]: 1.0}
    return {u: (channel_mean(wanted[u]) - worth[u] * channel_mean(got[u].mean(0))).abs().flatten() for u in units}


@pytest.mark.parametrize("profile", ["soft_if", "qcfs_if", "loihi"])
@pytest.mark.parametrize("name", tiny_nets.ARCHITECTURES)
def test_the_mean_error_of_the_channels_falls_in_every_layer(name, profile):
    """T-CV-6."""
    ann = fold_batchnorm(tiny_nets.ann(tiny_nets.ARCHITECTURES[name]()))
    x = tiny_nets.images(ann.architecture, 64)
    scales = activation_scales(ann, [x], 1.0)
    made = light_calibration(ann, x, scales, PROFILES[profile], 8)
    plain = gaps(ann, ann, scales, PROFILES[profile], 8, x)
    light = gaps(ann, made, scales, PROFILES[profile], 8, x)
    for unit, error in plain.items():
        assert light[unit].mean() < error.mean()
    assert sum(e.sum() for e in light.values()) < 0.7 * sum(e.sum() for e in plain.values())
    torch.testing.assert_close(light["readout"], torch.zeros(3), rtol=0, atol=1e-5)  # linear, so it is exact


def test_the_first_correction_is_the_formula():
    """b + mean(a) - theta mean(N) / T, per channel, nothing upstream having changed; a spike is worth theta here."""
    ann = fold_batchnorm(tiny_nets.ann(tiny_nets.chain()))
    x = tiny_nets.images(ann.architecture, 32)
    scales = activation_scales(ann, [x], 0.99)
    made = light_calibration(ann, x, scales, PROFILES["loihi"], 4)
    with torch.no_grad():
        _, wanted = ann(x, ["a"])
        _, got = convert(ann, scales, PROFILES["loihi"], 4, form="threshold")(
            x, ["a"]
        )  # a spike is worth its threshold
    lost = (wanted["a"] - got["a"].mean(0)).mean(dim=(0, 2, 3))
    name = "nodes.a.synapses.0.weighted.bias"
    torch.testing.assert_close(made.state_dict()[name], ann.state_dict()[name] + lost)


def test_only_biases_change_and_the_ann_stays_as_it_is():
    ann = fold_batchnorm(tiny_nets.ann(tiny_nets.residual()))
    before = {name: value.clone() for name, value in ann.state_dict().items()}
    x = tiny_nets.images(ann.architecture, 16)
    made = light_calibration(ann, x, activation_scales(ann, [x], 1.0), PROFILES["loihi"], 4).state_dict()
    assert all(torch.equal(value, before[name]) for name, value in ann.state_dict().items())
    changed = {name for name, value in made.items() if not torch.equal(value, before[name])}
    first = {
        f"nodes.{n}.synapses.0.weighted.bias" for n in ("stem", "stage1_1a", "stage1_1b", "stage2_1a", "stage2_1b")
    }
    assert changed == {*first, "nodes.readout.synapses.0.weighted.bias"}
