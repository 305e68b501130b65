import pickle

import numpy as np
import pytest
from PIL import Image
from spikeport.hw import BadInput
from spikeport.models.datasets import cifar10, load

N = 3  # images per official batch here
ROWS, COLUMNS = 2, (3, 2)  # a sheet of the training set holds 2 x 3 images here, the test sheet 2 x 2


def batch(rng, n=N):
    """The content of one official batch: keys are bytes, pixels are red, green, blue planes."""
    return {
        b"batch_label": b"training batch 1 of 5",
        b"labels": rng.integers(0, 10, n).tolist(),
        b"data": rng.integers(0, 256, (n, 3072), np.uint8),
        b"filenames": [b"frog.png"] * n,
    }


@pytest.fixture
def batches_folder(tmp_path, rng):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    contents = {}
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        contents[name] = batch(rng)
        (folder / name).write_bytes(pickle.dumps(contents[name], protocol=2))
    return folder, contents


@pytest.fixture
def sheets_folder(tmp_path, rng):
    """Returns the folder and its images (N, 3, 32, 32), laid out by loops."""
    folder = tmp_path / "cifar10_webp"
    folder.mkdir()
    images = {}
    for name in ["train_0", "train_1", "train_2", "train_3", "test"]:
        columns = COLUMNS[name == "test"]
        tiles = rng.integers(0, 256, (ROWS * columns, 3, 32, 32), np.uint8)
        sheet = np.zeros((ROWS * 32, columns * 32, 3), np.uint8)
        for i, tile in enumerate(tiles):
            top, left = 32 * (i // columns), 32 * (i % columns)
            sheet[top : top + 32, left : left + 32] = tile.transpose(1, 2, 0)
        Image.fromarray(sheet).save(folder / f"{name}.webp", lossless=True)
        images[name] = tiles
    labels = {"y_train": rng.integers(0, 10, 24, np.uint8), "y_test": rng.integers(0, 10, 4, np.uint8)}
    np.savez(folder / "labels.npz", **labels)
    return folder, images, labels


def read_sheets(folder):
    return cifar10.read_sheets(folder, ROWS, ROWS, COLUMNS)


def test_official_batches_are_read_in_order(batches_folder):
    folder, contents = batches_folder
    train, test = cifar10.read_batches(folder, N)
    pixels = np.concatenate([contents[f"data_batch_{i}"][b"data"] for i in range(1, 6)])
    assert np.array_equal(train.x.numpy().reshape(-1, 3072), pixels)
    assert train.y.tolist() == [label for i in range(1, 6) for label in contents[f"data_batch_{i}"][b"labels"]]
    assert np.array_equal(test.x.numpy().reshape(-1, 3072), contents["test_batch"][b"data"])
    assert test.y.tolist() == contents["test_batch"][b"labels"]
    assert train.shape == (3, 32, 32)


def test_sheets_are_cut_into_the_images_they_were_laid_out_from(sheets_folder):
    folder, images, labels = sheets_folder
    train, test = read_sheets(folder)
    assert np.array_equal(train.x.numpy(), np.concatenate([images[f"train_{i}"] for i in range(4)]))
    assert np.array_equal(test.x.numpy(), images["test"])
    assert train.y.tolist() == labels["y_train"].tolist()
    assert test.y.tolist() == labels["y_test"].tolist()


def test_reading_leaves_no_file_behind(sheets_folder):
    folder, *_ = sheets_folder
    before = sorted(folder.parent.rglob("*"))
    read_sheets(folder)
    assert sorted(folder.parent.rglob("*")) == before


def test_official_batches_come_before_sheets(batches_folder, sheets_folder):
    # Both folders are too small to be CIFAR-10; the complaint says which of them was read.
    with pytest.raises(BadInput, match="cifar-10-batches-py/data_batch_1: 'data' is"):
        load("cifar10", batches_folder[0].parent)


def test_sheets_are_read_where_there_are_no_batches(sheets_folder):
    with pytest.raises(BadInput, match=r"cifar10_webp/labels\.npz: y_train is"):
        load("cifar10", sheets_folder[0].parent)


def test_a_missing_batch_is_named(batches_folder):
    folder, _ = batches_folder
    (folder / "data_batch_4").unlink()
    with pytest.raises(BadInput, match="data_batch_4: no such file"):
        cifar10.read_batches(folder, N)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({b"data": np.zeros((N, 3071), np.uint8)}, r"'data' is uint8 \(3, 3071\), expected uint8 \(3, 3072\)"),
        ({b"data": np.zeros((N, 3072), np.int8)}, "array of type 'i1', expected unsigned bytes"),
        ({b"data": np.array([None] * N)}, "array of type 'O8', expected unsigned bytes"),
        ({b"data": [0] * 3072}, "'data' is a list"),
        ({b"labels": [0, 1]}, "'labels' is 2 items, expected a list of 3 integers"),
        ({b"labels": [0, 1, 2.0]}, "'labels' is 3 items, expected a list of 3 integers"),
        ({b"labels": None}, "'labels' is a NoneType"),
        ({b"labels": [0, 10, 1]}, r"label 10 is outside 0\.\.9"),
        ({b"labels": [0, -1, 1]}, r"label -1 is outside 0\.\.9"),
        ({b"filenames": [b"x" * 30_000]}, "expected at most"),
    ],
)
def test_a_batch_with_wrong_contents_is_refused(batches_folder, change, message):
    folder, contents = batches_folder
    path = folder / "data_batch_2"
    path.write_bytes(pickle.dumps(contents["data_batch_2"] | change, protocol=2))
    with pytest.raises(BadInput, match=message) as error:
        cifar10.read_batches(folder, N)
    assert str(path) in str(error.value)


