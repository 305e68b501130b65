"""ONNX in: a classifier as a float graph.

What has a rule is in `onnx_ops`. Every operation without one is named, with its reason and a way out. Only what the
output depends on is looked at.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from ..hw import BadInput, Shape
from .floatgraph import FloatGraph, Input
from .onnx_call import LOST, Call, Given, Lost, check_attributes
from .onnx_file import array, load
from .onnx_ops import OPS
from .problems import refuse
from .reading import Activation, Growing, NoRule, Padded, Place, Survey, source_line

OPSET_MIN = 7
"""Oldest operator set with today's broadcasting and batch norm."""

OPSET_MAX = onnx.defs.onnx_opset_version()
"""Newest operator set whose attributes the installed onnx package knows."""

STANDARD = ("", "ai.onnx")
"""The two spellings of ONNX's own domain."""

_FLOATS = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16}


def read(path: str | Path, input_shape: Shape | None = None) -> FloatGraph:
    """The network in an ONNX file, weights in float64. input_shape: (C, H, W) or (F,), where the file leaves it open.

    Raises UnsupportedLayer with one line per operation without a rule (node, reason, way out), and BadInput for a file
    that is damaged, contradicts itself, is too large, or names external data outside its folder.
    """
    found = survey(path, input_shape)
    refuse(found.problems)
    assert found.graph is not None
    return found.graph


def survey(path: str | Path, input_shape: Shape | None = None) -> Survey:
    """`read`, with what has no rule as values. A ReLU stands for an operation without a rule.

    Raises BadInput as `read` does.
    """
    path = Path(path)
    model = load(path)
    with np.errstate(all="ignore"):  # what overflows is refused where it becomes a weight
        return _Walk(path, model, input_shape).run()


