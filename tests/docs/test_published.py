"""docs/published.md says what benchmarks/results/published.json says, and that what the code predicts today."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import pytest
from spikeport.hw import BadInput

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "published.md").read_text(encoding="utf-8")
ROWS = json.loads((ROOT / "benchmarks" / "results" / "published.json").read_text())["rows"]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmarks_published", ROOT / "benchmarks" / "published.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for the names in their annotations
    spec.loader.exec_module(module)
    return module


def of(workload: str, quantity: str, basis: str) -> dict:
    """The only row whose three texts begin so."""
    (row,) = (
        row
        for row in ROWS
        if row["workload"].startswith(workload)
        and row["quantity"].startswith(quantity)
        and row["basis"].startswith(basis)
    )
    return row


def test_the_table_is_that_of_the_result_file(script: ModuleType) -> None:
    assert script.document(TEXT, ROWS) == TEXT, f"run the command in {script.BEGIN}"


def test_a_document_without_its_marks_is_refused(script: ModuleType) -> None:
    with pytest.raises(BadInput, match="restore the marks"):
        script.document(TEXT.replace(script.END, ""), ROWS)


def test_what_needs_no_recording_is_predicted_today_as_it_is_written_down(script: ModuleType) -> None:
    for row in (*script.measured_runs(), *script.nxtf(), *script.keyword_spotting()):
        expected = json.loads(json.dumps(asdict(row)))
        written = of(row.workload, row.quantity, row.basis)
        assert written["predicted"] == (expected["predicted"] and pytest.approx(expected["predicted"]))
        assert {k: v for k, v in written.items() if k != "predicted"} == {
            k: v for k, v in expected.items() if k != "predicted"
        }


@pytest.mark.parametrize(
    ("workload", "neurons", "steps", "uj", "measured"),
    [
        ("sMNIST", 80 + 140 + 100 + 10, 840, (14.4, 22.5), 22.1),
        ("N-TIDIGITS", 64 + 256 + 256 + 242, 3000, (128, 199), 576),
        ("Braille", 48 + 450 + 28, 270, (7.4, 11.5), 132.4),
    ],
)
def test_neuron_updates_alone_are_a_part_of_what_was_measured(
    workload: str, neurons: int, steps: int, uj: tuple[float, float], measured: float
) -> None:
    row = of(workload, "dynamic energy", "neuron updates alone")
    assert row["predicted"] == pytest.approx([neurons * steps * each * 1e-6 for each in (52, 81)])
    assert row["predicted"] == pytest.approx(uj, rel=0.006)
    assert row["measured"] == measured
    assert row["predicted"][0] < measured


def test_pilotnets_updates_and_counters() -> None:
    neurons = 3 * 66 * 200 + 24 * 32 * 99 + 36 * 15 * 49 + 48 * 7 * 24 + 64 * 4 * 22 + 64 * 2 * 20 + 100 + 50 + 10 + 1
    alone = [neurons * 16 * each * 1e-6 for each in (52, 81)]
    assert of("PilotNet", "dynamic", "neuron updates alone")["predicted"] == pytest.approx(alone)
    once, more = (row for row in ROWS if "counters read off a plot" in row["basis"])
    synaptic = 22.9 / 3.6 * neurons * 16 * 23.6e-6
    assert once["predicted"] == pytest.approx([synaptic + each for each in alone])
    assert more["predicted"] == pytest.approx([2.3 * (synaptic + each) for each in alone])
    assert [n / 16 for n in once["predicted"]] == pytest.approx([32, 36], abs=1)  # uJ per step, measured 68.3
    assert once["predicted"][1] < once["measured"] < more["predicted"][0]


def test_nxtfs_total_is_static_power() -> None:
    static = of("NxTF MNIST", "total energy", "static power of a chip")
    assert static["predicted"] == pytest.approx([3340 / 32 * 6.65] * 2)
    assert static["measured"] / static["predicted"][0] == pytest.approx(0.95, abs=0.01)
    updates = of("NxTF MNIST", "total energy", "neuron updates alone")
    assert updates["predicted"][0] == pytest.approx(2 * 3898 * 100 * 52e-6)  # 42 uJ at 4000 neurons
    assert updates["predicted"][1] < static["predicted"][0] / 10


@pytest.mark.parametrize("convention", ["loihi1_davies2018", "loihi1_nahuku"])
@pytest.mark.parametrize("workload", ["PilotNet", "N-TIDIGITS"])
def test_counted_events_come_within_a_factor_of_three_of_the_dynamic_energy(workload: str, convention: str) -> None:
    row = of(workload, "dynamic", f"{convention}: all events")
    assert all(1 / 3 < row["measured"] / predicted < 3 for predicted in row["predicted"])


def test_no_measured_step_is_shorter_than_its_lower_bound() -> None:
    bounds = [row for row in ROWS if row["quantity"] == "time per step"]
    assert len(bounds) == 5
    assert all(row["bound"] == "at least" and row["predicted"][1] < row["measured"] for row in bounds)


def test_pilotnet_takes_the_words_and_cores_that_were_printed() -> None:
    assert of("PilotNet", "cores", "the cuts")["predicted"] == [74, 74]
    words = {
        row["quantity"].split()[-1]: (row["predicted"][0], row["measured"]) for row in ROWS if row["unit"] == "words"
    }
    assert [name for name, (ours, printed) in words.items() if ours != printed] == ["input0", "dense7"]
    assert words["conv3"] == (1620, 1620)
