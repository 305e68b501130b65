"""Kept frames are those that would be made, whatever happened to the file; and nothing unsound is kept."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from spikeport.hw import BadInput
from spikeport.models.events import cache
from spikeport.models.events.frames import Frames, to_frames
from spikeport.models.events.recording import Recording, Recordings

FRAMES = Frames(T=3)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A cache of its own, not there yet."""
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "kept" / "frames"))
    return tmp_path / "kept" / "frames"


def made(n=4, seed=0, key="a", name="made/train", side=5):
    """Recordings that count how often each was read."""
    rng = np.random.default_rng(seed)
    events = [
        {"t": np.sort(rng.integers(0, 99, 40)), "p": rng.integers(0, 2, 40)}
        | {axis: rng.integers(0, side, 40) for axis in "xy"}
        for _ in range(n)
    ]
    reads = []

    def read(index):
        reads.append(index)
        return Recording(**events[index], width=side, height=side, where=f"{name} {index}")

    recordings = Recordings(
        name=name, labels=rng.integers(0, 3, n), ids=np.array([f"scene/{i}" for i in range(n)]), key=key, read=read
    )
    return recordings, reads


def expected(recordings, frames):
    return np.stack([to_frames(recordings.read(index), frames) for index in range(len(recordings))])


@pytest.mark.parametrize("levels", [1, 2, 255])
@pytest.mark.parametrize("size", [None, 3, 8])
def test_clips_are_the_frames_of_each_recording_made_or_kept(folder, levels, size):
    recordings, reads = made()
    frames = Frames(T=3, levels=levels, size=size)
    wanted = expected(recordings, frames)
    for times_read in (4, 0):
        reads.clear()
        clips = cache.clips(recordings, frames)
        assert len(reads) == times_read
        assert np.array_equal(clips.x.numpy(), wanted)
        assert clips.y.tolist() == recordings.labels.tolist()
        assert clips.y.dtype == torch.int64
        assert clips.ids.tolist() == recordings.ids.tolist()
        assert clips.levels == levels
        assert clips.n_steps == 3


def test_kept_clips_may_be_written_to(folder):
    recordings, _ = made()
    for levels in (1, 9):
        for _ in range(2):
            cache.clips(recordings, Frames(T=2, levels=levels)).x[0] = 0
        assert cache.clips(recordings, Frames(T=2, levels=levels)).x[0].any()


def test_binary_frames_take_a_bit_per_pixel(folder):
    recordings, _ = made(n=64, side=30)
    cache.clips(recordings, Frames(T=4))
    (path,) = folder.iterdir()
    values = 64 * 4 * 2 * 30 * 30
    assert values / 8 < path.stat().st_size < values / 8 + 2000


def test_making_frames_twice_gives_the_same_file(folder):
    recordings, _ = made()
    contents = []
    for _ in range(2):
        cache.clips(recordings, FRAMES)
        (path,) = folder.iterdir()
        contents.append(path.read_bytes())
        path.unlink()
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    "change",
    [{"T": 4}, {"by": "count"}, {"until_us": 50}, {"size": 5}, {"size": 5, "fit": "scale"}, {"levels": 2}],
    ids=str,
)
def test_other_settings_have_a_file_of_their_own(folder, change):
    recordings, reads = made()
    cache.clips(recordings, FRAMES)
    reads.clear()
    frames = replace(FRAMES, **change)
    clips = cache.clips(recordings, frames)
    assert len(reads) == 4
    assert np.array_equal(clips.x.numpy(), expected(recordings, frames))
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("change", [{"key": "b"}, {"name": "made/test"}], ids=str)
def test_other_recordings_have_a_file_of_their_own(folder, change):
    cache.clips(made()[0], FRAMES)
    recordings, reads = made(seed=1, **change)
    clips = cache.clips(recordings, FRAMES)
    assert np.array_equal(clips.x.numpy(), expected(recordings, FRAMES))
    assert len(list(folder.iterdir())) == 2
    assert reads


def test_names_that_make_one_file_name_are_told_apart(folder):
    cache.clips(made(name="made/train")[0], FRAMES)
    recordings, reads = made(name="made-train")
    cache.clips(recordings, FRAMES)
    assert reads
    assert len(list(folder.iterdir())) == 2


def test_another_format_has_a_file_of_its_own(folder, monkeypatch):
    recordings, reads = made()
    cache.clips(recordings, FRAMES)
    reads.clear()
    monkeypatch.setattr(cache, "FORMAT", cache.FORMAT + 1)
    cache.clips(recordings, FRAMES)
    assert reads == [0, 1, 2, 3]


def test_a_name_is_no_path(folder):
    recordings, _ = made(name="../../over there/train")
    cache.clips(recordings, FRAMES)
    (path,) = folder.iterdir()
    assert path.name.startswith("..-..-over-there-train-")


def test_a_damaged_bit_anywhere_never_gives_other_frames(folder):
    recordings, _ = made(n=2, side=2)
    frames = Frames(T=1)
    wanted = expected(recordings, frames)
    cache.clips(recordings, frames)
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    for place in range(len(whole)):
        spoilt = bytearray(whole)
        spoilt[place] ^= 1 << place % 8
        path.write_bytes(spoilt)
        assert np.array_equal(cache.clips(recordings, frames).x.numpy(), wanted)


