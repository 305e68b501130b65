"""A torch module as a float graph, by symbolic tracing (torch.fx), each node with the user's source line.

The module is read as in evaluation mode: batch norms use their running statistics, dropout passes everything on. It is
not changed.
"""

from __future__ import annotations

import copy
import inspect
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import fx, nn
from torch.fx.node import map_arg
from torch.fx.proxy import TraceError

from ...export.floatgraph import FloatGraph, Input
from ...export.problems import Problem, refuse
from ...export.reading import Activation, Growing, NoRule, Padded, Place, Survey, source_line
from ...hw import BadInput, Shape
from .torch_rules import FUNCTIONS, METHODS, MODULES

_SPIKING = ("norse", "snntorch", "spikingjelly", "sinabs", "nirtorch")
"""Packages whose neurons keep a state between calls: they are named, not looked into."""


def trace(module: nn.Module, input_shape: Shape) -> FloatGraph:
    """The float graph of a module that reads one tensor (N, *input_shape) and gives one.

    input_shape: (C, H, W) or (F,). Raises UnsupportedLayer with one line per operation without a rule (source line,
    reason, way out), also for a forward whose path depends on data, and BadInput for shapes that do not fit.
    """
    found = survey(module, input_shape)
    refuse(found.problems)
    assert found.graph is not None
    return found.graph


def survey(module: nn.Module, input_shape: Shape) -> Survey:
    """`trace`, with what has no rule as values. A ReLU stands for an operation without a rule."""
    name = type(module).__name__
    frozen = copy.deepcopy(module).eval()
    tracer = _Tracer()
    try:
        traced = tracer.trace(frozen)
    except (TraceError, TypeError, RuntimeError, ValueError, AttributeError, IndexError) as error:
        return Survey(None, (_untraceable(name, error),))
    with np.errstate(all="ignore"):  # what overflows is refused where it becomes a weight
        return _Walk(name, frozen, traced, input_shape).run()


class _Tracer(fx.Tracer):
    record_stack_traces = True

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        foreign = type(m).__module__.split(".")[0] in _SPIKING
        return foreign or super().is_leaf_module(m, module_qualified_name)


def _untraceable(name: str, error: Exception) -> Problem:
    """The problem of a forward that cannot be followed symbolically."""
    stack = "\n".join(f'File "{f.filename}", line {f.lineno}' for f in traceback.extract_tb(error.__traceback__))
    line = source_line(stack)
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return Problem(
        node=name,
        kind="forward",
        where=f"{line}: {name}.forward" if line else f"{name}.forward",
        reason=f"its path depends on the data, or it calls what cannot be traced ({first})",
        way_out="keep ifs and loops on activations out of forward, or export it to ONNX",
        position=0,
    )


class _Lost:
    """A value that cannot be known, because an operation without a rule lies before it."""


