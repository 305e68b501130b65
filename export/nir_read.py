"""Reading a NIR file into a `FloatGraph`: any framework's, with every guess written down.

graph = read("net.nir")                            the framework is found from the file, if it shows
graph = read("net.nir", framework="euler", dt_s=1e-3)
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..hw import BadInput, Shape, UnsupportedLayer
from .floatgraph import Add, Affine, Conv, Delay, Flatten, FloatGraph, Input, Integrate, Linear, Node, Op, Pool, Spike
from .floatgraph_shapes import out_shape, shapes
from .hdf5_fields import MAX_NEURONS, opened
from .nir_file import RawGraph, RawNode, read_raw, root_of
from .nir_frameworks import FRAMEWORKS, Framework, detect
from .nir_metadata import METADATA
from .nir_neurons import Reset, neuron
from .nir_order import in_order, leading_to

DELAY_SLACK = 1e-3  # timesteps by which a stored delay may miss a whole number: float32 seconds


def read(
    path: str | os.PathLike[str],
    *,
    dt_s: float | None = None,
    framework: str = "auto",
    n_steps: int | None = None,
    reset: Reset = "auto",
) -> FloatGraph:
    """The network a NIR file holds, in discrete time.

    framework: whose neurons they are, one of `FRAMEWORKS`; `auto` looks for signs in the file. dt_s: timestep in
    seconds, if not the framework's default (for `norse` the timestep its exporter was given). reset: how the original
    resets, see `Reset`. n_steps: timesteps per sample. What was assumed is in `FloatGraph.assumed` and `Spike.assumed`.

    Several edges into one node are added. What comes back through a loop arrives one timestep later.

    Raises BadInput for a file that is damaged, incomplete, contradictory, or does not say enough; UnsupportedLayer for
    nodes without a rule here. Source of the format: nir 1.0.8, nir/serialization.py and nir/ir.
    """
    path = Path(path)
    if dt_s is not None and not (dt_s > 0 and np.isfinite(dt_s)):
        raise BadInput(f"{path}: dt_s is {dt_s}; give the timestep in seconds, above 0")
    with opened(path, "write one with your framework's NIR exporter") as file:
        raw = read_raw(file, path)
        ours = "metadata" in (root := root_of(file, path)) and METADATA in root.group("metadata")
        rules, assumed = _framework(raw, framework, ours)
        used_dt = dt_s if dt_s is not None else rules.dt_s
        if used_dt is None and raw.of_kind("IF", "LIF", "CubaLIF", "I", "LI", "CubaLI", "Delay"):
            raise BadInput(f"{path}: its times are in seconds and {rules.name} has no default timestep; give dt_s")
        graph = _Reader(raw, rules, used_dt or 1.0, reset, assumed).graph(n_steps)
    shapes(graph)
    return graph


def _framework(raw: RawGraph, name: str, ours: bool) -> tuple[Framework, list[str]]:
    if name == "auto":
        found, why = detect(raw, ours)
        if found == "euler":
            return FRAMEWORKS[found], []
        return FRAMEWORKS[found], [f"read as {found} writes it: {why}"]
    return FRAMEWORKS[name], [f"read as {name} writes it, as the caller says"]


class _Reader:
    """Builds the nodes in order, each once the shapes it reads are known."""

    def __init__(self, raw: RawGraph, rules: Framework, dt_s: float, reset: Reset, assumed: list[str]) -> None:
        self.raw = raw
        self.rules = rules
        self.dt_s = dt_s
        self.reset: Reset = reset
        self.assumed = assumed
        (self.source,) = raw.of_kind("Input")
        (self.sink,) = raw.of_kind("Output")
        self.shape: dict[str, Shape] = {}
        self.nodes: list[Node] = []

    def graph(self, n_steps: int | None) -> FloatGraph:
        kept = leading_to(self.raw, self.source, self.sink)
        if dropped := [name for name in self.raw.nodes if name not in kept]:
            self.assumed.append(f"left out, because they lead to no output: {', '.join(dropped)}")
        order = [name for name in in_order(self.raw, kept, self.source.name) if name != self.sink.name]
        shape = self._input_shape(order)
        self._build(order, shape)
        last = self._joined(self.sink, order)
        return FloatGraph(
            name=self.raw.path.stem,
            nodes=tuple(self.nodes),
            output=last,
            n_steps=n_steps,
            assumed=tuple(self.assumed),
        )

    def _input_shape(self, order: list[str]) -> Shape:
        """The input's shape without the batch axis some exporters leave on it: the first reading that fits."""
        given = tuple(self.source.fields.whole("shape"))
        if not given or min(given) < 1 or float(np.prod([float(n) for n in given])) > MAX_NEURONS:
            raise self.source.fields.fail("shape", given, f"positive sizes of at most {MAX_NEURONS} together")
        first_error: Exception | None = None
        for extra in (0, 1):
            shape = given[extra:]
            if len(shape) not in (1, 3):
                continue
            try:
                trial = _Reader(self.raw, self.rules, self.dt_s, self.reset, [])
                trial._build(order, shape)
            except (BadInput, UnsupportedLayer) as error:
                first_error = first_error or error
                continue
            if extra:
                self.assumed.append(f"the input's shape {given} was read as {shape}: the rest is a batch axis")
            return shape
        if first_error is not None:
            raise first_error
        raise self.source.fields.fail("shape", given, "(C, H, W) or (F,), with or without a batch axis")

    def _build(self, order: list[str], shape: Shape) -> None:
        self._add(Node(name=self.source.name, op=Input(shape=shape), inputs=(), where=self.source.where), shape)
        for name in order:
            if name == self.source.name:
                continue
            node = self.raw.nodes[name]
            source = self._joined(node, order)
            here = self.shape[source]
            op = self._op(node, here)
            self._check_integrator(node, op)
            self._add(Node(name=name, op=op, inputs=(source,), where=node.where), out_shape(op, [here], node.where))

    def _add(self, node: Node, shape: Shape) -> None:
        self.nodes.append(node)
        self.shape[node.name] = shape

    def _joined(self, node: RawNode, order: list[str]) -> str:
        """The node a raw node reads: its only source, or the sum of all of them."""
        sources = [name for name in order if name in self.raw.sources(node.name)]
        if len(sources) == 1 and sources[0] in self.shape:
            return sources[0]
        known = [self.shape[name] for name in sources if name in self.shape]
        if not known:
            raise BadInput(f"{node.where}: nothing from the input leads here but its own loop; connect it")
        if len(set(known)) > 1:
            raise BadInput(f"{node.where}: it adds shapes {', '.join(map(str, known))}; they must be equal")
        name = f"{node.name}.sum"
        if name in self.raw.nodes:
            raise BadInput(f"{node.where}: the name {name!r} is needed for the sum of its inputs; rename that node")
        self._add(Node(name=name, op=Add(), inputs=tuple(sources), where=node.where), known[0])
        return name

    def _check_integrator(self, node: RawNode, op: Op) -> None:
        analog = isinstance(op, Integrate) or (isinstance(op, Spike) and bool(np.all(np.isinf(op.threshold))))
        if analog and self.raw.targets(node.name) != [self.sink.name]:
            raise UnsupportedLayer(
                f"{node.where}: this {node.kind} sends potentials to {', '.join(self.raw.targets(node.name))}; neurons "
                "of the chip send spikes. Use it as the last node, or put a spiking neuron in its place"
            )

    def _op(self, node: RawNode, shape: Shape) -> Op:
        if node.kind in ("IF", "LIF", "CubaLIF", "I", "LI", "CubaLI"):
            return neuron(node, shape, self.rules, self.dt_s, self.reset)
        if node.kind == "Delay":
            return _delay(node, shape, self.dt_s)
        rule = _RULES.get(node.kind)
        if rule is None:
            reason = _REFUSED.get(
                node.kind, f"known: {', '.join([*_RULES, 'Delay', 'IF', 'LIF', 'CubaLIF', 'LI', 'I'])}"
            )
            raise UnsupportedLayer(f"{node.where}: no rule for {node.kind} nodes; {reason}")
        return rule(node, shape, self.assumed)


