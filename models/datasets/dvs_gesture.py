"""DVS Gesture: 11 gestures of 29 people under three lights, seen by an event camera of 128x128 pixels."""

from __future__ import annotations

import io
import re
import tokenize
from functools import lru_cache
from pathlib import Path

import numpy as np

from ...hw import BadInput
from ..events.aedat3 import read_aedat3
from ..events.files import key_of, numbered, of_files, read_bytes
from ..events.recording import Recording, Recordings
from .files import NPZ_HEADERS
from .spec import DATASETS, Dataset

PLACES = ("DvsGesture", "DVSGesture", "dvs_gesture", ".")
SIDE = 128
N_CLASSES = 11
TRIALS = {"train": "trials_to_train.txt", "test": "trials_to_test.txt"}
CUT = {"train": "ibmGestureTrain", "test": "ibmGestureTest"}
N_TRIALS = (1_176, 288)
N_CUT = (1_077, 264)
HEADER = "class,startTime_usec,endTime_usec"


def read(root: Path, sizes: tuple[int, int] = N_TRIALS, cut: tuple[int, int] = N_CUT) -> tuple[Recordings, Recordings]:
    """(train, test) from the original trials if they are in `root`, else from tonic's folders of cut gestures.

    sizes, cut: the number of gestures, train and test, that the trials or the folders must hold. The trials have every
    gesture in microseconds, arm rolls in two directions; tonic's files have one of each class, and times in
    milliseconds. Raises BadInput; for a damaged recording when it is read.
    """
    for place in PLACES:
        folder = root / place
        if (folder / TRIALS["train"]).is_file():
            train, test = (_trials(root, folder, part, n) for part, n in zip(TRIALS, sizes, strict=True))
            return train, test
        if (folder / CUT["train"]).is_dir():
            train, test = (_cut(root, folder / CUT[part], part, n) for part, n in zip(CUT, cut, strict=True))
            return train, test
    raise BadInput(
        f"dvs_gesture: neither {TRIALS['train']} nor {CUT['train']}/ is in {root} or its folder {PLACES[0]}/; put "
        f"{' or '.join(DVS_GESTURE.files)} there"
    )


def _trials(root: Path, folder: Path, part: str, n: int) -> Recordings:
    listed = folder / TRIALS[part]
    trials = [folder / name for name in _lines(listed) if name]
    tables = [path.with_name(f"{path.stem}_labels.csv") for path in trials]
    for path in (*trials, *tables):
        if path.parent != folder or not path.is_file():
            raise BadInput(f"{listed}: {path.name} is not in {folder}; unpack DvsGesture.tar.gz again")
    gestures = [(trial, *row) for trial, table in zip(trials, tables, strict=True) for row in _gestures(table)]
    _check_count(listed, len(gestures), n)
    stream_of = lru_cache(maxsize=1)(read_aedat3)  # gestures of one trial follow one another

    def recording(index: int) -> Recording:
        path, label, start, end = gestures[index]
        stream = stream_of(path)
        those = (stream.t >= start) & (stream.t < end)
        where = f"{path}, gesture {label + 1} from {start} to {end} us"
        x, y, t, p = (values[those] for values in (stream.x, stream.y, stream.t, stream.p))
        return Recording(x=x, y=y, t=t, p=p, width=SIDE, height=SIDE, where=where)

    return Recordings(
        name=f"dvs_gesture/{part}",
        labels=np.array([label for _, label, _, _ in gestures], np.int64),
        ids=None,
        key=key_of(root, (listed, *trials, *tables)),
        read=recording,
    )


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in read_bytes(path).decode("ascii").splitlines()]
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: is no plain text ({error}); it is damaged, fetch it again") from error


