"""Conversion: the two forms, convergence to the ANN, and what the stage makes of a recipe."""

from __future__ import annotations

import math
import shutil
from itertools import pairwise
from typing import Any

import pytest
import torch
from spikeport.hw import BadInput
from spikeport.models import PROFILES, GraphNet, IdentityWire
from spikeport.models.datasets import Images
from spikeport.pipeline.artefacts import load_ann, load_into
from spikeport.pipeline.calibration import activation_scales
from spikeport.pipeline.chain import opened
from spikeport.pipeline.conversion.light import light_calibration
from spikeport.pipeline.conversion.mmse import mmse_scales
from spikeport.pipeline.convert import (
    Gain,
    calibration_batches,
    classify,
    classify_steps,
    convert,
    refined_profile,
    skeleton,
    thresholds,
)
from spikeport.pipeline.data import load_splits
from spikeport.pipeline.folding import fold_batchnorm
from spikeport.pipeline.notices import of_conversion
from spikeport.pipeline.progress import Progress
from spikeport.pipeline.recipe import parse
from spikeport.pipeline.runs import Outcome
from spikeport.pipeline.sections import Convert, Recipe
from torch.nn import functional

from . import tiny_nets


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


def recipe_of(**sections: Any) -> Recipe:
    """One epoch on digits, thresholds for T = 4."""
    base = {
        "name": "t",
        "threads": 1,
        "data": {"name": "digits", "train_limit": 300, "validation": 60, "test_limit": 60},
        "train": {"epochs": 2},
        "convert": {"calibration_images": 64},
        "refine": {"T": 4},
    }
    return parse(
        {key: {**value, **sections.pop(key, {})} if isinstance(value, dict) else value for key, value in base.items()}
        | sections
    )


@pytest.fixture(scope="module")
def qcfs_run(tmp_path_factory) -> tuple[Recipe, dict[str, Outcome]]:
    """A QCFS ANN trained and converted by the stages."""
    recipe = recipe_of(train={"epochs": 6, "activation": "qcfs", "levels": 4}, convert={"norm": "qcfs"})
    with opened(recipe, tmp_path_factory.mktemp("qcfs"), Progress(quiet=True)) as run:
        return recipe, {name: run.finish(name) for name in ("train", "convert")}


def test_the_ends_of_a_qcfs_ann_become_its_thresholds(qcfs_run):
    """theta = lam, and W lam_source / lam_target in the saved network, which refinement can load."""
    recipe, outcomes = qcfs_run
    ann = fold_batchnorm(load_ann(recipe, outcomes["train"].folder))
    lam = {node.unit.name: float(node.neuron.lam.detach()) for node in ann.walk()[:-1]}
    assert outcomes["convert"].manifest["metrics"]["scales"] == pytest.approx(lam)
    assert all(0.5 < value < 8 for value in lam.values())
    net = load_into(skeleton(recipe, PROFILES["loihi"], 4), outcomes["convert"].folder)
    weight = "nodes.conv2.synapses.0.weighted.weight"
    expected = ann.state_dict()[weight] * lam["conv1"] / lam["conv2"]
    torch.testing.assert_close(net.state_dict()[weight], expected)


def test_a_qcfs_network_starts_half_full_and_loses_little(qcfs_run):
    """Soft reset from theta / 2 over as many steps as levels: what is left is the unevenness of the spikes."""
    _, outcomes = qcfs_run
    metrics = outcomes["convert"].manifest["metrics"]
    ann = outcomes["train"].manifest["metrics"]["test"]["accuracy"]
    assert ann > 0.7
    assert metrics["soft"]["accuracy"] > ann - 0.15
    assert metrics["soft"]["accuracy"] > metrics["hard"]["accuracy"] + 0.1
    whole = [row for row in metrics["notices"] if row["layer"] == "all spiking layers"]
    assert whole[0]["what"] == "activations of 4 levels are counted over 4 timesteps by 'loihi'"
    assert "threshold from the learned end of its QCFS activation" in {row["why"] for row in metrics["notices"]}


