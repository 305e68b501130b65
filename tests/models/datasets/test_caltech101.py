"""Caltech-101 from a tiny folder in the official form: classes, split, names, colours, and what is refused."""

import numpy as np
import pytest
import torch
from PIL import Image
from spikeport.hw import BadInput
from spikeport.models.datasets import load
from spikeport.models.datasets.caltech101 import CLASSES, FOLDER, N_TEST, N_TRAIN, ids, n_train_of, read

COUNTS = {"Leopards": 20, "accordion": 11, "yin_yang": 3}


def picture(label, number):
    """A plain colour that names class and number, in a form of its own."""
    pixels = np.zeros((30 + number, 60 - number, 3), np.uint8)
    pixels[:] = (60 * label, 12 * number, 200)
    return Image.fromarray(pixels)


def folder_in(root, counts=COUNTS, place=FOLDER):
    folder = root / place
    for label, (kind, count) in enumerate(counts.items()):
        (folder / kind).mkdir(parents=True)
        for number in range(1, count + 1):
            picture(label, number).save(folder / kind / f"image_{number:04d}.jpg", quality=95)
    return folder


def read_all(root, counts=COUNTS):
    return read(root, tuple(counts), sum(counts.values()))


@pytest.mark.parametrize("place", [FOLDER, f"caltech-101/{FOLDER}", f"caltech101/{FOLDER}"])
def test_the_last_tenth_of_each_class_is_the_test_set(tmp_path, place):
    """Of 20 images 2, of 11 images 2 and of 3 images 1, rounded up."""
    folder_in(tmp_path, place=place)
    train, test = read_all(tmp_path)
    assert train.y.tolist() == [0] * 18 + [1] * 9 + [2] * 2
    assert test.y.tolist() == [0] * 2 + [1] * 2 + [2]
    assert test.ids is not None
    assert test.ids.tolist() == [
        "caltech101/Leopards/image_0019",
        "caltech101/Leopards/image_0020",
        "caltech101/accordion/image_0010",
        "caltech101/accordion/image_0011",
        "caltech101/yin_yang/image_0003",
    ]


def test_every_image_has_the_name_and_label_of_its_file(tmp_path):
    folder_in(tmp_path)
    names = list(COUNTS)
    for part in read_all(tmp_path):
        assert part.shape == (3, 48, 48)
        assert part.levels == 255
        assert part.ids is not None
        for x, y, name in zip(part.x, part.y.tolist(), part.ids.tolist(), strict=True):
            _, kind, stem = name.split("/")
            colour = torch.tensor([60 * names.index(kind), 12 * int(stem.removeprefix("image_")), 200])
            assert y == names.index(kind)
            assert (x.flatten(1).to(torch.int64) - colour[:, None]).abs().max() <= 4  # what JPEG takes


def test_the_two_parts_share_no_name_and_leave_none_out(tmp_path):
    folder_in(tmp_path)
    train, test = (set(part.ids.tolist()) for part in read_all(tmp_path) if part.ids is not None)
    assert not train & test
    assert len(train | test) == sum(COUNTS.values())


@pytest.mark.parametrize("count", range(1, 30))
def test_a_tenth_rounded_up_is_held_out(count):
    held_out = count - n_train_of(count)
    assert 10 * (held_out - 1) < count <= 10 * held_out


def test_the_classes_are_those_of_the_recordings():
    """N-Caltech101: 100 kinds of things and background, without `Faces`, whose labels follow the names' order."""
    assert len(set(CLASSES)) == 101
    assert list(CLASSES) == sorted(CLASSES)  # capitals first, as a folder lists them
    assert "Faces" not in CLASSES
    assert {"BACKGROUND_Google", "Faces_easy"} < set(CLASSES)
    assert N_TRAIN + N_TEST == 9144 - 435


def test_names_are_those_of_the_files():
    assert ids("ant", range(9, 11)).tolist() == ["caltech101/ant/image_0009", "caltech101/ant/image_0010"]


