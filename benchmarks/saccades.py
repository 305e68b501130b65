"""How near are simulated saccades to N-MNIST's recordings of the same digits, and what do they cost?

    OMP_NUM_THREADS=1 SPIKEPORT_DATA=FOLDER python benchmarks/saccades.py [--recordings 300]

The first recordings of N-MNIST's training set beside the simulated camera's of their MNIST digits, with two amplitudes.

Events: mean number per recording, and its correlation with the recorded number.

Polarity: in how many recordings the mean place of the ON events is behind or ahead of that of the OFF events while the
digit moves down, up and left, which takes 100 ms each.

Motion: how far the digit moves, in pixels, by one estimate for all three. In each window of 10 ms the pixels that sent
events are laid over the edges of the digits; the place where they fit best, for all recordings together, is the
digits'. The range of these places is the motion. It is that of a window's mean, so a little short of the whole way: it
shows how much for simulated recordings, whose amplitude is known.

Time: of the process, not of the clock, for each image of three sets in turn, several rounds; the median of the rounds.

Needs N-MNIST, MNIST and CIFAR-10. Writes benchmarks/results/saccades.json.
"""

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from spikeport.models.datasets import Images, load, load_recordings
from spikeport.models.events.recording import Recording
from spikeport.models.events.saccades import Saccades, simulate

AMPLITUDES = (2, 4)
SIDE_US = 100_000
WINDOW_US = 10_000
EVENTS_MIN = 20
"""Events per recording that a window must hold for a place to be read off it: less is noise of a camera at rest."""
ROUNDS, TIMED = 11, 20
"""Rounds of timing after one to warm up, and images of each set in a round."""
GRID, MARGIN = 64, 16
"""Side of the periodic grid on which pictures are laid over each other, and how far a digit may lie up or left."""


def images_of(ids: np.ndarray) -> Images:
    """The MNIST images that recordings show, in their order."""
    mnist, _ = load("mnist")
    at = {name: index for index, name in enumerate(mnist.ids.tolist())}
    return mnist.subset(torch.tensor([at[name] for name in ids.tolist()]))


def polarity(recordings: list[Recording]) -> dict[str, dict[str, int]]:
    """By direction of motion: recordings whose ON events are behind, or ahead of, their OFF events."""
    counted = {}
    for side, (direction, axis, sign) in enumerate((("down", "y", 1), ("up", "y", -1), ("left", "x", -1))):
        ahead = []
        for recording in recordings:
            part = slice(*np.searchsorted(recording.t, (side * SIDE_US, (side + 1) * SIDE_US)))
            place, on = getattr(recording, axis)[part].astype(float), recording.p[part] == 1
            ahead.append(sign * (place[on].mean() - place[~on].mean()))
        counted[direction] = {"on_behind": int(np.less(ahead, 0).sum()), "on_ahead": int(np.greater(ahead, 0).sum())}
    return counted


def motion(recordings: list[Recording], images: Images) -> dict[str, float]:
    """How far the digits move down and across, in pixels."""
    pictures = np.pad(images.x[:, 0].numpy() / images.levels, ((0, 0), (1, 1), (1, 1)))
    edges = np.conj(np.fft.rfft2(np.hypot(*np.gradient(pictures, axis=(1, 2))), (GRID, GRID)))
    places = []
    for start in range(0, 3 * SIDE_US, WINDOW_US):
        fired, n = np.zeros((len(recordings), GRID, GRID)), 0
        for sent, recording in zip(fired, recordings, strict=True):
            part = slice(*np.searchsorted(recording.t, (start, start + WINDOW_US)))
            sent[recording.y[part], recording.x[part]] = 1
            n += part.stop - part.start
        if n >= EVENTS_MIN * len(recordings):
            fits = np.fft.irfft2((np.fft.rfft2(fired) * edges).sum(axis=0), (GRID, GRID))
            places.append(highest(np.roll(fits, (MARGIN, MARGIN), axis=(0, 1))))
    rows, columns = np.ptp(places, axis=0)
    return {"rows": float(rows), "columns": float(columns)}


def highest(surface: np.ndarray) -> tuple[float, float]:
    """Where it is highest, between grid points by the parabola through three of them on each axis."""
    row, column = np.unravel_index(surface.argmax(), surface.shape)
    return row + vertex(surface[row - 1 : row + 2, column]), column + vertex(surface[row, column - 1 : column + 2])


def vertex(values: np.ndarray) -> float:
    """Of the parabola through (-1, 0, 1) and three values."""
    before, here, after = values
    return (before - after) / (before - 2 * here + after) / 2


def cpu_ms(sets: dict[str, Images]) -> dict[str, dict[str, object]]:
    """Processor time per image of each set, which take turns."""
    simulated = {name: simulate(images, Saccades(), name) for name, images in sets.items()}
    rounds: dict[str, list[float]] = {name: [] for name in sets}
    for _ in range(1 + ROUNDS):
        for name, recordings in simulated.items():
            start = time.process_time()
            for index in range(TIMED):
                recordings.read(index)
            rounds[name].append(1000 * (time.process_time() - start) / TIMED)
    return {
        name: {
            "shape": list(sets[name].shape),
            "median": statistics.median(times[1:]),
            "rounds": times[1:],
        }
        for name, times in rounds.items()
    }


def main() -> None:
    """Measure and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", type=int, default=300)
    n = parser.parse_args().recordings
    train, _ = load_recordings("nmnist")
    images = images_of(train.ids[:n])
    sets = {"recorded": [train.read(index) for index in range(n)]}
    for amplitude in AMPLITUDES:
        simulated = simulate(images, Saccades(amplitude=amplitude, period_us=SIDE_US), "mnist")
        sets[f"amplitude {amplitude}"] = [simulated.read(index) for index in range(n)]
    counts = {name: [len(recording) for recording in recordings] for name, recordings in sets.items()}
    timed = {name: load(name)[0].subset(slice(TIMED)) for name in ("digits", "mnist", "cifar10")}
    result = {
        "question": "simulated saccades beside N-MNIST's recordings of the same digits, and their time per image",
        "recordings": n,
        "events_mean": {name: statistics.mean(numbers) for name, numbers in counts.items()},
        "correlation_with_recorded": {
            name: float(np.corrcoef(numbers, counts["recorded"])[0, 1])
            for name, numbers in counts.items()
            if name != "recorded"
        },
        "polarity": {name: polarity(recordings) for name, recordings in sets.items()},
        "motion_pixels": {name: motion(recordings, images) for name, recordings in sets.items()},
        "cpu_ms_per_image": cpu_ms(timed),
        "images_per_round": TIMED,
        "threads": torch.get_num_threads(),
        "machine": {"cores": os.cpu_count(), "system": platform.platform()},
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "torch": torch.__version__},
        "script": Path(__file__).read_text(),
    }
    path = Path(__file__).parent / "results" / "saccades.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(path, {key: result[key] for key in ("events_mean", "correlation_with_recorded", "polarity", "motion_pixels")})
    print({name: measured["median"] for name, measured in result["cpu_ms_per_image"].items()})


if __name__ == "__main__":
    main()
