"""Reading a `.net` file into a `Network`: ours, or anybody's that stock netx loads and that we have rules for."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from ..hw import (
    NEVER_FIRES,
    BadInput,
    Connection,
    Conv,
    Cuba,
    Dense,
    Network,
    NotRepresentable,
    Population,
    Readout,
    Shape,
    Source,
    UnsupportedLayer,
    did_you_mean,
)
from .netx_chain import DECAY_LIMITS, GEOMETRY_MAX, GROUPS_MAX, V_TH_LIMITS, check_numbers
from .netx_fields import HDF5_ERRORS, MAX_NEURONS, Fields
from .netx_write import FORMAT_VERSION

SUPPORTED = ("input", "conv", "flatten", "dense")
KNOWN_ELSEWHERE = ("dense_rec", "dense_comp", "pool", "average", "convT", "unpool", "concat")

# What netx gives a dense layer without a neuron group (hdf5.py, create_dense; `1 << 18 - 1` is 2^17): u integrates,
# v = u + bias, and the threshold is above the largest v.
DEFAULT_NEURON = Cuba(v_th_mant=1 << 17, i_decay=0, v_decay=4096)


class Layer(NamedTuple):
    """One layer that computes, not yet named. kind: `conv` or `dense` with the layer's index; where: for messages."""

    kind: str
    where: str
    shape: Shape
    weight: np.ndarray
    geometry: dict[str, tuple[int, int] | int]
    neuron: Cuba

    def connect(self, source: str, target: str) -> Connection:
        """The connection from population `source` to the layer's own, `target`."""
        if self.weight.ndim == 4:
            return Conv(source=source, target=target, weight=self.weight, **self.geometry)  # pyright: ignore
        return Dense(source=source, target=target, weight=self.weight)


def read(
    path: str | os.PathLike[str],
    *,
    n_steps: int | None = None,
    payload_bits: int | None = None,
    readout: Readout | None = None,
) -> Network:
    """The network a `.net` file holds. A file of ours gives back exactly what was written.

    n_steps, payload_bits, readout: what the layers of a file do not say. Ours carries them, and an argument overrides
    it; for others n_steps must be given, payload_bits is 0 (binary spikes) and the last population answers, by membrane
    if its threshold is out of reach and by spike count otherwise. Populations of other people's files are called
    `input`, then `conv1`, `dense3`, ... after the layer's index in the file.

    Numbers are taken as netx takes them: float weights are cut towards zero. Fields netx ignores are ignored.

    Raises BadInput for a file that is not netx, is damaged, incomplete, contradictory or was altered after we wrote it;
    UnsupportedLayer for layers and neurons without a rule here; NotRepresentable where Lava would compute with other
    numbers than the file holds.
    """
    path = Path(path)
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise BadInput(f"{path}: there is no such file; write one with export.netx.write") from None
    except HDF5_ERRORS as error:
        raise BadInput(f"{path}: not a readable HDF5 file (wrong kind, or truncated): {error}") from error
    with file:
        root = Fields(str(path), file)
        source_shape, layers = _read_layers(root)
        if "spikeport" in root:
            network = _restore(root.group("spikeport"), source_shape, layers)
        else:
            network = _adopt(str(path), source_shape, layers, n_steps)
    return _override(network, n_steps, payload_bits, readout)


def _read_layers(root: Fields) -> tuple[Shape, list[Layer]]:
    """Shape of the source, and the layers in order, each checked against the one before it."""
    groups = root.group("layer")
    names = groups.names()
    expected = [str(i) for i in range(len(names))]
    if sorted(names) != sorted(expected) or not names:
        raise BadInput(
            f"{groups.where}: found {len(names)} layers named {', '.join(sorted(names)) or '(none)'}, "
            "expected 0, 1, 2, ... without gaps"
        )
    source: Shape | None = None
    layers: list[Layer] = []
    flattened = False
    for name in expected:
        fields = groups.group(name)
        kind = _layer_type(fields)
        shape = layers[-1].shape if layers else source
        if kind == "input":
            source = _read_input(fields, first=name == "0")
        elif kind == "flatten":
            if shape is None or (layers and len(shape) != 3):
                raise BadInput(f"{fields.where}: flatten follows {shape}, expected a population of shape (C, H, W)")
            flattened = True
        elif kind == "conv":
            if shape is None or len(shape) != 3 or flattened:
                found = "a flatten" if flattened else "nothing" if shape is None else f"a population of shape {shape}"
                raise BadInput(f"{fields.where}: conv follows {found}, expected a population of shape (C, H, W)")
            layers.append(_read_conv(fields, f"conv{name}", shape))
        else:
            layers.append(_read_dense(fields, f"dense{name}", shape))
            if source is None:
                source = (layers[0].weight.shape[1],)
            elif layers[1:] and shape is not None and len(shape) == 3 and not flattened:
                raise BadInput(f"{fields.where}: dense follows {shape} directly, expected a flatten layer between them")
            flattened = False
    if source is None or not layers:
        raise BadInput(f"{groups.where}: found no layer that computes, expected at least one conv or dense")
    return source, layers


