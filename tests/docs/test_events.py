"""docs/events.md says what the code says about recordings and frames."""

import dataclasses
from pathlib import Path

import pytest
from spikeport.models.datasets import DATASETS
from spikeport.models.events.frames import Frames

TEXT = (Path(__file__).parents[2] / "docs" / "events.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [name for name in DATASETS if DATASETS[name].recordings is not None])
def test_every_set_of_recordings_is_in_the_table_with_its_size(name):
    described = DATASETS[name]
    _, height, width = described.shape
    row = f"| `{name}` | {width} x {height}, {described.n_classes} | {described.n_train} + {described.n_test} |"
    assert row in TEXT


def test_every_setting_of_frames_is_in_the_table():
    assert [field.name for field in dataclasses.fields(Frames) if f"\n| `{field.name}` |" not in TEXT] == []
