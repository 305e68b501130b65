"""Spike activation maps as a picture, and the commands that look into a refined student."""

from __future__ import annotations

import json
import re
import shutil
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from spikeport.hw import BadInput
from spikeport.models import PROFILES, GraphNet
from spikeport.pipeline import chain, cli
from spikeport.pipeline.data import load_splits
from spikeport.pipeline.fisher import information_centroid, temporal_fisher
from spikeport.pipeline.maps import STEPS_SHOWN, ActivationMaps, activation_maps, map_unit, picture, shown_steps
from spikeport.pipeline.progress import Progress
from spikeport.pipeline.recipe import load
from spikeport.pipeline.refine.activation_maps import cam, mean_readout
from spikeport.pipeline.refine.stage import load_student
from spikeport.pipeline.runs import folder_of
from torch import Tensor
from typer.testing import CliRunner

from . import tiny_nets


def nets(n_steps: int = 3) -> tuple[GraphNet, GraphNet, Tensor, Tensor]:
    """(student, teacher, images, labels) on the residual network, whose last stage has 4 x 4 positions."""
    teacher, student = tiny_nets.converted(tiny_nets.residual(), PROFILES["loihi"], n_steps, thresholds=0.4)
    return student, teacher, tiny_nets.images(teacher.architecture, 4), torch.tensor([0, 1, 2, 0])


def png_size(content: bytes) -> tuple[int, int]:
    """(width, height) of a PNG file."""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", content[16:24])


def png_texts(content: bytes) -> list[bytes]:
    """Names of the chunks that hold text or a time; each chunk's checksum is right."""
    found, at = [], 8
    while at < len(content):
        (size,) = struct.unpack(">I", content[at : at + 4])
        body = content[at + 4 : at + 8 + size]
        assert struct.unpack(">I", content[at + 8 + size : at + 12 + size])[0] == zlib.crc32(body)
        if body[:4] in (b"tEXt", b"iTXt", b"zTXt", b"tIME"):
            found.append(body)
        at += 12 + size
    return found


def test_the_maps_are_those_of_the_last_stage():
    """The ANN's map is of the class it answers; the student's is its spikes, summed over channels, step by step."""
    student, teacher, x, y = nets()
    maps = activation_maps(student, teacher, x, y)
    with torch.no_grad():
        sequence, spikes = student(x, ("stage2.1b",))
        logits, activations = teacher(x, ("stage2.1b",))
    assert (maps.unit, maps.kind) == ("stage2.1b", "CAM")
    assert torch.equal(maps.spikes, spikes["stage2.1b"].sum(dim=2))
    assert maps.spikes.sum() > 0
    assert torch.equal(maps.ann_answers, logits.argmax(-1))
    assert torch.equal(maps.snn_answers, sequence.mean(0).argmax(-1))
    weight = mean_readout(teacher, "stage2.1b")
    assert weight is not None
    torch.testing.assert_close(maps.ann, cam(weight, activations["stage2.1b"], logits.argmax(-1)))


def test_a_read_out_of_every_position_gets_grad_cam_at_the_last_map():
    """The chain's last stage is dense, so its maps are those of the one before."""
    teacher, student = tiny_nets.converted(tiny_nets.chain(), PROFILES["loihi"], 2)
    maps = activation_maps(
        student, teacher, tiny_nets.images(teacher.architecture, 2), torch.zeros(2, dtype=torch.int64)
    )
    assert (maps.unit, maps.kind) == ("b", "Grad-CAM")
    assert maps.ann.shape == (2, 3, 3)
    assert not maps.ann.requires_grad


def test_a_network_without_positions_is_refused():
    architecture = replace(tiny_nets.chain(), stages=("c",))
    with pytest.raises(BadInput, match=r"chain: none of its stages c has more than one position"):
        map_unit(architecture)


def made(n_steps: int = 3, count: int = 4, channels: int = 3) -> ActivationMaps:
    rng = tiny_nets.generator(0)
    answers = torch.arange(count) % 3
    return ActivationMaps(
        unit="stage$2",
        kind="CAM",
        images=torch.rand(count, channels, 8, 8, generator=rng),
        labels=answers,
        ann_answers=answers,
        snn_answers=answers.flip(0),
        ann=torch.rand(count, 4, 4, generator=rng),
        spikes=torch.randint(9, (n_steps, count, 4, 4), generator=rng).float(),
    )


def test_equal_maps_give_equal_bytes_without_a_date():
    first, again = picture(made()), picture(made())
    assert first == again
    assert png_texts(first) == []
    other = made()
    other.spikes[1, 2, 3, 3] += 20
    assert picture(other) != first


