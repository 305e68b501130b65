"""N-MNIST in its official folder and in the small file, both written here in small; and the real small file."""

import numpy as np
import pytest
from spikeport.hw import BadInput
from spikeport.models.datasets import load, load_recordings, nmnist
from spikeport.models.events import cache
from spikeport.models.events.frames import Frames

from ..events import writers

LABELS = {"train": [5, 0, 5], "test": [7, 2]}
SIZES = (3, 2)
FRAMES = Frames(T=2)


def events_of(part, index):
    """Some events, other ones for every recording."""
    start = 100 * index + (part == "test")
    return [(index, 2, start, 1), (3, 33, start + 5, 0), (33, index, start + 9, 1)][: 3 - (part == "test")]


def write_folder(folder):
    for part, labels in LABELS.items():
        for label in range(10):
            (folder / part.capitalize() / str(label)).mkdir(parents=True)
        for index, label in enumerate(labels):
            path = folder / part.capitalize() / str(label) / f"{index + 1:05d}.bin"
            path.write_bytes(writers.atis(events_of(part, index)))


def arrays():
    """What the small file holds."""
    found = {}
    for part, labels in LABELS.items():
        events = [events_of(part, index) for index in range(len(labels))]
        x, y, t, p = writers.columns([event for those in events for event in those])
        found |= {f"{part}_{name}": values.astype(np.uint8) for name, values in (("x", x), ("y", y), ("p", p))}
        found |= {f"{part}_t": t.astype(np.uint32), f"{part}_labels": np.array(labels, np.uint8)}
        found[f"{part}_offsets"] = np.cumsum([0, *map(len, events)]).astype(np.uint32)
        found[f"{part}_ids"] = (np.arange(len(labels)) + nmnist.FIRST[part]).astype(np.uint32)
    return found


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path


def read(root):
    return nmnist.read(root, SIZES, SIZES)


def read_all(root):
    """As a run does: every recording of both parts."""
    return [cache.clips(part, FRAMES) for part in read(root)]


def assert_holds(parts):
    for recordings, part in zip(parts, LABELS, strict=True):
        assert recordings.name == f"nmnist/{part}"
        assert recordings.labels.tolist() == LABELS[part]
        assert recordings.ids.tolist() == [f"mnist/{part}/{number:05d}" for number in range(1, len(recordings) + 1)]
        for index in range(len(recordings)):
            found = recordings.read(index)
            assert (found.width, found.height) == (34, 34)
            rows = zip(*(getattr(found, name).tolist() for name in "xytp"), strict=True)
            assert list(rows) == events_of(part, index)


@pytest.mark.parametrize("name", ["nmnist", "NMNIST", "N-MNIST"])
def test_the_official_folder_is_read_in_the_order_of_mnist(root, name):
    write_folder(root / name)
    assert_holds(read(root))


def test_the_small_file_is_read_as_written(root):
    np.savez(root / "nmnist_small.npz", **arrays())
    assert_holds(read(root))


def test_the_official_folder_comes_before_the_small_file(root):
    np.savez(root / "nmnist_small.npz", **(arrays() | {"train_labels": np.array([1, 1, 1])}))
    write_folder(root / "nmnist")
    assert_holds(read(root))


def test_the_two_forms_and_other_contents_have_other_keys(root):
    np.savez(root / "nmnist_small.npz", **arrays())
    keys = [part.key for part in read(root)]
    np.savez(root / "nmnist_small.npz", **(arrays() | {"train_t": arrays()["train_t"] + np.uint32(1)}))
    keys += [part.key for part in read(root)]
    write_folder(root / "nmnist")
    keys += [part.key for part in read(root)]
    assert keys[0] != keys[2]
    assert len({keys[0], keys[2], keys[4], keys[5]}) == 4


def spoil_file(content):
    return lambda root: (root / "nmnist/Train/5/00003.bin").write_bytes(content)


