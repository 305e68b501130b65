"""Any T: one run of the longest sample says what every shorter one would answer and cost; a budget picks among them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spikeport import sim
from spikeport.hw import BadInput, Network, NotRepresentable
from spikeport.models import Architecture
from spikeport.pipeline import anytime, chain
from spikeport.pipeline.progress import Progress
from spikeport.pipeline.recipe import parse
from spikeport.pipeline.sections import Budget
from torch import Tensor

from . import tiny_nets


def deployed(architecture: Architecture, n_steps: int) -> tuple[Network, Tensor]:
    """(the chip's network, integer images)."""
    _, scales, network = tiny_nets.integer(architecture, n_steps=n_steps)
    return network, tiny_nets.payloads(architecture, scales.payload_bits, 11)


@pytest.mark.parametrize("architecture", [tiny_nets.chain, tiny_nets.residual])
def test_a_row_is_what_a_run_of_that_length_gives(architecture):
    """Accuracy, operations and energy of T = 1..4 equal those of four separate simulations."""
    network, payload = deployed(architecture(), n_steps=4)
    labels = torch.arange(len(payload)) % 3
    rows = anytime.curve(network, payload, labels, batch_size=5)
    assert [row["T"] for row in rows] == [1, 2, 3, 4]
    for row in rows:
        short = replace(network, n_steps=row["T"])
        trace = sim.run(short, payload)
        assert row["score"]["correct"] == int((trace.predictions == labels).sum())
        assert row["score"]["n"] == len(labels)
        assert row["synops"] == pytest.approx(sum(trace.counts.synops_per_sample().values()))
        for name, energy in row["energy_pj"].items():
            assert energy == pytest.approx(sim.price(short, trace.counts, name).snn_pj)


def test_recorded_answers_are_those_of_shorter_samples():
    network, payload = deployed(tiny_nets.residual(), n_steps=5)
    trace = sim.run(network, payload, record=("readout",), batch_size=4)
    assert trace.readouts is not None
    assert trace.v == {}
    for t in range(1, 6):
        assert torch.equal(trace.readouts[t - 1], sim.run(replace(network, n_steps=t), payload).readout)
    assert sim.run(network, payload).readouts is None


def test_a_spike_count_read_out_is_recorded_as_it_grows():
    network, payload = deployed(tiny_nets.chain(), n_steps=3)
    counting = replace(network, readout=replace(network.readout, population="c", kind="spike_count"))
    trace = sim.run(counting, payload, record=("readout", "spikes"))
    assert trace.readouts is not None
    assert torch.equal(trace.readouts, trace.spikes["c"].to(torch.int64).cumsum(dim=0))
    assert torch.equal(trace.readouts[-1], trace.readout)


@pytest.mark.parametrize("steps", [0, 4])
def test_counts_end_where_the_run_did(steps):
    network, payload = deployed(tiny_nets.chain(), n_steps=3)
    with pytest.raises(BadInput, match=r"give 1\.\.3"):
        sim.run(network, payload).counts.until(steps)


def row(t: int, accuracy: float, synops: float) -> dict[str, Any]:
    return {"T": t, "score": {"accuracy": accuracy}, "synops": synops, "energy_pj": {"op_count_int8": synops / 10}}


ROWS = [row(1, 0.50, 100), row(2, 0.90, 200), row(3, 0.97, 300), row(4, 0.97, 400)]


@pytest.mark.parametrize(
    ("budget", "chosen"),
    [
        ({"accuracy_drop": 0.0}, 3),  # the smallest of the best
        ({"accuracy_drop": 0.07}, 2),
        ({"accuracy_drop": 0.5}, 1),
        ({"accuracy": 0.91}, 3),
        ({"synops": 250.0}, 2),  # the most accurate within it
        ({"synops": 10_000.0}, 3),
        ({"energy_pj": 20.0}, 2),
        ({"synops": 350.0, "accuracy_drop": 0.1}, 2),
        ({"synops": 350.0, "accuracy": 0.95}, 3),
    ],
)
def test_a_budget_picks_the_timesteps(budget, chosen):
    assert anytime.choose(ROWS, Budget(**budget)) == chosen


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"synops": 50.0}, "already T = 1 takes 100 synaptic operations"),
        ({"accuracy": 0.98}, r"no T in 1\.\.4 .* 98.00% .* nearest is 97.00% at T = 3"),
        ({"accuracy": 0.95, "synops": 250.0}, r"no T in 1\.\.2 .* nearest is 90.00% at T = 2"),
        ({"energy_pj": 1.0}, "already T = 1 takes .* 10 pJ"),
    ],
)
def test_a_budget_that_nothing_meets_is_refused_with_the_nearest(budget, message):
    with pytest.raises(BadInput, match=message):
        anytime.choose(ROWS, Budget(**budget))


