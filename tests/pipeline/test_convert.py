"""Conversion: the counting formulas of single neurons, the two forms, and convergence to the ANN."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
import torch
from spikeport.hw import BadInput
from spikeport.models import PROFILES, GraphNet, IdentityWire, Profile, Spiking
from spikeport.models.datasets import Images
from spikeport.pipeline.calibration import activation_scales
from spikeport.pipeline.convert import (
    Gain,
    calibration_batches,
    classify,
    classify_steps,
    convert,
    refined_profile,
    skeleton,
)
from spikeport.pipeline.folding import fold_batchnorm
from spikeport.pipeline.notices import of_conversion
from spikeport.pipeline.recipe import parse
from torch.nn import functional

from . import tiny_nets

CURRENTS = [Fraction(k, 1024) for k in range(-100, 1400)]
"""1500 points, exact in binary; with the thresholds below, many lie exactly on a step of the staircase."""


def spike_counts(profile: Profile, threshold: float, n_steps: int) -> list[int]:
    population = Spiking(profile, n_steps, threshold=threshold)
    z = torch.tensor([float(current) for current in CURRENTS])
    return population(z, static=True).sum(0).to(torch.int64).tolist()


def clip(x: int, n_steps: int) -> int:
    return min(max(x, 0), n_steps)


@pytest.mark.parametrize("n_steps", [1, 2, 4, 8, 32])
@pytest.mark.parametrize("threshold", [Fraction(1), Fraction(3, 4), Fraction(5, 16)])
@pytest.mark.parametrize("start", [Fraction(0), Fraction(1, 2)])
@pytest.mark.parametrize("strict", [False, True])
def test_soft_reset_counts_by_floor_or_by_rounding(n_steps, threshold, start, strict):
    """T-CV-1: N = clip(floor(T z / theta + v0)), v0 = 0 floors, v0 = 1/2 rounds; strict: ceil(x) - 1 for floor(x)."""
    profile = replace(PROFILES["soft_if"], strict=strict, v_init=float(start))
    places = [n_steps * z / threshold + start for z in CURRENTS]
    expected = [clip(math.ceil(x) - 1 if strict else math.floor(x), n_steps) for x in places]
    assert spike_counts(profile, float(threshold), n_steps) == expected


def test_the_grid_of_the_formulas_holds_exact_ties():
    """T-CV-1: points at which firing at the threshold and firing above it differ."""
    ties = [z for z in CURRENTS if z > 0 and (4 * z / Fraction(3, 4)).denominator == 1]
    assert len(ties) >= 7
    above, at = (spike_counts(replace(PROFILES["soft_if"], strict=strict), 0.75, 4) for strict in (True, False))
    differing = {CURRENTS[i] for i in range(1500) if above[i] != at[i]}
    assert differing == {z for z in ties if 4 * z <= 4 * Fraction(3, 4)}


@pytest.mark.parametrize("n_steps", [1, 2, 4, 8, 32])
@pytest.mark.parametrize("threshold", [Fraction(1), Fraction(3, 4), Fraction(5, 16)])
def test_hard_reset_counts_whole_periods(n_steps, threshold):
    """T-CV-1: strict, v0 = 0: N = floor(T / (floor(theta / z) + 1)), the chip's neuron."""
    expected = [math.floor(Fraction(n_steps, math.floor(threshold / z) + 1)) if z > 0 else 0 for z in CURRENTS]
    assert spike_counts(PROFILES["loihi"], float(threshold), n_steps) == expected


@pytest.mark.parametrize("n_steps", [1, 4, 32])
def test_hard_reset_at_the_threshold_counts_its_own_periods(n_steps):
    """T-CV-1: with >= the period is ceil(theta / z), at least one step."""
    expected = [math.floor(Fraction(n_steps, math.ceil(Fraction(3, 4) / z))) if z > 0 else 0 for z in CURRENTS]
    assert spike_counts(PROFILES["sj_if"], 0.75, n_steps) == expected


