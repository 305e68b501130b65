"""`spikeport paper`: the whole folder or none of it, hashes that are the files', and refusals that name the way out."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from spikeport.hw import BadInput
from spikeport.pipeline import chain, cli
from spikeport.pipeline.capsule.manifests import outcome
from spikeport.pipeline.paper import pack
from spikeport.pipeline.paper.provenance import recipe_text
from spikeport.pipeline.recipe import parse as parse_recipe
from spikeport.pipeline.runs import FORMAT
from spikeport.sim.report import json_text, parse
from typer.testing import CliRunner

from ...sim.report.conftest import example
from .conftest import without

VERSIONS = {"spikeport": "0.1.0", "python": "3.11", "torch": "2", "numpy": "2", "machine": "x86_64"}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_run(folder: Path, recipe, files: dict[str, dict[str, bytes]]) -> Path:
    """A finished run of every stage, each computed from the others; files: what a stage wrote, by stage."""
    manifests: dict[str, dict[str, Any]] = {}
    for stage in chain.stages():
        place = folder / stage.name
        place.mkdir(parents=True)
        written = files.get(stage.name, {})
        for name, content in written.items():
            (place / name).write_bytes(content)
        manifests[stage.name] = {
            "format": FORMAT,
            "stage": stage.name,
            "version": stage.version,
            "key": "k" * 64,
            "recipe": recipe.sections(stage.reads),
            "seed": 0,
            "device": "cpu",
            "threads": None,
            "data": "d" * 64 if "data" in stage.reads else None,
            "versions": VERSIONS,
            "inputs": {need: outcome(manifests[need]) for need in stage.needs},
            "outputs": {name: sha256(content) for name, content in written.items()},
            "metrics": {"file": "digits.net"} if stage.name == "export" else {},
            "started": "2026-01-01T00:00:00+00:00",
            "seconds": 1.5,
        }
        (place / "manifest.json").write_text(json.dumps(manifests[stage.name]))
    run = {"format": FORMAT, "recipe": recipe.model_dump(mode="json"), "versions": VERSIONS}
    (folder / "run.json").write_text(json.dumps(run))
    return folder


def make_run(folder: Path) -> Path:
    """A finished run whose report is the example's, without what takes long to draw."""
    recipe = parse_recipe({"name": "digits", "data": {"name": "digits", "root": "/somewhere"}})
    report = json_text(parse(without(example()))).encode()
    return write_run(folder, recipe, {"export": {"digits.net": b"net"}, "report": {"report.json": report}})


