"""The pages of the refinement methods: one each, and a row in the table that says what the code says."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from spikeport.models import ENGINES
from spikeport.pipeline.refine import METHODS

PAGES = Path(__file__).resolve().parents[2] / "docs" / "methods"


def rows() -> dict[str, list[str]]:
    """The table's cells per method, without the method's own."""
    lines = (PAGES / "README.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| [")]
    return {first[1 : first.index("]")]: rest for first, *rest in cells}


def test_the_table_has_the_methods_there_are():
    assert sorted(rows()) == sorted(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_the_row_of_a_method_says_its_engines_and_its_teachers(name):
    _, _, engines, another, *_ = rows()[name]
    assert engines.split(", ") == [e for e in ENGINES if ENGINES[e].steps or not METHODS[name].steps]
    assert another == ("yes" if METHODS[name].any_teacher else "no")


@pytest.mark.parametrize("name", METHODS)
def test_the_page_of_a_method_names_every_setting(name):
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {name}: ")
    assert [f.name for f in fields(METHODS[name].config) if f"`{f.name}`" not in page] == []
