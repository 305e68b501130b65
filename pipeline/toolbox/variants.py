"""What commonly goes wrong between two implementations of one layer, each as semantics that can be tried.

A variant fits when a layer, run alone on the reference's own input spikes under its semantics, gives every number of
the reference. Adding one is adding an entry here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...hw import Conv, Dense
from .semantics import LayerAlone, Semantics

OFFSETS = (-4, -3, -2, -1, 1, 2)
"""Reset offsets tried, in timesteps; a chain of n layers whose offsets are forgotten is off by 0..n - 1."""

SHIFTS = (1, 2, -1, -2)
"""Timesteps by which a reference may be late (early if negative)."""

BIAS_EXPONENTS = range(8)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One thing that may be wrong. key: its stable name. sentence: what the user reads about the reference.

    semantics: readings of it, any of which may fit.
    """

    key: str
    sentence: str
    semantics: tuple[Semantics, ...]


def _one(key: str, sentence: str, *semantics: Semantics) -> Variant:
    return Variant(key=key, sentence=sentence, semantics=semantics)


_NEURON = (
    _one(
        "fires-at-threshold",
        "the reference fires where v equals the threshold (>=); the chip fires strictly above it (>)",
        Semantics(fires_at_threshold=True),
    ),
    _one(
        "decay-rounds-down",
        "the reference rounds the decayed u and v down (floor); the chip rounds towards zero",
        Semantics(rounding="down"),
    ),
    _one(
        "decay-rounds-to-nearest",
        "the reference rounds the decayed u and v to the nearest integer; the chip rounds towards zero",
        Semantics(rounding="nearest"),
    ),
    _one(
        "decay-in-floats",
        "the reference does not round the decayed u and v (floating point); the chip rounds towards zero",
        Semantics(rounding="none"),
    ),
    _one(
        "v-not-saturated",
        "the reference lets v pass 2^23 - 1; the chip's v saturates there",
        Semantics(v_range="none"),
    ),
    _one("u-not-wrapped", "the reference lets u pass 2^23; the chip's u wraps at 24 bits", Semantics(u_range="none")),
    _one(
        "u-saturated", "the reference saturates u at 2^23 - 1; the chip's u wraps there", Semantics(u_range="saturates")
    ),
    _one(
        "reset-by-subtraction",
        "the reference subtracts the threshold from v at a spike (soft reset); the chip sets v to 0",
        Semantics(reset="by subtraction"),
    ),
    _one("reset-missing", "the reference leaves v as it is at a spike; the chip sets v to 0", Semantics(reset="none")),
    _one("u-reset", "the reference clears u at a spike too; the chip leaves u alone", Semantics(u_reset=True)),
    _one(
        "v-before-reset",
        "the reference recorded v before the reset of the same timestep; v is compared after it",
        Semantics(v_seen="before reset"),
    ),
    _one(
        "v-register",
        "the reference shows 128 in v at timesteps with a spike, as Loihi 2's register does; the computation is equal",
        Semantics(v_seen="register"),
    ),
)

_BIAS = (
    _one("bias-missing", "the reference leaves the bias out", Semantics(bias="none")),
    _one("bias-once", "the reference adds the bias at the first timestep only", Semantics(bias="once")),
)

_WEIGHTS = (
    _one(
        "weights-even",
        "the reference rounds the weights to even integers",
        *(Semantics(weights=how) for how in ("even, down", "even, to zero", "even, nearest")),
    ),
    _one(
        "weights-clipped",
        "the reference clips the weights to 8 bits",
        *(Semantics(weights=how) for how in ("8 bits", "8 bits, symmetric", "even range")),
    ),
)