@pytest.fixture
def run(tmp_path):
    """A fresh run, to be changed at will."""
    return make_run(tmp_path / "run")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that no test changes."""
    return make_run(tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture(scope="module")
def packed(finished, tmp_path_factory):
    """Its pack, by the program."""
    out = tmp_path_factory.mktemp("packed") / "pack"
    result = CliRunner().invoke(cli.app, ["paper", str(finished), "--out", str(out)])
    assert result.exit_code == 0, result.stderr
    assert "files of" in result.stdout
    return out


@pytest.fixture
def call(tmp_path, monkeypatch):
    """The program, in a folder of its own; one line of its answer."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: object) -> tuple[int, str]:
        result = CliRunner().invoke(cli.app, ["paper", *map(str, arguments)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, " ".join((result.stdout + result.stderr).split())

    return invoke


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_pack_of_a_run_is_whole_and_its_sums_are_its_files(packed):
    files = files_of(packed)
    sums = dict(line.split("  ")[::-1] for line in files.pop("SHA256SUMS").decode().splitlines())
    assert sums == {name: sha256(content) for name, content in files.items()}
    assert {
        "paper.tex", "methods.tex",
        "checklist.md", "checklist.tex", "references.bib", "reproduce.md",
        "provenance.json", "recipe.yaml", "report.json", "tables/waterfall.tex", "csv/layers.csv",
        "figures/waterfall.pdf", "figures/waterfall.svg",
    } <= files.keys()  # fmt: skip
    assert files["figures/waterfall.pdf"].startswith(b"%PDF-")
    assert b"<svg" in files["figures/waterfall.svg"]


def test_the_provenance_holds_the_hashes_of_the_runs_files(finished, packed):
    facts = json.loads((packed / "provenance.json").read_text())
    assert facts["network"]["sha256"] == sha256((finished / "export" / "digits.net").read_bytes())
    assert facts["report"]["sha256"] == sha256((finished / "report" / "report.json").read_bytes())
    assert (packed / "report.json").read_bytes() == (finished / "report" / "report.json").read_bytes()
    assert facts["data"]["sha256"] == "d" * 64
    assert set(facts["stages"]) == set(chain.MODULES)
    for stage, held in facts["stages"].items():
        manifest = json.loads((finished / stage / "manifest.json").read_text())
        assert held["outcome"] == outcome(manifest)
        assert held["outputs"] == manifest["outputs"]
    text = (packed / "reproduce.md").read_text()
    for value in (facts["network"]["sha256"], facts["report"]["sha256"], facts["data"]["sha256"]):
        assert value in text
    assert "spikeport run recipe.yaml" in text


def test_the_recipe_comes_along_without_the_places_of_this_machine(finished, packed):
    copied = parse_recipe(yaml.safe_load((packed / "recipe.yaml").read_text()))
    assert copied.data.root is None
    assert copied.identity() == parse_recipe({"name": "digits"}).identity()
    assert "/somewhere" not in "".join(str(content) for content in files_of(packed).values())


def test_a_recipe_of_stills_loses_both_places():
    data = {"name": "nmnist", "root": "/a", "frames": {"T": 4}, "stills": {"name": "mnist", "root": "/b"}}
    recipe = parse_recipe({"name": "x", "data": data, "refine": {"start": "scratch"}})
    assert not re.search("/a|/b", recipe_text(recipe))


def test_the_same_run_gives_the_same_files(call, finished, packed, tmp_path):
    assert call(finished, "--out", tmp_path / "again")[0] == 0
    assert files_of(tmp_path / "again") == files_of(packed)


@pytest.mark.parametrize("stage", ["report", "energy"])
def test_a_run_that_lacks_a_stage_is_refused_with_the_command(call, run, tmp_path, stage):
    shutil.rmtree(run / stage)
    code, said = call(run, "--out", tmp_path / "pack")
    assert code == 2
    assert f"has no finished {stage}; make it with `spikeport run RECIPE`" in said
    assert not (tmp_path / "pack").exists()


def test_a_recipe_that_was_not_run_is_refused_with_the_command(call, tmp_path):
    (tmp_path / "digits.yaml").write_text("name: digits")
    code, said = call("digits.yaml", "--out", tmp_path / "pack")
    assert (code, "there is no such run; make it with `spikeport run digits.yaml`" in said) == (2, True)


def test_a_report_of_an_older_form_is_refused_with_the_command(call, run, tmp_path):
    manifest = json.loads((run / "report" / "manifest.json").read_text())
    manifest["version"] -= 1
    (run / "report" / "manifest.json").write_text(json.dumps(manifest))
    code, said = call(run, "--out", tmp_path / "pack")
    assert code == 2
    assert re.search(r"report is of form \d, this Spikeport makes form \d; .* `spikeport run RECIPE`", said)
    assert not (tmp_path / "pack").exists()


def test_a_changed_report_is_refused(call, run, tmp_path):
    with (run / "report" / "report.json").open("a") as file:
        file.write(" ")
    code, said = call(run, "--out", tmp_path / "pack")
    assert (code, "is missing or changed since its stage wrote it" in said) == (2, True)


def test_a_folder_that_is_no_pack_is_left_alone_even_by_force(call, run, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years")
    for force in ([], ["--force"]):
        code, said = call(run, "--out", mine, *force)
        assert (code, "exists and is no earlier pack" in said) == (2, True)
    assert (mine / "thesis.tex").read_text() == "years"


SMALL = {"methods.tex": b"m", "provenance.json": b"{}", "SHA256SUMS": b"0  methods.tex\n1  provenance.json\n"}


def test_a_pack_is_replaced_by_force_alone(tmp_path):
    out = tmp_path / "deep" / "pack"
    pack.write(SMALL, out)
    (out / "methods.tex").write_text("edited")
    with pytest.raises(BadInput, match="give --force to replace it"):
        pack.write(SMALL, out)
    assert (out / "methods.tex").read_text() == "edited"
    pack.write(SMALL, out, replace=True)
    assert files_of(out) == SMALL


def test_a_file_beside_the_packs_own_is_not_lost_by_force(tmp_path):
    out = tmp_path / "pack"
    pack.write(SMALL, out)
    (out / "tables").mkdir()
    (out / "tables" / "mine.tex").write_text("mine")
    with pytest.raises(BadInput, match=r"holds tables/mine\.tex, which is no part of the pack"):
        pack.write(SMALL, out, replace=True)
    assert (out / "tables" / "mine.tex").read_text() == "mine"


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "pack").mkdir()
    pack.write(SMALL, tmp_path / "pack")
    assert files_of(tmp_path / "pack") == SMALL


def test_a_write_that_fails_leaves_nothing_new_and_the_old_pack(tmp_path, monkeypatch):
    out = tmp_path / "pack"
    pack.write(SMALL, out)
    before = files_of(out)

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pack, "write_bytes", full)
    with pytest.raises(BadInput, match="No space left on device"):
        pack.write({**SMALL, "new": b"x"}, out, replace=True)
    assert files_of(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["pack"]


def test_a_last_step_that_fails_puts_the_old_pack_back(tmp_path, monkeypatch):
    out = tmp_path / "pack"
    pack.write(SMALL, out)
    before, move, moves = files_of(out), pack.os.replace, []

    def second_fails(source: Path, target: Path) -> None:
        moves.append(target)
        if Path(source).name == "whole":
            raise OSError(5, "Input/output error")
        move(source, target)

    monkeypatch.setattr(pack.os, "replace", second_fails)
    with pytest.raises(BadInput, match="Input/output error"):
        pack.write(SMALL, out, replace=True)
    assert files_of(out) == before
    assert moves[-1] == out
