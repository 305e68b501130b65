"""docs/numbers.md says what the cores of each chip hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from spikeport.hw import CHIPS
from spikeport.hw.placement import RESOURCES

TEXT = (Path(__file__).parents[3] / "docs" / "numbers.md").read_text(encoding="utf-8")


def column(name: str) -> dict[str, str]:
    """{field: cell} of one chip in the table of core limits."""
    lines = TEXT.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| core limit |"))
    at = [cell.strip() for cell in lines[start].strip("|").split("|")].index(name)
    cells = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        row = [cell.strip() for cell in line.strip("|").split("|")]
        cells[row[0].strip("`")] = row[at]
    return cells


@pytest.mark.parametrize("name", CHIPS)
def test_every_limit_of_every_core_is_in_the_table_and_unknown_ones_are_said_to_be(name):
    limits = {field: getattr(CHIPS[name].cores, field) for field in ("per_chip", *RESOURCES, "mesh")}
    assert column(name) == {field: "unknown" if limit is None else str(limit) for field, limit in limits.items()}


@pytest.mark.parametrize("name", CHIPS)
def test_an_unknown_limit_has_no_source(name):
    cores = CHIPS[name].cores
    for field in ("per_chip", *RESOURCES, "mesh"):
        assert (getattr(cores, field) is None) == (cores.sources[field] == "not published")