_FLIPPED = _one(
    "kernel-flipped",
    "the reference flips the kernel (true convolution); the file holds a cross-correlation",
    Semantics(kernel="flipped"),
)
_KERNEL_TRANSPOSED = _one(
    "kernel-transposed", "the reference swaps the kernel's H and W axes", Semantics(kernel="transposed")
)
_REFITTED = _one(
    "weights-refitted",
    "the reference multiplies by the weights as stock Lava refits them to 8 bits, not as they are stored",
    Semantics(weights="refitted by Lava"),
)
_MATRIX_TRANSPOSED = _one(
    "weights-transposed", "the reference reads the matrix as (in, out)", Semantics(weights="transposed")
)
_FLATTENED = _one(
    "flattened-whc",
    "the reference flattens (C, H, W) in the order W, H, C; the columns of the matrix count in C, H, W",
    Semantics(columns="W, H, C"),
)
_DELAYS_IGNORED = _one("delays-ignored", "the reference ignores the synaptic delays", Semantics(delays=False))
_PAYLOAD_IGNORED = _one(
    "payload-ignored",
    "the reference takes every graded spike as 1 (netx does, unless input_message_bits is given)",
    Semantics(payload="binary"),
)
_NOT_RESET = _one("samples-not-reset", "the reference does not clear u and v between samples", Semantics(resets=False))
_IN_FLIGHT = _one(
    "spikes-in-flight",
    "in the reference, delayed and recurrent spikes of one sample reach the next: u and v are cleared, they are not",
    Semantics(in_flight=True),
)


def variants(layer: LayerAlone) -> Iterator[Variant]:
    """Everything that can be tried on a layer."""
    yield from _timing(layer.n_steps)
    yield from _NEURON
    yield from _bias(layer)
    yield from _synapses(layer)
    if layer.n_samples > 1:
        yield _NOT_RESET
        if layer.recurrent or _delayed(layer):
            yield _IN_FLIGHT
    yield from _offsets(layer.n_steps)


def _offsets(n_steps: int) -> Iterator[Variant]:
    for offset in OFFSETS:
        if abs(offset) < n_steps:
            when = f"{_steps(offset)} {'before' if offset < 0 else 'after'}"
            yield _one(
                f"reset-offset{offset:+d}",
                f"the reference clears u and v {when} a sample begins in this layer: its reset offset does not count "
                "one timestep per layer",
                Semantics(reset_at=offset),
            )


def _timing(n_steps: int) -> Iterator[Variant]:
    for shift in SHIFTS:
        if abs(shift) < n_steps:
            yield _one(
                f"{'late' if shift > 0 else 'early'}-by-{abs(shift)}",
                f"the reference is {_steps(shift)} {'later' if shift > 0 else 'earlier'}: a synapse costs one timestep "
                "in one of the two and none in the other",
                Semantics(lag=shift),
                Semantics(recorded=shift),
            )


def _bias(layer: LayerAlone) -> Iterator[Variant]:
    if not layer.neuron.bias_mant.any():
        return
    yield from _BIAS
    own = layer.neuron.bias_exp
    for exponent in BIAS_EXPONENTS:
        if exponent != own:
            yield _one(
                f"bias-shifted-by-{exponent}",
                f"the reference adds the bias as mantissa << {exponent}; the file says mantissa << {own}",
                Semantics(bias_exp=exponent),
            )


def _synapses(layer: LayerAlone) -> Iterator[Variant]:
    connections = [*(connection for connection, _ in layer.drive), *layer.recurrent]
    yield from _WEIGHTS
    kernels = [c.weight.shape[2:] for c in connections if isinstance(c, Conv)]
    if kernels:
        yield _FLIPPED
        if all(height == width for height, width in kernels):
            yield _KERNEL_TRANSPOSED
    matrices = [c.weight.shape for c in connections if isinstance(c, Dense)]
    if matrices:
        yield _REFITTED
        if all(rows == columns for rows, columns in matrices):
            yield _MATRIX_TRANSPOSED
    if any(isinstance(c, Dense) and spikes.ndim == 5 for c, spikes in layer.drive):
        yield _FLATTENED
    if _delayed(layer):
        yield _DELAYS_IGNORED
    if any(spikes.max(initial=0) > 1 or spikes.min(initial=0) < 0 for _, spikes in layer.drive):
        yield _PAYLOAD_IGNORED


def _delayed(layer: LayerAlone) -> bool:
    connections = [*(connection for connection, _ in layer.drive), *layer.recurrent]
    return any(isinstance(c, Dense) and c.delay.any() for c in connections)


def _steps(count: int) -> str:
    return "1 timestep" if abs(count) == 1 else f"{abs(count)} timesteps"
