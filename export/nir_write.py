"""The integer network as a NIR file, and back.

    write(network, "net.nir")
    network = read_network("net.nir")                the very same integers

One timestep is NIR's unit of time, one mantissa its unit of potential. `u` and `v` follow Euler's rule with
tau = 4096 / decay, the input gain of both is 1, the reset is to 0, and a neuron fires strictly above its threshold. So
another tool that steps NIR by Euler computes what the chip computes, up to the chip's rounding of decays.

What NIR's nodes cannot say exactly (widths, exponents, which population answers, integers behind the decays) is in the
graph's metadata; `read_network` builds the graph from it anew and refuses a file whose nodes differ.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import nir
import numpy as np

from ..hw import (
    NEVER_FIRES,
    BadInput,
    Connection,
    Conv,
    Cuba,
    Dense,
    Network,
    OneToOne,
    Population,
    Source,
    UnsupportedLayer,
)
from ..hw.arithmetic import DECAY_ONE, STATE_SHIFT
from .hdf5_fields import opened
from .nir_file import NirFields, read_raw, root_of
from .nir_metadata import METADATA, from_metadata, to_metadata

ENDLESS = float(1 << 30)
"""Time constant, in timesteps, of a state that keeps everything: 2^-30 per timestep is below float32."""


def write(network: Network, path: str | os.PathLike[str]) -> None:
    """Write a network to `path` as NIR; the file appears complete or not at all.

    `nir.read` loads the file; where a convolution's kernel is not square, only with `type_check=False` (nir 1.0.8 takes
    kernels for square). Groups are written out as zeros, because its check knows none.

    Raises UnsupportedLayer for a recurrent population of shape (C, H, W) and for several sources, which NIR or its
    readers cannot hold, and BadInput for a folder that is not there.
    """
    graph = to_graph(network)
    path = Path(path)
    if not path.parent.is_dir():
        raise BadInput(f"{path}: the folder {path.parent} does not exist; create it first")
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        nir.write(partial, graph)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def to_graph(network: Network) -> nir.NIRGraph:
    """The network as a NIR graph, with the metadata `read_network` needs."""
    if len(network.sources) != 1:
        raise UnsupportedLayer(f"network: {len(network.sources)} sources; a NIR file here has one, join them")
    builder = _Builder(network)
    for population in network.populations:
        builder.add_population(population)
    answer = network[network.readout.population]
    builder.nodes["output"] = nir.Output({"output": np.array(answer.shape)})
    builder.edges.append((builder.node_of[answer.name], "output"))
    return nir.NIRGraph(
        nodes=builder.nodes, edges=builder.edges, metadata={METADATA: to_metadata(network)}, type_check=False
    )


def read_network(path: str | os.PathLike[str]) -> Network:
    """The integer network a file of `write` holds, every number as it was.

    Raises BadInput for a file of others (`nir_read.read` reads those), one that is damaged, and one whose nodes were
    changed after it was written.
    """
    path = Path(path)
    with opened(path, "write one with export.nir_write.write") as file:
        root = root_of(file, path)
        if "metadata" not in root or METADATA not in (metadata := root.group("metadata")):
            raise BadInput(
                f"{path}: it carries no integers of this project; read it as a float network with export.nir_read, or "
                "deploy it with calibration data"
            )
        network = from_metadata(metadata.group(METADATA), path)
        raw = read_raw(file, path)
        expected = to_graph(network)
        for name, node in expected.nodes.items():
            if name not in raw.nodes or not _equal(raw.nodes[name].kind, raw.nodes[name].fields, node):
                raise BadInput(
                    f"{path}: {name} is not what the metadata say; the file was changed after it was written. Read it "
                    "with export.nir_read, or write it again"
                )
        if set(raw.nodes) != set(expected.nodes) or set(raw.edges) != set(expected.edges):
            raise BadInput(f"{path}: nodes or edges are not what the metadata say; write the file again")
    return network


def _equal(kind: str, fields: NirFields, node: nir.NIRNode) -> bool:
    """Whether a stored node holds the values of another."""
    values = {key: value for key, value in node.to_dict().items() if key not in ("type", "metadata")}
    if kind != type(node).__name__:
        return False
    return all(
        value is None or (key in fields and np.array_equal(fields.floats(key), np.asarray(value, np.float64)))
        for key, value in values.items()
    )


class _Builder:
    """NIR nodes and edges, population by population. node_of: the node that gives a population's spikes."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.nodes: dict[str, nir.NIRNode] = {}
        self.edges: list[tuple[str, str]] = []
        self.node_of: dict[str, str] = {}

    def add_population(self, population: Population) -> None:
        """A population and everything that leads to it."""
        name = population.name
        if isinstance(population.neuron, Source):
            self.nodes["input"] = nir.Input({"input": np.array(population.shape)})
            self.node_of[name] = "input"
            return
        node = self._name(name)
        self.node_of[name] = node
        incoming = self.network.incoming(name)
        bias = population.neuron.bias_over(population.shape).astype(np.float64)
        bias = bias * 2.0 ** (population.neuron.bias_exp - STATE_SHIFT)
        carrier = _bias_carrier(population.neuron, incoming, bias)
        self.nodes[node] = _neuron(
            population, np.zeros_like(bias) if carrier is not None else bias, _integrates(self.network, population)
        )
        for connection in incoming:
            self._add_connection(connection, population, bias if connection is carrier else None)

    def _add_connection(self, connection: Connection, target: Population, bias: np.ndarray | None) -> None:
        source, label = self.network[connection.source], f"{connection.source}->{connection.target}"
        start, end = self.node_of[connection.source], self.node_of[target.name]
        if isinstance(connection, OneToOne):
            scale = np.full(source.shape, float(connection.weight))
            self._chain(start, [(f"{label}", nir.Scale(scale))], end)
        elif isinstance(connection, Conv):
            self._chain(start, [(label, _conv(connection, source, bias))], end)
        else:
            if connection.recurrent and len(source.shape) != 1:
                raise UnsupportedLayer(
                    f"{label}: recurrent synapses of a population of shape {source.shape}; NIR has no node that turns "
                    "a vector back into (C, H, W), so flatten the population first"
                )
            self._dense(connection, source, label, bias)

    def _dense(self, connection: Dense, source: Population, label: str, bias: np.ndarray | None) -> None:
        start, end = self.node_of[source.name], self.node_of[connection.target]
        first: list[tuple[str, nir.NIRNode]] = []
        if len(source.shape) == 3:
            first.append((f"{label}.flatten", nir.Flatten({"input": np.array(source.shape)}, 0, -1)))
        delay = np.broadcast_to(connection.delay, connection.weight.shape)
        for value in np.unique(delay):
            part = np.where(delay == value, connection.weight, 0).astype(np.float32)
            ending = f".{value}" if connection.delay.ndim else ""
            steps: list[tuple[str, nir.NIRNode]] = [(name + ending, node) for name, node in first]
            if value:
                steps.append((f"{label}.delay{ending}", nir.Delay(np.full(source.size, float(value)))))
            here = bias if value == delay.min() else None
            steps.append((label + ending, nir.Linear(part) if here is None else nir.Affine(part, here)))
            self._chain(start, steps, end)

    def _chain(self, start: str, steps: list[tuple[str, nir.NIRNode]], end: str) -> None:
        for label, node in steps:
            name = self._name(label)
            self.nodes[name] = node
            self.edges.append((start, name))
            start = name
        self.edges.append((start, end))

    def _name(self, wanted: str) -> str:
        """A name HDF5 can hold and no other node has."""
        name = wanted.replace("/", "_").replace(".", "_") or "_"
        taken = {*self.nodes, *self.node_of.values(), "input", "output"}
        while name in taken:
            name += "_"
        return name