def _layer_type(fields: Fields) -> str:
    kind = fields.text("type")
    if kind in KNOWN_ELSEWHERE:
        raise UnsupportedLayer(f"{fields.where}: {kind} has no rule here; supported: {', '.join(SUPPORTED)}")
    if kind not in SUPPORTED:
        raise UnsupportedLayer(f"{fields.where}: unknown layer type {kind!r}: {did_you_mean(kind, SUPPORTED)}")
    return kind


def _read_input(fields: Fields, *, first: bool) -> Shape:
    if not first:
        raise BadInput(f"{fields.where}: found an input layer, expected it as layer 0 only")
    if "neuron" in fields:
        raise UnsupportedLayer(
            f"{fields.where}: an input layer with neurons has no rule here; write an input without a neuron group, and "
            "the neurons as a conv or dense layer behind it"
        )
    shape = fields.shape("shape")
    if len(shape) == 2:
        raise fields.fail("shape", shape, "(C, H, W) or (F,)")
    return shape


def _read_conv(fields: Fields, kind: str, source: Shape) -> Layer:
    weight = fields.mantissas("weight")
    if weight.ndim == 5 and weight.shape[4] == 1:
        weight = weight[..., 0]
    if weight.ndim != 4:
        raise fields.fail("weight", f"shape {weight.shape}", "(out, in / groups, kernel H, kernel W)")
    geometry: dict[str, tuple[int, int] | int] = {
        field: _pair(fields, field, least) for field, least in (("stride", 1), ("padding", 0), ("dilation", 1))
    }
    # Lava refuses groups of shape (1,).
    geometry["groups"] = fields.integer("groups", 1, GROUPS_MAX, shapes=[()])
    if "delay" in fields and fields.mantissas("delay").any():
        raise UnsupportedLayer(f"{fields.where}: a convolution with delays has no rule here, and netx ignores them")
    declared = fields.shape("shape")
    layer = Layer(kind, fields.where, declared, weight, geometry, _read_neuron(fields))
    shape = _computed_shape(layer, source)
    if shape != declared:
        raise fields.fail("shape", declared, f"{shape}, which the weight gives on {source}")
    return layer._replace(neuron=_with_bias(fields, layer))


def _read_dense(fields: Fields, kind: str, source: Shape | None) -> Layer:
    size = int(np.prod(fields.shape("shape")))
    weight = fields.mantissas("weight")
    if weight.ndim == 1 and weight.size % size == 0:
        weight = weight.reshape(size, -1)
    if weight.ndim != 2 or weight.shape[0] != size or not weight.size:
        raise fields.fail("weight", f"shape {weight.shape}", f"({size}, inputs)")
    if "delay" in fields:
        raise UnsupportedLayer(f"{fields.where}: delay has no rule here; leave the field out if all delays are 0")
    neuron = _read_neuron(fields) if "neuron" in fields else DEFAULT_NEURON
    layer = Layer(kind, fields.where, (size,), weight, {}, neuron)
    if source is not None:
        _computed_shape(layer, source)
    return layer._replace(neuron=_with_bias(fields, layer))


def _computed_shape(layer: Layer, source: Shape) -> Shape:
    """Shape the weight gives on `source`; also where numbers Lava would change are refused."""
    try:
        connection = layer.connect("its source", layer.kind)
        shape = connection.out_shape(source)
        if int(np.prod(shape)) > MAX_NEURONS:
            raise BadInput(f"{shape} is more than {MAX_NEURONS} neurons")
        check_numbers(connection, Population(name=layer.kind, shape=shape, neuron=layer.neuron))
    except (BadInput, NotRepresentable) as error:
        raise type(error)(f"{layer.where}: {error}") from None
    return shape


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
        raise UnsupportedLayer(f"{neuron.where}: neuron type {kind!r} has no rule here; supported: CUBA, LOIHI")
    if "messageBits" in neuron:
        raise UnsupportedLayer(f"{neuron.where}: netx cannot build a neuron with messageBits; leave the field out")
    return Cuba(
        v_th_mant=neuron.integer("vThMant", *V_TH_LIMITS),
        i_decay=neuron.integer("iDecay", *DECAY_LIMITS),
        v_decay=neuron.integer("vDecay", *DECAY_LIMITS),
    )


