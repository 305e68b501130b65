"""A table of whole numbers whose rows are added up over the neurons that spiked."""

from __future__ import annotations

import numpy as np

from ...hw import NotRepresentable
from . import LANES, parallel
from .events import Loops

DIGIT_BITS = 7
LARGEST_DIGIT = (1 << DIGIT_BITS) - 1
MOST_ADDED = np.iinfo(np.int16).max // LARGEST_DIGIT
"""Digits that can be added before an int16 could overflow."""


class EventRows:
    """Sums of the numbers of the neurons that spiked. Called with uint8 0/1 (N, neurons); returns int64 (N, K).

    values: int64 (K, neurons), none negative. They are kept in digits of 7 bits, a byte each, which vectors of 8 bits
    add. add_events: `compiled.add_events`. Raises NotRepresentable for more neurons than 32 bits can address or add.
    """

    def __init__(self, values: np.ndarray, add_events: Loops) -> None:
        self.columns, neurons = values.shape
        self.digits = max(1, -(-int(values.max()).bit_length() // DIGIT_BITS))
        width = -(-self.columns * self.digits // LANES) * LANES
        if neurons * max(width, LARGEST_DIGIT) >= 1 << 31:
            raise NotRepresentable(
                f"tallies: {self.columns} numbers for each of {neurons} neurons leave 32 bits; use backend='portable'"
            )
        self.rows = np.zeros((neurons, width), np.int8)
        for digit in range(self.digits):
            lanes = slice(digit * self.columns, (digit + 1) * self.columns)
            self.rows[:, lanes] = (values >> (DIGIT_BITS * digit) & LARGEST_DIGIT).T
        self.add_events = add_events

    def __call__(self, spikes: np.ndarray) -> np.ndarray:
        """The sums of N pictures."""
        given = np.ascontiguousarray(spikes)[:, None, None]
        words = np.empty((1, 0, 0, 0), np.uint64)
        if len(self.rows) % 8 == 0:
            words = np.require(given.view(np.uint64), requirements="A")
        sums = np.empty((len(given), self.rows.shape[1]), np.int32)

        def some(part: slice) -> None:
            self.add_events(given[part], words[part] if words.size else words, self.rows, MOST_ADDED, sums[part])

        parallel(some, len(given), smallest=4)
        by_digit = sums[:, : self.columns * self.digits].reshape(len(sums), self.digits, self.columns).astype(np.int64)
        return (by_digit << DIGIT_BITS * np.arange(self.digits)[:, None]).sum(axis=1)