def test_a_qcfs_run_is_refined_in_the_chips_neurons(qcfs_run, tmp_path):
    """The chain goes on with `loihi`: the QCFS ANN is the teacher, theta = lam where the student starts."""
    recipe, outcomes = qcfs_run
    longer = recipe.model_copy(update={"refine": recipe.refine.model_copy(update={"epochs": 1, "lr": 0.02})})
    shutil.copytree(outcomes["train"].folder.parent, tmp_path / outcomes["train"].folder.parent.name)
    with opened(longer, tmp_path, Progress(quiet=True)) as run:
        assert run.finish("train").reused
        run.finish("convert")
        metrics = run.finish("refine").manifest["metrics"]
    assert metrics["profile"] == "loihi"
    assert metrics["test"]["accuracy"] > outcomes["convert"].manifest["metrics"]["hard"]["accuracy"]


def test_least_squares_and_light_calibration_are_for_the_neurons_that_follow(tmp_path):
    """What is saved is calibrated for refine.profile over refine.T, and the report says for what."""
    recipe = recipe_of(train={"epochs": 1}, convert={"norm": "mmse", "calibrate": "light"})
    with opened(recipe, tmp_path, Progress(quiet=True)) as run:
        ann = load_ann(recipe, run.finish("train").folder)
        done = run.finish("convert")
    loihi = PROFILES["loihi"]
    folded = fold_batchnorm(ann)
    batches = calibration_batches(load_splits(recipe).train, 64, torch.device("cpu"))
    scales = mmse_scales(folded, batches, loihi, 4)
    expected = convert(light_calibration(folded, torch.cat(batches), scales, loihi, 4), scales, loihi, 4)
    saved = load_into(skeleton(recipe, loihi, 4), done.folder).state_dict()
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(saved[name], value)
    notices = " ".join(row["what"] + row["why"] for row in done.manifest["metrics"]["notices"])
    assert "least squared error of hard-reset spike counts over 4 timesteps" in notices
    assert "corrected per channel on 64 images, for 'loihi' over 4 timesteps" in notices


def test_the_count_form_is_that_of_the_refined_profile():
    net = fold_batchnorm(tiny_nets.ann(tiny_nets.chain()))
    x = [tiny_nets.images(net.architecture, 32)]
    settings = Convert(norm="mmse")
    for name, form in (("loihi", "hard"), ("qcfs_if", "soft")):
        scales, origin = thresholds(net, x, settings, PROFILES[name], 8)
        assert origin == f"least squared error of {form}-reset spike counts over 8 timesteps"
        assert scales == mmse_scales(net, x, PROFILES[name], 8)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"convert": {"norm": "qcfs"}},
            "convert.norm is qcfs, whose thresholds are trained; set train.activation: qcfs",
        ),
        ({"train": {"activation": "qcfs"}, "model": {"file": "a.onnx"}}, "a network from model.file keeps its own"),
    ],
)
def test_qcfs_thresholds_need_a_qcfs_ann(sections, message):
    with pytest.raises(BadInput, match=message):
        parse({"name": "t", **sections})


def test_the_settings_of_qcfs_do_not_rename_the_runs_of_other_anns():
    """An ANN of ReLUs is the same whatever `levels` says; one of QCFS is not."""
    relu, unread = (parse({"name": "t", "train": {"levels": n}}) for n in (4, 8))
    assert relu.identity() == unread.identity()
    assert not {"activation", "levels"} & relu.sections(("train",))["train"].keys()
    four, eight = (parse({"name": "t", "train": {"activation": "qcfs", "levels": n}}) for n in (4, 8))
    assert len({relu.identity(), four.identity(), eight.identity()}) == 3
    assert parse(four.model_dump(mode="json")) == four