def _gestures(path: Path) -> list[tuple[int, int, int]]:
    """(label, start, end) of the gestures in a trial, times in microseconds; the end is no part of the gesture."""
    header, *lines = _lines(path) or [""]
    if header != HEADER:
        raise BadInput(f"{path}: begins with {header[:80]!r}, expected {HEADER!r}; it is damaged, fetch it again")
    rows = []
    for number, line in enumerate(lines, 2):
        if not line:
            continue
        match = re.fullmatch(r"(\d{1,2}),(\d{1,18}),(\d{1,18})", line)
        kind, start, end = map(int, match.groups()) if match else (0, 0, 0)
        if not 1 <= kind <= N_CLASSES or start >= end:
            raise BadInput(
                f"{path}: line {number} is {line[:80]!r}, expected a class 1..{N_CLASSES}, a start and a later end in "
                "us; it is damaged, fetch it again"
            )
        rows.append((kind - 1, start, end))
    return rows


def _cut(root: Path, folder: Path, part: str, n: int) -> Recordings:
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; unpack {folder.name}.tar.gz there")
    people = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    files = [(label, path) for person in people for label, path in numbered(person, r"(\d|10)\.npy").items()]
    _check_count(folder, len(files), n)
    return of_files(f"dvs_gesture/{part}", root, [path for _, path in files], [label for label, _ in files], _read_cut)


def _check_count(where: Path, found: int, wanted: int) -> None:
    if found != wanted:
        raise BadInput(f"{where}: {found} gestures, expected {wanted}; unpack all of it again")


def _read_cut(path: Path) -> Recording:
    """A gesture from a `.npy` of x, y, polarity and time in milliseconds, (n, 4); times may have a fraction."""
    table = _npy(path).astype(np.float64)
    with np.errstate(over="ignore"):
        exact = table * (1, 1, 1, 1000)
    whole = np.rint(exact)
    sound = (np.abs(whole) < 2**53).all(axis=1) & (whole == exact)[:, :3].all(axis=1)
    if not sound.all():
        at = int(np.argmin(sound))
        raise BadInput(
            f"{path}: event {at} of {len(table)} is {table[at].tolist()}, expected whole x, y and polarity, and a time "
            "in ms; the file is damaged, fetch it again"
        )
    x, y, p, t = whole.astype(np.int64).T
    return Recording(x=x, y=y, t=t, p=p, width=SIDE, height=SIDE, where=str(path))


def _npy(path: Path) -> np.ndarray:
    """Numbers (n, 4). Nothing is unpickled, and the size is checked before the contents are believed."""
    raw = read_bytes(path)
    file = io.BytesIO(raw)
    try:
        shape, fortran, dtype = NPZ_HEADERS[np.lib.format.read_magic(file)](file)
    except (ValueError, LookupError, TypeError, SyntaxError, tokenize.TokenError) as error:
        raise BadInput(f"{path}: no readable .npy ({error}); it is damaged or truncated, fetch it again") from error
    if len(shape) != 2 or shape[1] != 4 or dtype.kind not in "iuf":
        raise BadInput(f"{path}: holds {dtype} {shape}, expected numbers (n, 4): x, y, p, t; fetch it again")
    size, rest = 4 * shape[0] * dtype.itemsize, len(raw) - file.tell()
    if rest != size:
        raise BadInput(
            f"{path}: has {rest} bytes of events, expected {size}; it is damaged or truncated, fetch it again"
        )
    return np.frombuffer(raw, dtype, offset=file.tell()).reshape(shape, order="F" if fortran else "C")


DVS_GESTURE = DATASETS.register(
    "dvs_gesture",
    Dataset(
        name="dvs_gesture",
        shape=(2, SIDE, SIDE),
        n_classes=N_CLASSES,
        n_train=N_TRIALS[0],
        n_test=N_TRIALS[1],
        licence="CC BY 4.0",
        source=(
            "Amir, Taba, Berg et al., A Low Power, Fully Event-Based Gesture Recognition System, CVPR 2017, "
            f"https://research.ibm.com/interactive/dvsgesture/. The cut form has {N_CUT[0]} and {N_CUT[1]} gestures"
        ),
        files=(
            f"the folder {PLACES[0]}/ with {TRIALS['train']}, user01_led.aedat and so on (from DvsGesture.tar.gz)",
            f"the folders {PLACES[1]}/{CUT['train']}/ and {CUT['test']}/ (tonic's form, .npy)",
        ),
        recordings=read,
    ),
)
