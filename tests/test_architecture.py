"""Imports point at the leaf: hw <- models, export, sim <- pipeline. Every module is parsed, none is imported."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "spikeport"
ROOMS = ("hw", "models", "export", "sim", "pipeline")
CHAIN = {"hw", "models", "export", "sim"}
MAY_USE = {
    "hw": (set(), {"numpy"}),
    "models": ({"hw"}, {"numpy", "torch", "norse", "numba", "sklearn", "PIL", "tonic"}),
    "export": ({"hw"}, {"numpy", "h5py", "onnx", "google", "nir"}),
    "sim": ({"hw"}, {"numpy", "torch", "numba", "scipy", "pydantic", "matplotlib", "jinja2", "markupsafe"}),
    "pipeline": (
        CHAIN,
        {"numpy", "torch", "pydantic", "pydantic_core", "yaml", "safetensors", "rich", "typer", "scipy", "matplotlib"},
    ),
}
"""Per room: the other rooms, and the packages from outside the standard library, that it may import."""

MODULES = sorted(p for room in ROOMS for p in (ROOT / room).rglob("*.py") if "lava_runner" not in p.parts)


def imported(path: Path, root: Path = ROOT) -> set[str]:
    """Every module a file imports, by full name; what lies in the package begins with `spikeport.`."""
    package = [PACKAGE, *path.relative_to(root).with_suffix("").parts[:-1]]
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from . import x` names x itself; `from .a import x` names a
            names |= {f"{module}.{alias.name}" for alias in node.names} if node.module is None else {module}
    return names


def broken_rules(path: Path, root: Path = ROOT) -> list[str]:
    room = path.relative_to(root).parts[0]
    rooms, packages = MAY_USE[room]
    found = []
    for name in sorted(imported(path, root)):
        top, *rest = name.split(".")
        if top == PACKAGE:
            other = rest[0] if rest else ""
            if other in ROOMS and other != room and other not in rooms:
                found.append(f"{room} imports {name}")
            elif other not in ROOMS and room != "pipeline":
                found.append(f"{room} imports {name}, which imports nothing of the rooms but stands above them")
        elif top not in sys.stdlib_module_names and top not in packages:
            found.append(f"{room} imports {name}")
    return found


def test_there_are_modules_to_test():
    assert {p.relative_to(ROOT).parts[0] for p in MODULES} == set(ROOMS)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_module_imports_only_what_its_room_may(path):
    assert broken_rules(path) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_module_imports_its_own_package_relatively(path):
    names = {
        name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and node.level == 0
            else []
        )
    }
    assert not {name for name in names if name.split(".")[0] in (PACKAGE, *ROOMS)}


@pytest.mark.parametrize(
    ("place", "line", "rule"),
    [
        ("hw/a.py", "import torch", "hw imports torch"),
        ("hw/neurons/a.py", "def f():\n    from ...models import x", "hw imports spikeport.models"),
        ("sim/a.py", "from ..export import netx", "sim imports spikeport.export"),
        ("export/a.py", "from .. import sim", "export imports spikeport.sim"),
        ("models/a.py", "from ..pipeline.recipe import Recipe", "models imports spikeport.pipeline.recipe"),
        ("sim/report/a.py", "import pandas.core", "sim imports pandas.core"),
    ],
)
def test_the_check_sees_a_forbidden_import(tmp_path, place, line, rule):
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    path.write_text(line)
    assert broken_rules(path, tmp_path) == [rule]


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("hw/a.py", "from .errors import BadInput\nimport numpy as np\nimport os.path"),
        ("sim/report/a.py", "from ...hw import BadInput\nfrom ..trace import Trace\nfrom . import units"),
        ("pipeline/a.py", "from .. import __version__, sim\nfrom ..export.netx import read"),
    ],
)
def test_the_check_passes_an_allowed_import(tmp_path, place, line):
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    path.write_text(line)
    assert broken_rules(path, tmp_path) == []


def test_every_package_of_the_tree_is_packaged():
    import tomllib

    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {".".join([PACKAGE, *p.parent.relative_to(ROOT).parts]) for p in ROOT.glob("*/**/__init__.py")
             if p.relative_to(ROOT).parts[0] in ROOMS}  # fmt: skip
    assert found | {PACKAGE} == listed
