"""What a NIR neuron does in discrete time, which NIR leaves open: its equations are differential, its reset one word.

    LIF      tau dv/dt = v_leak - v + r i                                     IF   dv/dt = r i
    CubaLIF  tau_syn du/dt = -u + w_in i,   tau_mem dv/dt = v_leak - v + r u

The framework's rules (`nir_frameworks`) settle it, and what was assumed is said on every neuron.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..hw import BadInput, Shape
from .floatgraph import Integrate, Spike
from .nir_file import RawNode
from .nir_frameworks import CLOSE, FRAMEWORKS, Framework, per_second, tau_field

Reset = Literal["auto", "value", "subtract", "late-subtract"]
"""How the original resets: as the file and its framework say; to v_reset; by subtracting the threshold at once; or by
subtracting it in the next timestep, after the decay (snnTorch's default)."""


def neuron(node: RawNode, shape: Shape, framework: Framework, dt_s: float, reset: Reset) -> Spike | Integrate:
    """The discrete-time neuron of a node whose population has `shape`.

    Potentials are shifted so that a sample begins at 0. An integrator with a leak or a gain is a `Spike` whose
    threshold is infinite: it never fires, and its potential is the answer.

    Raises BadInput for parameters that do not fit the population, decays beyond 1 and a reset above the threshold.
    """
    values, said = _Parameters(node, shape), list(framework.notes)
    dynamics = _dynamics(node, values, framework, dt_s, said)
    if node.kind in ("I", "LI", "CubaLI"):
        if node.kind == "I" and np.all(dynamics.gain == 1):
            return Integrate()
        return _integrator(dynamics, framework, said)
    return _spike(node, values, dynamics, framework, reset, said)


@dataclass(frozen=True, kw_only=True)
class _Dynamics:
    """The linear part of a neuron, in discrete time; see `Spike`. leak: the potential it leaks to."""

    v_decay: np.ndarray
    i_decay: np.ndarray
    gain: np.ndarray
    leak: np.ndarray


class _Parameters:
    """The fields of a neuron, each as () where uniform, else over the whole population."""

    def __init__(self, node: RawNode, shape: Shape) -> None:
        self.node = node
        self.shape = shape

    def get(self, field: str, missing: float | None = None) -> np.ndarray:
        fields = self.node.fields
        if missing is not None and field not in fields:
            return np.asarray(missing)
        values = fields.floats(field)
        if values.size == 0:
            raise fields.fail(field, "no values", f"one, or one per neuron of {self.shape}")
        if np.all(values == values.reshape(-1)[0]):
            fits = values.size == 1 or values.size == int(np.prod(self.shape)) or self._over(values) is not None
            if fits:
                return np.asarray(values.reshape(-1)[0])
        over = self._over(values)
        if over is None:
            raise fields.fail(field, f"shape {values.shape}", f"one value, or one per neuron of {self.shape}")
        return over

    def _over(self, values: np.ndarray) -> np.ndarray | None:
        extra = values.ndim - len(self.shape)
        if extra > 0 and values.shape[:extra] == (1,) * extra:
            values = values.reshape(values.shape[extra:])
        if values.ndim == 1 and len(self.shape) == 3 and values.shape[0] == self.shape[0]:
            values = values[:, None, None]
        try:
            return np.broadcast_to(values, self.shape).copy()
        except ValueError:
            return None


def _dynamics(node: RawNode, values: _Parameters, framework: Framework, dt_s: float, said: list[str]) -> _Dynamics:
    """Decays, gain and leak; `said` gets what was assumed about them."""
    i_decay, leak = np.ones(()), np.zeros(())
    if node.kind in ("IF", "I"):
        timed = framework.if_gain is per_second
        said.append(f"timestep {dt_s:g} s, {framework.if_rule}" if timed else framework.if_rule)
        gain = framework.if_gain(values.get("r"), dt_s)
        return _Dynamics(v_decay=np.zeros(()), i_decay=i_decay, gain=np.asarray(gain), leak=leak)
    v_decay = _decay(node, values, tau_field(node), framework, dt_s)
    gain, leak = values.get("r") * v_decay, values.get("v_leak")
    said.append(f"timestep {dt_s:g} s, {framework.decay_rule}")
    if node.kind.startswith("Cuba"):
        i_decay = _decay(node, values, "tau_syn", framework, dt_s)
        gain = gain * values.get("w_in", missing=1.0) * (1.0 if framework.jump else i_decay)
        said.append("the current decays and takes its input before the membrane reads it, in the same timestep")
    return _Dynamics(v_decay=v_decay, i_decay=i_decay, gain=np.asarray(gain), leak=leak)


def _integrator(dynamics: _Dynamics, framework: Framework, said: list[str]) -> Spike:
    said.append("an integrator: its potential after the last timestep is the answer")
    start = dynamics.leak if framework.rests_at == "v_leak" else np.zeros(())
    return Spike(
        threshold=np.asarray(np.inf),
        v_decay=dynamics.v_decay,
        i_decay=dynamics.i_decay,
        gain=dynamics.gain,
        offset=np.asarray((dynamics.leak - start) * dynamics.v_decay),
        assumed=tuple(said),
    )


def _spike(
    node: RawNode, values: _Parameters, dynamics: _Dynamics, framework: Framework, reset: Reset, said: list[str]
) -> Spike:
    threshold, v_reset = values.get("v_threshold"), values.get("v_reset", missing=0.0)
    start = {"zero": np.zeros(()), "v_leak": dynamics.leak, "v_reset": v_reset}[framework.rests_at]
    how, late = _reset(node, framework, reset, said)
    test = ">" if framework.strict else ">="
    said.append(f"fires where v {test} threshold, after decay and input of the same timestep")
    if np.any(start != 0):
        said.append(
            f"a sample begins at {framework.rests_at}, as in {framework.name}; potentials are counted from there"
        )
    if how == "value" and np.any(v_reset >= threshold):
        raise BadInput(
            f"{node.where}: v_reset {np.max(v_reset):g} is not below the threshold {np.min(threshold):g}, so a neuron "
            "that fires once would fire for ever; correct v_reset in the file"
        )
    if np.any(threshold <= start):
        raise BadInput(
            f"{node.where}: the threshold {np.min(threshold):g} is not above the potential a sample begins with; "
            "correct v_threshold in the file"
        )
    return Spike(
        threshold=np.asarray(threshold - start),
        v_decay=dynamics.v_decay,
        i_decay=dynamics.i_decay,
        gain=dynamics.gain,
        offset=np.asarray((dynamics.leak - start) * dynamics.v_decay),
        v_reset=np.asarray(v_reset - start),
        reset=how,
        late_reset=late,
        strict=framework.strict,
        assumed=tuple(said),
    )


def _decay(node: RawNode, values: _Parameters, field: str, framework: Framework, dt_s: float) -> np.ndarray:
    """What a state loses per timestep, 0..1."""
    tau = values.get(field)
    if np.any(tau <= 0):
        raise node.fields.fail(field, f"{np.min(tau):g}", "a positive time constant")
    decay = np.asarray(framework.decay(tau, dt_s))
    if np.any(decay > 1 + CLOSE):
        raise BadInput(
            f"{node.where}: {field} {np.min(tau):g} loses {np.max(decay):g} of the state in a timestep of {dt_s:g} s "
            f"as {framework.name} steps it, at most 1 is stable; give dt_s or another framework "
            f"({', '.join(FRAMEWORKS)})"
        )
    return np.asarray(np.minimum(decay, 1.0))


def _reset(
    node: RawNode, framework: Framework, reset: Reset, said: list[str]
) -> tuple[Literal["value", "subtract"], bool]:
    """Kind of reset, and whether it comes one timestep late; `said` gets a sentence."""
    stored = _stored_reset(node)
    if reset != "auto":
        said.append(f"reset: {reset}, as the caller says")
        return ("value", False) if reset == "value" else ("subtract", reset == "late-subtract")
    if stored is not None:
        said.append(f"reset: {stored}, as the node's metadata says")
        return stored, False
    words = "to v_reset" if framework.reset == "value" else "by subtracting the threshold"
    said.append(f"reset {words} in the timestep of the spike; NIR does not say")
    return framework.reset, False


def _stored_reset(node: RawNode) -> Literal["value", "subtract"] | None:
    """What a node's metadata says of its reset, if anything."""
    if "metadata" not in node.fields or "reset" not in (metadata := node.fields.group("metadata")):
        return None
    text = metadata.text("reset")
    if text in ("value", "hard", "zero"):
        return "value"
    if text in ("subtract", "soft"):
        return "subtract"
    raise metadata.fail("reset", repr(text), "value or subtract")
