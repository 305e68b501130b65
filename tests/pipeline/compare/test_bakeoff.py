"""A comparison from its file to its tables: shared teacher, resumed cells, cells repeated alone, cells that fail."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console
from spikeport.hw import BadInput
from spikeport.pipeline import cli, cli_run
from spikeport.pipeline.artefacts import WEIGHTS
from spikeport.pipeline.compare import bakeoff
from spikeport.pipeline.compare.cells import LOG, adopt, cells_of, prepare
from spikeport.pipeline.compare.pool import run_cells
from spikeport.pipeline.compare.spec import load
from spikeport.pipeline.files import sha256
from spikeport.pipeline.progress import Progress
from typer.testing import CliRunner

TINY = """\
name: tiny
base:
  threads: 1
  data: {name: digits, validation: 64, train_limit: 96, test_limit: 60}
  train: {epochs: 3, batch_size: 32, lr: 0.05}
  convert: {calibration_images: 32}
  refine: {epochs: 3, batch_size: 16, lr: 0.02}
  quantize: {epochs: 1, batch_size: 32, lr: 0.002}
  verify: {samples: 1}
methods:
  - {label: none, method: none}
  - {label: kd, method: kd}
  - {label: wild, method: kd, lr: 1.0e+30}
T: [2]
seeds: [5]
reference: kd
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("compare") / "compare-tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def whole(file):
    """(folder, exit code, stdout, stderr) of the whole comparison, run once; one of its methods diverges."""
    out = file.parent / "unbroken"
    told = CliRunner().invoke(cli.app, ["compare", str(file), "--out", str(out), "--jobs", "2", "--quiet"])
    if told.exception is not None and not isinstance(told.exception, SystemExit):
        raise told.exception
    return out / "tiny", told.exit_code, told.stdout, told.stderr


def quiet() -> Progress:
    return Progress(quiet=True, console=Console(file=io.StringIO()))


def lasting(folder: Path) -> list[dict]:
    """The cells of `compare.json` without what depends on the clock."""
    cells = json.loads((folder / "compare.json").read_text())["cells"]
    clock = ("train_seconds", "continued", "beside_others")
    return [{name: value for name, value in cell.items() if name not in clock} for cell in cells]


def test_a_failing_cell_is_named_and_the_others_go_on(whole):
    folder, code, out, err = whole
    assert code == 2
    assert "failed: wild-T2-s5" in out
    assert "wild-T2-s5: FAILED" in err
    assert "lower lr" in err  # what its own process said
    made = json.loads((folder / "compare.json").read_text())
    assert [cell["name"] for cell in made["cells"]] == ["none-T2-s5", "kd-T2-s5"]
    assert made["missing"] == ["wild-T2-s5"]


def test_the_result_is_a_table_a_page_and_a_picture(whole):
    folder, _, out, _ = whole
    assert {"compare.json", "compare.md", "compare.svg", "compare.png"} <= {path.name for path in folder.iterdir()}
    for name in ("teacher", "converted, hard reset", "none", "kd"):
        assert any(line.startswith(name) for line in out.splitlines())
    made = json.loads((folder / "compare.json").read_text())
    assert all(cell["test"]["n"] == 60 and cell["images"] == 60 for cell in made["cells"])
    assert all(cell["synops_per_image"] == pytest.approx(sum(cell["synops_by_step"])) for cell in made["cells"])
    assert all(cell["synops_per_image"] > 0 for cell in made["cells"])


def test_the_teacher_is_trained_once_and_its_files_are_shared(whole, file):
    folder, *_ = whole
    weights = sorted(folder.glob(f"*/*/train/{WEIGHTS}"))
    assert len(weights) == 4  # the conversion's and three cells'
    assert len({sha256(path) for path in weights}) == 1
    assert len({json.loads(path.with_name("manifest.json").read_text())["started"] for path in weights}) == 1


def test_the_same_command_again_computes_nothing(whole, file):
    folder, *_ = whole
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/*/*/*")}
    result = bakeoff.run(load(file), folder.parent, quiet(), only=("none", "kd"))
    assert result.failures == []
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/*/*/*")} == before
    assert result.document == json.loads((folder / "compare.json").read_text())


def test_a_cell_repeated_alone_has_the_same_bits(whole, tmp_path):
    folder, *_ = whole
    recipe = folder / "kd-T2-s5" / "recipe.yaml"
    alone = cli_run.finish(recipe, [], tmp_path, True, ["train", "convert", "refine"])["refine"]
    (cell,) = [c for c in json.loads((folder / "compare.json").read_text())["cells"] if c["label"] == "kd"]
    assert not alone.reused
    assert alone.manifest["outputs"][WEIGHTS] == cell["weights"]
    assert alone.manifest["outputs"]["predictions.safetensors"] == cell["predictions"]


