"""The portrait: rasters, correlations and CKA against slow twins, and the stage that measures them on a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport import sim
from spikeport.export import netx
from spikeport.export.lowering import to_chain
from spikeport.hw import Network, Readout, Source
from spikeport.models import GraphNet
from spikeport.models.datasets import Clips, Images
from spikeport.pipeline import chain
from spikeport.pipeline.artefacts import load_ann, load_into
from spikeport.pipeline.cka import cka_unbiased
from spikeport.pipeline.convert import refined_profile, skeleton
from spikeport.pipeline.data import Splits, load_splits
from spikeport.pipeline.deploy import payload_for, written
from spikeport.pipeline.portrait import stage, views
from spikeport.pipeline.portrait.alignment import POINTS, centered_gram, heatmap, pearson, points
from spikeport.pipeline.portrait.comparison import TWINS, compare, work
from spikeport.pipeline.portrait.rasters import NEURONS, evenly, raster, rasters
from spikeport.pipeline.portrait.views import View, features, in_parts, of_chip, of_net
from spikeport.pipeline.progress import Progress
from spikeport.pipeline.recipe import parse
from spikeport.pipeline.refine.stage import load_student
from spikeport.pipeline.stage import StageContext
from spikeport.sim.report import Portrait
from torch import Tensor

from . import stages, tiny_nets

CPU = torch.device("cpu")


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=tiny_nets.generator(seed))


def images(shape: tuple[int, ...] = (2, 6, 6), count: int = 9) -> Images:
    x = torch.randint(256, (count, *shape), generator=tiny_nets.generator(7), dtype=torch.uint8)
    return Images(x=x, y=torch.arange(count) % 3)


def clips(n_steps: int, shape: tuple[int, ...] = (2, 6, 6), count: int = 5) -> Clips:
    x = torch.randint(2, (count, n_steps, *shape), generator=tiny_nets.generator(8), dtype=torch.uint8)
    return Clips(x=x, y=torch.arange(count) % 3, levels=1)


def network_of(n_steps: int = 4) -> Network:
    return tiny_nets.integer(tiny_nets.chain(), n_steps=n_steps)[2]


# Pearson's r


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 40), st.integers(1, 9), st.floats(-1, 1), st.integers(0, 999))
def test_r_is_numpys_over_all_neurons_and_samples(n, neurons, share, seed):
    x, noise = normal(n, neurons, seed=seed), normal(n, neurons, seed=seed + 1000)
    y = 3 + share * x + (1 - abs(share)) * noise
    assert pearson(x, y) == pytest.approx(np.corrcoef(x.double().flatten(), y.double().flatten())[0, 1], abs=1e-6)


def test_r_is_one_of_whatever_grows_in_proportion_and_minus_one_of_what_shrinks():
    x = normal(33, 5)
    assert pearson(x, x) == 1
    assert pearson(x, 4 * x + 1) == 1
    assert pearson(x, -x) == -1


def test_an_offset_does_not_hide_what_varies():
    x = torch.arange(40.0).reshape(20, 2) / 64
    y = normal(20, 2)
    assert pearson(1024 + x, y) == pearson(x, y)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
def test_what_does_not_vary_has_no_r(constant):
    x, y = normal(11, 7), torch.full((11, 7), constant)
    assert pearson(x, y) is None
    assert pearson(y, x) is None


def test_points_are_pairs_of_one_neuron_in_one_sample_drawn_once_each():
    x = torch.arange(60.0 * 7).reshape(60, 7)
    drawn = points(x, 1000 + x, np.random.default_rng(3))
    assert len(drawn) == len(set(drawn)) == POINTS
    assert all(b == 1000 + a for a, b in drawn)
    assert drawn == sorted(drawn)
    assert max(a for a, _ in drawn) > 380 > 40 > min(a for a, _ in drawn)
    assert drawn == points(x, 1000 + x, np.random.default_rng(3))
    assert drawn != points(x, 1000 + x, np.random.default_rng(4))


def test_few_values_are_all_shown_to_six_digits():
    x = torch.tensor([[1 / 3, 2 / 3]])
    assert points(x, torch.tensor([[0.25, 1e-9]]), np.random.default_rng(0)) == [(0.333333, 0.25), (0.666667, 1e-9)]


# CKA


def slow_hsic(x: Tensor, y: Tensor) -> float:
    """Unbiased HSIC as Song et al. write it, sum by sum."""
    n = len(x)
    k, other = (np.array([[float(a @ b) for b in side] for a in side]) for side in (x.double(), y.double()))
    np.fill_diagonal(k, 0)
    np.fill_diagonal(other, 0)
    trace = sum(k[i, j] * other[j, i] for i in range(n) for j in range(n))
    product = k.sum() * other.sum() / ((n - 1) * (n - 2))
    through = sum(k[i].sum() * other[i].sum() for i in range(n))
    return (trace + product - 2 / (n - 2) * through) / (n * (n - 3))


def slow_cka(x: Tensor, y: Tensor) -> float:
    return slow_hsic(x, y) / (slow_hsic(x, x) * slow_hsic(y, y)) ** 0.5


def test_a_heat_map_compares_every_row_with_every_column():
    x = normal(12, 30)
    rows = {"a": x, "b": x[:, :9] + 0.5 * normal(12, 9, seed=1)}
    columns = {"b": rows["b"] * 7 + 3, "c": normal(12, 4, seed=2), "a": x}
    made = heatmap(*({name: centered_gram(f) for name, f in side.items()} for side in (rows, columns)))
    assert (made["rows"], made["columns"]) == (["a", "b"], ["b", "c", "a"])
    for row, found in zip(rows.values(), made["values"], strict=True):
        assert found == pytest.approx([slow_cka(row, column) for column in columns.values()], abs=1e-5)
        assert found == pytest.approx([float(cka_unbiased(row, column)) for column in columns.values()], abs=2e-6)
    assert made["values"][0][2] == made["values"][1][0] == 1


def test_a_silent_layer_is_like_no_other():
    grams = {"silent": centered_gram(torch.zeros(6, 5)), "speaks": centered_gram(normal(6, 5))}
    assert heatmap(grams, grams)["values"] == [[0, 0], [0, 1]]


# What layers say


@pytest.fixture(scope="module")
def nets() -> tuple[GraphNet, GraphNet]:
    """(ANN, spiking twin) of the chain, whose layers all fire."""
    return tiny_nets.converted(tiny_nets.chain(), n_steps=3, thresholds=0.4)


def test_an_ann_says_its_activations_and_a_twin_its_spikes_per_timestep(nets, monkeypatch):
    monkeypatch.setattr(views, "BATCH_MAX", 4)  # 9 samples: batches of 4, 4 and 1
    samples, seen = images(), []
    with torch.no_grad():
        (_, activations), (logits, spikes) = (net(samples.floats(), ("a", "c")) for net in nets)
    said = features(of_net(nets[0], samples, CPU), ["a", "c"], 9, seen.append)
    torch.testing.assert_close(said, {name: values.flatten(1) for name, values in activations.items()})
    assert seen == [4, 4, 1]
    rates = features(of_net(nets[1], samples, CPU), ["c", "readout"], 9)
    assert torch.equal(rates["c"], spikes["c"].sum(dim=0) / 3)
    assert rates["c"].any()
    torch.testing.assert_close(rates["readout"], logits.mean(dim=0))


def test_of_clips_an_ann_sees_the_mean_of_the_frames_and_a_twin_every_frame(nets):
    samples = clips(3)
    with torch.no_grad():
        _, expected = nets[0](samples.stills(), ("b",))
        _, spikes = nets[1](samples.floats(), ("b",))
    ann, twin = (features(of_net(net, samples, CPU), ["b"], 5)["b"] for net in nets)
    torch.testing.assert_close(ann, expected["b"].flatten(1))
    assert torch.equal(twin, spikes["b"].sum(dim=0).flatten(1) / 3)


def test_the_chip_says_what_the_simulator_counted(monkeypatch):
    monkeypatch.setattr(views, "AT_ONCE", 1)  # one sample at a time
    network, samples, batches = network_of(), images(), []
    spikes = sim.run(network, payload_for(network, samples), record=("spikes",)).spikes
    shapes = {**tiny_nets.chain().shapes(), "gone": (3, 2, 2)}
    view = of_chip(network, {name: shapes[name] for name in ("a", "gone", "c")}, samples, CPU)
    assert view.sizes == {"a": 4 * 36, "c": 8}
    said = features(view, ["a", "c"], 9, batches.append)
    for name, rates in said.items():
        assert torch.equal(rates, spikes[name].float().mean(dim=0).flatten(1))
        assert rates.any()
    assert batches == [1] * 9


def test_relays_that_a_layer_carries_are_not_its_own():
    graph = tiny_nets.integer(tiny_nets.residual())[2]
    lowered, rewrites = to_chain(graph)
    assert rewrites
    assert lowered["stage1.1a"].size > graph["stage1.1a"].size
    samples, shapes = images((2, 8, 8)), tiny_nets.residual().shapes()
    names = [name for name in shapes if name not in ("input", "readout")]
    own, carried = (
        features(of_chip(net, {name: shapes[name] for name in names}, samples, CPU), names, 9)
        for net in (graph, lowered)
    )
    assert all(torch.equal(own[name], carried[name]) for name in names)


@given(st.lists(st.integers(1, 20), max_size=8), st.integers(1, 40))
def test_parts_hold_every_layer_once_in_order_and_no_more_than_they_may(sizes, most):
    named = {f"layer{i}": size for i, size in enumerate(sizes)}
    parts = list(in_parts(named, most))
    assert [name for part in parts for name in part] == list(named)
    held = [sum(named[name] for name in part) for part in parts]
    assert all(total <= most or len(part) == 1 for part, total in zip(parts, held, strict=True))
    assert all(total + named[after[0]] > most for total, after in zip(held, parts[1:], strict=False))


# Networks compared


def silent_at(view: View, layer: str) -> View:
    """The same view of a network whose layer says nothing."""

    def see(names, chosen):
        return {n: torch.zeros_like(v) if n == layer else v for n, v in view.see(names, chosen).items()}

    return replace(view, see=see)


def compared(ann: View, twins: dict[str, View], count: int = 9, **settings: Any) -> dict[str, Any]:
    return compare(ann, twins, ("a", "b", "c"), count, np.random.default_rng(0), **settings)


def test_a_network_that_is_the_ann_has_r_one_everywhere_and_cka_one_on_the_diagonal(nets):
    ann = of_net(nets[0], images(), CPU)
    made = compared(ann, dict.fromkeys(TWINS, ann))
    assert [row["layer"] for row in made["correlations"]] == ["a", "b", "c"]  # the read-out has no rates
    for row in made["correlations"]:
        assert [row[twin] for twin in TWINS] == [1, 1, 1]
        assert row["points_of"] == "integer"
        assert all(a == b for a, b in row["points"])
    for found in (made["cka_converted"], made["cka_refined"]):
        assert found["rows"] == found["columns"] == ["a", "b", "c", "readout"]
        assert [found["values"][i][i] for i in range(4)] == [1] * 4
        assert max(found["values"][i][3 - i] for i in range(4)) < 1


def test_every_twin_has_its_own_numbers(nets):
    samples = images()
    ann, twin = (of_net(net, samples, CPU) for net in nets)
    made = compared(ann, {"converted": twin, "refined": ann, "integer": silent_at(twin, "b")})
    activations, rates = (features(view, ["a", "b", "c"], 9) for view in (ann, twin))
    for row in made["correlations"]:
        x, y = (side[row["layer"]].double().flatten() for side in (activations, rates))
        expected = pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-6)
        assert row["converted"] == expected
        assert row["refined"] == 1
        assert row["integer"] == (None if row["layer"] == "b" else expected)
        assert row["points_of"] == ("refined" if row["layer"] == "b" else "integer")
    assert [made["cka_refined"]["values"][i][i] for i in range(3)] == [1, 1, 1]
    assert made["cka_converted"]["values"][1][2] == pytest.approx(slow_cka(activations["b"], rates["c"]), abs=1e-5)


def test_a_layer_that_is_silent_in_every_network_has_no_number_and_no_points(nets):
    ann = of_net(nets[0], images(), CPU)
    made = compared(ann, dict.fromkeys(TWINS, silent_at(ann, "c")))
    portrait = Portrait.model_validate({"split": "validation", "samples": 9, **made})
    row = portrait.correlations[2]
    assert (row.converted, row.refined, row.integer, row.points_of, row.points) == (None, None, None, None, ())
    assert portrait.cka_refined is not None
    assert [values[2] for values in portrait.cka_refined.values] == [0] * 4
    assert stage.means(portrait)["mean_r"] == {"converted": 1, "refined": 1, "integer": 1}  # of two layers
    assert stage.means(portrait)["mean_cka"] == {"converted": 0.75, "refined": 0.75}


def test_a_network_without_a_layer_of_that_name_is_not_compared_there(nets):
    ann = of_net(nets[0], images(), CPU)
    fewer = replace(ann, sizes={name: size for name, size in ann.sizes.items() if name != "b"})
    made = compared(ann, {"converted": ann, "refined": fewer, "integer": fewer})
    row = made["correlations"][1]
    assert (row["converted"], row["refined"], row["integer"], row["points_of"]) == (1, None, None, "converted")
    assert made["cka_refined"]["columns"] == ["a", "c", "readout"]


def test_a_large_network_is_run_in_parts_with_the_same_numbers(nets):
    samples, counted = images(), []
    ann, twin = (of_net(net, samples, CPU) for net in nets)
    twins = dict.fromkeys(TWINS, twin)
    whole = compared(ann, twins)
    parts = compared(ann, twins, kept=9, advance=counted.append)
    assert parts == whole
    assert sum(counted) == work(ann, 9, kept=9) == 9 * 4 * 4  # samples, networks, layers
    assert work(ann, 9) == 9 * 4


def test_three_samples_have_correlations_but_no_cka(nets):
    ann = of_net(nets[0], images(), CPU)
    made = compared(ann, dict.fromkeys(TWINS, ann), count=3)
    assert set(made) == {"correlations"}
    assert [row["refined"] for row in made["correlations"]] == [1, 1, 1]
    assert stage.why_left_out(parse({"name": "a"}), 3) == {
        "cka": "data.validation leaves 3 samples, and unbiased CKA needs 4"
    }
    assert stage.why_left_out(parse({"name": "a"}), 4) == {}


# Rasters


def drawn(layer: dict[str, Any], n_steps: int) -> Tensor:
    """A raster's spikes as a table (T, shown), each counted."""
    table = torch.zeros(n_steps, len(layer["shown"]), dtype=torch.int64)
    for t, row in layer["spikes"]:
        table[t, row] += 1
    return table