def _linear(node: RawNode, shape: Shape, assumed: list[str]) -> Linear:
    weight = node.fields.floats("weight")
    if weight.ndim != 2 or weight.size == 0:
        raise node.fields.fail("weight", f"shape {weight.shape}", "(out, in)")
    if len(shape) == 3:
        assumed.append(f"{node.name}: its input {shape} is flattened in C, H, W order; the file has no Flatten there")
    bias = node.fields.floats("bias") if node.kind == "Affine" else None
    if bias is not None and bias.shape != (weight.shape[0],):
        raise node.fields.fail("bias", f"shape {bias.shape}", f"({weight.shape[0]},)")
    return Linear(weight=weight, bias=bias)


def _conv(node: RawNode, shape: Shape, assumed: list[str]) -> Conv:
    del assumed
    fields, weight = node.fields, node.fields.floats("weight")
    if weight.ndim != 4 or weight.size == 0:
        raise fields.fail("weight", f"shape {weight.shape}", "(out, in / groups, kH, kW)")
    if len(shape) != 3:
        raise BadInput(f"{node.where}: a convolution of an input of shape {shape}; it needs (C, H, W)")
    if "input_shape" in fields and (given := fields.whole("input_shape")) != shape[1:]:
        raise BadInput(f"{node.where}: input_shape is {given}, but what leads here has shape {shape}")
    groups = fields.whole("groups")
    if len(groups) != 1 or groups[0] < 1:
        raise fields.fail("groups", groups, "one positive number")
    bias = fields.floats("bias")
    if bias.shape != (weight.shape[0],):
        raise fields.fail("bias", f"shape {bias.shape}", f"({weight.shape[0]},)")
    dilation, stride = _pair(node, "dilation", 1), _pair(node, "stride", 1)
    return Conv(
        weight=weight,
        bias=bias,
        stride=stride,
        padding=_padding(node, weight.shape[2:], dilation, stride),
        dilation=dilation,
        groups=groups[0],
    )