def test_the_picture_has_a_row_per_image_and_a_column_per_step():
    (wide, high), (wider, _), (_, higher) = (png_size(picture(made(*size))) for size in ((1, 2), (4, 2), (1, 5)))
    cell = (wider - wide) / 3
    assert cell == pytest.approx((higher - high) / 3, abs=1)
    assert wide > 4 * cell  # image, ANN, all spikes, one step
    assert high > 2 * cell


@pytest.mark.parametrize("channels", [1, 2])
def test_images_that_are_not_coloured_and_silent_students_can_be_drawn(channels):
    maps = made(channels=channels)
    assert png_size(picture(replace(maps, spikes=torch.zeros_like(maps.spikes), ann=torch.zeros_like(maps.ann))))[0] > 0


@pytest.mark.parametrize(("n_steps", "expected"), [(1, [0]), (8, list(range(8))), (32, [0, 4, 9, 13, 18, 22, 27, 31])])
def test_long_samples_are_shown_at_steps_evenly_between_the_first_and_the_last(n_steps, expected):
    assert shown_steps(n_steps) == expected
    assert len(expected) <= STEPS_SHOWN


RECIPE: dict[str, Any] = {
    "data": {"name": "digits", "validation": 20, "train_limit": 64, "test_limit": 20},
    "train": {"epochs": 1},
    "convert": {"calibration_images": 32},
    "refine": {"method": "none", "epochs": 1, "T": 2},
}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, and its run up to refinement under runs/."""
    root = tmp_path_factory.mktemp("work")
    (root / "a.yaml").write_text(json.dumps(RECIPE))
    with chain.opened(load(root / "a.yaml"), root / "runs", Progress(quiet=True)) as run:
        for stage in ("train", "convert", "refine"):
            run.finish(stage)
    return root


@pytest.fixture
def spikeport(work, monkeypatch):
    """Run the program in that folder; gives (exit code, stdout, stderr)."""
    monkeypatch.chdir(work)
    monkeypatch.setenv("COLUMNS", "300")

    def call(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(cli.app, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    return call


def run_folder(work: Path) -> Path:
    return folder_of(load(work / "a.yaml"), work / "runs")


def test_a_recipe_and_its_run_give_the_same_picture(work, spikeport):
    code, out, _ = spikeport("maps", "a.yaml", "--images", "2", "--out", "pictures/one.png")
    assert code == 0
    assert "wrote pictures/one.png: 2 images at conv3, T = 2" in out
    assert spikeport("maps", str(run_folder(work)), "--images", "2", "--out", "two.png")[0] == 0
    one, two = (work / name for name in ("pictures/one.png", "two.png"))
    assert one.read_bytes() == two.read_bytes()


def test_fisher_shows_every_timestep_and_the_centroid(work, spikeport):
    code, out, _ = spikeport("fisher", str(run_folder(work)), "--images", "5")
    assert code == 0
    recipe = load(work / "a.yaml")
    train = load_splits(recipe).train
    student = load_student(recipe, run_folder(work) / "refine")
    expected = temporal_fisher(student, train.floats(slice(5)), train.y[:5])
    assert re.findall(r"^(\d+) +(\S+) +\S+%$", out, re.MULTILINE) == [
        (str(t), f"{value:.4g}") for t, value in enumerate(expected.tolist(), 1)
    ]
    assert f"centroid: timestep {information_centroid(expected):.3f} of 2, 5 training images" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("maps", "a.yaml", "--out", "a.pdf"), r"--out a\.pdf: the picture is a PNG file"),
        (("maps", "a.yaml", "--images", "21"), r"--images 21: there are 20 validation images"),
        (("fisher", "a.yaml", "--images", "65"), r"--images 65: there are 64 training images"),
        (("maps", "a.yaml", "--set", "seed=3"), r"there is no such run; make it with `spikeport run a\.yaml"),
        (("maps", "a.yaml", "--set", "refine.T=3"), r"its refinement is missing or out of date; make it with"),
        (("maps", "b.yaml"), r"recipe b\.yaml: no such file"),
    ],
)
def test_what_cannot_be_shown_is_refused_with_the_way_out(spikeport, arguments, message):
    code, _, err = spikeport(*arguments)
    assert code == 2
    assert re.search(message, err)


def test_a_run_folder_is_shown_as_it_was_refined(work, spikeport):
    """run.json holds the last command's settings; the refinement's own manifest counts."""
    folder = shutil.copytree(run_folder(work), work / "copy")
    about = json.loads((folder / "run.json").read_text())
    about["recipe"]["refine"]["T"] = 7
    (folder / "run.json").write_text(json.dumps(about))
    code, out, _ = spikeport("maps", "copy", "--images", "1", "--out", "copy.png")
    assert code == 0
    assert "T = 2" in out
    assert "give a recipe to choose among runs" in spikeport("maps", "copy", "--set", "seed=1")[2]
    shutil.rmtree(folder / "refine")
    assert "no finished stage" in spikeport("maps", "copy")[2]
