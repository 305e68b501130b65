"""`spikeport show-events`: the frames it draws are those a network gets, and what it says of them."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from spikeport.models.datasets import DATASETS, ROOT_VARIABLE, load
from spikeport.models.events import picture
from spikeport.models.events.cache import CACHE_VARIABLE
from spikeport.models.events.picture import Picture
from spikeport.models.events.saccades import SYNTHETIC, Saccades, simulate
from spikeport.pipeline import cli
from spikeport.pipeline.cli_events import DEFAULT_T
from spikeport.pipeline.data import load_data
from spikeport.pipeline.recipe import load as load_recipe
from typer.testing import CliRunner

RECIPE = "data: {frames: {T: 5, levels: 3, until_us: 250000, size: 6}, saccades: {threshold: 0.35}}\n"

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def spikeport(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run the program in an empty folder with a recipe; gives (exit code, stdout, stderr) with each line whole."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    (tmp_path / "a.yaml").write_text(RECIPE)

    def call(*arguments: Any) -> tuple[int, str, str]:
        result = CliRunner().invoke(cli.app, ["show-events", *(str(argument) for argument in arguments)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    return call


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Picture]:
    """What was given to be drawn on a sheet."""
    seen: list[Picture] = []
    monkeypatch.setattr(picture, "sheet", lambda shown: seen.append(shown) or b"a sheet")
    return seen


@pytest.fixture(scope="module")
def kept_frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("frames")


def files() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def test_a_data_set_is_drawn_in_eight_frames_of_equal_time(spikeport, drawn):
    code, out, err = spikeport("digits", "--index", 3)
    assert (code, err) == (0, "")
    assert files() == ["a.yaml", "events.png"]
    assert drawn[0].frames.shape == (DEFAULT_T, 2, 8, 8)
    assert f"{DEFAULT_T} frames of equal time, 8 x 8 pixels, a spike or none per pixel and polarity" in out


def test_the_lines_say_what_was_recorded(spikeport, drawn):
    test = load("digits")[1]
    recording = simulate(test, Saccades(), "digits/test").read(7)
    _, out, _ = spikeport("digits", "--index", 7)
    assert test.ids is not None
    assert f"digits test, recording 7: label {int(test.y[7])}, shows {test.ids[7]}" in out
    on = int(recording.p.sum())
    assert f"sent: {len(recording)} events, {on} ON and {len(recording) - on} OFF, in " in out
    (duration_ms,) = re.findall(r"in ([\d.]+) ms, 8 x 8 pixels", out)
    assert float(duration_ms) == pytest.approx((recording.t[-1] - recording.t[0]) / 1000, abs=0.05)
    assert [line for line in drawn[0].lines if line not in out] == []


def test_simulated_events_are_marked_in_the_picture_and_in_the_text(spikeport, drawn):
    _, out, _ = spikeport("digits")
    assert drawn[0].notice == SYNTHETIC
    assert SYNTHETIC in out


def test_the_training_part_can_be_shown(spikeport, drawn):
    _, out, _ = spikeport("digits", "--split", "train", "--index", 2)
    train = load("digits")[0]
    assert train.ids is not None
    assert f"digits train, recording 2: label {int(train.y[2])}, shows {train.ids[2]}" in out


@pytest.mark.parametrize("folds", [None, "{of: 5, test: 2}"])
def test_a_recipes_frames_are_those_its_network_gets(spikeport, drawn, kept_frames, monkeypatch, folds):
    """Also where folds mix the two parts: the index counts in the fold, whichever part a recording comes from."""
    monkeypatch.setenv(CACHE_VARIABLE, str(kept_frames))
    settings = [] if folds is None else [f"data.folds={folds}"]
    parts = load_data(load_recipe("a.yaml", settings).data)
    for split, part in zip(("train", "test"), parts, strict=True):
        for index in (0, len(part) - 1):
            code, out, _ = spikeport("a.yaml", *(f"--set={s}" for s in settings), "--split", split, "--index", index)
            assert code == 0
            assert np.array_equal(drawn[-1].frames, part.x[index].numpy())
            assert part.ids is not None
            assert f"label {int(part.y[index])}, shows {part.ids[index]}" in out
            assert (f"digits {split} (fold 2 of 5), recording {index}: " in out) == (folds is not None)
    assert "5 frames of equal time of the first 250 ms, 6 x 6 pixels (crop), up to 3 events per pixel" in out


def test_a_setting_changes_the_recipe(spikeport, drawn):
    code, out, _ = spikeport("a.yaml", "--set", "data.frames.T=2", "--set", "data.frames.by=count")
    assert code == 0
    assert len(drawn[0].frames) == 2
    assert "2 frames of equal number of events" in out


@pytest.mark.parametrize(
    ("arguments", "name", "kind", "n_frames"),
    [
        ([], "events.png", "PNG", 1),
        (["--animate"], "events.gif", "GIF", DEFAULT_T),
        (["--out", "there/a.gif"], "there/a.gif", "GIF", DEFAULT_T),
        (["--out", "a.apng"], "a.apng", "PNG", DEFAULT_T),
        (["--out", "a.png", "--animate"], "a.png", "PNG", DEFAULT_T),
    ],
)
def test_the_ending_and_animate_say_what_is_written(spikeport, arguments, name, kind, n_frames):
    code, out, _ = spikeport("digits", *arguments)
    assert code == 0
    assert f"wrote {name}" in out
    with Image.open(io.BytesIO(Path(name).read_bytes())) as image:
        assert image.format == kind
        assert getattr(image, "n_frames", 1) == n_frames


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits", "--index", "360"], r"--index 360: digits test has 360 recordings; give 0\.\.359"),
        (["digits", "--index", "-1"], r"--index -1: digits test has 360 recordings"),
        (["digits", "--split", "validation"], "'validation' is not one of 'train', 'test'"),
        (["digitz"], "unknown data set 'digitz': did you mean 'digits'"),
        (["b.yaml"], "recipe b.yaml: no such file; there is: a.yaml"),
        (["digits", "--out", "a.jpg"], r"--out a\.jpg: the picture is a file; give a name that ends in \.png or \.gif"),
        (["digits", "--out", "a.yaml/b.png"], r"--out a\.yaml/b\.png: cannot be written"),
        (["digits", "--set", "data.frames.T=2"], "--set data.frames.T=2: digits is no recipe; write one with"),
        (["mnist", "--root", "nowhere"], "the data folder nowhere is not a folder"),
        (["a.yaml", "--set", "data.name=mnist", "--root", "nowhere"], "the data folder nowhere is not a folder"),
        (["a.yaml", "--set", "data.saccades.threshold=9.5"], "image 0 sends no events"),
        (["a.yaml", "--set", "data.frames.TT=2"], "data.frames.TT: unknown key; did you mean 'T'"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_written(spikeport, arguments, message):
    code, out, err = spikeport(*arguments)
    assert (code, out) == (2, "")
    assert re.search(message, err)
    assert files() == ["a.yaml"]


def test_a_folder_is_no_picture(spikeport):
    Path("d.png").mkdir()
    code, _, err = spikeport("digits", "--out", "d.png")
    assert code == 2
    assert "--out d.png: the picture is a file" in err
    assert list(Path("d.png").iterdir()) == []


def test_a_recipe_of_images_has_no_events_to_show(spikeport):
    Path("images.yaml").write_text("seed: 1\n")
    code, _, err = spikeport("images.yaml")
    assert code == 2
    assert "images.yaml: its network sees images of digits, no events; give data.frames" in err
    assert "spikeport show-events digits" in err


def test_a_recipe_without_an_ending_is_one_if_it_is_there(spikeport, drawn):
    Path("a.yaml").rename("digits-recipe")
    assert spikeport("digits-recipe")[0] == 0
    assert len(drawn[0].frames) == 5


def test_an_old_picture_stays_whole_when_the_new_one_fails(spikeport):
    Path("events.png").write_bytes(b"old")
    assert spikeport("digits", "--index", 9999)[0] == 2
    assert Path("events.png").read_bytes() == b"old"
    assert spikeport("digits")[0] == 0
    assert Path("events.png").read_bytes().startswith(b"\x89PNG")


def test_real_recordings_are_shown_without_a_warning(spikeport, drawn):
    if not os.environ.get(ROOT_VARIABLE):
        pytest.skip(f"{ROOT_VARIABLE} names no folder of real data sets")
    assert DATASETS["nmnist"].recordings is not None
    code, out, _ = spikeport("nmnist", "--index", 3)
    assert code == 0
    assert drawn[0].notice is None
    assert "synthetic" not in out
    assert drawn[0].frames.shape == (DEFAULT_T, 2, 34, 34)
    assert "34 x 34 pixels" in out