@given(st.lists(st.integers(0, 100), min_size=1, max_size=8), st.floats(0, 1))
def test_a_drop_is_met_by_the_smallest_t_that_meets_it(hits, drop):
    rows = [row(t, count / 100, 10.0 * t) for t, count in enumerate(hits, 1)]
    chosen = anytime.choose(rows, Budget(accuracy_drop=drop))
    enough = [r["T"] for r in rows if max(hits) / 100 - r["score"]["accuracy"] <= drop + 1e-9]
    assert chosen == min(enough)


def test_an_empty_budget_is_refused():
    with pytest.raises(BadInput, match=r"export\.budget: is empty; give accuracy_drop"):
        parse({"name": "a", "export": {"budget": {}}})


def test_a_budget_in_an_unknown_convention_is_refused_before_training():
    recipe = parse({"name": "a", "export": {"budget": {"energy_pj": 1.0, "energy_convention": "op_count_int9"}}})
    with pytest.raises(BadInput, match=r"energy_convention: unknown name 'op_count_int9'; .*op_count_int8"):
        chain.check(recipe)


def test_a_student_the_chip_cannot_compute_is_refused_before_training():
    recipe = parse({"name": "a", "refine": {"profile": "ratebp_lif"}})
    with pytest.raises(NotRepresentable, match=r"reset is soft.*'loihi'.*--until refine"):
        chain.check_deployable(recipe)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ("spikformer_4_384", r"attention multiplies spike trains.*--until refine"),
        ("pyramidnet20", r"stage1\.1a, which has no neurons"),
    ],
)
def test_an_architecture_the_chip_cannot_compute_is_refused_before_training(architecture, message):
    with pytest.raises(NotRepresentable, match=message):
        chain.check_deployable(
            parse({"name": "a", "data": {"name": "cifar10"}, "model": {"architecture": architecture}})
        )


SHORT: dict[str, Any] = {
    "name": "short",
    "data": {"name": "digits", "validation": 50, "train_limit": 96, "test_limit": 40},
    "train": {"epochs": 2, "batch_size": 32},
    "convert": {"calibration_images": 64},
    "refine": {"method": "none", "T": 3, "epochs": 1},
    "quantize": {"epochs": 0},
}


def test_a_file_for_a_budget_is_shorter_and_still_equals_training(tmp_path):
    """Any accuracy will do, so T = 1; the simulation compares it with the quantized answers after one step."""
    recipe = parse({**SHORT, "export": {"budget": {"accuracy_drop": 1.0}}})
    with chain.opened(recipe, tmp_path, Progress(quiet=True)) as run:
        for stage in ("train", "convert", "refine", "quantize"):
            run.finish(stage)
        exported = run.finish("export").manifest["metrics"]
        simulated = run.finish("simulate").manifest["metrics"]
    assert exported["n_steps"] == 1
    assert [row["T"] for row in exported["anytime"]] == [1, 2, 3]
    assert exported["anytime"][0]["synops"] < exported["anytime"][2]["synops"]
    assert "last 1 of the 3 timesteps" in exported["notices"][0]["what"]
    assert simulated["test"]["n"] == 40