def _with_bias(fields: Fields, layer: Layer) -> Cuba:
    """The neuron with the layer's bias. A convolution's bias is (C,), or per neuron in netx's order (W, H, C)."""
    if "bias" not in fields:
        return layer.neuron
    bias = fields.mantissas("bias")
    allowed = [(), (1,), layer.shape] if len(layer.shape) == 1 else [layer.shape[:1], layer.shape[::-1]]
    if bias.shape not in allowed:
        raise fields.fail("bias", f"shape {bias.shape}", " or ".join(str(shape) for shape in allowed))
    neuron = dataclasses.replace(layer.neuron, bias_mant=bias.transpose(2, 1, 0) if bias.ndim == 3 else bias)
    try:
        check_numbers(
            layer.connect("its source", layer.kind), Population(name=layer.kind, shape=layer.shape, neuron=neuron)
        )
    except NotRepresentable as error:
        raise NotRepresentable(f"{layer.where}: {error}") from None
    return neuron


def _build(
    names: list[str], source: tuple[Shape, int], layers: list[Layer], order: list[int], readout: Readout, n_steps: int
) -> Network:
    shape, payload_bits = source
    populations = [Population(name=names[0], shape=shape, neuron=Source(payload_bits=payload_bits))]
    chain = []
    for before, name, layer in zip(names, names[1:], layers, strict=False):
        populations.append(Population(name=name, shape=layer.shape, neuron=layer.neuron))
        chain.append(layer.connect(before, name))
    return Network(
        populations=tuple(populations), connections=tuple(chain[i] for i in order), readout=readout, n_steps=n_steps
    )


def _adopt(where: str, source: Shape, layers: list[Layer], n_steps: int | None) -> Network:
    """A network from a file that says nothing about names, sample length and read-out."""
    if n_steps is None:
        raise BadInput(f"{where}: the file does not say how long a sample lasts; give n_steps")
    names = ["input", *(layer.kind for layer in layers)]
    silent = layers[-1].neuron.v_th_mant >= NEVER_FIRES
    readout = Readout(population=names[-1], kind="membrane" if silent else "spike_count")
    return _build(names, (source, 0), layers, list(range(len(layers))), readout, n_steps)


def _restore(extras: Fields, source: Shape, layers: list[Layer]) -> Network:
    """The very network that was written, or BadInput if the file was altered since."""
    version = extras.integer("format", 0, 1 << 30)
    if version != FORMAT_VERSION:
        raise extras.fail("format", version, f"{FORMAT_VERSION}; the file was written by another version of Spikeport")
    names = _names(extras, len(layers) + 1)
    kind = extras.text("readout_kind")
    if kind not in ("membrane", "spike_count"):
        raise extras.fail("readout_kind", repr(kind), "membrane or spike_count")
    order = extras.integers("connections")
    if not np.array_equal(np.sort(order, axis=None), np.arange(len(layers))):
        raise extras.fail("connections", order.tolist(), f"a permutation of 0..{len(layers) - 1}")
    try:
        network = _build(
            names,
            (source, extras.integer("payload_bits", 0, 24)),
            layers,
            order.tolist(),
            Readout(population=names[extras.integer("readout_population", 0, len(names) - 1)], kind=kind),
            extras.integer("n_steps", 1, np.iinfo(np.int32).max),
        )
    except (BadInput, UnsupportedLayer) as error:
        raise type(error)(error if extras.where in str(error) else f"{extras.where}: {error}") from None
    written, found = extras.text("fingerprint"), network.fingerprint()
    if written != found:
        raise BadInput(
            f"{extras.where}: fingerprint: the content gives {found[:12]}..., the file says {written[:12]}...; "
            "it was altered after it was written, export the network again"
        )
    return network


def _names(extras: Fields, count: int) -> list[str]:
    text = extras.text("populations")
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or len(names) != count or not all(isinstance(name, str) for name in names):
        raise extras.fail("populations", repr(text[:80]), f"a JSON list of {count} names")
    return names


def _override(network: Network, n_steps: int | None, payload_bits: int | None, readout: Readout | None) -> Network:
    populations = network.populations
    if payload_bits is not None:
        neuron = Source(payload_bits=payload_bits)
        populations = tuple(dataclasses.replace(p, neuron=neuron) if p in network.sources else p for p in populations)
    return dataclasses.replace(
        network,
        populations=populations,
        n_steps=network.n_steps if n_steps is None else n_steps,
        readout=readout or network.readout,
    )
