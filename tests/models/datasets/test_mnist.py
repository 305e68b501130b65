import gzip
import struct

import numpy as np
import pytest
from spikeport.hw import BadInput
from spikeport.models.datasets import mnist

N_TRAIN, N_TEST = 5, 3


@pytest.fixture
def arrays(rng):
    return {
        "x_train": rng.integers(0, 256, (N_TRAIN, 28, 28), np.uint8),
        "y_train": rng.integers(0, 10, N_TRAIN, np.uint8),
        "x_test": rng.integers(0, 256, (N_TEST, 28, 28), np.uint8),
        "y_test": rng.integers(0, 10, N_TEST, np.uint8),
    }


def idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_idx(folder, arrays, suffix=""):
    folder.mkdir(parents=True, exist_ok=True)
    for part, prefix in (("train", "train"), ("test", "t10k")):
        for letter, name in (("x", "images-idx3-ubyte"), ("y", "labels-idx1-ubyte")):
            content = idx(arrays[f"{letter}_{part}"])
            (folder / f"{prefix}-{name}{suffix}").write_bytes(gzip.compress(content) if suffix else content)


def read(root):
    return mnist.read(root, N_TRAIN, N_TEST)


def assert_holds(parts, arrays):
    for part, name in zip(parts, ("train", "test"), strict=True):
        assert np.array_equal(part.x[:, 0].numpy(), arrays[f"x_{name}"])
        assert part.y.tolist() == arrays[f"y_{name}"].tolist()
        assert part.levels == 255


def test_npz_is_read_as_written(tmp_path, arrays):
    np.savez(tmp_path / "mnist.npz", **arrays)
    assert_holds(read(tmp_path), arrays)


def test_compressed_npz_with_wide_labels_in_column_order_is_read_as_written(tmp_path, arrays):
    stored = arrays | {"y_train": arrays["y_train"].astype(np.int64), "x_test": np.asfortranarray(arrays["x_test"])}
    np.savez_compressed(tmp_path / "mnist.npz", **stored)
    assert_holds(read(tmp_path), arrays)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("folder", [".", "mnist", "MNIST/raw"])
def test_idx_files_are_read_as_written(tmp_path, arrays, folder, suffix):
    write_idx(tmp_path / folder, arrays, suffix)
    assert_holds(read(tmp_path), arrays)


def test_the_npz_comes_before_the_idx_files(tmp_path, arrays):
    np.savez(tmp_path / "mnist.npz", **arrays)
    write_idx(tmp_path, {key: np.zeros_like(value) for key, value in arrays.items()})
    assert_holds(read(tmp_path), arrays)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": np.zeros((4, 28, 28), np.uint8)}, r"x_train is uint8 \(4, 28, 28\), expected uint8 \(5, 28, 28\)"),
        ({"x_test": np.zeros((3, 28, 28), np.float32)}, r"x_test is float32 .* expected uint8"),
        ({"y_train": np.full(5, np.nan)}, r"y_train is float64 \(5,\), expected integers"),
        ({"y_train": np.array(["7"] * 5, object)}, r"y_train is object \(5,\), expected integers"),
        ({"y_test": np.array([1, 10, 2], np.uint8)}, r"label 10 of image 1 is outside 0\.\.9 \(1 such"),
        ({"y_test": np.array([1, 2, -3], np.int8)}, r"label -3 of image 2 is outside 0\.\.9"),
        ({"y_test": np.array([1, 2, 2**63], np.uint64)}, "label 9223372036854775808 of image 2"),
    ],
)
def test_npz_with_a_wrong_array_is_refused(tmp_path, arrays, change, message):
    np.savez(tmp_path / "mnist.npz", **(arrays | change))
    with pytest.raises(BadInput, match=message) as error:
        read(tmp_path)
    assert str(tmp_path / "mnist.npz") in str(error.value)


def test_npz_without_an_array_says_what_it_holds(tmp_path, arrays):
    del arrays["y_test"]
    np.savez(tmp_path / "mnist.npz", **arrays)
    with pytest.raises(BadInput, match="no array 'y_test' in it, found x_test, x_train, y_train"):
        read(tmp_path)


def test_a_truncated_or_foreign_npz_is_refused(tmp_path, arrays):
    path = tmp_path / "mnist.npz"
    np.savez(path, **arrays)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"not a zip archive"):
        path.write_bytes(content)
        with pytest.raises(BadInput, match=r"mnist\.npz: not a readable \.npz"):
            read(tmp_path)


def test_a_damaged_byte_in_an_npz_is_noticed(tmp_path, arrays):
    path = tmp_path / "mnist.npz"
    np.savez(path, **arrays)
    content = bytearray(path.read_bytes())
    content[content.index(arrays["x_test"].tobytes()) + 100] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadInput, match="Bad CRC-32"):
        read(tmp_path)


def test_a_missing_idx_file_is_named(tmp_path, arrays):
    write_idx(tmp_path, arrays)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(BadInput, match=r"neither mnist\.npz nor t10k-labels-idx1-ubyte\[\.gz\]"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda content: content[:-1], r"has 3919 of the 3920 bytes"),  # 5 * 28 * 28 = 3920
        (lambda content: content + b"\0", r"has more than the 3920 bytes"),
        (lambda content: content[:10], "begins with bytes 00 00 08 03"),
        (lambda content: b"", "begins with bytes none"),
        (lambda content: b"\x93NUM" + content[4:], "begins with bytes 93 4e 55 4d"),
        (lambda content: idx(np.zeros((5, 27, 28), np.uint8)), r"holds \(5, 27, 28\), expected an IDX file"),
        (lambda content: idx(np.zeros(5, np.uint8)), "begins with bytes 00 00 08 01"),
    ],
)
def test_a_spoilt_idx_file_is_refused(tmp_path, arrays, spoil, message):
    write_idx(tmp_path, arrays)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(BadInput, match=message) as error:
        read(tmp_path)
    assert str(path) in str(error.value)


def test_a_truncated_or_foreign_gzip_is_refused(tmp_path, arrays):
    write_idx(tmp_path, arrays, ".gz")
    path = tmp_path / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    for content in (whole[:-20], b"not gzip at all"):
        path.write_bytes(content)
        with pytest.raises(BadInput, match=r"ubyte\.gz: cannot be read"):
            read(tmp_path)


def test_idx_labels_out_of_range_name_the_label_file(tmp_path, arrays):
    write_idx(tmp_path, arrays | {"y_train": np.array([0, 1, 2, 3, 200], np.uint8)})
    with pytest.raises(BadInput, match="train-labels-idx1-ubyte: label 200 of image 4"):
        read(tmp_path)