def test_a_killed_comparison_continues_to_the_same_result(whole, file, tmp_path):
    """kill -9 in the middle of a cell; its process ends with the comparison, and the cell continues."""
    command = [sys.executable, "-m", "spikeport", "compare", str(file), "--out", str(tmp_path), "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not (seen := list(tmp_path.glob("tiny/none-*/*/refine.partial/checkpoint/checkpoint.json"))):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    lock = seen[0].parents[2] / ".lock"
    wait_for_end(int(lock.read_text()))
    ended = bool(list(tmp_path.glob("tiny/none-*/*/refine/manifest.json")))  # it may have been quicker than its end
    result = bakeoff.run(load(file), tmp_path, quiet(), only=("none",))
    assert result.failures == []
    manifests = [json.loads(path.read_text()) for path in tmp_path.glob("tiny/none-*/*/refine/manifest.json")]
    assert [manifest["continued"] for manifest in manifests] == [not ended]
    (cell,) = lasting(tmp_path / "tiny")
    assert cell in lasting(whole[0])


def wait_for_end(pid: int) -> None:
    """Until no such process is alive; it may stay as a zombie where nobody collects it."""
    deadline = time.monotonic() + 30
    status = Path(f"/proc/{pid}/stat")
    while status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline, f"process {pid} outlived the comparison that started it"
        time.sleep(0.02)


@pytest.mark.slow
def test_the_best_cell_of_a_method_goes_on_to_the_chip(whole, file):
    folder, *_ = whole
    result = bakeoff.run(load(file), folder.parent, quiet(), only=("none",), deploy="best")
    assert (result.failures, result.document["not_deployable"]) == ([], {})
    (deployed,) = result.document["deployed"]
    assert deployed["name"] == "none-T2-s5"
    assert deployed["equal_images"] == deployed["deployed"]["n"] == 60
    assert deployed["deployed"]["correct"] == deployed["quantized"]["correct"]
    assert (folder / deployed["file"]).suffix == ".net"
    assert result.lava_agrees
    assert "## On the chip" in (folder / "compare.md").read_text()


def test_cells_side_by_side_need_a_number_of_threads(file, tmp_path):
    path = tmp_path / "compare-tiny.yaml"
    path.write_text(TINY.replace("  threads: 1\n", ""))
    with pytest.raises(BadInput, match=r"2 cells at a time would each take all cores.* give base.threads: 1"):
        bakeoff.run(load(path), tmp_path, quiet(), jobs=2)


def test_an_unknown_label_is_refused_with_the_nearest(file, tmp_path):
    with pytest.raises(BadInput, match=r"no method is labelled 'kdd'; did you mean 'kd'"):
        bakeoff.run(load(file), tmp_path, quiet(), only=("kdd",))
    assert list(tmp_path.iterdir()) == []


def test_a_failing_process_is_told_with_its_output_while_others_run(file, tmp_path):
    cells = cells_of(load(file), tmp_path)
    for cell in cells:
        cell.root.mkdir()
    console = Console(file=io.StringIO())

    def command(cell, last):
        fails = f"import sys; print('reason of {cell.name}', flush=True); sys.exit(7)" if cell.label == "kd" else "pass"
        return [sys.executable, "-S", "-c", fails]

    failures = run_cells(cells, "refine", 2, Progress(quiet=True, console=console), command)
    assert [(failure.cell.name, failure.code) for failure in failures] == [("kd-T2-s5", 7)]
    assert "reason of kd-T2-s5" in failures[0].said
    assert "reason of kd-T2-s5" in console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert (cells[0].root / LOG).read_text() == ""


def test_an_interrupt_stops_the_processes_that_run(file, tmp_path):
    cells = cells_of(load(file), tmp_path)[:1]
    cells[0].root.mkdir()
    beat = tmp_path / "pid"

    class Interrupted(Progress):
        def stage(self, text):
            raise KeyboardInterrupt

    def command(cell, last):
        lasts = f"import os, time; open({str(beat)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
        return [sys.executable, "-S", "-c", lasts if cell.label == "none" else "pass"]

    pair = [cells[0], cells_of(load(file), tmp_path)[1]]
    pair[1].root.mkdir()
    with pytest.raises(KeyboardInterrupt):
        run_cells(pair, "refine", 2, Interrupted(quiet=True), command)
    if beat.exists():
        with pytest.raises(ProcessLookupError):
            os.kill(int(beat.read_text()), 0)


def test_a_stage_is_copied_again_only_where_it_differs(file, tmp_path):
    """A stage with the same manifest stays, another is replaced, and what a kill left half copied is removed."""
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "train").mkdir(parents=True)
    (source / "train" / "manifest.json").write_text("new")
    (source / "train" / "w").write_text("weights")
    (target / "train").mkdir(parents=True)
    (target / "train" / "manifest.json").write_text("old")
    (target / "train.copy").mkdir()
    (target / "train.copy" / "half").write_text("")
    adopt(source, target, ["train"])
    assert sorted(path.name for path in target.iterdir()) == ["train"]
    assert (target / "train" / "w").read_text() == "weights"
    (target / "train" / "mark").write_text("")
    adopt(source, target, ["train"])
    assert (target / "train" / "mark").exists()


def test_a_cells_recipe_file_is_its_recipe(file, tmp_path):
    (first, *_) = cells_of(load(file), tmp_path)
    (tmp_path / "converted").mkdir()
    for stage in ("train", "convert"):
        (tmp_path / "converted" / stage).mkdir()
        (tmp_path / "converted" / stage / "manifest.json").write_text("{}")
    prepare(first, tmp_path / "converted")
    from spikeport.pipeline.recipe import load as load_recipe

    assert load_recipe(first.root / "recipe.yaml") == first.recipe