@pytest.mark.parametrize("samples", [images(), clips(4)], ids=["images", "clips"])
def test_a_raster_holds_the_simulators_spikes_of_the_first_sample_no_more_and_no_less(samples):
    bits = None if isinstance(samples, Images) else 0
    network = tiny_nets.integer(tiny_nets.chain(), payload_bits=bits)[2]
    trace = sim.run(network, payload_for(network, samples), record=("spikes",))
    made = rasters(network, samples, "validation")
    assert (made["sample"], made["label"], made["n_steps"]) == (0, int(samples.y[0]), 4)
    assert made["prediction"] == int(trace.predictions[0])
    assert [layer["population"] for layer in made["layers"]] == ["input", "a", "b", "c"]
    for layer in made["layers"]:
        flat = trace.spikes[layer["population"]][:, 0].flatten(1)
        assert layer["neurons"] == flat.shape[1]
        assert torch.equal(drawn(layer, 4), (flat[:, layer["shown"]] != 0).long())
        assert layer["spikes"]
    Portrait.model_validate({"split": "validation", "samples": 9, "rasters": made})


def test_of_few_neurons_all_are_shown_and_a_silent_one_keeps_its_row():
    population = network_of()["c"]
    spikes = torch.zeros(3, 8, dtype=torch.uint8)
    spikes[1, 6] = spikes[2, 0] = 1
    assert raster(population, spikes) == {
        "population": "c",
        "neurons": 8,
        "shown": list(range(8)),
        "spikes": [[1, 6], [2, 0]],
    }


