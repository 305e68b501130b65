"""CIFAR10-DVS in the folder that tonic makes, written here in small."""

import pytest
from spikeport.hw import BadInput
from spikeport.models.datasets import cifar10, cifar10_dvs
from spikeport.models.events import cache
from spikeport.models.events.frames import Frames

from ..events import writers

PER_CLASS = 12
BAD = "bird/cifar10_bird_3.aedat4"


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "cache"))
    write(tmp_path / "CIFAR10DVS")
    return tmp_path


def events_of(label, number):
    return [(label, number, 100, 1), (127, 127, 200 + number, 0)]


def aedat4(events):
    return writers.aedat4(writers.aedat4_packet(events))


def write(folder):
    for label, kind in enumerate(cifar10_dvs.CLASSES):
        (folder / kind).mkdir(parents=True)
        for number in range(PER_CLASS):
            (folder / kind / f"cifar10_{kind}_{number}.aedat4").write_bytes(aedat4(events_of(label, number)))


def read(root):
    return cifar10_dvs.read(root, PER_CLASS)


@writers.needs_tonic
def test_the_last_tenth_of_every_class_by_number_is_the_test_set(root):
    train, test = read(root)
    # 12 of a class: 10 and 2. As text, 10 and 11 would come before 2.
    for part, numbers in ((train, range(10)), (test, range(10, 12))):
        wanted = [(label, number) for label in range(10) for number in numbers]
        assert part.labels.tolist() == [label for label, _ in wanted]
        for index, (label, number) in enumerate(wanted):
            found = part.read(index)
            rows = zip(*(getattr(found, name).tolist() for name in "xytp"), strict=True)
            assert list(rows) == events_of(label, number)
            assert (found.width, found.height) == (128, 128)


def test_nobody_knows_which_images_they_are(root):
    assert [part.ids for part in read(root)] == [None, None]


def test_the_official_size_gives_a_tenth():
    described = cifar10_dvs.CIFAR10_DVS
    assert described.n_train == 10 * cifar10_dvs.PER_CLASS * 9 // 10
    assert described.n_train + described.n_test == 10 * cifar10_dvs.PER_CLASS
    assert described.n_classes == cifar10.N_CLASSES


@writers.needs_tonic
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with b''"),
        (aedat4(events_of(2, 3))[:-30], "ends after"),
        (aedat4([(0, 128, 1, 1)]), r"event 0 of 1 has y = 128, outside 0\.\.127"),
        (aedat4([(0, 0, 2, 1), (0, 0, 1, 1)]), "event 1 of 2 is at 1 us, before the 2 us"),
        (writers.aedat4(), "refused by the decoder"),
    ],
)
def test_a_damaged_recording_is_refused_and_no_frames_are_kept(root, content, message):
    (root / "CIFAR10DVS" / BAD).write_bytes(content)
    with pytest.raises(BadInput, match=rf"cifar10_bird_3\.aedat4: .*{message}"):
        cache.clips(read(root)[0], Frames(T=2))
    assert list(root.glob("cache/*")) == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / BAD).unlink(), "bird: holds 11 recordings, expected 12, .* number 3 is missing"),
        (lambda folder: (folder / "plane").mkdir(), "an unknown folder plane/"),
        (lambda folder: (folder / "bird").rename(folder.parent / "bird"), "no folder bird/"),
    ],
)
def test_an_incomplete_folder_is_refused(root, spoil, message):
    spoil(root / "CIFAR10DVS")
    with pytest.raises(BadInput, match=message):
        read(root)
