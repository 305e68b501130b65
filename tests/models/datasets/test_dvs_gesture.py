"""DVS Gesture as original trials and as tonic's cut gestures, both written here in small."""

import numpy as np
import pytest
from spikeport.hw import BadInput
from spikeport.models.datasets import dvs_gesture
from spikeport.models.events import aedat3, cache
from spikeport.models.events.frames import Frames

from ..events import writers

HEADER = "class,startTime_usec,endTime_usec"
ROWS = {
    "user01_fluorescent": [(1, 100, 200), (8, 200, 300), (8, 350, 400)],
    "user02_led": [(11, 0, 1000)],
    "user24_led": [(2, 150, 151), (3, 10, 390)],
}
TRIALS = {"train": ("user01_fluorescent", "user02_led"), "test": ("user24_led",)}
SIZES = (4, 2)
STREAM = [(127, 0, 50, 1), (1, 2, 100, 0), (3, 4, 150, 1), (5, 6, 200, 1), (7, 8, 299, 0), (9, 127, 399, 1)]
CUT = {"ibmGestureTrain/user01_led/0": 0, "ibmGestureTrain/user02_led/10": 10, "ibmGestureTest/user24_led/2": 2}
CUT_SIZES = (2, 1)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path


def write_trials(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for part, names in TRIALS.items():
        (folder / f"trials_to_{part}.txt").write_text("".join(f"{name}.aedat\n" for name in names) + "\n")
    content = writers.aedat3(writers.aedat3_packet(STREAM[:4]), writers.aedat3_packet(STREAM[4:]))
    for name, rows in ROWS.items():
        (folder / f"{name}.aedat").write_bytes(content)
        lines = [HEADER, *(",".join(map(str, row)) for row in rows)]
        (folder / f"{name}_labels.csv").write_bytes("\r\n".join(lines).encode())


def table(events):
    """Rows of x, y, p, t in milliseconds."""
    return np.array([(x, y, p, t / 1000) for x, y, t, p in events])


def write_cut(folder, convert=lambda rows: rows):
    for place in CUT:
        path = folder / f"{place}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, convert(table([(x, y, 1000 * t, p) for x, y, t, p in STREAM])))


def read(root):
    return dvs_gesture.read(root, SIZES, CUT_SIZES)


def rows_of(recording):
    return list(zip(*(getattr(recording, name).tolist() for name in "xytp"), strict=True))


@pytest.mark.parametrize("place", ["DvsGesture", "DVSGesture", "."])
def test_trials_are_cut_into_gestures_at_their_times(root, place):
    write_trials(root / place)
    for part, names in zip(read(root), TRIALS, strict=True):
        wanted = [row for name in TRIALS[names] for row in ROWS[name]]
        assert part.name == f"dvs_gesture/{names}"
        assert part.ids is None
        assert part.labels.tolist() == [kind - 1 for kind, _, _ in wanted]
        for index, (_, start, end) in enumerate(wanted):
            found = part.read(index)
            assert rows_of(found) == [event for event in STREAM if start <= event[2] < end]
            assert (found.width, found.height) == (128, 128)


def test_a_trial_is_read_once_for_all_its_gestures(root, monkeypatch):
    write_trials(root / "DvsGesture")
    paths = []

    def counting(path):
        paths.append(path.name)
        return aedat3.read_aedat3(path)

    monkeypatch.setattr(dvs_gesture, "read_aedat3", counting)
    train, _ = read(root)
    for index in range(len(train)):
        train.read(index)
    assert paths == ["user01_fluorescent.aedat", "user02_led.aedat"]


def in_columns(rows):
    return np.asfortranarray(rows.astype(np.int32))


@pytest.mark.parametrize(
    "convert", [lambda rows: rows, lambda rows: rows.astype(np.int16), in_columns, lambda rows: rows.astype(">u8")]
)
@pytest.mark.parametrize("place", ["DVSGesture", "."])
def test_cut_gestures_are_read_in_milliseconds_whatever_the_numbers_type(root, place, convert):
    write_cut(root / place, convert)
    train, test = read(root)
    assert train.labels.tolist() == [0, 10]
    assert test.labels.tolist() == [2]
    for part in (train, test):
        for index in range(len(part)):
            assert rows_of(part.read(index)) == [(x, y, 1000 * t, p) for x, y, t, p in STREAM]


def test_a_fraction_of_a_millisecond_is_rounded_to_microseconds(root):
    write_cut(root)
    np.save(root / "ibmGestureTest/user24_led/2.npy", np.array([[1, 2, 0, 0.0624], [1, 2, 1, 7.0006]]))
    assert rows_of(read(root)[1].read(0)) == [(1, 2, 62, 0), (1, 2, 7001, 1)]


def test_gestures_are_in_the_order_of_people_then_of_classes(root):
    write_cut(root)
    for name in ("user01_led/9", "user01_led/10", "user01_fluorescent/3"):
        path = root / f"ibmGestureTrain/{name}.npy"
        path.parent.mkdir(exist_ok=True)
        np.save(path, table(STREAM))
    train, _ = dvs_gesture.read(root, SIZES, (5, 1))
    assert train.labels.tolist() == [3, 0, 9, 10, 10]


def test_trials_come_before_cut_gestures(root):
    write_cut(root)
    write_trials(root)
    assert len(read(root)[0]) == SIZES[0]


def replaced(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def without(name):
    return lambda folder: (folder / name).unlink()


LABELS = "user02_led_labels.csv"
TRIAL = "user02_led.aedat"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without(TRIAL), r"trials_to_train\.txt: user02_led\.aedat is not in"),
        (without(LABELS), r"trials_to_train\.txt: user02_led_labels\.csv is not in"),
        (without("trials_to_test.txt"), r"trials_to_test\.txt: cannot be read"),
        (
            replaced("trials_to_train.txt", b"../DvsGesture/user02_led.aedat\n"),
            r"train\.txt: user02_led\.aedat is not in",
        ),
        (replaced("trials_to_train.txt", b"user02_led.aedat\n"), r"trials_to_train\.txt: 1 gestures, expected 4"),
        (replaced("trials_to_train.txt", b"\xff\xfe"), r"trials_to_train\.txt: is no plain text"),
        (replaced(LABELS, b""), "begins with '', expected 'class,start"),
        (replaced(LABELS, b"class;start;end\n1;2;3"), "begins with 'class;start;end'"),
        (replaced(LABELS, f"{HEADER}\n12,1,2".encode()), r"line 2 is '12,1,2', expected a class 1\.\.11"),
        (replaced(LABELS, f"{HEADER}\n\n0,1,2".encode()), "line 3 is '0,1,2'"),
        (replaced(LABELS, f"{HEADER}\n1,2,2".encode()), "line 2 is '1,2,2', expected .* a later end"),
        (replaced(LABELS, f"{HEADER}\n1,-2,2".encode()), "line 2 is '1,-2,2'"),
        (replaced(LABELS, f"{HEADER}\n1,2".encode()), "line 2 is '1,2'"),
        (replaced(TRIAL, b""), r"user02_led\.aedat: begins with b''"),
        (replaced(TRIAL, writers.aedat3(writers.aedat3_packet(STREAM))[:-1]), r"user02_led\.aedat: ends after"),
        (
            replaced(TRIAL, writers.aedat3()),
            r"user02_led\.aedat, gesture 11 from 0 to 1000 us: holds no events",
        ),
        (
            replaced(TRIAL, writers.aedat3(writers.aedat3_packet([(0, 128, 1, 1)]))),
            r"user02_led\.aedat, gesture 11 .*: event 0 of 1 has y = 128, outside 0\.\.127",
        ),
        (
            replaced(TRIAL, writers.aedat3(writers.aedat3_packet([(0, 0, 2, 1), (0, 0, 1, 1)]))),
            r"user02_led\.aedat, gesture 11 .*: event 1 of 2 is at 1 us, before the 2 us",
        ),
    ],
)
def test_damaged_trials_are_refused_and_no_frames_are_kept(root, spoil, message):
    folder = root / "DvsGesture"
    write_trials(folder)
    spoil(folder)
    with pytest.raises(BadInput, match=message) as error:
        cache.clips(read(root)[0], Frames(T=2))
    assert str(error.value).startswith(str(folder))
    assert list(root.glob("cache/*")) == []


