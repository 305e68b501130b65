"""A recipe: everything a run depends on, typed, frozen and read from YAML.

A key nobody knows is refused with its dotted path and the nearest known key; a value out of range is refused with its
path, the value and the limit. Nothing is read from the environment. What a recipe holds is in `sections`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from ..hw import BadInput, did_you_mean
from .sections import Recipe

T = TypeVar("T")


def load(path: Path | str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe file and apply `key.path=value` overrides, whose values are YAML.

    A recipe without a name takes the file's. Raises BadInput for a missing or malformed file, an unknown key, a
    duplicate key, and a value of the wrong type or range.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = sorted(str(p) for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        there = f"; there is: {', '.join(near)}" if near else ""
        raise BadInput(f"recipe {path}: no such file{there}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"recipe {path}: cannot be read as text ({error}); give a YAML file") from None
    values = parse_yaml(text, f"recipe {path}")
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise BadInput(f"recipe {path}: holds a {type(values).__name__}; a recipe is a mapping of section: settings")
    values = _unshared(values)
    for override in overrides:
        _apply(values, override)
    values.setdefault("name", path.stem)
    return parse(values, f"recipe {path}")


def parse(values: Mapping[str, Any], where: str = "recipe") -> Recipe:
    """A recipe from plain values. where: how an error names the source. Raises BadInput."""
    return validated(TypeAdapter(Recipe), values, where, Recipe)


def options_as(kind: type[T], options: Mapping[str, Any], where: str) -> T:
    """A method's settings from a recipe's mapping: an instance of the frozen dataclass `kind`.

    where: the mapping's dotted path, e.g. `refine.options`. Raises BadInput for an unknown key or a wrong value.
    """
    known = [field.name for field in dataclasses.fields(kind)]  # pyright: ignore[reportArgumentType]
    for key in options:
        if key not in known:
            hint = did_you_mean(key, known) if known else f"{kind.__name__} has no settings"
            raise BadInput(f"{where}.{key}: unknown key; {hint}")
    return validated(TypeAdapter(kind), dict(options), where, None)


def validated(adapter: TypeAdapter[T], values: Any, where: str, model: type[BaseModel] | None) -> T:
    """Values as the adapter's type, or BadInput with one line per wrong or unknown key; `where` begins each.

    model: the type's model, whose sections name the nearest key; None for a dataclass.
    """
    try:
        return adapter.validate_python(values)
    except ValidationError as error:
        lines = [_explain(detail, where, model) for detail in error.errors()]
        raise BadInput("\n".join(dict.fromkeys(lines))) from None


def _explain(detail: ErrorDetails, where: str, model: type[BaseModel] | None) -> str:
    """One line for one of pydantic's complaints: where, dotted path, value, limit, way out."""
    keys = [str(part) for part in detail["loc"]]
    holder, named = model, []
    for key in keys:  # pydantic adds the arms of a union to the path; a user knows only the keys
        if holder is None:
            named.append(key)
            break
        named.append(key)
        field = holder.model_fields.get(key)
        if field is None:
            break
        holder = _model_in(field.annotation)
    path = ".".join(named)
    at = f"{where}: {path}" if path else where
    if detail["type"] == "extra_forbidden":
        known = holder.model_fields if holder is not None else {}
        hint = did_you_mean(named[-1], known) if known else "this section has no settings"
        return f"{at}: unknown key; {hint}"
    if detail["type"] in ("model_type", "dict_type", "model_attributes_type"):
        return f"{at} is {detail['input']!r}; it is a section, write `{named[-1] if named else 'section'}: {{...}}`"
    if detail["type"] == "missing":
        return f"{at}: is missing; give it a value"
    if detail["type"] == "value_error":
        return f"{at}: {detail['msg'].removeprefix('Value error, ')}"
    message = detail["msg"][0].lower() + detail["msg"][1:]
    return f"{at} is {detail['input']!r}; {message}"


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The section a field holds, if it holds one."""
    if get_origin(annotation) in (Union, UnionType, Annotated):
        return next((found for arm in get_args(annotation) if (found := _model_in(arm))), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _unshared(values: Any) -> Any:
    """A copy in which what YAML's aliases share is there once for each of them, so that one can be changed alone."""
    if isinstance(values, dict):
        return {key: _unshared(value) for key, value in values.items()}
    return [_unshared(value) for value in values] if isinstance(values, list) else values


def _apply(values: dict[str, Any], override: str) -> None:
    """Set one dotted key in place. Whether the key exists is the model's business."""
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise BadInput(f"--set {override!r}: write it as section.key=value, for example refine.T=2")
    here = values
    for depth, part in enumerate(parts[:-1], 1):
        below = here.setdefault(part, {})
        if below is None:
            below = here[part] = {}
        if not isinstance(below, dict):
            raise BadInput(f"--set {override!r}: {'.'.join(parts[:depth])} is {below!r}, not a section")
        here = below
    here[parts[-1]] = parse_yaml(text, f"--set {override!r}")


class _Loader(yaml.SafeLoader):
    """yaml's safe loader, which also refuses a key given twice and reads `1e-3` as the number it is."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is not text", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice; keep one", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def parse_yaml(text: str, where: str) -> Any:
    """The value of a YAML text, each key once. Raises BadInput, which begins with `where`."""
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f" line {mark.line + 1}" if mark else ""
        raise BadInput(f"{where}:{line} {error.problem}") from None
    except yaml.YAMLError as error:
        raise BadInput(f"{where}: is not YAML ({error})") from None