def test_a_read_out_that_answers_by_spikes_is_shown():
    network = replace(network_of(), readout=Readout(population="readout", kind="spike_count"))
    assert rasters(network, images(), "validation")["layers"][-1]["population"] == "readout"


@given(st.integers(1, 5000))
def test_neurons_are_evenly_spaced_and_as_far_from_either_end(size):
    shown = evenly(size)
    assert len(set(shown)) == len(shown) == min(NEURONS, size)
    gaps = np.diff(shown)
    assert len(set(gaps.tolist())) <= 2
    assert (gaps >= size // NEURONS).all()
    assert shown[0] >= 0
    assert abs(shown[0] - (size - 1 - shown[-1])) <= 1


# The stage


RECIPE: dict[str, Any] = {
    "name": "portrait",
    "data": {"name": "digits", "validation": 40, "train_limit": 200, "test_limit": 20},
    "train": {"epochs": 3},
    "convert": {"calibration_images": 64},
    "refine": {"method": "none", "epochs": 1, "T": 3},
    "quantize": {"epochs": 1},
}


class Untouchable:
    """A test split that nobody may look at."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the test split was asked for {name}")

    def __len__(self) -> int:
        raise AssertionError("the test split was asked for its length")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The run's folder with every stage up to export and the portrait, and the metrics of each."""

    def without_test(recipe):
        splits = load_splits(recipe)
        return Splits(train=splits.train, validation=splits.validation, test=Untouchable())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "load_splits", without_test)
        with chain.opened(parse(RECIPE), tmp_path_factory.mktemp("runs"), Progress(quiet=True)) as run:
            made = {name: run.finish(name) for name in ("train", "convert", "refine", "quantize", "export", "portrait")}
    return run.folder, {name: outcome.manifest["metrics"] for name, outcome in made.items()}


