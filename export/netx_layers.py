"""The layers of a `.net` file, read one by one and checked against the one before, as netx builds them."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from ..hw import (
    DELAY_MAX,
    BadInput,
    Connection,
    Conv,
    Cuba,
    Dense,
    NotRepresentable,
    OneToOne,
    Population,
    Shape,
    UnsupportedLayer,
    did_you_mean,
)
from ..hw.arithmetic import DECAY_ONE
from .hdf5_fields import MAX_NEURONS, Fields
from .netx_chain import DECAY_LIMITS, GEOMETRY_MAX, GROUPS_MAX, V_TH_LIMITS, check_numbers

SUPPORTED = ("input", "conv", "flatten", "dense", "dense_rec")
AVERAGE = "average"
KNOWN_ELSEWHERE = ("dense_comp", "pool", AVERAGE, "convT", "unpool", "concat")

DEFAULT_NEURON = Cuba(v_th_mant=1 << 17, i_decay=0, v_decay=4096)
"""What netx gives a dense layer without a neuron group (hdf5.py, create_dense; `1 << 18 - 1` is 2^17): u integrates,
v = u + bias, and the threshold is above the largest v."""

DEFAULT_TRANSFORM = {"weight": 64, "bias": 0}
"""What netx gives an input layer with neurons that has no such field (hdf5.py, create_input)."""


class Layer(NamedTuple):
    """One layer that computes, not yet named.

    kind: `input`, `conv` or `dense` with the layer's index. where: for messages. weight: int64 (), (out, in) or
    (out, in / groups, kernel H, kernel W). geometry: keyword arguments of the connection. recurrent: (out, out).
    """

    kind: str
    where: str
    shape: Shape
    weight: np.ndarray
    geometry: dict[str, Any]
    neuron: Cuba
    recurrent: np.ndarray | None = None

    def connect(self, source: str, target: str) -> Connection:
        """The connection from population `source` to the layer's own, `target`."""
        kind = {0: OneToOne, 2: Dense, 4: Conv}[self.weight.ndim]
        return kind(source=source, target=target, weight=self.weight, **self.geometry)

    def loop(self, target: str) -> Dense | None:
        """The connection from the layer's population to itself, if there is one; delayed as the other."""
        if self.recurrent is None:
            return None
        return Dense(source=target, target=target, weight=self.recurrent, **self.geometry)

    def check(self, source: Shape, neuron: Cuba) -> Shape:
        """Shape the weight gives on `source`; also where numbers Lava would change are refused."""
        try:
            connection, loop = self.connect("its source", self.kind), self.loop(self.kind)
            shape = connection.out_shape(source)
            if int(np.prod(shape)) > MAX_NEURONS:
                raise BadInput(f"{shape} is more than {MAX_NEURONS} neurons")
            check_numbers(connection, Population(name=self.kind, shape=shape, neuron=neuron), loop)
        except (BadInput, NotRepresentable) as error:
            raise type(error)(f"{self.where}: {error}") from None
        return shape


class ChainReader:
    """Takes the layers of a file in order.

    source: shape of the input, as far as it is known. layers: those that compute. netx remembers a `flatten` until the
    next dense layer, and connects that one flattened.
    """

    def __init__(self) -> None:
        self.source: Shape | None = None
        self.layers: list[Layer] = []
        self.flattened = False

    @property
    def shape(self) -> Shape | None:
        """Shape of the latest population."""
        return self.layers[-1].shape if self.layers else self.source

    def take(self, index: int, fields: Fields, *, last: bool = False) -> None:
        """Read one layer. last: whether it is the file's last, which decides the way out of an unknown one."""
        kind = _layer_type(fields, index, last=last)
        if kind == "input":
            self._take_input(index, fields)
        elif kind == "flatten":
            self.flattened = True
        elif kind == "conv":
            if self.shape is None or len(self.shape) != 3:
                found = "nothing" if self.shape is None else f"a population of shape {self.shape}"
                raise BadInput(f"{fields.where}: conv follows {found}, expected a population of shape (C, H, W)")
            self.layers.append(_read_conv(fields, f"conv{index}", self.shape))
        else:
            self._take_dense(index, fields, recurrent=kind == "dense_rec")

    def skip(self, shape: Shape | None) -> None:
        """Go on behind a layer that could not be read, as if `shape` came in there; None leaves it open."""
        self.source, self.layers, self.flattened = shape, [], False

    def _take_input(self, index: int, fields: Fields) -> None:
        if index:
            raise BadInput(f"{fields.where}: found an input layer, expected it as layer 0 only")
        if "shape" in fields or "neuron" in fields:
            self.source = fields.shape("shape")
            if len(self.source) == 2:
                raise fields.fail("shape", self.source, "(C, H, W) or (F,)")
        if "neuron" in fields:
            assert self.source is not None
            self.layers.append(_read_input(fields, self.source))

    def _take_dense(self, index: int, fields: Fields, *, recurrent: bool) -> None:
        before = self.layers[-1].shape if self.layers else None
        layer = _read_dense(fields, f"dense{index}", self.shape, recurrent=recurrent)
        if before is not None and self.flattened and len(before) != 3:
            raise BadInput(f"{fields.where}: flatten follows {before}, expected a population of shape (C, H, W)")
        if before is not None and not self.flattened and len(before) == 3:
            raise BadInput(f"{fields.where}: dense follows {before} directly, expected a flatten layer between them")
        self.layers.append(layer)
        self.flattened = False
        if self.source is None:
            self.source = (layer.weight.shape[1],)


