"""A recipe: everything a run depends on, typed, frozen and read from YAML.

One model per stage. A key nobody knows is refused with its dotted path and the nearest known key; a value out of range
is refused with its path, the value and the limit. Nothing is read from the environment.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import ErrorDetails

from ..hw import BadInput, did_you_mean

T = TypeVar("T")
Scalar = bool | int | float | str | None

Count = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]
Decay = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Precision = Literal["fp32", "bf16"]


class Section(BaseModel):
    """Base of all sections: frozen, strict about types, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Augment(Section):
    """Training-time image changes. crop: pixels of padding before a random crop; cutout: side of the square, 0 off."""

    crop: NotNegative = 0
    flip: bool = False
    cutout: NotNegative = 0


class Data(Section):
    """Which data set. root: where its files are (None: the data set's default).

    validation: images held out of training. train_limit, test_limit: use only the first so many images of the (seeded)
    split; None uses all.
    """

    name: str = "digits"
    root: Annotated[Path, Field(strict=False)] | None = None
    validation: Count = 200
    train_limit: Count | None = None
    test_limit: Count | None = None


class Model(Section):
    """Which network: one of architecture and file.

    architecture: a registered name, see `spikeport models`. file: an ONNX file with a trained ANN, relative to the
    current folder; its content, not its place, decides what is computed. mean, std: of its input normalisation, per
    channel of pixels in [0, 1]; None if it takes the pixels themselves.
    """

    architecture: str | None = None
    file: Annotated[Path, Field(strict=False)] | None = None
    mean: Annotated[list[float], Field(min_length=1)] | None = None
    std: Annotated[list[Rate], Field(min_length=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _some_network(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("architecture") is None and values.get("file") is None:
            return {**values, "architecture": "digits_conv"}
        return values

    @model_validator(mode="after")
    def _one_network(self) -> Model:
        if self.architecture is not None and self.file is not None:
            raise ValueError(f"architecture {self.architecture} and file {self.file} are both given; keep one")
        if self.file is None and (self.mean or self.std):
            raise ValueError("mean and std belong to a file; an architecture is trained on the pixels themselves")
        return self

    def identity(self) -> dict[str, Any]:
        """What decides the network: the architecture's name, or the file's content and its normalisation.

        Raises BadInput if the file cannot be read.
        """
        if self.file is None:
            return {"architecture": self.architecture}
        from .adopt.content import content_hash  # few recipes name a file

        return {"file": content_hash(self.file), "mean": self.mean, "std": self.std}


class Optimization(Section):
    """What every training stage shares. momentum is SGD's; AdamW ignores it."""

    epochs: NotNegative
    batch_size: Count
    lr: Rate
    momentum: Fraction = 0.9
    weight_decay: Decay = 5e-4
    augment: Augment = Augment()
    precision: Precision = "fp32"


class Train(Optimization):
    """Training of the ANN; of one from a file, which is trained already, 0 epochs unless given."""

    epochs: NotNegative = 30
    batch_size: Count = 64
    lr: Rate = 0.05
    optimizer: Literal["sgd", "adamw"] = "sgd"
    schedule: Literal["cosine", "onecycle"] = "cosine"
    label_smoothing: Fraction = 0.0
    warmup_epochs: NotNegative = 0

    @model_validator(mode="after")
    def _warmup_fits(self) -> Train:
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs {self.warmup_epochs} is more than epochs {self.epochs}")
        return self


class Convert(Section):
    """ANN to spiking network. v_init: membrane at the start, `zero` or `half` a threshold."""

    norm: Literal["max", "percentile"] = "percentile"
    percentile: Annotated[float, Field(gt=0, le=100)] = 99.9
    calibration_images: Count = 512
    v_init: Literal["zero", "half"] = "zero"


class Refine(Optimization):
    """Repair of the converted network. T: timesteps. v_decay: voltage decay, of 4096; None for the profile's own.

    start: the converted network as it is, with half a threshold of bias, or with thresholds and biases measured layer
    by layer (`pipeline/compensate.py`). options: the method's own settings, checked by its dataclass (`options_as`).
    """

    method: str = "closed_loop_cka"
    profile: str = "loihi"
    T: Count = 4
    v_decay: Annotated[int, Field(ge=0, le=4096)] | None = None
    epochs: NotNegative = 10
    batch_size: Count = 64
    lr: Rate = 0.01
    grad_clip: Rate | None = None
    start: Literal["converted", "half_bias", "compensated"] = "half_bias"
    options: dict[str, Scalar | list[Scalar]] = Field(default_factory=dict)


class Quantize(Optimization):
    """Training in the chip's integers. payload_bits: bits of an input pixel (None: as many as fit).

    relays: how a layer that a shortcut passes can repeat its spikes in the file. `rescale` keeps the layer's threshold
    below 254, which one synapse exceeds; `copies` keeps its scale, and the export adds biases or copies.
    """

    chip: str = "loihi2"
    payload_bits: Annotated[int, Field(ge=1, le=24)] | None = None
    relays: Literal["rescale", "copies"] = "rescale"
    epochs: NotNegative = 5
    batch_size: Count = 64
    lr: Rate = 0.005
    grad_clip: Rate | None = None


class Export(Section):
    """Writing the `.net` file. It has no settings: the network decides."""


class Simulate(Section):
    """Bit-accurate simulation of the file. batch_size: images at a time; the result does not depend on it."""

    batch_size: Count = 64


class Verify(Section):
    """Comparison with real Lava. samples: test images, from the first. timeout_s: seconds Lava may take.

    fast_conv: give Lava an exact matrix product in the place of scipy's convolution; about 7 times faster, but the
    stock one is the stricter judge.
    """

    samples: Count = 32
    timeout_s: Rate = 600.0
    fast_conv: bool = False


class Energy(Section):
    """The convention shown first; all are always computed.

    first_layer: charge the layer that sees the image at every timestep or once. synops: count stored synapses or only
    those whose weight is not zero.
    """

    first_layer: Literal["per_step", "once"] = "per_step"
    synops: Literal["stored", "effective"] = "stored"


class Report(Section):
    """The report has no settings."""


class Recipe(Section):
    """Everything a run depends on. device and threads say where it is computed, all else what is computed."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    seed: NotNegative = 0
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    threads: Count | None = None
    data: Data = Data()
    model: Model = Model()
    train: Train = Train()
    convert: Convert = Convert()
    refine: Refine = Refine()
    quantize: Quantize = Quantize()
    export: Export = Export()
    simulate: Simulate = Simulate()
    verify: Verify = Verify()
    energy: Energy = Energy()
    report: Report = Report()

    @model_validator(mode="before")
    @classmethod
    def _a_file_is_trained(cls, values: Any) -> Any:
        model, train = (values.get("model"), values.get("train", {})) if isinstance(values, dict) else (None, None)
        if isinstance(model, dict) and model.get("file") is not None and isinstance(train, dict):
            return {**values, "train": {"epochs": 0, **train}}
        return values

    def sections(self, names: Iterable[str]) -> dict[str, Any]:
        """The named top-level parts as plain JSON values.

        A place is not an identity: `data.root` is left out, and `model.file` is the hash of its content.
        """
        names = sorted(names)
        whole = self.model_dump(mode="json")
        whole["data"].pop("root")
        if "model" in names:
            whole["model"] = self.model.identity()
        return {name: whole[name] for name in names}

    def canonical(self) -> str:
        """The whole recipe as JSON with sorted keys: equal recipes give equal text."""
        return canonical(self.model_dump(mode="json"))

    def identity(self) -> str:
        """SHA-256 over what the trained ANN depends on: name, seed, data, model, train. It names the run's folder."""
        return digest(self.sections(("name", "seed", "data", "model", "train")))


def canonical(value: Any) -> str:
    """JSON text with sorted keys and no spaces. Raises ValueError for NaN and infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON text of a value, in hex."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


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
    values = _parse(text, f"recipe {path}")
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise BadInput(f"recipe {path}: holds a {type(values).__name__}; a recipe is a mapping of section: settings")
    for override in overrides:
        _apply(values, override)
    values.setdefault("name", path.stem)
    return parse(values, f"recipe {path}")


def parse(values: Mapping[str, Any], where: str = "recipe") -> Recipe:
    """A recipe from plain values. where: how an error names the source. Raises BadInput."""
    return _validated(TypeAdapter(Recipe), values, where, Recipe)


def options_as(kind: type[T], options: Mapping[str, Any], where: str) -> T:
    """A method's settings from a recipe's mapping: an instance of the frozen dataclass `kind`.

    where: the mapping's dotted path, e.g. `refine.options`. Raises BadInput for an unknown key or a wrong value.
    """
    known = [field.name for field in dataclasses.fields(kind)]  # pyright: ignore[reportArgumentType]
    for key in options:
        if key not in known:
            hint = did_you_mean(key, known) if known else f"{kind.__name__} has no settings"
            raise BadInput(f"{where}.{key}: unknown key; {hint}")
    return _validated(TypeAdapter(kind), dict(options), where, None)


def _validated(adapter: TypeAdapter[T], values: Any, where: str, model: type[BaseModel] | None) -> T:
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
    here[parts[-1]] = _parse(text, f"--set {override!r}")


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


def _parse(text: str, where: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f" line {mark.line + 1}" if mark else ""
        raise BadInput(f"{where}:{line} {error.problem}") from None
    except yaml.YAMLError as error:
        raise BadInput(f"{where}: is not YAML ({error})") from None