def _bias_carrier(neuron: Cuba, incoming: tuple[Connection, ...], bias: np.ndarray) -> Connection | None:
    """The connection whose node can hold the bias: with a current without memory, input and bias are one."""
    if not bias.any() or neuron.i_decay != DECAY_ONE:
        return None
    per_channel = bias.reshape(bias.shape[0], -1)
    for connection in incoming:
        if isinstance(connection, Dense) and not connection.recurrent:
            return connection
        if isinstance(connection, Conv) and np.all(per_channel == per_channel[:, :1]):
            return connection
    return None


def _integrates(network: Network, population: Population) -> bool:
    """Whether a population answers by a membrane whose threshold is out of reach, and speaks to nobody."""
    neuron, readout = population.neuron, network.readout
    answers = (readout.population, readout.kind) == (population.name, "membrane")
    silent = isinstance(neuron, Cuba) and neuron.v_th_mant >= NEVER_FIRES and not network.outgoing(population.name)
    return answers and silent


def _neuron(population: Population, bias: np.ndarray, integrates: bool) -> nir.NIRNode:
    """A population's neurons, the bias as a leak towards it."""
    neuron, shape = population.neuron, population.shape
    assert isinstance(neuron, Cuba)
    tau_mem, tau_syn = _tau(neuron.v_decay), _tau(neuron.i_decay)
    full = lambda value: np.full(shape, value)  # noqa: E731
    fires: dict[str, Any] = {} if integrates else {"v_threshold": full(float(neuron.v_th_mant)), "v_reset": full(0.0)}
    leak = {"r": full(tau_mem), "v_leak": bias * tau_mem}
    metadata = {} if integrates else {"reset": "value", "fires": "above the threshold"}
    if neuron.i_decay != DECAY_ONE:
        kind = nir.CubaLI if integrates else nir.CubaLIF
        current = {"tau_syn": full(tau_syn), "tau_mem": full(tau_mem), "w_in": full(tau_syn)}
        return kind(**current, **leak, **fires, metadata=metadata)
    if neuron.v_decay == 0 and not bias.any():
        return (nir.I if integrates else nir.IF)(r=full(1.0), **fires, metadata=metadata)
    return (nir.LI if integrates else nir.LIF)(tau=full(tau_mem), **leak, **fires, metadata=metadata)


def _tau(decay: int) -> float:
    """Time constant, in timesteps, of a decay of 4096."""
    return DECAY_ONE / decay if decay else ENDLESS


def _conv(connection: Conv, source: Population, bias: np.ndarray | None) -> nir.Conv2d:
    out, per_group = connection.weight.shape[:2]
    weight = np.zeros((out, source.shape[0], *connection.weight.shape[2:]), np.float32)
    for group in range(connection.groups):
        rows = slice(group * out // connection.groups, (group + 1) * out // connection.groups)
        weight[rows, group * per_group : (group + 1) * per_group] = connection.weight[rows]
    return nir.Conv2d(
        input_shape=np.array(source.shape[1:]),  # pyright: ignore[reportArgumentType]
        weight=weight,
        stride=np.array(connection.stride),  # pyright: ignore[reportArgumentType]
        padding=np.array(connection.padding),  # pyright: ignore[reportArgumentType]
        dilation=np.array(connection.dilation),  # pyright: ignore[reportArgumentType]
        groups=1,
        bias=np.zeros(out) if bias is None else bias.reshape(out, -1)[:, 0].copy(),
    )