@pytest.fixture(scope="module")
def portrait(finished) -> Portrait:
    return Portrait.model_validate(stage.load_portrait(finished[0] / "portrait"))


def test_the_file_is_a_portrait_of_the_validation_split(finished, portrait):
    """Whoever asked the test split for anything would have failed in the fixture."""
    validation = load_splits(parse(RECIPE)).validation
    assert (portrait.split, portrait.samples) == ("validation", 40)
    assert portrait.rasters is not None
    assert portrait.rasters.label == int(validation.y[0])
    assert [layer.population for layer in portrait.rasters.layers] == ["input", "conv1", "conv2", "conv3"]
    assert [row.layer for row in portrait.correlations] == ["conv1", "conv2", "conv3"]
    assert json.loads(portrait.model_dump_json()) == stage.load_portrait(finished[0] / "portrait")


def test_its_numbers_are_those_of_the_runs_own_networks(finished, portrait):
    folder, metrics = finished
    recipe = parse(RECIPE)
    validation = load_splits(recipe).validation
    layers = ("conv1", "conv2", "conv3")
    nets = {
        "converted": load_into(skeleton(recipe, refined_profile(recipe), 3), folder / "convert"),
        "refined": load_student(recipe, folder / "refine"),
    }
    network = netx.read(written(folder / "export", metrics["export"]))
    rates = {"integer": sim.run(network, payload_for(network, validation), record=("spikes",)).spikes}
    with torch.no_grad():
        _, activations = load_ann(recipe, folder / "train")(validation.floats(), layers)
        rates |= {name: net(validation.floats(), layers)[1] for name, net in nets.items()}
    for row in portrait.correlations:
        for twin, spikes in rates.items():
            x, y = activations[row.layer].double(), spikes[row.layer].double().mean(dim=0)
            assert getattr(row, twin) == pytest.approx(np.corrcoef(x.flatten(), y.flatten())[0, 1], abs=1e-5)
    for twin, found in (("converted", portrait.cka_converted), ("refined", portrait.cka_refined)):
        assert found is not None
        assert found.rows == found.columns == (*layers, "readout")
        for i, row in enumerate(layers):
            for j, column in enumerate(layers):
                expected = cka_unbiased(activations[row], rates[twin][column].mean(dim=0))
                assert found.values[i][j] == pytest.approx(float(expected), abs=1e-4)


