"""Run folders: what is computed again, what is not, and what is refused."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections import Counter
from contextlib import contextmanager
from io import StringIO

import pytest
from rich.console import Console
from spikeport.hw import BadInput
from spikeport.pipeline.metrics import accuracy
from spikeport.pipeline.progress import Progress
from spikeport.pipeline.recipe import parse
from spikeport.pipeline.runs import folder_of, open_run, read_manifest, read_recipe
from spikeport.pipeline.stage import Stage


class Toy:
    """Two stages, `a` and `b` after it, that count how often they run."""

    def __init__(self, root):
        self.root = root
        self.ran: Counter[str] = Counter()
        self.data = "data-1"
        self.outside = "lava-0"
        self.version = 1
        self.content = "a"

    def a(self, context):
        self.ran["a"] += 1
        context.log({"epoch": 1, "lr": context.recipe.train.lr})
        (context.folder / "out.txt").write_text(f"{self.content} {context.recipe.train.lr}")
        return {"lr": context.recipe.train.lr}

    def b(self, context):
        self.ran["b"] += 1
        assert context.results["a"] == {"lr": context.recipe.train.lr}
        (context.folder / "sub").mkdir()
        (context.folder / "sub" / "out.txt").write_text((context.inputs["a"] / "out.txt").read_text() + " b")
        return {"T": context.recipe.refine.T}

    @property
    def stages(self):
        return (
            Stage(name="a", needs=(), reads=("seed", "data", "train"), version=self.version, run=self.a),
            Stage(name="b", needs=("a",), reads=("refine",), version=1, run=self.b, outside=lambda _: self.outside),
        )

    @contextmanager
    def opened(self, **values):
        recipe = parse({"name": "toy", **values})
        progress = Progress(console=Console(file=StringIO()))
        with open_run(recipe, self.root, self.stages, progress=progress, data_identity=lambda _: self.data) as run:
            yield run

    def go(self, **values):
        """Run both stages; returns which of them ran."""
        self.ran.clear()
        with self.opened(**values) as run:
            self.last = {name: run.finish(name) for name in ("a", "b")}
        return set(self.ran)


@pytest.fixture
def toy(tmp_path):
    return Toy(tmp_path / "runs")


def test_a_second_run_computes_nothing(toy):
    assert toy.go() == {"a", "b"}
    assert toy.go() == set()
    assert toy.last["a"].reused
    assert toy.last["b"].manifest["metrics"] == {"T": 4}


def test_a_setting_of_a_later_stage_runs_that_stage_alone_in_the_same_folder(toy):
    toy.go()
    folder = toy.last["a"].folder
    assert toy.go(refine={"T": 2}) == {"b"}
    assert toy.last["a"].folder == folder


def test_a_setting_no_stage_reads_runs_nothing(toy):
    toy.go()
    assert toy.go(energy={"first_layer": "once"}) == set()


def test_a_setting_of_the_training_gets_a_folder_of_its_own(toy):
    toy.go()
    before = toy.last["a"].folder
    assert toy.go(train={"lr": 0.2}) == {"a", "b"}
    assert toy.last["a"].folder.parent != before.parent
    assert before.is_dir()


def test_other_data_run_what_reads_data_and_what_depends_on_it(toy):
    toy.go()
    toy.data, toy.content = "data-2", "other"
    assert toy.go() == {"a", "b"}


def test_a_stage_of_a_newer_version_is_run_again_and_what_follows_only_if_its_result_differs(toy):
    toy.go()
    toy.version = 2
    assert toy.go() == {"a"}
    toy.version, toy.content = 3, "other"
    assert toy.go() == {"a", "b"}


def test_what_is_outside_the_recipe_decides_too(toy):
    toy.go()
    toy.outside = "lava-0.10"
    assert toy.go() == {"b"}


@pytest.mark.parametrize("damage", ["changed", "deleted"])
def test_an_output_without_its_hash_is_computed_again(toy, damage):
    toy.go()
    path = toy.last["a"].folder / "out.txt"
    path.write_text("x") if damage == "changed" else path.unlink()
    assert toy.go() == {"a"}  # the same bytes came out, so b still fits


def test_a_place_of_the_data_or_of_the_computation_changes_nothing(toy):
    toy.go()
    assert toy.go(data={"root": "/elsewhere"}, device="auto", threads=1) == set()


def test_the_manifest_says_from_what_the_stage_was_made(toy):
    toy.go(seed=5)
    a, b = toy.last["a"].manifest, read_manifest(toy.last["b"].folder)
    assert set(a["recipe"]) == {"seed", "data", "train"}
    assert a["seed"] == 5
    assert set(a["versions"]) >= {"spikeport", "python", "torch", "numpy"}
    assert b["inputs"] == {"a": toy.last["a"].hash}
    assert set(b["outputs"]) == {"sub/out.txt"}
    assert json.loads((toy.last["a"].folder / "metrics.jsonl").read_text()) == {"epoch": 1, "lr": 0.05}


def test_the_run_folder_remembers_its_recipe(toy):
    toy.go(refine={"T": 3})
    assert read_recipe(toy.last["a"].folder.parent)["refine"]["T"] == 3


def test_a_stage_whose_input_is_missing_names_the_command_that_makes_it(toy):
    with (
        toy.opened() as run,
        pytest.raises(BadInput, match=r"b: its input a is missing in .*; make it with `spikeport a RECIPE`"),
    ):
        run.finish("b")


def test_a_stage_whose_input_is_out_of_date_says_so(toy):
    toy.go()
    toy.data = "data-2"
    with toy.opened() as run, pytest.raises(BadInput, match="its input a is out of date"):
        run.finish("b")


def test_two_processes_cannot_write_to_one_run(toy):
    toy.go()
    with (toy.last["a"].folder.parent / ".lock").open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.truncate(0)
        held.write("4711")
        held.flush()
        with pytest.raises(BadInput, match="process 4711 is writing here; wait for it"), toy.opened():
            pass


@pytest.mark.parametrize("name", ["run.json", "a/manifest.json"])
def test_a_run_folder_of_another_format_is_refused_with_the_way_out(toy, name):
    toy.go()
    path = toy.last["a"].folder.parent / name
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(
        BadInput, match=r"format 99, written by spikeport .*; this version reads format 1; use .* delete"
    ):
        toy.go()


@pytest.mark.parametrize("text", ["{", "[]", "null", ""])
def test_a_damaged_manifest_is_refused_with_the_way_out(toy, text):
    toy.go()
    (toy.last["a"].folder / "manifest.json").write_text(text)
    with pytest.raises(BadInput, match=r"manifest\.json: .*; delete .* to compute the stage again"):
        toy.go()


def test_a_manifest_that_lacks_a_field_is_refused(toy):
    toy.go()
    path = toy.last["a"].folder / "manifest.json"
    values = json.loads(path.read_text())
    del values["outputs"]
    path.write_text(json.dumps(values))
    with pytest.raises(BadInput, match="lacks outputs"):
        toy.go()


def test_a_stage_that_fails_leaves_the_old_result(toy, monkeypatch):
    toy.go()
    old = (toy.last["a"].folder / "out.txt").read_text()

    def fails(context):
        (context.folder / "out.txt").write_text("half")
        raise BadInput("no")

    monkeypatch.setattr(toy, "a", fails)
    toy.version = 2
    with pytest.raises(BadInput, match="no"):
        toy.go()
    assert (toy.last["a"].folder / "out.txt").read_text() == old


@pytest.mark.parametrize("kill_after", [0, 1])
def test_a_kill_while_the_new_folder_takes_the_old_ones_place_leaves_one_of_them(toy, monkeypatch, kill_after):
    toy.go()
    replace, swaps = os.replace, []

    def dies(source, target):
        if os.path.isdir(source):
            swaps.append(source)
            if len(swaps) > kill_after:
                raise KeyboardInterrupt
        replace(source, target)

    toy.version, toy.content = 2, "new"
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", dies)
        with pytest.raises(KeyboardInterrupt):
            toy.go()
    assert toy.go() == {"b"}  # the new `a` was complete and is taken up, not computed again
    assert (toy.last["a"].folder / "out.txt").read_text().startswith("new")
    assert sorted(p.name for p in toy.last["a"].folder.parent.iterdir()) == [".lock", "a", "b", "run.json"]


def test_an_old_folder_without_a_new_one_is_put_back(toy):
    toy.go()
    folder = toy.last["a"].folder
    os.replace(folder, folder.with_name("a.old"))
    assert toy.go() == set()


def test_half_a_stage_without_checkpoint_is_started_again(toy):
    toy.go()
    folder = toy.last["a"].folder
    shutil.rmtree(folder)
    partial = folder.with_name("a.partial")
    partial.mkdir()
    (partial / "rubbish.bin").write_text("x")
    assert toy.go() == {"a"}
    assert set(toy.last["a"].manifest["outputs"]) == {"out.txt"}


def test_a_file_in_the_place_of_the_run_folder_is_refused(toy):
    toy.root.mkdir()
    folder_of(parse({"name": "toy"}), toy.root).write_text("")
    with pytest.raises(BadInput, match="is a file where the run's folder belongs"):
        toy.go()


def test_an_accuracy_carries_its_interval():
    assert accuracy(5, 5)["ci95"][0] == pytest.approx(5 / (5 + 1.959963984540054**2))  # n / (n + z^2) at p = 1