class _Walk:
    """One traced module on its way into a graph. values: of every fx node so far."""

    def __init__(self, name: str, module: nn.Module, traced: fx.Graph, input_shape: Shape) -> None:
        self.module, self.traced = module, traced
        self.growing = Growing(name=name)
        self.input_shape = tuple(int(n) for n in input_shape)
        self.values: dict[fx.Node, Any] = {}

    def run(self) -> Survey:
        """Every node in order; the output's value is the answer."""
        answer: Any = None
        needed = self._needed()
        for node in self.traced.nodes:
            if node not in needed:
                continue
            if node.op == "placeholder":
                self.values[node] = self._input(node)
            elif node.op == "get_attr":
                self.values[node] = self._attribute(str(node.target))
            elif node.op == "output":
                answer = self._resolved(node.args[0])
            else:
                self.values[node] = self._called(node)
        if isinstance(answer, tuple | list | dict):
            raise BadInput(f"{self.growing.name}: forward returns several values; return the class scores alone")
        return self.growing.survey(None if isinstance(answer, _Lost) else answer)

    def _needed(self) -> set[fx.Node]:
        """What the output depends on, and all that writes in place."""
        self.order = {node: index for index, node in enumerate(self.traced.nodes)}
        waiting = [n for n in self.traced.nodes if n.op in ("output", "placeholder") or self._overwrites(n)]
        needed: set[fx.Node] = set()
        while waiting:
            node = waiting.pop()
            if node not in needed:
                needed.add(node)
                waiting += node.all_input_nodes
        return needed

    def _overwrites(self, node: fx.Node) -> bool:
        """Whether a call changes its first input, which is read again afterwards."""
        if node.op == "call_module":
            inplace = getattr(self.module.get_submodule(str(node.target)), "inplace", False) is True
        elif node.op in ("call_method", "call_function"):
            name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
            in_operator = getattr(node.target, "__module__", "") == "_operator" and name[:1] == "i"
            inplace = (name.endswith("_") and name[:1] != "_") or in_operator or node.kwargs.get("inplace") is True
        else:
            return False
        sources = node.all_input_nodes[:1] if inplace else []
        return any(self.order[reader] > self.order[node] for source in sources for reader in source.users)

    def _input(self, node: fx.Node) -> Any:
        if self.growing.nodes:
            if node.args:
                return node.args[0]  # an argument with a default
            raise BadInput(f"{self.growing.name}: forward takes several inputs, expected 1; wrap it in a module")
        place = Place(growing=self.growing, name=node.name, kind="Input", where=f"{self.growing.name}: {node.name}")
        return place.add(Input(shape=self.input_shape))

    def _attribute(self, target: str) -> Any:
        value: Any = self.module
        for part in target.split("."):
            value = getattr(value, part)
        return value

    def _resolved(self, argument: Any) -> Any:
        return map_arg(argument, lambda node: self.values[node])

    def _called(self, node: fx.Node) -> Any:
        rule, kind = self._rule(node)
        line = source_line(node.stack_trace or "")
        name = str(node.target) if node.op == "call_module" else node.name
        label = f"{'layer' if node.op == 'call_module' else 'call'} {name!r} ({kind})"
        final = all(user.op == "output" for user in node.users)
        where = f"{line}: {label}" if line else f"{self.growing.name}: {label}"
        place = Place(growing=self.growing, name=name, kind=kind, where=where, final=final)
        args, kwargs = self._resolved(node.args), self._resolved(node.kwargs)
        flat = _leaves((args, kwargs))
        acts = [value.inner if isinstance(value, Padded) else value for value in flat
                if isinstance(value, Activation | Padded)]  # fmt: skip
        try:
            if rule is None:
                raise self._no_rule(place, node)
            if self._overwrites(node):
                raise NoRule("it changes its input in place, and that is read again later", "write x = relu(x) instead")
            if any(isinstance(value, _Lost) for value in flat):
                return _Lost()
            return self._applied(rule, place, args, kwargs)
        except NoRule as error:
            place.note(error)
        except BadInput:
            if all(value.certain for value in acts):
                raise
            return _Lost()
        return place.stand_in(acts[0]) if acts else _Lost()

    def _rule(self, node: fx.Node) -> tuple[Callable[..., Any] | None, str]:
        """The rule of a call, None if there is none, and what the call is called."""
        if node.op == "call_module":
            layer = self.module.get_submodule(str(node.target))
            of_module = MODULES.get(type(layer))
            bound = None if of_module is None else lambda place, x: of_module(place, x, layer)
            return bound, type(layer).__name__
        if node.op == "call_method":
            return METHODS.get(str(node.target)), str(node.target)
        target = node.target
        known = FUNCTIONS.get(target) if not isinstance(target, str) else None
        return known, getattr(target, "__name__", str(target))

    def _no_rule(self, place: Place, node: fx.Node) -> NoRule:
        if node.op == "call_module":
            layer = self.module.get_submodule(str(node.target))
            package = type(layer).__module__.split(".")[0]
            if package in _SPIKING:
                return NoRule(f"it is a neuron of {package}, with a state of its own", "bring the network through NIR")
        return place.no_rule()

    def _applied(self, rule: Callable[..., Any], place: Place, args: Any, kwargs: Any) -> Any:
        try:
            bound = inspect.signature(rule).bind(place, *args, **kwargs)
        except TypeError as error:
            raise NoRule(f"it is called with arguments there is no rule for ({error})", "call it plainly") from None
        return rule(*bound.args, **bound.kwargs)


def _leaves(value: Any) -> list[Any]:
    """Everything in nested tuples, lists and dicts."""
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    if isinstance(value, tuple | list):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value]
