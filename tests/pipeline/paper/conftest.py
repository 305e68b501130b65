"""The pack of the example report, made once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from spikeport.pipeline.paper import pack
from spikeport.pipeline.recipe import parse as parse_recipe
from spikeport.pipeline.sections import Recipe
from spikeport.sim.report import Report, figures, parse

from ...sim.report.conftest import example, without_lava

ODD = "a_b%$#&{}^~<>|\"'`\\ é µ × 名"
"""What LaTeX, CSV and Markdown could trip over."""


OPTIONAL = (
    "anytime", "audits", "baselines", "break_even", "conflicts", "conventions", "drift", "events", "neurobench",
    "notices", "on_chip", "portrait", "refusals", "sensitivity", "spread",
)  # fmt: skip


def without(values: dict[str, Any], *keys: str) -> dict[str, Any]:
    """The values without the named keys, by default without all that a report need not have."""
    for key in keys or OPTIONAL:
        values.pop(key, None)
    return values


def renamed() -> dict[str, Any]:
    """The example with its second layer called `ODD`."""
    values = example()
    values["layers"][1]["name"] = ODD
    values["network"]["populations"][2]["name"] = ODD
    return values


@pytest.fixture
def values() -> dict[str, Any]:
    """Fresh plain values of the example report."""
    return example()


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return parse_recipe({"name": "digits", "refine": {"method": "closed_loop_cka"}})


@pytest.fixture(scope="session")
def report() -> Report:
    return parse(renamed())


@pytest.fixture(scope="session")
def members(report: Report, recipe: Recipe) -> dict[str, bytes]:
    """The parts that follow from the example report, with one figure: all of them take seconds."""

    def one(report: Report, form: figures.Form) -> dict[str, figures.Drawing]:
        first = next(figures.sketches(report))
        return {first.key: figures.render(first, form)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack.figures, "draw", one)
        return pack.parts(report, recipe)


@pytest.fixture(scope="session")
def texts(members: dict[str, bytes]) -> dict[str, str]:
    """Those of them that are text."""
    return {name: content.decode() for name, content in members.items() if not name.endswith(".pdf")}


@pytest.fixture
def lavaless() -> Callable[..., dict[str, Any]]:
    """Takes Lava out of plain values: `lavaless(values, reason)`."""
    return without_lava