def test_metrics_are_means_over_the_layers(finished, portrait):
    metrics = finished[1]["portrait"]
    assert (metrics["samples"], metrics["left_out"]) == (40, {})
    for twin in TWINS:
        values = [getattr(row, twin) for row in portrait.correlations]
        assert metrics["mean_r"][twin] == pytest.approx(sum(values) / 3)
    assert portrait.cka_refined is not None
    diagonal = [portrait.cka_refined.values[i][i] for i in range(4)]
    assert metrics["mean_cka"]["refined"] == pytest.approx(sum(diagonal) / 4)
    assert metrics["mean_cka"]["converted"] != metrics["mean_cka"]["refined"]


def test_a_second_time_gives_the_same_bytes(finished, tmp_path):
    folder, metrics = finished
    context = StageContext(
        name="portrait",
        recipe=parse(RECIPE),
        folder=tmp_path,
        inputs={name: folder / name for name in stage.STAGE.needs},
        results={name: metrics[name] for name in stage.STAGE.needs},
        progress=Progress(quiet=True),
        checkpoint=stages.context(parse(RECIPE), tmp_path, "unused").checkpoint,
    )
    assert stage.run(context) == metrics["portrait"]
    assert (tmp_path / stage.FILE).read_bytes() == (folder / "portrait" / stage.FILE).read_bytes()


