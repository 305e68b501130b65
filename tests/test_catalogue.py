"""Every behaviour that was specified, and every published number that can be computed again, has a test that names it.

A test names a behaviour (T) or a number (N) by an id in its docstring, e.g. `T-002-3` or `N-L-2`.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

CATALOGUE = {
    "T-K": 2,  # distillation of logits
    "T-C": 3,  # centered kernel alignment
    "T-N": 4,  # neurons
    "T-T": 1,  # temporal efficient training
    "T-B": 1,  # batch norm
    "T-000": 9,  # closed-loop CKA
    "T-001": 9,  # rate-based backpropagation, blockwise replacement
    "T-002": 10,  # CKDSNN
    "T-003": 10,  # SASTC
    "T-004": 9,  # CKD
    "T-CV": 7,  # conversion
    "T-HW": 6,  # the way to the chip
    "N-E": 8,  # energies: syops, KerasSpiking, a rate charged twice, an example, TrueNorth, Hala Point, Frady, Yan
    "N-L": 5,  # Lemaire et al. 2022
    "N-C": 5,  # operations as NeuroBench and SpikingJelly count them
    "N-M": 7,  # memory of cores: nengo-loihi, NxTF, Intel's compiler for Loihi 2
}
"""How many behaviours or numbers each family has; they count from 1."""


def named(text: str) -> set[str]:
    """Ids in a docstring: `T-002-3`, and each of `T-002-1..3` and `T-002-1, 2`."""
    found: set[str] = set()
    for family, numbers in re.findall(r"\b(T-(?:K|C|N|T|B|CV|HW|\d{3})|N-[ELCM])-((?:\d+(?:\.\.|, |,| and )?)+)", text):
        for part in re.split(r", ?| and ", numbers):
            low, _, high = part.partition("..")
            if low:
                found |= {f"{family}-{n}" for n in range(int(low), int(high or low) + 1)}
    return found


def ids_in_tests() -> set[str]:
    found: set[str] = set()
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found |= named(ast.get_docstring(node) or "")
    return found


FOUND = ids_in_tests()


@pytest.mark.parametrize("behaviour", [f"{f}-{n}" for f, count in CATALOGUE.items() for n in range(1, count + 1)])
def test_a_behaviour_has_a_test(behaviour):
    assert behaviour in FOUND


def test_ids_are_read_from_ranges_and_lists():
    assert named("T-002-1..3: a; T-CV-4 and T-HW-5, 6; N-M-7.") == {
        "T-002-1",
        "T-002-2",
        "T-002-3",
        "T-CV-4",
        "T-HW-5",
        "T-HW-6",
        "N-M-7",
    }