def _layer_type(fields: Fields, index: int, *, last: bool) -> str:
    kind = fields.text("type")
    if kind == AVERAGE and last:
        raise UnsupportedLayer(
            f"{fields.where}: average has no rule in netx, which stops at it; read the layers before it with "
            f"num_layers={index}, and average the spikes of groups of outputs yourself"
        )
    if kind in KNOWN_ELSEWHERE:
        raise UnsupportedLayer(
            f"{fields.where}: {kind} has no rule here, nor in netx; supported: {', '.join(SUPPORTED)}"
        )
    if kind not in SUPPORTED:
        raise UnsupportedLayer(f"{fields.where}: unknown layer type {kind!r}: {did_you_mean(kind, SUPPORTED)}")
    return kind


def read_transform_fields(fields: Fields) -> tuple[int, int]:
    """Weight and bias of an input layer with neurons, as netx takes them: one number each, cut towards zero."""
    found = []
    for field, default in DEFAULT_TRANSFORM.items():
        values = fields.mantissas(field) if field in fields else np.int64(default)
        if np.size(values) != 1:
            raise fields.fail(field, f"shape {np.shape(values)}", "one number")
        found.append(int(np.reshape(values, ())))
    return found[0], found[1]


def _read_input(fields: Fields, shape: Shape) -> Layer:
    """An input layer with neurons: the transform as a one-to-one weight and a bias."""
    weight, bias = read_transform_fields(fields)
    neuron = dataclasses.replace(_read_neuron(fields), i_decay=DECAY_ONE, bias_mant=np.int64(bias))
    return Layer("input0", fields.where, shape, np.asarray(weight, np.int64), {}, neuron)


def _read_conv(fields: Fields, kind: str, source: Shape) -> Layer:
    weight = fields.mantissas("weight")
    if weight.ndim == 5 and weight.shape[4] == 1:
        weight = weight[..., 0]
    if weight.ndim != 4:
        raise fields.fail("weight", f"shape {weight.shape}", "(out, in / groups, kernel H, kernel W)")
    geometry: dict[str, Any] = {
        field: _pair(fields, field, least) for field, least in (("stride", 1), ("padding", 0), ("dilation", 1))
    }
    # Lava refuses groups of shape (1,).
    geometry["groups"] = fields.integer("groups", 1, GROUPS_MAX, shapes=[()])
    if "delay" in fields and fields.mantissas("delay").any():
        raise UnsupportedLayer(f"{fields.where}: a convolution with delays has no rule here, and netx ignores them")
    declared = fields.shape("shape")
    layer = Layer(kind, fields.where, declared, weight, geometry, _read_neuron(fields))
    shape = layer.check(source, layer.neuron)
    if shape != declared:
        raise fields.fail("shape", declared, f"{shape}, which the weight gives on {source}")
    return _with_bias(fields, layer, source)


