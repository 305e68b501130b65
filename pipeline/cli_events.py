"""The command that shows recordings of an event camera: `show-events` draws the frames that a network sees."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..hw import BadInput
from .cli_common import Settings, say, told

if TYPE_CHECKING:
    import numpy as np

    from ..models.events.recording import Recording, Recordings
    from .data_section import Data, Frames

DEFAULT_T = 8
"""Frames of a recording that is shown without a recipe."""

ENDINGS = (".png", ".gif", ".apng")


class Part(StrEnum):
    """The parts of a data set."""

    train = "train"
    test = "test"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(show_events)


def show_events(
    source: Annotated[
        str, typer.Argument(metavar="DATASET|RECIPE", help="A data set, e.g. nmnist, or a recipe with data.frames.")
    ],
    settings: Settings = None,
    index: Annotated[int, typer.Option("--index", help="Which recording of the part, from 0.")] = 0,
    split: Annotated[Part, typer.Option("--split", help="Which part, or which of a recipe's folds.")] = Part.test,
    root: Annotated[Path | None, typer.Option("--root", help="The data folder, in place of the recipe's.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="The picture: .png, or .gif or .apng for the frames in turn; events.png if not given."
        ),
    ] = None,
    animate: Annotated[
        bool, typer.Option("--animate", help="Show the frames in turn, in events.gif if no --out is given.")
    ] = False,
) -> None:
    """Draw the frames that a network sees of a recording; of a still image, what a simulated camera makes of it."""
    with told():
        out = out or Path("events.gif" if animate else "events.png")
        if out.suffix not in ENDINGS or out.is_dir():
            raise BadInput(f"--out {out}: the picture is a file; give a name that ends in {' or '.join(ENDINGS)}")
        data, chosen = _data(source, settings or [], root)
        from ..models.datasets import DATASETS
        from ..models.events import frames
        from ..models.events.picture import Picture, animation, sheet
        from ..models.events.saccades import SYNTHETIC

        recordings, at = _find(data, split, index)
        recording = recordings.read(at)
        seen = frames.to_frames(recording, frames.Frames(**chosen.model_dump()))
        fold = "" if data.folds is None else f" (fold {data.folds.test} of {data.folds.of})"
        scene = "" if recordings.ids is None else f", shows {recordings.ids[at]}"
        lines = (
            f"{data.name} {split.value}{fold}, recording {index}: label {recordings.labels[at]}{scene}",
            _recorded(recording),
            _framed(chosen, seen),
        )
        notice = SYNTHETIC if DATASETS[data.name].recordings is None else None
        picture = Picture(frames=seen, lines=lines, notice=notice)
        if animate or out.suffix != ".png":
            _write(out, animation(picture, "gif" if out.suffix == ".gif" else "png"))
        else:
            _write(out, sheet(picture))
        for line in (f"wrote {out}", *lines, *([] if notice is None else [notice])):
            say(line)


def _data(source: str, changes: list[str], root: Path | None) -> tuple[Data, Frames]:
    """What is shown, and in which frames: a recipe's, or a data set's in `DEFAULT_T` frames of equal time."""
    from .data_section import Data, Frames
    from .recipe import load

    if source.endswith((".yaml", ".yml")) or Path(source).is_file():
        data = load(source, changes).data
        data = data if root is None else data.model_copy(update={"root": root})
        if data.frames is None:
            raise BadInput(
                f"{source}: its network sees images of {data.name}, no events; give data.frames, or name the data set "
                f"itself: spikeport show-events {data.name}"
            )
        return data, data.frames
    if changes:
        raise BadInput(f"--set {changes[0]}: {source} is no recipe; write one with data.name {source} and data.frames")
    frames = Frames(T=DEFAULT_T)
    return Data(name=source, root=root, frames=frames), frames


def _find(data: Data, split: Part, index: int) -> tuple[Recordings, int]:
    """The recording of a part, or of a fold of both parts: its set and its place there. Raises BadInput."""
    import numpy as np
    import torch

    from .data import fold, recordings_of

    train, test = recordings_of(data)
    numbers = torch.arange(len(train) + len(test))
    if data.folds is None:
        held_out = numbers >= len(train)
    else:
        held_out = fold(torch.from_numpy(np.concatenate([train.labels, test.labels])), data.folds)
    members = numbers[held_out if split is Part.test else ~held_out].tolist()
    if not 0 <= index < len(members):
        raise BadInput(
            f"--index {index}: {data.name} {split.value} has {len(members)} recordings; give 0..{len(members) - 1}"
        )
    number = members[index]
    return (train, number) if number < len(train) else (test, number - len(train))


def _recorded(recording: Recording) -> str:
    """What the camera sent."""
    on = int(recording.p.sum())
    duration_ms = int(recording.t[-1] - recording.t[0]) / 1000
    return (
        f"sent: {len(recording)} events, {on} ON and {len(recording) - on} OFF, in {duration_ms:.1f} ms, "
        f"{recording.width} x {recording.height} pixels"
    )


def _framed(chosen: Frames, seen: np.ndarray) -> str:
    """What became of it."""
    n_steps, _, height, width = seen.shape
    parts = "time" if chosen.by == "time" else "number of events"
    until = "" if chosen.until_us is None else f" of the first {chosen.until_us / 1000:g} ms"
    fit = "" if chosen.size is None else f" ({chosen.fit})"
    value = "a spike or none" if chosen.levels == 1 else f"up to {chosen.levels} events"
    size = f"{width} x {height} pixels{fit}"
    return f"seen: {n_steps} frames of equal {parts}{until}, {size}, {value} per pixel and polarity"


def _write(out: Path, content: bytes) -> None:
    """Write the picture whole, with its folder. Raises BadInput where that cannot be."""
    from .files import write_bytes

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(out, content)
    except OSError as error:
        raise BadInput(f"--out {out}: cannot be written ({error.strerror}); give a place that can") from None