def test_grey_images_get_three_equal_channels(tmp_path):
    folder = folder_in(tmp_path)
    Image.new("L", (70, 40), 130).save(folder / "Leopards" / "image_0001.jpg")
    train, _ = read_all(tmp_path)
    assert train.x[0].unique().tolist() == [130]


def test_a_large_image_is_averaged_and_not_sampled(tmp_path):
    """Stripes of one pixel, 480 wide: their mean is grey, every tenth pixel would be black or white."""
    folder = folder_in(tmp_path)
    stripes = np.zeros((480, 480), np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(folder / "Leopards" / "image_0001.jpg", quality=100)
    train, _ = read_all(tmp_path)
    inner = train.x[0, :, 2:-2, 2:-2].to(torch.float64)
    assert (inner - 127.5).abs().max() < 10


def test_an_image_is_scaled_whole_and_stays_upright(tmp_path):
    """Bright in the upper quarter of a wide picture: bright in the upper quarter of the square."""
    folder = folder_in(tmp_path)
    pixels = np.zeros((100, 300), np.uint8)
    pixels[:25, :150] = 255
    Image.fromarray(pixels).save(folder / "Leopards" / "image_0001.jpg", quality=100)
    train, _ = read_all(tmp_path)
    x = train.x[0, 0].to(torch.int64)
    assert x[:11, :23].min() > 240
    assert x[13:].max() < 15
    assert x[:, 25:].max() < 15


def test_other_folders_and_files_are_left_alone(tmp_path):
    folder = folder_in(tmp_path)
    before = read_all(tmp_path)
    (folder / "Faces").mkdir()
    (folder / "Leopards" / "tmp").mkdir()
    (folder / "accordion" / "Thumbs.db").write_bytes(b"x")
    for old, new in zip(before, read_all(tmp_path), strict=True):
        assert torch.equal(old.x, new.x)


def test_a_missing_folder_says_what_to_put_where(tmp_path):
    with pytest.raises(BadInput, match=rf"no folder {FOLDER}/ is in .*unpacked from {FOLDER}\.tar\.gz"):
        load("caltech101", tmp_path)


def test_a_missing_class_is_named(tmp_path):
    folder_in(tmp_path, {"Leopards": 2})
    with pytest.raises(BadInput, match=r"accordion: no such folder; it is one of the classes"):
        read_all(tmp_path)


@pytest.mark.parametrize("number", [1, 7])
def test_a_missing_image_is_named(tmp_path, number):
    folder = folder_in(tmp_path)
    (folder / "accordion" / f"image_{number:04d}.jpg").unlink()
    with pytest.raises(BadInput, match=rf"accordion: holds 10 images, but image_{number:04d}\.jpg is not among them"):
        read_all(tmp_path)


def test_an_empty_class_is_refused(tmp_path):
    folder = folder_in(tmp_path)
    for path in (folder / "yin_yang").iterdir():
        path.unlink()
    with pytest.raises(BadInput, match=r"yin_yang: holds 0 images, but image_0001\.jpg is not among them"):
        read_all(tmp_path)


def test_a_missing_last_image_is_seen_by_the_count(tmp_path):
    folder = folder_in(tmp_path)
    (folder / "accordion" / "image_0011.jpg").unlink()
    with pytest.raises(BadInput, match=r"holds 33 images of its 3 classes, expected 34; unpack it again"):
        read_all(tmp_path)


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "png"])
def test_a_damaged_image_is_named(tmp_path, damage):
    folder = folder_in(tmp_path)
    path = folder / "accordion" / "image_0003.jpg"
    if damage == "png":
        picture(1, 3).save(path, format="PNG")
    else:
        whole = path.read_bytes()
        path.write_bytes({"truncated": whole[: len(whole) // 2], "empty": b"", "text": b"no picture"}[damage])
    with pytest.raises(BadInput, match=r"accordion/image_0003\.jpg: cannot be decoded .*truncated or damaged"):
        read_all(tmp_path)