@pytest.mark.parametrize(
    ("profile", "errors"),
    [
        (PROFILES["soft_if"], {2: 0.166, 4: 0.083, 8: 0.041, 32: 0.010}),
        (PROFILES["qcfs_if"], {2: 0.083, 4: 0.042, 8: 0.021, 32: 0.005}),
        (PROFILES["loihi"], {2: 0.166, 4: 0.125, 8: 0.114, 32: 0.101}),
    ],
)
def test_the_error_of_the_rate_vanishes_with_soft_reset_and_not_with_hard_reset(profile, errors):
    """T-CV-1: mean |N / T - clip(z, 0, 1)| over 1500 points of [0, 1.5)."""
    z = torch.arange(1500) / 1000
    for n_steps, expected in errors.items():
        rate = Spiking(profile, n_steps)(z, static=True).mean(0)
        assert float((rate - z.clamp(0, 1)).abs().mean()) == pytest.approx(expected, abs=0.06 * expected + 1e-3)


def powers_of_two(net: GraphNet) -> dict[str, float]:
    """Thresholds by which weights are multiplied without rounding, low enough for leaking profiles to fire."""
    scales = activation_scales(net, [tiny_nets.images(net.architecture, 32, 9)], 0.99)
    return {name: 2.0 ** round(math.log2(scale / 4)) for name, scale in scales.items()}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", tiny_nets.WITH_VARIED)
def test_both_forms_emit_the_same_spikes(name, profile):
    """T-CV-4: threshold form == weight form at every step, on a residual network too; the logits are equal."""
    net = fold_batchnorm(tiny_nets.ann(tiny_nets.WITH_VARIED[name]()))
    scales = powers_of_two(net)
    assert len(set(scales.values())) > 1
    twins = [convert(net, scales, PROFILES[profile], 8, form=form) for form in ("weight", "threshold")]
    hidden = list(scales)
    with torch.no_grad():
        x = tiny_nets.images(net.architecture)
        (weight_logits, weight), (threshold_logits, threshold) = (twin(x, hidden) for twin in twins)
    for unit in hidden:
        assert torch.equal(weight[unit] * scales[unit], threshold[unit])
        assert weight[unit].any()
    torch.testing.assert_close(weight_logits, threshold_logits)


@pytest.mark.parametrize("profile", PROFILES)
def test_between_layers_there_are_only_zeros_and_ones(profile):
    """T-HW-5."""
    for build in tiny_nets.ARCHITECTURES.values():
        architecture = build()
        _, twin = tiny_nets.converted(architecture, PROFILES[profile], 6, thresholds=0.25)
        hidden = [unit.name for unit in architecture.units[:-1]]
        with torch.no_grad():
            _, spikes = twin(tiny_nets.images(architecture), hidden)
        assert list(spikes) == hidden
        assert all(s.unique().tolist() == [0, 1] for s in spikes.values())


def test_the_weight_form_by_the_formula():
    """W theta_source / theta_target, b / theta_target; an identity theta_in / theta_out; the read-out in units."""
    net = fold_batchnorm(tiny_nets.ann(tiny_nets.residual()))
    scales = {"stem": 2.0, "stage1.1a": 3.0, "stage1.1b": 5.0, "stage2.1a": 7.0, "stage2.1b": 11.0}
    twin = convert(net, scales, PROFILES["loihi"], 4).state_dict()
    ann = net.state_dict()
    wires = {
        "stem.synapses.0": (1, 2),
        "stage1_1a.synapses.0": (2, 3),
        "stage1_1b.synapses.0": (3, 5),
        "stage2_1a.synapses.0": (5, 7),
        "stage2_1b.synapses.0": (7, 11),
        "stage2_1b.synapses.1": (5, 11),  # the projection, by the threshold of the block's output
        "readout.synapses.0": (11, 1),
    }
    for wire, (source, own) in wires.items():
        at = f"nodes.{wire}.weighted."
        torch.testing.assert_close(twin[at + "weight"], ann[at + "weight"] * source / own)
        torch.testing.assert_close(twin[at + "bias"], ann[at + "bias"] / own)
    assert twin["nodes.stage1_1b.synapses.1.weighted.weight"].item() == pytest.approx(2 / 5)
    assert all(value.item() == 1 for name, value in twin.items() if name.endswith(("threshold", "amplitude")))


