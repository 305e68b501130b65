"""Before any training: every operation of a network that will not survive conversion, netx, or a core, and a fix.

for line in render(preflight("model.onnx", CHIPS["loihi2"])): ...
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from torch import nn

from ...export.floatgraph import FloatGraph
from ...export.problems import Problem
from ...hw import BadInput, Chip, Shape, UnsupportedLayer
from .findings import Finding
from .fold import try_fold
from .preflight_rules import of_folding, of_network

__all__ = ["Finding", "preflight", "render"]


def preflight(
    network: FloatGraph | nn.Module | str | Path, chip: Chip, *, input_shape: Shape | None = None
) -> list[Finding]:
    """All findings about a network, in the order of its operations; none if it survives unchanged.

    network: a float graph, a torch module, or the path of an .onnx or .nir file. input_shape: (C, H, W) or (F,); a
    module needs it, an ONNX file only where it leaves its input's shape open. A NIR file that does not show its
    framework is to be read with `nir_read.read` and given as a graph. Nothing is trained or written.

    Raises BadInput for a file that is damaged or of another kind, and for shapes that do not fit together.
    """
    graph, unknown = _surveyed(network, input_shape)
    findings = [_of_problem(problem) for problem in unknown]
    if graph is not None:
        stand_ins = {problem.node for problem in unknown}
        folded, problems = try_fold(graph)
        findings += [_of_problem(problem) for problem in problems]
        findings += [found for found in of_network(graph, folded, chip) if found.node not in stand_ins]
        findings += [found for found in of_folding(graph, folded) if found.node not in stand_ins]
    return sorted(findings, key=lambda found: found.position)


def _surveyed(
    network: FloatGraph | nn.Module | str | Path, input_shape: Shape | None
) -> tuple[FloatGraph | None, Sequence[Problem]]:
    """The graph as far as it can be read, and what has no rule."""
    if isinstance(network, FloatGraph):
        return network, ()
    if isinstance(network, nn.Module):
        from . import torch_trace

        if input_shape is None:
            raise BadInput(f"{type(network).__name__}: a module does not say what it reads; give input_shape")
        found = torch_trace.survey(network, input_shape)
        return found.graph, found.problems
    path = Path(network)
    if path.suffix == ".onnx":
        from ...export import onnx_read  # onnx is slow to import, needed here alone

        found = onnx_read.survey(path, input_shape)
        return found.graph, found.problems
    if path.suffix == ".nir":
        from ...export import nir_read

        try:
            return nir_read.read(path), ()
        except UnsupportedLayer as error:
            return None, [_of_nir(line) for line in str(error).splitlines()]
    raise BadInput(
        f"{path}: a file of kind {path.suffix!r}; give an .onnx or .nir file, a torch module or a float graph"
    )


def _of_nir(line: str) -> Problem:
    """One line of a refusal, `file: node: reason; way out`."""
    told, _, way_out = line.partition("; ")
    place, _, reason = told.rpartition(": ")
    return Problem(node="", kind="", where=place, reason=reason, way_out=way_out, position=0)


def _of_problem(problem: Problem) -> Finding:
    return Finding(
        node=problem.node,
        where=problem.where,
        severity="refused",
        stage="conversion",
        what=problem.reason,
        fix=problem.way_out,
        position=problem.position,
    )


def render(findings: Iterable[Finding]) -> list[str]:
    """One text line per finding: severity, place, what happens, fix."""
    return [f"{found.severity:<12} {found.where}: {found.what}; {found.fix}" for found in findings]
