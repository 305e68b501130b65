"""Rate-based backpropagation: T spike passes without autograd, one differentiable pass on the measured rates.

Unit by unit, interleaved: a unit's spikes over all T steps, then one node on its rate. Only the spikes that a later
unit still reads are alive, and what is kept for the backward pass does not depend on T. The equations are in
`rate_plain`; `rate_fast` computes the same with compiled loops where it can.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Collection
from functools import cache
from types import ModuleType

import torch
from torch import Tensor

from ..hw import BadInput
from . import rate_plain
from .architecture import INPUT
from .engines import ENGINES, Engine, Response
from .graph import GraphNet
from .rate_signal import Signal


def through_rates(student: GraphNet, x: Tensor, taps: Collection[str] = ()) -> Response:
    """Backpropagation through firing rates: exact for static currents, an estimate beyond; memory does not grow with T.

    x: images (B, C, H, W), held over the sample, or (T, B, C, H, W). Raises BadInput for a network without timesteps,
    an input of another shape, or a unit that is not a sum of wires.
    """
    shape = student.architecture.input_shape
    name = student.architecture.name
    if student.n_steps < 1:
        raise BadInput(f"{name}: an ANN has no spikes whose rate could be measured; train it as it is")
    if x.shape[-len(shape) :] != shape:
        raise BadInput(f"{name}: an input of shape {tuple(x.shape)} does not end in {shape}")
    signals = {INPUT: _presented(x, static=x.ndim == len(shape) + 1)}
    n_steps = student.n_steps if signals[INPUT].static else len(x)
    last_reader = {wire.source: unit.name for unit in student.architecture.units for wire in unit.wires}
    fast = _compiled() if not torch.is_autocast_enabled(x.device.type) else None
    rates: dict[str, Tensor] = {}
    out = signals[INPUT]
    for node in student.walk():
        unit = node.unit
        sources = [signals[wire.source] for wire in unit.wires]
        if fast is not None and unit.name not in last_reader and fast.is_linear(node):
            out = fast.read_out(node, sources)
        else:
            way = fast if fast is not None and fast.takes(node, sources) else rate_plain
            out = signals[unit.name] = way.respond(node, sources, n_steps)
        if unit.name in taps:
            rates[unit.name] = out.rate
        for source in [name for name in signals if last_reader.get(name) == unit.name]:
            done = signals.pop(source)
            if fast is not None:
                fast.release(done)
    return Response(logits=rate_plain.widened(out.rate), rates=rates)


def _presented(x: Tensor, *, static: bool) -> Signal:
    """The input as a signal."""
    if static:
        return Signal(x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x, None)
    return Signal(x.mean(dim=0), x.detach())


@cache
def _compiled() -> ModuleType | None:
    """`rate_fast`, or None without numba."""
    if importlib.util.find_spec("numba") is None:
        return None
    return importlib.import_module(".rate_fast", __package__)


ENGINES.register("rate", Engine(summary="backpropagation through firing rates", steps=False, run=through_rates))