def test_conversion_copies():
    net = fold_batchnorm(tiny_nets.ann(tiny_nets.residual()))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    convert(net, powers_of_two(net), PROFILES["loihi"], 2)
    assert before.keys() == net.state_dict().keys()
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in before.items())
    assert not any(isinstance(module, Gain) for module in net.modules())


@pytest.mark.parametrize("name", tiny_nets.ARCHITECTURES)
def test_the_converted_network_converges_to_the_ann(name):
    """T-CV-5, T-000-7: soft reset, thresholds at the maximum: the error of the logits falls as 1 / T.

    A population's rate is off by at most about theta / T per spike it owes; over the depth these add up.
    """
    architecture = tiny_nets.ARCHITECTURES[name]()
    net = fold_batchnorm(tiny_nets.ann(architecture))
    x = tiny_nets.images(architecture, 4)
    scales = activation_scales(net, [x], 1.0)
    errors = {}
    with torch.no_grad():
        expected, _ = net(x)
        logits, _ = convert(net, scales, PROFILES["qcfs_if"], 1024)(x)
        for n_steps in (4, 16, 64, 256, 1024):
            errors[n_steps] = float((logits[:n_steps].mean(0) - expected).abs().max() / expected.abs().max())
    assert errors[1024] < 1e-2
    assert all(late < early for early, late in pairwise(errors.values()))
    assert errors[1024] < 10 * errors[4] * 4 / 1024 * len(architecture.units)


def test_a_pool_fires_at_least_as_often_as_any_of_its_window():
    """Its source's largest rate is the ANN's pool; the OR of a window is that or more, and never another value."""
    architecture = tiny_nets.varied()
    net = fold_batchnorm(tiny_nets.ann(architecture))
    x = tiny_nets.images(architecture)
    twin = convert(net, activation_scales(net, [x], 1.0), PROFILES["soft_if"], 64)
    with torch.no_grad():
        _, taps = twin(x, ["a", "pool"])
    pool = architecture.units[1].pool
    assert pool is not None
    _, stride, padding, _ = pool.window
    rates = {name: spikes.mean(0) for name, spikes in taps.items()}
    largest = functional.max_pool2d(rates["a"], (2, 3), stride, padding)
    every = functional.max_pool2d(taps["a"].flatten(0, 1), (2, 3), stride, padding)
    assert bool((rates["pool"] >= largest).all())
    assert bool((rates["pool"] > largest).any())  # so pooling is approximate
    assert torch.equal(taps["pool"].flatten(0, 1), every)


def test_a_pool_has_the_threshold_of_its_source_and_says_that_it_is_approximate():
    architecture = tiny_nets.varied()
    net = fold_batchnorm(tiny_nets.ann(architecture))
    scales = activation_scales(net, [tiny_nets.images(architecture)], 0.99)
    assert list(scales) == ["a", "pool", "b", "c.1", "c.2"]
    assert scales["pool"] == scales["a"]
    rows = {row["layer"]: row for row in of_conversion(net, scales, "99 % point")}
    assert rows["pool"]["what"] == "max pooling of activations became an OR of spikes"
    assert "clipped" in rows["a"]["what"]


def test_a_ceiling_caps_the_threshold():
    architecture = tiny_nets.varied()
    net = fold_batchnorm(tiny_nets.ann(architecture))
    x = 10 * tiny_nets.images(architecture, 32)
    assert activation_scales(net, [x], 1.0)["b"] == 1.5


def test_a_scaled_shortcut_keeps_its_scale():
    architecture = tiny_nets.varied()
    net = fold_batchnorm(tiny_nets.ann(architecture))
    scales = {"a": 2.0, "pool": 2.0, "b": 5.0, "c.1": 3.0, "c.2": 7.0}
    state = convert(net, scales, PROFILES["loihi"], 2).state_dict()
    assert state["nodes.b.synapses.1.weighted.weight"].item() == pytest.approx(0.5 * 2 / 5)
    assert state["nodes.c_2.synapses.1.weighted.weight"].item() == pytest.approx(3 / 7)
    torch.testing.assert_close(state["nodes.a.synapses.0.bias"], net.state_dict()["nodes.a.synapses.0.bias"] / 2)


