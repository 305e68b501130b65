"""scikit-learn's bundled digits: 1797 images of 8x8 pixels with values 0..16. Always there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from .files import labelled
from .images import Images
from .spec import DATASETS, Dataset

N_TRAIN, N_TEST = 1437, 360


def _load(_root: Path) -> tuple[Images, Images]:
    """(train, test) by one fixed permutation: its first 360 images are the test set.

    The permutation is numpy's frozen `RandomState(0)` stream, which numpy promises not to change, so the test set is
    the same 360 images everywhere. The images are the "test" half of the UCI set; a random split puts the same
    writers on both sides, so accuracies here say less about new writers than the UCI split would.
    """
    from sklearn.datasets import load_digits  # slow to import, needed here alone

    x, y = load_digits(return_X_y=True)
    x = x.astype(np.uint8).reshape(-1, 1, 8, 8)
    order = np.random.RandomState(0).permutation(N_TRAIN + N_TEST)
    held_out, rest = order[:N_TEST], order[N_TEST:]
    train, test = (
        replace(
            labelled("digits", x[part], y[part], n_classes=10, levels=16),
            ids=np.array([f"digits/{number:04d}" for number in part]),
        )
        for part in (rest, held_out)
    )
    return train, test


DIGITS = DATASETS.register(
    "digits",
    Dataset(
        name="digits",
        shape=(1, 8, 8),
        n_classes=10,
        n_train=N_TRAIN,
        n_test=N_TEST,
        licence="CC BY 4.0",
        source=(
            "Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998, "
            "doi 10.24432/C50P49; the copy bundled with scikit-learn (sklearn.datasets.load_digits)"
        ),
        files=(),
        load=_load,
    ),
)
