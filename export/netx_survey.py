"""A tolerant, read-only look at any netx file, for networks that cannot be run as well as for those that can."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..hw import BadInput, SpikeportError
from .hdf5_fields import Fields
from .netx_layers import ChainReader
from .netx_read import layer_names, opened_net, read

NEURON_FIELDS = {
    "CUBA": ("iDecay", "vDecay", "vThMant"),
    "LOIHI": ("iDecay", "vDecay", "vThMant"),
    "SDNN": ("vThMant", "sigma_output", "messageBits"),
    "RF": ("vThMant", "sinDecay", "cosDecay", "messageBits"),
}
"""What netx reads of a neuron group, beside its type (hdf5.py, get_neuron_params)."""

LAYER_FIELDS = {
    "input": ("shape", "neuron", "weight", "bias"),
    "conv": ("shape", "neuron", "weight", "bias", "stride", "padding", "dilation", "groups"),
    "flatten": (),
    "dense": ("shape", "neuron", "weight", "bias", "delay"),
    "dense_rec": ("shape", "neuron", "weight", "weight_rec", "bias", "delay"),
}
"""What netx reads of a layer, beside its type; of other layers it reads nothing, because it stops at them."""

ARRAYS = ("weight", "weight_rec", "bias", "delay")
SHOWN = 64
"""Most numbers of one neuron parameter that are listed."""

GEOMETRY = ("stride", "padding", "dilation", "groups")


@dataclass(frozen=True, kw_only=True)
class ArraySurvey:
    """One array of a layer.

    dtype: as stored. least, most: its range, None if it is empty or not finite. integral: whether all its numbers are
    whole (netx cuts the others towards zero). even: whether all are multiples of 2, as mixed-sign weights must be.
    """

    shape: tuple[int, ...]
    dtype: str
    least: float | None
    most: float | None
    integral: bool
    even: bool


@dataclass(frozen=True, kw_only=True)
class LayerSurvey:
    """One layer as the file has it.

    type: the layer's, or `?`. shape: as stored, (C, H, W) or (F,); None if there is none. arrays: `weight`,
    `weight_rec`, `weight/real`, `weight/imag`, `bias`, `delay`, whichever are there. geometry: stride, padding,
    dilation and groups. neuron: its type, None without a neuron group. parameters: its numbers and texts, by field.
    ignored: fields netx does not read. refused: why Spikeport cannot run the layer; None if it can.
    """

    index: int
    type: str
    shape: tuple[int, ...] | None
    arrays: Mapping[str, ArraySurvey]
    geometry: Mapping[str, tuple[int, ...]]
    neuron: str | None
    parameters: Mapping[str, tuple[float, ...] | str]
    ignored: tuple[str, ...]
    refused: str | None


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a netx file holds. ours: whether Spikeport wrote it. refused: why `read` would refuse it; None if not."""

    path: str
    layers: tuple[LayerSurvey, ...]
    ours: bool
    refused: str | None


def survey(path: str | os.PathLike[str]) -> Survey:
    """Describe every layer of a netx file, runnable or not. Raises BadInput for a file without netx layers."""
    with opened_net(path) as root:
        groups, chain = root.group("layer"), ChainReader()
        names = layer_names(groups)
        layers = [_layer(groups, name, chain, last=name == names[-1]) for name in names]
        ours = "spikeport" in root
    try:
        read(path, n_steps=None if ours else 1)
        refused = None
    except SpikeportError as error:
        refused = str(error)
    return Survey(path=str(path), layers=tuple(layers), ours=ours, refused=refused)


def _layer(groups: Fields, name: str, chain: ChainReader, *, last: bool) -> LayerSurvey:
    index, refused = int(name), None
    try:
        fields = groups.group(name)
        kind = fields.text("type")
    except BadInput as error:
        return LayerSurvey(
            index=index,
            type="?",
            shape=None,
            arrays={},
            geometry={},
            neuron=None,
            parameters={},
            ignored=(),
            refused=str(error),
        )
    shape = _whole(fields, "shape")
    try:
        chain.take(index, fields, last=last)
    except SpikeportError as error:
        refused = str(error)
        chain.skip(shape if kind in LAYER_FIELDS and kind != "flatten" else None)
    neuron, parameters, unread = _neuron(fields)
    read_here = ("type", *LAYER_FIELDS.get(kind, ()))
    return LayerSurvey(
        index=index,
        type=kind,
        shape=shape,
        arrays=_arrays(fields),
        geometry={field: pair for field in GEOMETRY if (pair := _whole(fields, field)) is not None},
        neuron=neuron,
        parameters=parameters,
        ignored=(*(field for field in fields.names() if field not in read_here), *unread),
        refused=refused,
    )


def _whole(fields: Fields, field: str) -> tuple[int, ...] | None:
    """A field's integers, flat; None if it is missing or unreadable."""
    try:
        return tuple(int(n) for n in fields.integers(field).flat) if field in fields else None
    except BadInput:
        return None


def _arrays(fields: Fields) -> dict[str, ArraySurvey]:
    found: dict[str, ArraySurvey] = {}
    for field in ARRAYS:
        if field not in fields:
            continue
        try:
            found[field] = _array(fields.stored(field))
        except BadInput:  # a group: the complex weights of a resonator
            found.update(_parts(fields, field))
    return found


def _parts(fields: Fields, field: str) -> dict[str, ArraySurvey]:
    try:
        group = fields.group(field)
        return {f"{field}/{part}": _array(group.stored(part)) for part in group.names()}
    except BadInput:
        return {}


def _array(values: np.ndarray) -> ArraySurvey:
    finite = values.size > 0 and bool(np.isfinite(values).all())
    return ArraySurvey(
        shape=values.shape,
        dtype=str(values.dtype),
        least=float(values.min()) if finite else None,
        most=float(values.max()) if finite else None,
        integral=finite and not np.any(values % 1),
        even=finite and not np.any(values % 2),
    )


def _neuron(fields: Fields) -> tuple[str | None, dict[str, tuple[float, ...] | str], tuple[str, ...]]:
    """Type and parameters of a layer's neurons, and the fields of the group netx does not read."""
    if "neuron" not in fields:
        return None, {}, ()
    try:
        group = fields.group("neuron")
        kind = group.text("type")
    except BadInput:
        return "?", {}, ()
    parameters: dict[str, tuple[float, ...] | str] = {}
    for field in group.names():
        if field == "type":
            continue
        try:
            parameters[field] = tuple(float(n) for n in group.stored(field).flat[:SHOWN])
        except BadInput:
            parameters[field] = _text(group, field)
    family = "RF" if "RF" in kind else kind
    read_here = NEURON_FIELDS.get(family, ())
    return kind, parameters, tuple(f"neuron/{field}" for field in parameters if field not in read_here)


def _text(fields: Fields, field: str) -> str:
    try:
        return fields.text(field)
    except BadInput:
        return "?"