def test_with_hard_reset_it_does_not_converge():
    """The staircase of T-CV-1 stays: more timesteps do not repair the chip's neuron, refinement has to."""
    architecture = tiny_nets.chain()
    net = fold_batchnorm(tiny_nets.ann(architecture))
    x = tiny_nets.images(architecture, 4)
    with torch.no_grad():
        expected, _ = net(x)
        logits, _ = convert(net, activation_scales(net, [x], 1.0), PROFILES["loihi"], 512)(x)
    assert float((logits.mean(0) - expected).abs().max() / expected.abs().max()) > 0.05


def test_a_skeleton_has_the_form_of_a_converted_network():
    """Its weights can be loaded into what `skeleton` builds: same names, same shapes."""
    recipe = parse({"name": "t", "refine": {"T": 3}})
    empty = skeleton(recipe, PROFILES["loihi"], 3)
    folded = fold_batchnorm(tiny_nets.ann(empty.architecture))
    full = convert(folded, dict.fromkeys((u.name for u in empty.architecture.units), 2.0), PROFILES["loihi"], 3)
    assert {k: v.shape for k, v in empty.state_dict().items()} == {k: v.shape for k, v in full.state_dict().items()}
    assert [s.profile for s in empty.spiking] == [PROFILES["loihi"]] * 3


def test_a_profile_keeps_its_own_leak_unless_the_recipe_names_one():
    leaking = refined_profile(parse({"name": "t", "refine": {"v_decay": 410}}))
    assert (leaking.name, leaking.v_decay) == ("loihi", 410)
    assert refined_profile(parse({"name": "t", "refine": {"profile": "tet_lif"}})).leak == 0.5
    assert refined_profile(parse({"name": "t", "refine": {"profile": "tet_lif", "v_decay": 0}})).leak == 1


def image_set(count: int) -> Images:
    x = torch.randint(0, 256, (count, 2, 6, 6), dtype=torch.uint8, generator=tiny_nets.generator(4))
    return Images(x=x, y=torch.zeros(count, dtype=torch.int64))


@pytest.mark.parametrize("count", [4, 127, 128, 129, 200, 257])
def test_calibration_images_come_in_batches_that_cka_can_use(count):
    images = image_set(300)
    batches = calibration_batches(images, count, torch.device("cpu"))
    assert min(len(batch) for batch in batches) >= 4
    assert max(len(batch) for batch in batches) <= 128
    assert torch.equal(torch.cat(batches), images.floats(slice(count)))


@pytest.mark.parametrize("count", [3, 301])
def test_too_few_or_too_many_calibration_images_are_refused(count):
    with pytest.raises(BadInput, match=rf"calibration_images is {count}; give 4\.\.300"):
        calibration_batches(image_set(300), count, torch.device("cpu"))


def test_the_last_of_the_predictions_per_step_is_the_prediction():
    _, twin = tiny_nets.converted(tiny_nets.chain(), n_steps=6)
    images, cpu = image_set(40), torch.device("cpu")
    by_step = classify_steps(twin, images, cpu, size=16)
    assert by_step.shape == (6, 40)
    assert torch.equal(by_step[-1], classify(twin, images, cpu))
    _, short = tiny_nets.converted(tiny_nets.chain(), n_steps=2)
    assert torch.equal(by_step[1], classify(short, images, cpu))


def test_identity_wires_are_the_only_ones_without_weights_before_conversion():
    net = fold_batchnorm(tiny_nets.ann(tiny_nets.residual()))
    bare = [
        isinstance(wire, IdentityWire)
        for node in net.walk()
        for wire, synapses in zip(node.unit.wires, node.synapses, strict=True)
        if not list(synapses.parameters())
    ]
    assert bare == [True]