def test_a_batch_without_pixels_is_refused(batches_folder):
    folder, contents = batches_folder
    del contents["test_batch"][b"data"]
    (folder / "test_batch").write_bytes(pickle.dumps(contents["test_batch"], protocol=2))
    with pytest.raises(BadInput, match="test_batch: 'data' is a NoneType"):
        cifar10.read_batches(folder, N)


@pytest.mark.parametrize("keep", [0, 1, 100, 5000])
def test_a_truncated_batch_is_refused(batches_folder, keep):
    folder, _ = batches_folder
    path = folder / "test_batch"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BadInput, match="test_batch: not a readable pickle"):
        cifar10.read_batches(folder, N)


def test_a_missing_sheet_is_named(sheets_folder):
    folder, *_ = sheets_folder
    (folder / "train_2.webp").unlink()
    with pytest.raises(BadInput, match=r"train_2\.webp: no such file"):
        read_sheets(folder)


def test_missing_labels_are_named(sheets_folder):
    folder, *_ = sheets_folder
    (folder / "labels.npz").unlink()
    with pytest.raises(BadInput, match=r"labels\.npz: no such file"):
        read_sheets(folder)


def test_a_truncated_sheet_is_refused(sheets_folder):
    folder, *_ = sheets_folder
    path = folder / "test.webp"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(BadInput, match=r"test\.webp: cannot be decoded"):
        read_sheets(folder)


def test_an_empty_sheet_is_refused(sheets_folder):
    folder, *_ = sheets_folder
    (folder / "test.webp").write_bytes(b"")
    with pytest.raises(BadInput, match=r"test\.webp: begins with b'', expected a lossless WebP image"):
        read_sheets(folder)


def test_a_sheet_of_another_size_is_refused(sheets_folder):
    folder, *_ = sheets_folder
    Image.new("RGB", (96, 32)).save(folder / "train_1.webp", lossless=True)
    with pytest.raises(BadInput, match=r"train_1\.webp: a sheet of \(96, 32\) RGB, expected \(96, 64\) RGB"):
        read_sheets(folder)


def test_a_lossy_sheet_is_refused(sheets_folder):
    folder, *_ = sheets_folder
    Image.new("RGB", (96, 64)).save(folder / "train_1.webp", lossless=False)
    with pytest.raises(BadInput, match=r"train_1\.webp: .*expected a lossless WebP image"):
        read_sheets(folder)


def test_sheet_labels_out_of_range_are_refused(sheets_folder):
    folder, _, labels = sheets_folder
    labels["y_test"][3] = 11
    np.savez(folder / "labels.npz", **labels)
    with pytest.raises(BadInput, match=r"labels\.npz: label 11 of image 3"):
        read_sheets(folder)