class _Walk:
    """One model on its way into a graph. values: of every tensor written so far."""

    def __init__(self, path: Path, model: onnx.ModelProto, input_shape: Shape | None) -> None:
        self.path, self.graph = path, model.graph
        self.growing = Growing(name=path.name)
        self.initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        if len(self.initializers) < len(model.graph.initializer):
            raise BadInput(f"{path.name}: two of its initializers have one name; the file is damaged")
        self.values: dict[str, Given] = {"": None}
        self.opset = self._opset(model)
        self.functions = {function.name for function in model.functions}
        if len(self.graph.output) != 1:
            raise BadInput(
                f"{path.name}: it has {len(self.graph.output)} outputs; export a network with one, the class scores"
            )
        self.output = self.graph.output[0].name
        self._read_input(input_shape)

    def _opset(self, model: onnx.ModelProto) -> int:
        versions = [entry.version for entry in model.opset_import if entry.domain in STANDARD]
        if not versions or not OPSET_MIN <= max(versions) <= OPSET_MAX:
            raise BadInput(
                f"{self.path.name}: operator set {max(versions, default='missing')}, not of {OPSET_MIN}..{OPSET_MAX}; "
                "export it with opset 17"
            )
        return max(versions)

    def _read_input(self, given: Shape | None) -> None:
        inputs = [info for info in self.graph.input if info.name not in self.initializers]
        if len(inputs) != 1:
            names = ", ".join(repr(info.name) for info in inputs) or "none"
            raise BadInput(f"{self.path.name}: it has {len(inputs)} inputs ({names}), expected 1")
        info = inputs[0]
        where = f"{self.path.name}: input {info.name!r}"
        tensor = info.type.tensor_type
        if tensor.elem_type not in _FLOATS:
            raise BadInput(f"{where}: its ONNX type is {tensor.elem_type}; export it with a float input")
        batch, shape = self._input_shape(tensor, given, where)
        self.growing.batch = batch
        place = Place(growing=self.growing, name=info.name or "input", kind="Input", where=where)
        self.values[info.name] = place.add(Input(shape=shape))

    def _input_shape(self, tensor: onnx.TypeProto.Tensor, given: Shape | None, where: str) -> tuple[int | None, Shape]:
        sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
        if not sizes:
            if given is None:
                raise BadInput(f"{where}: its shape is open; give input_shape, (C, H, W) or (F,)")
            return None, given
        batch, *rest = sizes
        if given is not None:
            fits = len(given) == len(rest) and all(n in (None, g) for n, g in zip(rest, given, strict=True))
            if not fits:
                raise BadInput(f"{where}: its shape is {_shown(rest)}, not {given}; leave input_shape out")
            return batch, given
        shape = tuple(n for n in rest if n is not None)
        if len(shape) < len(rest):
            raise BadInput(f"{where}: its shape {_shown(rest)} is open; give input_shape, (C, H, W) or (F,)")
        return batch, shape

    def run(self) -> Survey:
        needed = self._needed()
        for index, node in enumerate(self.graph.node):
            if index in needed:
                self._node(index, node)
        if self.output not in self.values:
            raise BadInput(f"{self.path.name}: nothing writes the output {self.output!r}; the file is damaged")
        answer = self.values[self.output]
        return self.growing.survey(None if isinstance(answer, Lost) else answer)

    def _needed(self) -> set[int]:
        """Indices of the nodes the output depends on, and how often each tensor is read, in `self.reads`."""
        writer: dict[str, int] = {}
        for index, node in enumerate(self.graph.node):
            for name in filter(None, node.output):
                if name in writer or name in self.initializers or name in self.values:
                    raise BadInput(f"{self.path.name}: the tensor {name!r} is written twice; the file is damaged")
                writer[name] = index
        needed: set[int] = set()
        waiting, self.reads = [self.output], {self.output: 1}
        while waiting:
            index = writer.get(waiting.pop())
            if index is not None and index not in needed:
                needed.add(index)
                for name in self.graph.node[index].input:
                    self.reads[name] = self.reads.get(name, 0) + 1
                    waiting.append(name)
        return needed

    def _node(self, index: int, node: onnx.NodeProto) -> None:
        name = node.name or f"{node.op_type}_{index}"
        where = f"{self.path.name}: node {name!r} ({node.op_type})"
        stack = next((p.value for p in node.metadata_props if p.key == "pkg.torch.onnx.stack_trace"), "")
        line = source_line(stack)
        final = self.output in node.output and self.reads[self.output] == 1
        place = Place(
            growing=self.growing,
            name=name,
            kind=node.op_type,
            where=f"{where}, {line}" if line else where,
            final=final,
        )
        inputs = [self._value(source, place) for source in node.input]
        self.values |= dict.fromkeys(node.output, LOST)
        self.values[node.output[0]] = self._called(place, node, inputs)
        self.values[""] = None

    def _value(self, name: str, place: Place) -> Given:
        if name not in self.values:
            if name not in self.initializers:
                raise BadInput(
                    f"{place.where}: it reads {name!r}, which nothing before it writes; the graph has a loop, or the "
                    "file is damaged"
                )
            self.values[name] = array(self.initializers[name], self.path.parent, self.path.name)
        return self.values[name]

    def _called(self, place: Place, node: onnx.NodeProto, inputs: list[Given]) -> Given:
        """What a node writes first. After one without a rule its first activation goes on through a ReLU."""
        acts = [value for value in inputs if isinstance(value, Activation | Padded)]
        try:
            self._check_known(place, node)
            if any(isinstance(value, Lost) for value in inputs):
                return LOST
            return OPS[node.op_type](Call(place=place, inputs=inputs, node=node, folder=self.path.parent))
        except NoRule as error:
            place.note(error)
        except BadInput:
            if all(_activation(value).certain for value in acts):
                raise
            return LOST  # perhaps only because of an operation before it
        return place.stand_in(_activation(acts[0])) if acts else LOST

    def _check_known(self, place: Place, node: onnx.NodeProto) -> None:
        if node.op_type in self.functions or node.domain not in STANDARD:
            raise NoRule(
                f"it belongs to the domain {node.domain!r}, outside ONNX itself",
                "inline functions with onnx.inliner, or export with standard operators",
            )
        if node.op_type not in OPS:
            raise place.no_rule()
        check_attributes(node, self.opset, place.where)
        if any(name in self.reads for name in node.output[1:]):
            raise NoRule("its further outputs are read as well", "use its first output alone")


def _activation(value: Activation | Padded) -> Activation:
    return value.inner if isinstance(value, Padded) else value


def _shown(sizes: list[int | None]) -> str:
    return f"({', '.join('?' if n is None else str(n) for n in sizes)})"
