"""The data section of a recipe: which images or recordings, in which frames and folds, beside which still images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from .section import Count, Fraction, NotNegative, Section


class Frames(Section):
    """How recordings of an event camera become frames, see `models/events/frames.py`."""

    T: Count
    by: Literal["time", "count"] = "time"
    until_us: Count | None = None
    size: Count | None = None
    fit: Literal["crop", "scale"] = "crop"
    levels: Annotated[int, Field(ge=1, le=255)] = 1


class Saccades(Section):
    """How still images are shown to a simulated event camera, see `models/events/saccades.py`."""

    amplitude: Annotated[int, Field(ge=1, le=64)] = 2
    period_us: Count = 100_000
    threshold: Annotated[float, Field(ge=0.01, lt=10)] = 0.2


class Folds(Section):
    """Recordings of training and test set together, divided anew: fold `test` of `of` is the test set.

    seed: of the division, which gives every fold its share of each class.
    """

    of: Annotated[int, Field(ge=2)]
    test: NotNegative = 0
    seed: NotNegative = 0

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Folds:
        if self.test >= self.of:
            raise ValueError(f"test is {self.test}, but the folds are 0..{self.of - 1}")
        return self


class Stills(Section):
    """Still images of the same classes beside recordings; the train stage's ANN learns from these.

    name, root: as of `Data`. validation, limit: images held out of training, and of the rest so many at most. Images of
    which a recording is known to be in the validation or test set are left out of both.
    """

    name: str
    root: Annotated[Path, Field(strict=False)] | None = None
    validation: Count = 200
    limit: Count | None = None


class Data(Section):
    """Which data set. root: where its files are (None: the data set's default).

    validation: images held out of training. train_limit, test_limit: use only the first so many images of the (seeded)
    split; None uses all. per_class: of these, train on so many images of each class; None for all. label_noise: share
    of the training labels that another class replaces (`pipeline/protocols.py`).

    frames: of an event camera's recordings; images become recordings first, simulated by `saccades`. folds: divides
    recordings anew. stills: images beside them.
    """

    name: str = "digits"
    root: Annotated[Path, Field(strict=False)] | None = None
    validation: Count = 200
    train_limit: Count | None = None
    test_limit: Count | None = None
    per_class: Count | None = None
    label_noise: Fraction = 0.0
    frames: Frames | None = None
    saccades: Saccades | None = None
    folds: Folds | None = None
    stills: Stills | None = None

    @model_validator(mode="after")
    def _belong_to_events(self) -> Data:
        for name in ("saccades", "folds", "stills"):
            if getattr(self, name) is not None and self.frames is None:
                raise ValueError(f"{name} is given without frames; it belongs to recordings of events, give frames too")
        return self
