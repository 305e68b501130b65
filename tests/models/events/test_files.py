"""Which files of a folder are recordings, in which order, and when a set of them is another one."""

import os

import numpy as np
import pytest
from spikeport.hw import BadInput
from spikeport.models.events import files
from spikeport.models.events.recording import Recording


@pytest.fixture
def folder(tmp_path):
    """Three recordings and what else lies about."""
    for name in ("9.bin", "10.bin", "0.bin", "11.bin.part", "readme.txt", ".5.bin"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def test_files_are_in_the_order_of_their_numbers(folder):
    found = files.numbered(folder, r"(\d+)\.bin")
    assert [(number, path.name) for number, path in found.items()] == [(0, "0.bin"), (9, "9.bin"), (10, "10.bin")]


def test_the_first_place_that_is_there_is_taken(tmp_path):
    for name in ("b", "c"):
        (tmp_path / name).mkdir()
    (tmp_path / "a").write_text("a file")
    assert files.first_folder(tmp_path, "abc") == tmp_path / "b"
    assert files.first_folder(tmp_path, "ad") is None


def test_classes_are_in_the_order_asked_for_and_hidden_folders_are_left_alone(tmp_path):
    for name in ("cat", "dog", ".git"):
        (tmp_path / name).mkdir()
    (tmp_path / "list.txt").write_text("")
    assert files.class_folders(tmp_path, ("dog", "cat")) == [tmp_path / "dog", tmp_path / "cat"]


@pytest.mark.parametrize(
    ("there", "message"),
    [
        (("cat",), r"no folder dog/ among those of its 2 classes \(cat to dog\)"),
        (("cat", "dog", "cow"), "an unknown folder cow/ among"),
    ],
)
def test_a_folder_with_other_classes_is_refused(tmp_path, there, message):
    for name in there:
        (tmp_path / name).mkdir()
    with pytest.raises(BadInput, match=message) as error:
        files.class_folders(tmp_path, ("cat", "dog"))
    assert str(error.value).startswith(f"{tmp_path}: ")


def test_complete_numbers_may_be_in_any_order(tmp_path):
    files.check_complete(tmp_path, [3, 1, 2], 1, 3)
    files.check_complete(tmp_path, iter([0]), 0, 1)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([1, 3], "holds 2 recordings, expected 3, numbered 1 to 3; number 2 is missing"),
        ([1, 2, 3, 4], "holds 4 recordings, expected 3, .* number 4 is there twice or beyond"),
        ([1, 2, 2, 3], "number 2 is there twice"),
        ([0, 1, 2], "number 3 is missing"),
        ([], "holds 0 recordings, expected 3"),
    ],
)
def test_numbers_that_are_not_complete_are_refused(tmp_path, numbers, message):
    with pytest.raises(BadInput, match=message):
        files.check_complete(tmp_path, numbers, 1, 3)


def test_a_key_changes_with_names_sizes_times_and_order(folder):
    paths = [folder / "9.bin", folder / "10.bin"]
    keys = [files.key_of(folder, paths), files.key_of(folder, paths[::-1])]
    os.utime(paths[0], ns=(0, 1))
    keys.append(files.key_of(folder, paths))
    paths[0].write_bytes(b"more than before")
    os.utime(paths[0], ns=(0, 1))
    keys.append(files.key_of(folder, paths))
    paths[0].rename(folder / "8.bin")
    keys.append(files.key_of(folder, [folder / "8.bin", paths[1]]))
    assert len(set(keys)) == 5
    assert {len(key) for key in keys} == {64}


def test_a_key_does_not_change_when_a_whole_folder_moves(folder, tmp_path_factory):
    key = files.key_of(folder, [folder / "9.bin"])
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "data"
    folder.rename(elsewhere)
    assert files.key_of(elsewhere, [elsewhere / "9.bin"]) == key
    elsewhere.rename(folder)


def test_a_set_of_files_is_read_one_at_a_time(folder):
    read = []

    def reader(path):
        read.append(path.name)
        one = np.zeros(1, np.uint8)
        return Recording(x=one, y=one, t=one, p=one, width=1, height=1, where=path.name)

    paths = [folder / "9.bin", folder / "10.bin"]
    recordings = files.of_files("few/train", folder, paths, [4, 2], reader, np.array(["a", "b"]))
    assert read == []
    assert recordings.read(1).where == "10.bin"
    assert read == ["10.bin"]
    assert len(recordings) == 2
    assert recordings.labels.tolist() == [4, 2]
    assert recordings.labels.dtype == np.int64
    assert recordings.key == files.key_of(folder, paths)
