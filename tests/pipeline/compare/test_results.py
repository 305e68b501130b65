"""From finished cells to rows, tables and the picture, on cells made up for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from spikeport.pipeline.compare import picture, table
from spikeport.pipeline.compare.cells import Cell, best_cells, cells_of
from spikeport.pipeline.compare.results import Finished, document
from spikeport.pipeline.compare.spec import Comparison, checked
from spikeport.pipeline.metrics import accuracy
from spikeport.pipeline.runs import Outcome

FOLDER = Path("runs/made-up")
N = 200
RIGHT = {("kd", 2): 120, ("kd", 4): 140, ("cka", 2): 150, ("cka", 4): 139, ("none", 2): 100, ("none", 4): 110}
SYNOPS = {"kd": 5e5, "cka": 4e5, "none": 3e5}


@pytest.fixture
def comparison() -> Comparison:
    methods = [
        {"label": "kd", "method": "kd"},
        {"label": "cka", "method": "closed_loop_cka"},
        {"label": "none", "method": "none"},
    ]
    values = {"name": "made-up", "base": {}, "methods": methods, "T": [2, 4], "seeds": [0, 1], "reference": "kd"}
    return checked(values, "made up")


def outcome(stage: str, metrics: dict, **fields) -> Outcome:
    manifest = {"outputs": {"weights.safetensors": "aa", "predictions.safetensors": "bb"}, "metrics": metrics}
    return Outcome(folder=FOLDER / stage, manifest={**manifest, "continued": False, **fields}, reused=True)


def answers(count: int, seed: int) -> np.ndarray:
    """`count` right answers: the first images are easy for all; seed 1 answers 4 more than seed 0."""
    return np.arange(N) < count + 4 * seed


def finished(cells: list[Cell]) -> list[Finished]:
    """One cell a minute, each taking 40 seconds; operations grow with T."""
    made = []
    for minute, cell in enumerate(cells):
        right = answers(RIGHT[cell.label, cell.n_steps], cell.seed)
        metrics = {
            "test": accuracy(int(right.sum()), N),
            "validation": {"best": right.mean(), "best_epoch": 3, "epochs": 5, "start": 0.1, "last": 0.5},
        }
        refined = outcome("refine", metrics, started=f"2025-01-01T00:{minute:02}:00+00:00", seconds=40.0)
        operations = SYNOPS[cell.label] * cell.n_steps
        activity = {
            "images": N,
            "not_counted": None,
            "spikes_per_neuron": 0.25 * cell.n_steps,
            "synops_per_image": operations,
            "synops_by_step": [operations / cell.n_steps] * cell.n_steps,
        }
        made.append(Finished(cell=cell, refined=refined, activity=activity, right=right, deployed=None))
    return made


def converted() -> dict[int, dict[str, Outcome]]:
    train = outcome("train", {"test": accuracy(180, N), "validation": {"best": 0.91}, "parameters": 7}, seconds=3.0)
    convert = outcome("convert", {"hard": accuracy(20, N), "soft": accuracy(30, N)})
    return {t: {"train": train, "convert": convert} for t in (2, 4)}


def made(comparison: Comparison, *, leave_out: tuple[str, ...] = ()) -> dict:
    cells = cells_of(comparison, FOLDER)
    done = [each for each in finished(cells) if each.cell.name not in leave_out]
    return document(comparison, converted(), cells, done, [], {})


def row(found: dict, label: str, n_steps: int) -> dict:
    (one,) = [r for r in found["rows"] if (r["label"], r["T"]) == (label, n_steps)]
    return one


def test_a_row_is_the_mean_and_the_spread_over_seeds(comparison):
    """120 and 124 of 200 right: 0.61, standard deviation 0.02 / sqrt 2."""
    test = row(made(comparison), "kd", 2)["test"]
    assert test["mean"] == pytest.approx(0.61)
    assert test["std"] == pytest.approx(0.02 / 2**0.5)
    assert (test["n"], test["by_seed"], test["images"]) == (2, [0.6, 0.62], N)


def test_every_method_is_compared_with_the_reference_over_the_same_images_and_seeds(comparison):
    """cka at T = 2 is right on 30 more images in both seeds: of 34 images that differ in one seed or both, all won."""
    found = made(comparison)
    assert row(found, "kd", 2)["against"] is None
    against = row(found, "cka", 2)["against"]
    assert against["mean"] == pytest.approx(30 / N)
    assert (against["wins"], against["losses"], against["ties"]) == (34, 0, N - 34)
    assert against["p"] == pytest.approx(2.0**-33)
    assert against["p_holm"] == pytest.approx(2.0**-32)  # two methods are compared at each T
    assert against["by_seed"] == pytest.approx([0.15, 0.15])
    assert row(found, "none", 2)["against"]["mean"] == pytest.approx(-0.1)


def test_a_seed_that_is_missing_is_left_out_of_the_pairs_and_named(comparison):
    found = made(comparison, leave_out=("kd-T2-s1", "cka-T4-s0", "kd-T4-s0", "kd-T4-s1"))
    assert row(found, "cka", 2)["against"]["seeds"] == [0]
    assert row(found, "cka", 4)["against"] is None  # no reference at all
    assert row(found, "cka", 4)["test"]["std"] is None
    assert found["missing"] == ["kd-T2-s1", "kd-T4-s0", "kd-T4-s1", "cka-T4-s0"]
    assert any("kd-T2-s1" in note for note in table.notes(found))


def test_the_front_of_each_cost_holds_what_nothing_cheaper_beats(comparison):
    """Operations: none 0.6 M and cka 0.8 M at T = 2 are on it, kd at T = 2 is dearer and worse than cka.

    At T = 4 nothing is better than cka at T = 2.
    """
    found = made(comparison)
    on = {(r["label"], r["T"]) for r in found["rows"] if r["front"]["synops_per_image"]}
    assert on == {("none", 2), ("cka", 2)}
    assert {(r["label"], r["T"]) for r in found["rows"] if r["front"]["T"]} == {("cka", 2)}


def test_seconds_of_cells_that_overlap_or_were_continued_are_marked(comparison):
    cells = finished(cells_of(comparison, FOLDER))
    cells[1].refined.manifest["started"] = "2025-01-01T00:00:30+00:00"  # pyright: ignore[reportIndexIssue]
    cells[4].refined.manifest["continued"] = True  # pyright: ignore[reportIndexIssue]
    found = document(comparison, converted(), [c.cell for c in cells], cells, [], {})
    assert [cell["name"] for cell in found["cells"] if cell["beside_others"]] == ["kd-T2-s0", "kd-T2-s1"]
    texts = {(r[0], r[1]): r[6] for r in table.rows(found)}
    assert texts["kd", "2"] == "40+"
    assert texts["none", "2"] == "40*"
    assert texts["cka", "2"] == "40"
    assert [note[0] for note in table.notes(found)[1:]] == ["*", "+"]


def test_the_table_names_teacher_conversions_and_methods_t_by_t(comparison):
    found = made(comparison)
    names = [(r[0], r[1]) for r in table.rows(found)]
    conversions = [("converted, soft reset", "2"), ("converted, hard reset", "2")]
    assert names[:6] == [("teacher", "-"), *conversions, ("kd", "2"), ("cka", "2"), ("none", "2")]
    assert all(len(r) == len(table.COLUMNS) for r in table.rows(found))
    (cka,) = [r for r in table.rows(found) if r[:2] == ("cka", "2")]
    assert cka[3] == "76.00 ± 1.41 % (2)"
    assert cka[4:6] == ("0.500", "800 k")
    assert cka[7] == "+15.00"
    text = table.markdown(found)
    assert "| cka | 2 | 1 |" in text  # each seed
    assert "On the chip" not in text


@pytest.mark.parametrize(("number", "text"), [(0.5, "0.5"), (1234, "1.23 k"), (5.67e6, "5.67 M"), (1e9, "1 G")])
def test_counts_are_written_in_three_digits(number, text):
    assert table.count(number) == text


def test_a_network_that_cannot_be_counted_leaves_a_dash_and_a_note(comparison):
    cells = finished(cells_of(comparison, FOLDER))
    nothing = dict.fromkeys(("spikes_per_neuron", "synops_per_image", "synops_by_step"))
    odd = [
        Finished(cell=c.cell, refined=c.refined, right=c.right, deployed=None,
                 activity={**c.activity, **nothing, "not_counted": "attention"})
        if c.cell.label == "none" else c for c in cells
    ]  # fmt: skip
    found = document(comparison, converted(), [c.cell for c in cells], odd, [], {})
    assert [r[4:6] for r in table.rows(found) if r[0] == "none"] == [("-", "-")] * 2
    assert "Not counted: attention" in table.notes(found)
    assert not row(found, "none", 2)["front"]["synops_per_image"]
    assert set(picture.draw(found)) == {"compare.svg", "compare.png"}


def test_the_same_document_gives_the_same_picture_and_json(comparison):
    found = made(comparison)
    assert picture.draw(found) == picture.draw(json.loads(json.dumps(found, allow_nan=False)))
    svg = picture.draw(found)["compare.svg"].decode()
    for text in ("Timesteps T", "Synaptic operations per image", "Training time", "kd", "cka", "none", "teacher"):
        assert text in svg
    assert picture.draw(found)["compare.png"].startswith(b"\x89PNG")


def test_the_best_cell_is_chosen_by_validation_and_the_first_of_equals(comparison):
    cells = cells_of(comparison, FOLDER)
    scores = {"kd-T2-s1": 0.9, "kd-T4-s0": 0.9, "cka-T4-s1": 0.3}

    def best(per_t: bool) -> list[str]:
        return [cell.name for cell in best_cells(cells, lambda c: scores.get(c.name, 0.1), per_t=per_t)]

    assert best(per_t=False) == ["kd-T2-s1", "cka-T4-s1", "none-T2-s0"]
    assert best(per_t=True) == [
        "kd-T2-s1", "cka-T2-s0", "none-T2-s0", "kd-T4-s0", "cka-T4-s1", "none-T4-s0",
    ]  # fmt: skip


def test_a_teacher_of_still_images_has_its_own_row_and_no_line_among_the_students(comparison):
    """It is tested on other images, and no network of events is converted from it."""
    values = {
        "name": "made-up",
        "base": {
            "data": {"name": "digits", "frames": {"T": 2}, "stills": {"name": "mnist"}},
            "refine": {"start": "scratch"},
        },
        "methods": [{"label": "kd", "method": "tet"}, {"label": "cka", "method": "ckd"}],
        "T": [2],
        "seeds": [0, 1],
        "reference": "kd",
    }
    paired = checked(values, "made up")
    shared = {2: converted()[2] | {"convert": outcome("convert", {"skipped": "other images"})}}
    cells = finished(cells_of(paired, FOLDER))
    found = document(paired, shared, [c.cell for c in cells], cells, [], {})
    assert found["converted"] == []
    assert [r[0] for r in table.rows(found)] == ["teacher, on mnist", "kd", "cka"]
    assert "teacher" not in picture.draw(found)["compare.svg"].decode()
    found["teacher"]["test"]["n"] = 77  # of its own images
    assert f"Test: {N} images." in table.notes(found)[0]