def remove(name):
    return lambda root: (root / name).unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_file(b""), r"Train/5/00003\.bin: holds no events"),
        (spoil_file(writers.atis(events_of("train", 2))[:-2]), r"00003\.bin: 13 bytes, which is no multiple of the 5"),
        (spoil_file(writers.atis([(34, 0, 1, 1)])), r"00003\.bin: event 0 of 1 has x = 34, outside 0\.\.33"),
        (
            spoil_file(writers.atis([(0, 0, 2, 1), (0, 0, 1, 1)])),
            r"00003\.bin: event 1 of 2 is at 1 us, before the 2 us",
        ),
        (remove("nmnist/Train/0/00002.bin"), "Train: holds 2 recordings, expected 3, .* number 2 is missing"),
        (
            lambda root: (root / "nmnist/Train/10").mkdir(),
            r"Train: an unknown folder 10/ among those of its 10 classes",
        ),
        (lambda root: (root / "nmnist/Test/4").rmdir(), "Test: no folder 4/ among"),
        (lambda root: (root / "nmnist/Test").rename(root / "elsewhere"), r"Test: no such folder; unpack Test\.zip"),
        (
            lambda root: (root / "nmnist/Train/1/00003.bin").write_bytes(writers.atis(events_of("train", 2))),
            "Train: holds 4 recordings, expected 3, .* number 3 is there twice",
        ),
    ],
)
def test_a_damaged_folder_is_refused_and_its_frames_are_not_kept(root, spoil, message):
    write_folder(root / "nmnist")
    spoil(root)
    with pytest.raises(BadInput, match=message):
        read_all(root)
    assert list(root.glob("cache/*")) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_offsets": np.array([0, 6, 3, 9])}, "train_offsets go back after recording 1, but must ascend from 0"),
        ({"train_offsets": np.array([1, 3, 6, 9])}, "train_offsets begin at 1"),
        ({"train_offsets": np.array([0, 3, 6])}, r"train_offsets is int64 \(3,\), expected integers \(4,\)"),
        ({"train_offsets": np.array([0, 3, 6, 8])}, r"train_x is uint8 \(9,\), expected integers \(8,\)"),
        ({"train_offsets": np.array([0, 3, 3, 9])}, "train recording 1: holds no events"),
        ({"train_offsets": np.array([0, 3.0, 6, 9])}, "train_offsets is float64"),
        ({"test_t": np.arange(4) / 10}, "test_t is float64"),
        ({"test_t": np.arange(3)}, r"test_t is int64 \(3,\), expected integers \(4,\)"),
        ({"test_labels": np.array([7, 10])}, r"test_labels has 10 at recording 1, outside 0\.\.9"),
        ({"test_labels": np.array([-1, 7])}, "test_labels has -1 at recording 0"),
        ({"test_ids": np.array([1, 2])}, r"test_ids has 1 at recording 0, outside 60001\.\.70000"),
        ({"train_ids": np.array([1, 2, 60001])}, r"train_ids has 60001 at recording 2, outside 1\.\.60000"),
        (
            {"train_x": np.array([0, 3, 33] * 2 + [0, 34, 1])},
            r"train recording 2: event 1 of 3 has x = 34, outside 0\.\.33",
        ),
        ({"train_p": np.array([1, 0, 1] * 2 + [0, 2, 1])}, "train recording 2: event 1 of 3 has p = 2"),
        (
            {"train_t": np.array([0, 5, 9] * 2 + [9, 9, 5])},
            "train recording 2: event 2 of 3 is at 5 us, before the 9 us",
        ),
    ],
    ids=str,
)
def test_a_damaged_small_file_is_refused_and_its_frames_are_not_kept(root, change, message):
    np.savez(root / "nmnist_small.npz", **(arrays() | change))
    with pytest.raises(BadInput, match=message) as error:
        read_all(root)
    assert str(error.value).startswith(str(root / "nmnist_small.npz"))
    assert list(root.glob("cache/*")) == []


@pytest.mark.parametrize(
    "name", [f"{part}_{name}" for part in LABELS for name in ("x", "y", "t", "p", "offsets", "ids")]
)
def test_a_small_file_without_an_array_says_which(root, name):
    np.savez(root / "nmnist_small.npz", **{key: values for key, values in arrays().items() if key != name})
    with pytest.raises(BadInput, match=f"no array '{name}' in it"):
        read(root)


def test_a_truncated_small_file_is_refused(root):
    path = root / "nmnist_small.npz"
    np.savez(path, **arrays())
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(BadInput, match=r"nmnist_small\.npz: not a readable \.npz"):
            read(root)


def test_real_recordings_show_the_images_they_are_named_after(real_root):
    if not (real_root / "nmnist_small.npz").exists() or not (real_root / "mnist.npz").exists():
        pytest.skip(f"{real_root} has not both nmnist_small.npz and mnist.npz")
    for recordings, images in zip(load_recordings("nmnist", real_root), load("mnist", real_root), strict=True):
        numbers = [images.ids.tolist().index(name) for name in recordings.ids]
        assert images.y[numbers].tolist() == recordings.labels.tolist()
        # The digit's place on the sensor moves by a few pixels, so only the middle of both is compared.
        seen = cache.clips(recordings, Frames(T=1, size=28, levels=255)).x.sum(dim=(1, 2)).numpy()
        shown = images.x[numbers, 0].numpy()
        own = np.mean([correlation(a, b) for a, b in zip(seen, shown, strict=True)])
        others = np.mean([correlation(a, b) for a, b in zip(seen, np.roll(shown, 1, axis=0), strict=True)])
        assert own > others + 0.2


def correlation(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]