def saved(array, tmp_path):
    np.save(tmp_path / "a.npy", array)
    return (tmp_path / "a.npy").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:0], "holds no events"),
        (lambda rows: rows[:, :3], r"holds float64 \(6, 3\), expected numbers \(n, 4\)"),
        (lambda rows: rows.ravel(), r"holds float64 \(24,\)"),
        (lambda rows: rows.astype(complex), "holds complex128"),
        (lambda rows: np.add(rows, (0.5, 0, 0, 0)), r"event 0 of 6 is \[127\.5, 0\.0"),
        (lambda rows: np.where(rows == 150, np.nan, rows), r"event 2 of 6 is \[3\.0, 4\.0, 1\.0, nan\]"),
        (lambda rows: np.where(rows == 150, 1e307, rows), "event 2 of 6 is"),
        (lambda rows: np.add(rows, (1, 0, 0, 0)), r"event 0 of 6 has x = 128, outside 0\.\.127"),
        (lambda rows: np.subtract(rows, (0, 1, 0, 0)), r"event 0 of 6 has y = -1, outside 0\.\.127"),
        (lambda rows: np.add(rows, (0, 0, 1, 0)), r"event 0 of 6 has p = 2, outside 0\.\.1"),
        (lambda rows: rows[::-1], "event 1 of 6 is at 299000 us, before the 399000 us"),
    ],
)
def test_a_damaged_cut_gesture_is_refused_and_no_frames_are_kept(root, change, message):
    write_cut(root)
    path = root / "ibmGestureTrain/user02_led/10.npy"
    np.save(path, change(table([(x, y, 1000 * t, p) for x, y, t, p in STREAM])))
    with pytest.raises(BadInput, match=message) as error:
        cache.clips(read(root)[0], Frames(T=2))
    assert str(error.value).startswith(f"{path}: ")
    assert list(root.glob("cache/*")) == []


def test_a_file_that_is_no_npy_is_refused(root):
    write_cut(root)
    path = root / "ibmGestureTrain/user01_led/0.npy"
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(BadInput, match=r"0\.npy: (no readable \.npy|has \d+ bytes of events, expected 192)"):
            read(root)[0].read(0)
    np.save(path, np.array([{}], object), allow_pickle=True)
    with pytest.raises(BadInput, match="holds object"):
        read(root)[0].read(0)
    path.write_bytes(whole.replace(b"'<f8'", b"'<f("))
    with pytest.raises(BadInput, match=r"no readable \.npy"):
        read(root)[0].read(0)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without("ibmGestureTrain/user02_led/10.npy"), "ibmGestureTrain: 1 gestures, expected 2"),
        (
            lambda root: (root / "ibmGestureTest").rename(root / "a"),
            r"ibmGestureTest: no such folder; unpack ibmGestureTest\.tar",
        ),
    ],
)
def test_an_incomplete_folder_of_cut_gestures_is_refused(root, spoil, message):
    write_cut(root)
    spoil(root)
    with pytest.raises(BadInput, match=message):
        read(root)