def _padding(
    node: RawNode, kernel: tuple[int, ...], dilation: tuple[int, int], stride: tuple[int, int]
) -> tuple[int, int]:
    """Zeros per side, from numbers or from `valid` or `same`."""
    if not node.fields.is_text("padding"):
        return _pair(node, "padding", 0)
    word = node.fields.text("padding")
    if word == "valid":
        return (0, 0)
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if word != "same" or stride != (1, 1) or any(r % 2 for r in reach):
        raise node.fields.fail("padding", repr(word), "numbers, `valid`, or `same` with stride 1 and odd kernels")
    return reach[0] // 2, reach[1] // 2


def _pair(node: RawNode, field: str, least: int) -> tuple[int, int]:
    """(H, W) from one number or two."""
    found = node.fields.whole(field)
    if len(found) not in (1, 2) or min(found) < least:
        raise node.fields.fail(field, found, f"one or two numbers of at least {least}")
    return found[0], found[-1]


def _pool(node: RawNode, shape: Shape, assumed: list[str]) -> Pool:
    del assumed
    if len(shape) != 3:
        raise BadInput(f"{node.where}: pooling of an input of shape {shape}; it needs (C, H, W)")
    return Pool(
        kind="sum" if node.kind == "SumPool2d" else "average",
        kernel=_pair(node, "kernel_size", 1),
        stride=_pair(node, "stride", 1),
        padding=_pair(node, "padding", 0),
    )


def _flatten(node: RawNode, shape: Shape, assumed: list[str]) -> Flatten:
    start, end = (node.fields.whole(field) for field in ("start_dim", "end_dim"))
    rank = len(shape)
    if len(start) != 1 or len(end) != 1:
        raise node.fields.fail("start_dim", (*start, *end), "one number each for start_dim and end_dim")
    first, last = start[0] % rank if -rank <= start[0] < rank else start[0], end[0]
    ends = last in (-1, rank - 1, rank)
    if first == 1 and rank == 3 and ends:
        assumed.append(f"{node.name}: start_dim 1 was read as counting a batch axis: all of {shape} is flattened")
    elif rank == 3 and not (first == 0 and ends):
        raise UnsupportedLayer(
            f"{node.where}: it flattens dimensions {start[0]} to {end[0]} of {shape}; only all of them can be flattened"
        )
    return Flatten()


def _scale(node: RawNode, shape: Shape, assumed: list[str]) -> Affine:
    del assumed
    scale = node.fields.floats("scale")
    try:
        over = np.broadcast_to(scale, shape)
    except ValueError:
        raise node.fields.fail("scale", f"shape {scale.shape}", f"one value, or one per element of {shape}") from None
    per_channel = over.reshape(shape[0], -1)
    if np.any(per_channel != per_channel[:, :1]):
        raise UnsupportedLayer(f"{node.where}: it scales positions of one channel differently; scale whole channels")
    return Affine(scale=per_channel[:, 0].copy(), shift=np.zeros(shape[0]))


def _delay(node: RawNode, shape: Shape, dt_s: float) -> Delay:
    seconds = node.fields.floats("delay")
    steps = np.round(seconds / dt_s)
    off = np.abs(seconds / dt_s - steps)
    if seconds.size == 0 or seconds.min() < 0 or off.max() > DELAY_SLACK or steps.max() > 1 << 20:
        worst = seconds.reshape(-1)[off.argmax()] if seconds.size else "nothing"
        raise node.fields.fail("delay", f"{worst} s", f"whole timesteps of {dt_s:g} s; give dt_s, or round the delays")
    if np.all(steps == steps.reshape(-1)[0]):
        return Delay(steps=np.asarray(steps.reshape(-1)[0], np.int64))
    try:
        return Delay(steps=np.broadcast_to(steps, shape).astype(np.int64))
    except ValueError:
        raise node.fields.fail("delay", f"shape {seconds.shape}", f"one value, or one per element of {shape}") from None


_RULES: dict[str, Callable[[RawNode, Shape, list[str]], Op]] = {
    "Affine": _linear,
    "Linear": _linear,
    "Conv2d": _conv,
    "SumPool2d": _pool,
    "AvgPool2d": _pool,
    "Flatten": _flatten,
    "Scale": _scale,
}
_REFUSED = {
    "Conv1d": "write it as a Conv2d with a kernel of height 1",
    "Threshold": "a threshold without memory is no neuron of the chip; use an IF or LIF node",
    "Input": "only the outermost graph has one",
    "Output": "only the outermost graph has one",
}
