"""N-Caltech101 in its official folder, written here in small."""

import numpy as np
import pytest
from spikeport.hw import BadInput
from spikeport.models.datasets import caltech101, ncaltech101
from spikeport.models.events import cache
from spikeport.models.events.frames import Frames

from ..events import writers

COUNTS = {"Motorbikes": 20, "accordion": 11}
TEST = {"Motorbikes": (19, 20), "accordion": (10, 11)}  # a tenth, rounded up
EVENTS = [(3, 5, 10, 1), (102, 5, 20, 0), (3, 63, 30, 1)]
"""100 columns and 59 rows of pixels, from (3, 5)."""


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def folder(root):
    folder = root / "NCALTECH101" / "Caltech101"
    write(folder)
    return folder


def write(folder):
    for kind, count in COUNTS.items():
        (folder / kind).mkdir(parents=True)
        for number in range(1, count + 1):
            (folder / kind / f"image_{number:04d}.bin").write_bytes(writers.atis(EVENTS))


def read(root):
    return ncaltech101.read(root, tuple(COUNTS), sum(COUNTS.values()))


@pytest.mark.parametrize("place", ["NCALTECH101/Caltech101", "N-Caltech101/Caltech101", "Caltech101"])
def test_the_last_tenth_of_every_class_is_the_test_set(root, place):
    write(root / place)
    for part, numbers in zip(read(root), ("train", "test"), strict=True):
        wanted = [
            (label, f"caltech101/{kind}/image_{number:04d}")
            for label, kind in enumerate(COUNTS)
            for number in range(1, COUNTS[kind] + 1)
            if (number in TEST[kind]) == (numbers == "test")
        ]
        assert list(zip(part.labels.tolist(), part.ids.tolist(), strict=True)) == wanted
        assert part.name == f"ncaltech101/{numbers}"


def test_recordings_have_the_names_and_the_split_of_the_photographs(folder, root):
    for part, those in zip(read(root), (slice(None, 18), slice(18, None)), strict=True):
        names = caltech101.ids("Motorbikes", range(1, 21))[those]
        assert part.ids[part.labels == 0].tolist() == names.tolist()
    assert caltech101.n_train_of(20) == 18


def test_events_are_moved_to_the_middle_of_the_sensor(folder, root):
    recording = read(root)[0].read(0)
    # 100 of 240 columns: 70 free on both sides. 59 of 180 rows: 60 free above, 61 below.
    assert (recording.x.tolist(), recording.y.tolist()) == ([70, 169, 70], [60, 60, 118])
    assert (recording.width, recording.height) == (240, 180)
    assert recording.t.tolist() == [10, 20, 30]


@pytest.mark.parametrize("x", [(0, 239), (0, 0), (5, 238), (239, 239)])
def test_a_recording_in_the_middle_stays_on_the_sensor(folder, root, x):
    path = folder / "accordion" / "image_0001.bin"
    path.write_bytes(writers.atis([(place, 0, 0, 1) for place in x]))
    moved = read(root)[0].read(18).x
    assert np.diff(moved).tolist() == [x[1] - x[0]]
    before, behind = int(moved[0]), 239 - int(moved[1])
    assert behind - before in (0, 1)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (b"", r"image_0007\.bin: holds no events"),
        (writers.atis(EVENTS)[:-1], r"image_0007\.bin: 14 bytes, which is no multiple of the 5"),
        (writers.atis([(240, 0, 0, 0)]), r"image_0007\.bin: event 0 of 1 has x = 240, outside 0\.\.239"),
        (writers.atis([(0, 180, 0, 0)]), r"image_0007\.bin: event 0 of 1 has y = 180, outside 0\.\.179"),
        (writers.atis([(0, 0, 2, 0), (0, 0, 1, 0)]), r"image_0007\.bin: event 1 of 2 is at 1 us"),
    ],
)
def test_a_damaged_recording_is_refused_and_no_frames_are_kept(folder, root, spoil, message):
    (folder / "accordion" / "image_0007.bin").write_bytes(spoil)
    with pytest.raises(BadInput, match=message):
        cache.clips(read(root)[0], Frames(T=2))
    assert list(root.glob("cache/*")) == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "accordion/image_0007.bin").unlink(), "accordion: holds 10 .* number 7 is missing"),
        (
            lambda folder: (folder / "accordion/image_0011.bin").unlink(),
            "holds 30 recordings of its 2 classes, expected 31",
        ),
        (lambda folder: (folder / "Faces").mkdir(), "an unknown folder Faces/ among"),
        (lambda folder: (folder / "accordion").rename(folder.parent / "accordion"), "no folder accordion/ among"),
        (lambda folder: [path.unlink() for path in (folder / "accordion").iterdir()], "accordion: holds 0 recordings"),
    ],
)
def test_an_incomplete_folder_is_refused(folder, root, spoil, message):
    spoil(folder)
    with pytest.raises(BadInput, match=message):
        read(root)


def test_sizes_are_those_of_the_classes():
    assert len(ncaltech101.CLASSES) == 101
    assert ncaltech101.NCALTECH101.n_train + ncaltech101.NCALTECH101.n_test == 8709