def test_an_ann_of_still_images_is_not_compared_but_the_chip_is_shown(tmp_path, monkeypatch):
    """Its folder is not even read: only the file is there."""
    recipe = parse(
        {
            "name": "paired",
            "data": {"name": "digits", "frames": {"T": 4}, "stills": {"name": "digits"}},
            "refine": {"method": "ckd", "profile": "tet_lif", "start": "scratch"},
        }
    )
    network = tiny_nets.integer(tiny_nets.chain(), payload_bits=0)[2]
    assert network.sources[0].neuron == Source(payload_bits=0)
    samples = clips(4)
    monkeypatch.setattr(stage, "load_splits", lambda _: Splits(train=samples, validation=samples, test=samples))
    (tmp_path / "export").mkdir()
    netx.write(network, tmp_path / "export" / "paired.net")
    context = replace(
        stages.context(recipe, tmp_path, "portrait"),
        inputs={"export": tmp_path / "export"},
        results={"export": {"file": "paired.net"}},
    )
    metrics = stage.run(context)
    reason = "the ANN reads images of digits, the network events of digits: they do not see the same samples"
    assert metrics["left_out"] == {"correlations": reason, "cka": reason}
    nothing = {"converted": None, "refined": None}
    assert (metrics["mean_r"], metrics["mean_cka"]) == ({**nothing, "integer": None}, nothing)
    made = Portrait.model_validate(stage.load_portrait(context.folder))
    assert (made.samples, made.correlations, made.cka_converted, made.cka_refined) == (5, (), None, None)
    assert made.rasters is not None
    assert len(made.rasters.layers) == 4
