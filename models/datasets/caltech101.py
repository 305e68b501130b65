"""Caltech-101 without `Faces`: 8,709 photographs of 100 kinds of things and of background, as 48x48 colour images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from ...hw import BadInput
from .files import labelled
from .images import Images
from .spec import DATASETS, Dataset

_NAMES = """
BACKGROUND_Google Faces_easy Leopards Motorbikes accordion airplanes anchor ant barrel bass beaver binocular bonsai
brain brontosaurus buddha butterfly camera cannon car_side ceiling_fan cellphone chair chandelier cougar_body
cougar_face crab crayfish crocodile crocodile_head cup dalmatian dollar_bill dolphin dragonfly electric_guitar
elephant emu euphonium ewer ferry flamingo flamingo_head garfield gerenuk gramophone grand_piano hawksbill headphone
hedgehog helicopter ibis inline_skate joshua_tree kangaroo ketch lamp laptop llama lobster lotus mandolin mayfly
menorah metronome minaret nautilus octopus okapi pagoda panda pigeon pizza platypus pyramid revolver rhino rooster
saxophone schooner scissors scorpion sea_horse snoopy soccer_ball stapler starfish stegosaurus stop_sign strawberry
sunflower tick trilobite umbrella watch water_lilly wheelchair wild_cat windsor_chair wrench yin_yang
"""
CLASSES = tuple(_NAMES.split())
"""The folders, label by label: those of which N-Caltech101 has recordings, so without `Faces`, 435 of 9,144 images."""

FOLDER = "101_ObjectCategories"
PLACES = (FOLDER, f"caltech-101/{FOLDER}", f"caltech101/{FOLDER}")
SIDE = 48
N_TRAIN, N_TEST = 7_795, 914


def ids(kind: str, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
    """Names of the images of one class by their numbers: `caltech101/accordion/image_0001`. kind: one of CLASSES."""
    return np.array([f"caltech101/{kind}/image_{number:04d}" for number in numbers])


def n_train_of(count: int) -> int:
    """How many of a class's `count` images, from the first, are for training; the last tenth, rounded up, are not."""
    return count * 9 // 10


def read(root: Path, classes: Sequence[str] = CLASSES, count: int = N_TRAIN + N_TEST) -> tuple[Images, Images]:
    """(train, test) from `101_ObjectCategories/<class>/image_0001.jpg` in `root`, `caltech-101/` or `caltech101/`.

    classes: the folders to read, label by label. count: the images they must hold together. An image is scaled to
    48x48 whatever its form; a grey one gets three equal channels. Raises BadInput.
    """
    folder = next((root / place for place in PLACES if (root / place).is_dir()), None)
    if folder is None:
        raise BadInput(f"caltech101: no folder {FOLDER}/ is in {root}; put {' or '.join(CALTECH101.files)} there")
    counts = [_count(folder / kind) for kind in classes]
    if sum(counts) != count:
        raise BadInput(
            f"{folder}: holds {sum(counts)} images of its {len(classes)} classes, expected {count}; unpack it again"
        )
    train = [range(1, n_train_of(n) + 1) for n in counts]
    test = [range(n_train_of(n) + 1, n + 1) for n in counts]
    return _images(folder, classes, train), _images(folder, classes, test)


def _count(folder: Path) -> int:
    """How many images a class's folder holds; they are numbered from 1 without a gap. Other files are left alone."""
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; it is one of the classes of caltech101, unpack {FOLDER}/ again")
    found = {path.name for path in folder.glob("image_*.jpg")}
    wanted = [_name(number) for number in range(1, len(found) + 1)]
    missing = next((name for name in wanted if name not in found), None)
    if missing is not None or not found:
        raise BadInput(
            f"{folder}: holds {len(found)} images, but {missing or _name(1)} is not among them; unpack {FOLDER}/ again"
        )
    return len(found)


def _name(number: int) -> str:
    return f"image_{number:04d}.jpg"


def _images(folder: Path, classes: Sequence[str], numbers: Sequence[range]) -> Images:
    """The images of each class with the given numbers, class by class."""
    x = [_pixels(folder / kind / _name(n)) for kind, chosen in zip(classes, numbers, strict=True) for n in chosen]
    y = np.repeat(np.arange(len(classes)), [len(chosen) for chosen in numbers])
    names = np.concatenate([ids(kind, chosen) for kind, chosen in zip(classes, numbers, strict=True) if chosen])
    return replace(labelled(folder, np.stack(x), y, len(classes)), ids=names)


def _pixels(path: Path) -> np.ndarray:
    """uint8 (3, 48, 48): scaled with a triangle as wide as a new pixel, so nothing is skipped."""
    try:
        with Image.open(path, formats=["JPEG"]) as image:
            small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path}: cannot be decoded ({error}); it is truncated or damaged, unpack it again") from error
    return np.asarray(small).transpose(2, 0, 1)


CALTECH101 = DATASETS.register(
    "caltech101",
    Dataset(
        name="caltech101",
        shape=(3, SIDE, SIDE),
        n_classes=len(CLASSES),
        n_train=N_TRAIN,
        n_test=N_TEST,
        licence="CC BY 4.0",
        source=(
            "Fei-Fei, Fergus and Perona, Learning generative visual models from few training examples, CVPR workshop "
            "on generative-model based vision, 2004, https://doi.org/10.22002/D1.20086. The split is ours: the last "
            "tenth of each class, by file name, is the test set"
        ),
        files=(f"the folder {FOLDER}/ (unpacked from {FOLDER}.tar.gz, itself in caltech-101.zip)",),
        load=read,
    ),
)