@pytest.mark.parametrize(
    "content", [lambda whole: b"", lambda whole: whole[: len(whole) // 2], lambda whole: b"PK" * 99]
)
def test_a_truncated_or_foreign_file_is_made_anew(folder, content):
    recordings, reads = made()
    wanted = cache.clips(recordings, FRAMES).x
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    path.write_bytes(content(whole))
    reads.clear()
    assert torch.equal(cache.clips(recordings, FRAMES).x, wanted)
    assert reads == [0, 1, 2, 3]
    assert path.read_bytes() == whole


def test_frames_of_another_set_under_this_name_are_made_anew(folder):
    recordings, _ = made()
    other, _ = made(seed=1, key="b")
    cache.clips(other, FRAMES)
    (theirs,) = folder.iterdir()
    cache.clips(recordings, FRAMES)
    (ours,) = set(folder.iterdir()) - {theirs}
    theirs.replace(ours)
    assert np.array_equal(cache.clips(recordings, FRAMES).x.numpy(), expected(recordings, FRAMES))


@pytest.mark.parametrize("bad", [0, 2, 3])
def test_of_a_set_with_a_damaged_recording_nothing_is_kept(folder, bad):
    recordings, _ = made()

    def read(index):
        if index == bad:
            raise BadInput("made: recording is damaged")
        return recordings.read(index)

    with pytest.raises(BadInput, match="recording is damaged"):
        cache.clips(replace(recordings, read=read), FRAMES)
    assert list(folder.iterdir()) == []


def test_recordings_of_several_cameras_need_a_size(folder):
    recordings, _ = made()
    large, _ = made(side=7, name="large")
    mixed = replace(recordings, read=lambda index: (large if index == 2 else recordings).read(index))
    with pytest.raises(
        BadInput, match=r"large 2: frames of \(7, 7\) pixels, but those before .* \(5, 5\); give frames\.size"
    ):
        cache.clips(mixed, FRAMES)
    assert list(folder.iterdir()) == []
    assert cache.clips(mixed, replace(FRAMES, size=6)).shape == (2, 6, 6)


def test_no_recordings_give_no_frames(folder):
    with pytest.raises(BadInput, match="made/train: holds no recordings"):
        cache.clips(made(n=0)[0], FRAMES)


def test_a_folder_that_cannot_be_made_is_said_before_anything_is_read(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "file" / "frames"))
    recordings, reads = made()
    with pytest.raises(
        BadInput, match=r"frames cannot be kept in .*file/frames \(.*\); name a folder .* SPIKEPORT_CACHE"
    ):
        cache.clips(recordings, FRAMES)
    assert reads == []


def test_a_folder_without_permission_is_said_before_anything_is_read(folder, monkeypatch):
    monkeypatch.setattr(cache.os, "access", lambda *_: False)  # root may write anywhere
    recordings, reads = made()
    with pytest.raises(BadInput, match="permission denied"):
        cache.clips(recordings, FRAMES)
    assert reads == []


def test_a_full_disk_is_said_and_leaves_no_part_of_a_file(folder, monkeypatch):
    def write(file, **arrays):
        file.write(b"some of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.np, "savez", write)
    with pytest.raises(BadInput, match="No space left on device"):
        cache.clips(made()[0], FRAMES)
    assert list(folder.iterdir()) == []


def test_an_interrupted_program_leaves_no_part_of_a_file(folder, monkeypatch):
    def write(file, **arrays):
        file.write(b"some of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(cache.np, "savez", write)
    with pytest.raises(KeyboardInterrupt):
        cache.clips(made()[0], FRAMES)
    assert list(folder.iterdir()) == []


def test_a_file_gets_its_name_when_it_is_whole(folder, monkeypatch):
    renamed = []

    def rename(part, path):
        with np.load(part) as arrays:
            renamed.append((sorted(arrays), path.exists(), part.parent == path.parent))
        real(part, path)

    real = cache.os.replace
    monkeypatch.setattr(cache.os, "replace", rename)
    cache.clips(made()[0], FRAMES)
    assert renamed == [(["key", "shape", "x"], False, True)]


def test_several_programs_at_once_all_get_whole_frames(folder):
    recordings, _ = made(n=20, side=20)
    frames = Frames(T=5)
    wanted = expected(recordings, frames)

    def work(_):
        for path in folder.glob("*.npz"):
            path.unlink(missing_ok=True)
        return np.array_equal(cache.clips(recordings, frames).x.numpy(), wanted)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(80)))
    assert len(list(folder.iterdir())) == 1


def test_without_the_variable_frames_are_kept_under_home(monkeypatch, tmp_path):
    monkeypatch.delenv(cache.CACHE_VARIABLE)
    monkeypatch.setenv("HOME", str(tmp_path))
    cache.clips(made()[0], FRAMES)
    assert [path.suffix for path in (tmp_path / ".cache" / "spikeport").iterdir()] == [".npz"]
