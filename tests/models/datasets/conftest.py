"""Small data sets in the official file formats, written by the tests that read them."""

import os
from pathlib import Path

import numpy as np
import pytest
from spikeport.models import datasets


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def no_root(monkeypatch):
    """A machine on which nobody has said where the data are."""
    monkeypatch.delenv(datasets.ROOT_VARIABLE, raising=False)


@pytest.fixture
def real_root():
    """The folder of real data sets, where this machine has one."""
    root = os.environ.get(datasets.ROOT_VARIABLE)
    if not root:
        pytest.skip(f"{datasets.ROOT_VARIABLE} names no folder of real data sets")
    return Path(root)
