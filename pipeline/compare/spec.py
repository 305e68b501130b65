"""A compare file: which methods, T and seeds, under which teacher and budget, typed and read from YAML.

    name: digits
    base: {seed: 0, threads: 1, data: {...}, model: {...}, train: {...}, convert: {...}, refine: {epochs: 10, ...}}
    methods:
      - {label: kd, method: kd}
      - {label: cka, method: closed_loop_cka, options: {kappa: 0.5}, lr: 0.01}
    T: [2, 4]
    seeds: [0, 1, 2]
    reference: kd

`base` is an ordinary recipe; its seed decides the data's split and the teacher, its `refine` the budget all methods
share. A method, its options, T and the seed of refinement come from the lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter

from ...hw import BadInput, SpikeportError, did_you_mean
from .. import chain
from ..recipe import parse, parse_yaml, validated
from ..section import Count, NotNegative, Rate, Scalar, Section
from ..sections import Recipe

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
FROM_LISTS = {"method": "methods", "options": "methods", "T": "T", "seed": "seeds"}
"""Fields of `refine` that the lists decide, and which."""

S = TypeVar("S", bound=Section)


class Entry(Section):
    """One method of the comparison. label: its name in tables. start, engine, lr: in the place of the budget's."""

    label: Name
    method: str
    options: dict[str, Scalar | list[Scalar]] = Field(default_factory=dict)
    start: str | None = None
    engine: str | None = None
    lr: Rate | None = None

    def changes(self) -> dict[str, Any]:
        """What the method changes in `refine`."""
        given = {"start": self.start, "engine": self.engine, "lr": self.lr}
        return {"method": self.method, "options": dict(self.options)} | {
            k: v for k, v in given.items() if v is not None
        }


class CompareFile(Section):
    """The top level of a compare file; `base` and the methods are checked on their own."""

    name: Name
    base: dict[str, Any]
    methods: Annotated[list[dict[str, Any]], Field(min_length=1)]
    T: Annotated[list[Count], Field(min_length=1)]
    seeds: Annotated[list[NotNegative], Field(min_length=1)]
    reference: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What is compared. base: the recipe that all cells share. reference: the label the others are compared with."""

    name: str
    base: Recipe
    methods: tuple[Entry, ...]
    T: tuple[int, ...]
    seeds: tuple[int, ...]
    reference: str

    def recipe(self, entry: Entry, n_steps: int, seed: int) -> Recipe:
        """The recipe of one cell: an ordinary one, whose teacher is that of `base`. Raises BadInput."""
        values = self.base.model_dump(mode="json")
        values["refine"] |= entry.changes() | {"T": n_steps, "seed": seed}
        return parse(values, f"compare {self.name}: {entry.label}")

    def values(self) -> dict[str, Any]:
        """The whole comparison as plain JSON values, defaults included, in the form of the file."""
        methods = [entry.model_dump(mode="json") for entry in self.methods]
        lists = {"T": list(self.T), "seeds": list(self.seeds), "reference": self.reference}
        return {"name": self.name, "base": self.base.model_dump(mode="json"), "methods": methods, **lists}


def load(path: Path) -> Comparison:
    """Read and check a compare file; one without a name takes the file's.

    Raises BadInput for a missing or malformed file, an unknown key, a wrong value, a name that nothing is registered
    under, a field of `refine` that the lists decide, a list that names something twice, an unknown reference.
    """
    where = f"compare {path}"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{where}: cannot be read as text ({error}); give a YAML file, recipes/compare-*.yaml") from None
    values = parse_yaml(text, where)
    if not isinstance(values, dict):
        raise BadInput(f"{where}: holds a {type(values).__name__}; a compare file is a mapping, see docs/compare.md")
    return checked({"name": path.stem.removeprefix("compare-"), **values}, where)


def checked(values: Mapping[str, Any], where: str) -> Comparison:
    """A comparison from plain values. where: how an error names the source. Raises what `load` does."""
    file = _section(CompareFile, values, where)
    methods = tuple(_section(Entry, entry, f"{where}: methods.{i}") for i, entry in enumerate(file.methods))
    _each_once(where, "methods", [entry.label for entry in methods])
    _each_once(where, "T", file.T)
    _each_once(where, "seeds", file.seeds)
    labels = [entry.label for entry in methods]
    if file.reference not in labels:
        raise BadInput(
            f"{where}: reference {file.reference!r} is no label of methods; {did_you_mean(file.reference, labels)}"
        )
    found = Comparison(
        name=file.name,
        base=_base(file, where),
        methods=methods,
        T=tuple(file.T),
        seeds=tuple(file.seeds),
        reference=file.reference,
    )
    for entry in methods:
        try:
            chain.check(found.recipe(entry, file.T[0], file.seeds[0]))
        except SpikeportError as error:
            raise BadInput(f"{where}: {entry.label}: {error}") from None
    return found


def _base(file: CompareFile, where: str) -> Recipe:
    """The recipe that all cells share, named as the comparison unless it has a name. Raises BadInput."""
    refine = file.base.get("refine")
    for name, decides in FROM_LISTS.items():
        if isinstance(refine, dict) and name in refine:
            raise BadInput(f"{where}: base.refine.{name} is {refine[name]!r}, but `{decides}` decides it; leave it out")
    return parse({"name": file.name, **file.base}, f"{where}: base")


def _section(model: type[S], values: Any, where: str) -> S:
    return validated(TypeAdapter(model), values, where, model)


def _each_once(where: str, name: str, values: list[Any]) -> None:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise BadInput(f"{where}: {name} names {', '.join(map(str, twice))} more than once; give each once")
