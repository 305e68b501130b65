"""Reading a `.net` file into a `Network`: ours, or anybody's that stock netx loads and that we have rules for."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..hw import (
    NEVER_FIRES,
    BadInput,
    Connection,
    Cuba,
    Network,
    NotRepresentable,
    Population,
    Readout,
    Shape,
    Source,
    UnsupportedLayer,
)
from ..hw.arithmetic import STATE_SHIFT
from . import hdf5_fields
from .hdf5_fields import Fields
from .netx_layers import ChainReader, Layer, read_transform_fields
from .netx_write import FORMAT_VERSION

TRANSFORMED = Source(payload_bits=16, signed=True)
"""The source in front of an input layer with neurons: Lava keeps what it sends them as an int16 bias."""


@dataclass(frozen=True, kw_only=True)
class Transform:
    """How an input becomes what an input layer with neurons is fed, every step: `int(weight * x + bias)`."""

    weight: int
    bias: int


def read(
    path: str | os.PathLike[str],
    *,
    n_steps: int | None = None,
    payload_bits: int | None = None,
    readout: Readout | None = None,
    num_layers: int | None = None,
) -> Network:
    """The network a `.net` file holds. A file of ours gives back exactly what was written.

    n_steps, payload_bits, readout: what the layers of a file do not say. Ours carries them, and an argument overrides
    it; for others n_steps must be given, payload_bits is 0 (binary spikes) and the last population answers, by membrane
    if its threshold is out of reach and by spike count otherwise. Populations of other people's files are called
    `input`, then `conv1`, `dense3`, ... after the layer's index in the file. num_layers: read only that many layers,
    `input` and `flatten` counted, as netx's argument of that name; the `spikeport` group of our files, which speaks of
    all layers, is then left aside.

    Numbers are taken as netx takes them: float weights are cut towards zero. Fields netx ignores are ignored.

    An input layer with neurons becomes a source of signed 16-bit payloads, one-to-one synapses of weight 1, and the
    neurons, `input0`, without a bias and with `i_decay` 4096: netx leaves the transform of the input to the caller and
    drives the neurons past their current. The payload to send is `int(weight * x + bias)` of `read_transform`. In a
    file of ours the network itself holds the weight and the bias, and the payload is `x`.

    Raises BadInput for a file that is not netx, is damaged, incomplete, contradictory or was altered after we wrote it;
    UnsupportedLayer for layers and neurons without a rule here; NotRepresentable where Lava would compute with other
    numbers than the file holds.
    """
    with opened_net(path) as root:
        chain = _read_layers(root, num_layers)
        if "spikeport" in root and num_layers is None:
            network = _restore(root.group("spikeport"), chain)
        else:
            network = _adopt(root.where, chain, n_steps)
    return _override(network, n_steps, payload_bits, readout)


def read_transform(path: str | os.PathLike[str]) -> Transform | None:
    """The transform of a file's input layer; None if that has no neurons, and takes spikes as they are.

    Raises BadInput as `read`.
    """
    with opened_net(path) as root:
        first = root.group("layer").group("0")
        if first.text("type") != "input" or "neuron" not in first:
            return None
        weight, bias = read_transform_fields(first)
        return Transform(weight=weight, bias=bias)


@contextlib.contextmanager
def opened_net(path: str | os.PathLike[str]) -> Iterator[Fields]:
    """The root of a `.net` file. Raises BadInput if there is none, or it is not HDF5."""
    with hdf5_fields.opened(path, "write one with export.netx.write") as file:
        yield Fields(str(path), file)


def layer_names(groups: Fields) -> list[str]:
    """The members of the group `layer` in order, or BadInput if they are not 0, 1, 2, ..."""
    names = groups.names()
    expected = [str(i) for i in range(len(names))]
    if sorted(names) != sorted(expected) or not names:
        raise BadInput(
            f"{groups.where}: found {len(names)} layers named {', '.join(sorted(names)) or '(none)'}, "
            "expected 0, 1, 2, ... without gaps"
        )
    return expected


def _read_layers(root: Fields, num_layers: int | None) -> ChainReader:
    groups = root.group("layer")
    names = layer_names(groups)
    if num_layers is not None and num_layers < 1:
        raise BadInput(f"{groups.where}: num_layers is {num_layers}; give 1..{len(names)}")
    chain = ChainReader()
    for index, name in enumerate(names[:num_layers]):
        chain.take(index, groups.group(name), last=index == len(names) - 1)
    if chain.source is None or not chain.layers:
        raise BadInput(f"{groups.where}: found no layer that computes, expected at least one conv or dense")
    return chain


def _build(
    names: list[str],
    source: tuple[Shape, Source],
    layers: list[Layer],
    order: list[int],
    readout: Readout,
    n_steps: int,
) -> Network:
    shape, neuron = source
    populations = [Population(name=names[0], shape=shape, neuron=neuron)]
    forward: list[Connection] = []
    loops: list[Connection] = []
    for before, name, layer in zip(names, names[1:], layers, strict=False):
        populations.append(Population(name=name, shape=layer.shape, neuron=layer.neuron))
        forward.append(layer.connect(before, name))
        loop = layer.loop(name)
        if loop is not None:
            loops.append(loop)
    connections = forward + loops
    return Network(
        populations=tuple(populations),
        connections=tuple(connections[i] for i in order),
        readout=readout,
        n_steps=n_steps,
    )


def _n_connections(layers: list[Layer]) -> int:
    return len(layers) + sum(layer.recurrent is not None for layer in layers)


def _adopt(where: str, chain: ChainReader, n_steps: int | None) -> Network:
    """The network of a file that says nothing but its layers."""
    if n_steps is None:
        raise BadInput(f"{where}: the file does not say how long a sample lasts; give n_steps")
    layers, source = list(chain.layers), Source()
    if layers[0].weight.ndim == 0:
        plain = dataclasses.replace(layers[0].neuron, bias_mant=np.int64(0))
        layers[0] = layers[0]._replace(weight=np.asarray(1), neuron=plain)
        source = TRANSFORMED
    names = ["input", *(layer.kind for layer in layers)]
    silent = layers[-1].neuron.v_th_mant >= NEVER_FIRES
    readout = Readout(population=names[-1], kind="membrane" if silent else "spike_count")
    assert chain.source is not None
    return _build(names, (chain.source, source), layers, list(range(_n_connections(layers))), readout, n_steps)


def _restore(extras: Fields, chain: ChainReader) -> Network:
    """The very network that was written, or BadInput if the file was altered since."""
    version = extras.integer("format", 0, 1 << 30)
    if not 1 <= version <= FORMAT_VERSION:
        raise extras.fail(
            "format", version, f"1..{FORMAT_VERSION}; the file was written by another version of Spikeport"
        )
    layers, count = chain.layers, _n_connections(chain.layers)
    names = _names(extras, len(layers) + 1)
    kind = extras.text("readout_kind")
    if kind not in ("membrane", "spike_count"):
        raise extras.fail("readout_kind", repr(kind), "membrane or spike_count")
    order = extras.integers("connections")
    if not np.array_equal(np.sort(order, axis=None), np.arange(count)):
        raise extras.fail("connections", order.tolist(), f"a permutation of 0..{count - 1}")
    signed = "signed" in extras and bool(extras.integer("signed", 0, 1))
    bits = extras.integer("payload_bits", 0, 24)
    readout = Readout(population=names[extras.integer("readout_population", 0, len(names) - 1)], kind=kind)
    n_steps = extras.integer("n_steps", 1, np.iinfo(np.int32).max)
    assert chain.source is not None
    try:
        source = (chain.source, Source(payload_bits=bits, signed=signed))
        network = _build(names, source, _rescaled(extras, layers), order.tolist(), readout, n_steps)
    except (BadInput, NotRepresentable, UnsupportedLayer) as error:
        raise type(error)(error if extras.where in str(error) else f"{extras.where}: {error}") from None
    written, found = extras.text("fingerprint"), network.fingerprint()
    if written != found:
        raise BadInput(
            f"{extras.where}: fingerprint: the content gives {found[:12]}..., the file says {written[:12]}...; "
            "it was altered after it was written, export the network again"
        )
    return network


def _rescaled(extras: Fields, layers: list[Layer]) -> list[Layer]:
    """The layers with the bias exponents they were written from."""
    if "bias_exp" not in extras:
        return layers
    exponents = extras.integers("bias_exp")
    if exponents.shape != (len(layers),) or exponents.min() < 0 or exponents.max() > 7:
        raise extras.fail("bias_exp", exponents.tolist(), f"{len(layers)} exponents of 0..7")
    return [
        layer._replace(neuron=_with_exponent(layer.neuron, int(exponent)))
        for layer, exponent in zip(layers, exponents, strict=True)
    ]


def _with_exponent(neuron: Cuba, exponent: int) -> Cuba:
    mantissa = (neuron.bias_mant.astype(np.int64) << STATE_SHIFT) >> exponent
    return dataclasses.replace(neuron, bias_mant=mantissa, bias_exp=exponent)


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
        neuron = dataclasses.replace(network.sources[0].neuron, payload_bits=payload_bits)
        populations = tuple(dataclasses.replace(p, neuron=neuron) if p in network.sources else p for p in populations)
    return dataclasses.replace(
        network,
        populations=populations,
        n_steps=network.n_steps if n_steps is None else n_steps,
        readout=readout or network.readout,
    )
