"""How the frameworks that write NIR step their neurons, and which one wrote a file.

NIR gives differential equations. Every framework steps them in its own way, and its exporter fills `tau` and `r` to
fit. A `Framework` holds one way; `detect` finds the one that wrote a file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..hw import BadInput, Registry
from .nir_file import RawGraph, RawNode

Decay = Callable[[np.ndarray, float], np.ndarray]
"""(tau as stored, timestep in seconds) -> the part of a state that is lost in one timestep."""


@dataclass(frozen=True, kw_only=True)
class Framework:
    """How one framework steps the neurons it writes as NIR.

    dt_s: timestep of its exporter; None if it has no default. decay: see `Decay`, with `decay_rule` in words.
    strict: fires for v > threshold (else >=). if_gain: input gain of an IF neuron, from r and dt, in words `if_rule`.
    jump: whether a current neuron adds its input to u as it is (else scaled by the decay). rests_at: the potential a
    sample begins with. reset: how its neurons reset by default. notes: what its exporter leaves out.
    source: the files these rules were read from.
    """

    name: str
    dt_s: float | None
    decay: Decay
    decay_rule: str
    strict: bool
    if_gain: Callable[[np.ndarray, float], np.ndarray]
    if_rule: str
    jump: bool = False
    rests_at: Literal["zero", "v_leak", "v_reset"] = "zero"
    reset: Literal["value", "subtract"] = "value"
    notes: tuple[str, ...] = ()
    source: str


def _euler(tau: np.ndarray, dt_s: float) -> np.ndarray:
    return dt_s / tau


def per_second(r: np.ndarray, dt_s: float) -> np.ndarray:
    """Input gain of `dv/dt = r i` stepped by Euler."""
    return r * dt_s


def _per_step(r: np.ndarray, dt_s: float) -> np.ndarray:
    del dt_s
    return r


_EULER = "decay dt / tau, input gain r dt / tau (forward Euler)"
_SNNTORCH_RESET = (
    "snnTorch writes v_reset 0 whatever its reset_mechanism, whose default is `subtract`: if the network was trained "
    "with it, read with reset='late-subtract'"
)
_SINABS_SPIKES = (
    "sinabs writes neither its reset nor its spike function: read as one spike per timestep at most and subtraction of "
    "the threshold; its default is several spikes per timestep"
)
FRAMEWORKS: Registry[Framework] = Registry("framework")

for _framework in (
    Framework(
        name="euler",
        dt_s=None,
        decay=_euler,
        decay_rule=_EULER,
        strict=True,
        if_gain=per_second,
        if_rule="input gain r dt",
        source="nir 1.0.8, nir/ir/neuron.py, stepped by forward Euler",
    ),
    Framework(
        name="spikeport",
        dt_s=1.0,
        decay=_euler,
        decay_rule=_EULER,
        strict=True,
        if_gain=per_second,
        if_rule="input gain r dt",
        source="export/nir_write.py",
    ),
    Framework(
        name="snntorch",
        dt_s=1e-4,
        decay=_euler,
        decay_rule=_EULER,
        strict=True,
        if_gain=_per_step,
        if_rule="input gain r",
        notes=(_SNNTORCH_RESET,),
        source="snntorch 1.0.0, export_nir.py, _neurons/leaky.py, synaptic.py, rleaky.py",
    ),
    Framework(
        name="spikingjelly",
        dt_s=1e-4,
        decay=_euler,
        decay_rule=_EULER,
        strict=False,
        if_gain=per_second,
        if_rule="input gain r dt",
        rests_at="v_reset",
        notes=("SpikingJelly before August 2026 wrote soft reset as v_reset 0; newer versions refuse to write it",),
        source="spikingjelly 2.0.0, nir_exchange/to_nir.py, neuron/lif.py, functional/neuron.py",
    ),
    Framework(
        name="norse",
        dt_s=1e-3,
        decay=lambda tau, dt_s: dt_s * dt_s / tau,
        decay_rule="decay dt dt / tau, because Norse stores dt / tau_mem_inv as tau; input gain r times the decay",
        strict=True,
        if_gain=_per_step,
        if_rule="input gain r",
        jump=True,
        rests_at="v_leak",
        notes=("Norse writes neither v_reset nor its reset_method; read as what is stored, its default 0",),
        source="norse 1.1.0, utils/export_nir.py, functional/lif.py, lif_box.py, iaf.py",
    ),
    Framework(
        name="sinabs",
        dt_s=1.0,
        decay=lambda tau, dt_s: -np.expm1(-dt_s / tau),
        decay_rule="decay 1 - exp(-1 / tau), tau in timesteps, input gain r times the decay (norm_input)",
        strict=False,
        if_gain=_per_step,
        if_rule="input gain r",
        reset="subtract",
        notes=(_SINABS_SPIKES,),
        source="sinabs 3, sinabs/nir.py",
    ),
):
    FRAMEWORKS.register(_framework.name, _framework)
del _framework

CLOSE = 1e-5
"""Relative difference within which numbers of a file count as equal: exporters store float32."""


def detect(graph: RawGraph, ours: bool) -> tuple[str, str]:
    """The framework that wrote a file, and what shows it. ours: whether it carries this project's metadata.

    The signs are how exporters fill `tau` and `r`: snnTorch r = tau / 1e-4 in float32 (or recurrent parts called
    `w_rec`), SpikingJelly r = 1 or tau / 1e-4 in float64 and v_leak = v_reset, Norse r = 1 with tau below 1e-3, sinabs
    r = 1 with tau in timesteps. Raises BadInput where the signs fit none or several.
    """
    if ours:
        return "spikeport", "it carries the metadata of this project"
    timed = graph.of_kind("LIF", "CubaLIF", "LI", "CubaLI")
    plain = graph.of_kind("IF", "I")
    if not timed and not plain and not graph.of_kind("Delay"):
        return "euler", "it has no neurons with parameters of time"
    if timed and all(_unit_gain(node) for node in timed) and any(n.endswith("w_rec") for n in graph.nodes):
        return "snntorch", "recurrent parts called `w_rec` and r = tau / 1e-4 s, as snnTorch writes it"
    signs = {_sign(node) for node in timed} or {_plain_sign(node) for node in plain}
    if len(signs) == 1 and (only := signs.pop()) in _SIGNS:
        return only, _SIGNS[only]
    raise BadInput(
        f"{graph.path}: nothing in it says which framework's neurons these are, and they differ in timestep, gain and "
        f"threshold test; name it with framework=, one of {', '.join(FRAMEWORKS)} (euler also needs dt_s)"
    )


_SIGNS = {
    "snntorch": "r = tau / 1e-4 s in float32, as snnTorch writes it",
    "spikingjelly": "float64 parameters with r = 1 or tau / 1e-4 s and v_leak = v_reset, as SpikingJelly writes them",
    "norse": "r = 1 with tau below 1e-3, as Norse writes dt / tau_mem_inv",
    "sinabs": "r = 1 with tau above half a unit, as sinabs writes timesteps",
}


def _sign(node: RawNode) -> str:
    """Which framework a neuron with a time constant looks like, or `unknown`."""
    fields = node.fields
    tau, r, double = fields.floats(tau_field(node)), fields.floats("r"), fields.precision("r") == "float64"
    if tau.size == 0 or r.size == 0 or np.any(tau <= 0):
        return "unknown"
    all_one = np.allclose(r, 1.0, rtol=CLOSE)
    if double:
        rests = "v_reset" in fields and np.array_equal(fields.floats("v_leak"), fields.floats("v_reset"))
        in_steps = tau.min() >= 0.99e-4 and tau.max() < 0.5
        return "spikingjelly" if rests and in_steps and (all_one or _unit_gain(node)) else "unknown"
    if _unit_gain(node):
        return "snntorch"
    if all_one and tau.max() < 1e-3:
        return "norse"
    return "sinabs" if all_one and tau.min() > 0.5 else "unknown"


def _plain_sign(node: RawNode) -> str:
    """Which framework a neuron without a time constant looks like: only SpikingJelly's r = 1 / dt is a sign."""
    r = node.fields.floats("r")
    return "spikingjelly" if r.size and np.allclose(r, 1e4, rtol=CLOSE) else "unknown"


def tau_field(node: RawNode) -> str:
    """The field that holds a neuron's membrane time constant."""
    return "tau_mem" if node.kind.startswith("Cuba") else "tau"


def _unit_gain(node: RawNode) -> bool:
    """Whether r = tau / 1e-4 s: an input gain of 1 at the timestep snnTorch and SpikingJelly share."""
    tau, r = node.fields.floats(tau_field(node)), node.fields.floats("r")
    return tau.shape == r.shape and bool(np.allclose(r * 1e-4, tau, rtol=CLOSE, atol=0))