def _read_dense(fields: Fields, kind: str, source: Shape | None, *, recurrent: bool) -> Layer:
    size = int(np.prod(fields.shape("shape")))
    weight = fields.mantissas("weight")
    flat = weight.ndim == 1
    if flat and weight.size % size == 0:
        weight = weight.reshape(size, -1)
    if weight.ndim != 2 or weight.shape[0] != size or not weight.size:
        raise fields.fail("weight", f"shape {weight.shape}", f"({size}, inputs)")
    loop = None
    if recurrent:
        loop = fields.mantissas("weight_rec")
        if flat and loop.size == size * size:
            loop = loop.reshape(size, size)
        if loop.shape != (size, size):
            raise fields.fail("weight_rec", f"shape {loop.shape}", f"({size}, {size})")
    geometry = {"delay": _read_delay(fields, weight.shape, recurrent=recurrent)} if "delay" in fields else {}
    neuron = _read_neuron(fields) if "neuron" in fields else DEFAULT_NEURON
    layer = Layer(kind, fields.where, (size,), weight, geometry, neuron, loop)
    source = source or (weight.shape[1],)
    layer.check(source, neuron)
    return _with_bias(fields, layer, source)


def _read_delay(fields: Fields, weight: tuple[int, ...], *, recurrent: bool) -> np.ndarray:
    """Delays as `hw.Dense` takes them. A single axis counts outputs where both axes fit, as in netx."""
    delay = fields.mantissas("delay")
    size, inputs = weight
    if delay.ndim == 1 and len(delay) == size:
        delay = delay[:, None]
    elif delay.ndim == 1 and len(delay) == inputs:
        delay = np.repeat(delay[None], size, axis=0)
    elif delay.shape not in ((), weight):
        raise fields.fail("delay", f"shape {delay.shape}", f"(), ({size},), ({inputs},) or {weight}")
    if delay.min() < 0:
        raise fields.fail("delay", int(delay.min()), f"0..{DELAY_MAX}")
    if delay.max() > DELAY_MAX:
        raise NotRepresentable(
            f"{fields.where}: a delay of {delay.max()} timesteps is cut to {DELAY_MAX} by netx; "
            "shorten the delays in the file, or use fewer, longer steps"
        )
    if recurrent and size != inputs:
        raise fields.fail(
            "delay", f"delays beside a weight of shape {weight}", f"none: netx lays them over ({size}, {size}) as well"
        )
    return delay


def _pair(fields: Fields, field: str, least: int) -> tuple[int, int]:
    values = fields.integers(field)
    if values.shape not in ((), (2,)):  # Lava crashes on (1,)
        raise fields.fail(field, f"shape {values.shape}", "one number or two (H, W)")
    height, width = (int(n) for n in np.broadcast_to(values, 2))
    if not (least <= height <= GEOMETRY_MAX and least <= width <= GEOMETRY_MAX):
        raise fields.fail(field, (height, width), f"{least}..{GEOMETRY_MAX}")
    return height, width


def _read_neuron(fields: Fields) -> Cuba:
    neuron = fields.group("neuron")
    kind = neuron.text("type")
    if kind not in ("CUBA", "LOIHI"):
        raise UnsupportedLayer(
            f"{neuron.where}: neuron type {kind!r} has no rule here: {_why_not(kind)}; supported: CUBA, LOIHI"
        )
    if "messageBits" in neuron:
        raise UnsupportedLayer(f"{neuron.where}: netx cannot build a neuron with messageBits; leave the field out")
    return Cuba(
        v_th_mant=neuron.uniform("vThMant", *V_TH_LIMITS),
        i_decay=neuron.uniform("iDecay", *DECAY_LIMITS),
        v_decay=neuron.uniform("vDecay", *DECAY_LIMITS),
    )


def _why_not(kind: str) -> str:
    if kind == "SDNN":
        return "sigma-delta neurons send differences of their activation and keep a residue, which no CUBA neuron does"
    if "RF" in kind:
        return "resonate-and-fire neurons have a complex state that rotates, which no CUBA neuron has"
    if "ALIF" in kind:
        return "its threshold adapts, which no CUBA neuron's does, and netx cannot build it"
    return "netx cannot build it"


def _with_bias(fields: Fields, layer: Layer, source: Shape) -> Layer:
    """The layer with its neurons' bias. A convolution's bias is (C,), or per neuron in netx's order (W, H, C)."""
    if "bias" not in fields:
        return layer
    bias = fields.mantissas("bias")
    allowed = [(), (1,), layer.shape] if len(layer.shape) == 1 else [layer.shape[:1], layer.shape[::-1]]
    if bias.shape not in allowed:
        raise fields.fail("bias", f"shape {bias.shape}", " or ".join(str(shape) for shape in allowed))
    neuron = dataclasses.replace(layer.neuron, bias_mant=bias.transpose(2, 1, 0) if bias.ndim == 3 else bias)
    layer.check(source, neuron)
    return layer._replace(neuron=neuron)
