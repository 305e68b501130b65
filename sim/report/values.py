"""What the values of a report share: frozen models that refuse unknown keys, and the score with its interval."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..interval import wilson95

Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]

INTERVAL_TOLERANCE = 1e-3  # so that numbers rounded to three decimals still load


class Value(BaseModel):
    """A part of a report."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Score(Value):
    """An accuracy of 0..1 over n images, with its 95 % Wilson score interval and, if known, the exact count."""

    accuracy: Fraction
    n: Annotated[int, Field(ge=1)]
    correct: Count | None = None
    ci95: tuple[Fraction, Fraction]

    @model_validator(mode="after")
    def _interval_belongs_to_the_accuracy(self) -> Score:
        if self.correct is not None and not equal(self.accuracy, self.correct / self.n):
            raise ValueError(f"accuracy {self.accuracy} is not {self.correct} right answers of n={self.n}")
        low, high = wilson95(self.accuracy * self.n, self.n)
        if not (close(self.ci95[0], low) and close(self.ci95[1], high)):
            raise ValueError(
                f"ci95 {list(self.ci95)} is not the Wilson interval of accuracy {self.accuracy} at n={self.n}, "
                f"[{low:.4f}, {high:.4f}]; build it with interval.wilson95(correct, n)"
            )
        return self


def close(a: float, b: float) -> bool:
    """Equal up to the rounding of a printed interval."""
    return abs(a - b) <= INTERVAL_TOLERANCE


def equal(a: float, b: float) -> bool:
    """Equal up to the rounding of a sum of floats."""
    return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)
