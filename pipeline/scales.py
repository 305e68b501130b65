"""How large a chip unit is, per population: as fine as weights, sums, biases and thresholds all allow.

A population's scale S is its integer threshold: chip units per threshold. A wire whose source arrives `gain` times
larger than 1 (payloads of the input, positions under a spatial mean) has weights `w S / gain`. S is the largest integer
that keeps every one of these inside the chip:

    |w| S / gain <= 254,    one-sided sums of |w| S (x payload) <= accumulator,    |b| S <= bias mantissa,
    S <= threshold mantissa,    and for the read-out T (sum + |b|) S <= threshold mantissa, so that it never fires.

A population that a shortcut passes will host relay channels in the exported chain (`export/lowering_drive.py`), whose
weights must add up to more than its threshold: there S <= 253, or, if the export may copy what is carried, as much as
its most copies exceed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..export.lowering_drive import COPIES_MAX, RELAY_WEIGHT_MAX
from ..export.lowering_pool import OR_THRESHOLD
from ..hw import Chip, NotRepresentable, Shape, Source
from ..models import INPUT, Architecture, GraphNet, LinearWire, Node
from ..models.architecture import Wire
from ..models.integer import WEIGHT_LIMIT, WEIGHT_STEP, IntegerNode, IntegerSynapses

HEADROOM = 0.9
"""Share of the accumulator used at the start, so that fine-tuning has room; `contain_` guards the rest."""

COARSEST = 0.5
"""A payload bit is worth at most one bit of weight: the input layer keeps at least this share of the weight grid."""


@dataclass(frozen=True, kw_only=True)
class Scales:
    """units: integer threshold per unit. gains: per (source, unit). payload_bits: of the input.

    limited_by: per unit, which limit set its scale.
    """

    units: dict[str, int]
    gains: dict[tuple[str, str], float]
    payload_bits: int
    limited_by: dict[str, str]


def choose_scales(
    student: GraphNet,
    chip: Chip,
    payload_bits: int | None,
    max_bits: int = 8,
    relays: Literal["rescale", "copies"] = "rescale",
) -> Scales:
    """Scales of a weight-form network without batch norms.

    payload_bits: given (0 for binary spikes), or None for as many as fit: the most bits (up to max_bits) at which no
    accumulator of an input layer can overflow while its weights keep at least half of their grid. relays: `rescale`
    keeps the scale of a population that hosts relays below what one relay weight exceeds; `copies` leaves it to the
    export to add copies.
    Raises NotRepresentable if some population would need a scale below 2.
    """
    candidates = [payload_bits] if payload_bits is not None else list(range(max_bits, 0, -1))
    shapes = student.architecture.shapes()
    hosts = relay_hosts(student.architecture)
    most_relayed = RELAY_WEIGHT_MAX * (COPIES_MAX if relays == "copies" else 1) - 1
    for bits in candidates:
        units: dict[str, int] = {}
        gains: dict[tuple[str, str], float] = {}
        limited: dict[str, str] = {}
        fine_enough = True
        for unit in student.architecture.units:
            if unit.pool is not None:
                units[unit.name], limited[unit.name] = OR_THRESHOLD, "max pool"
                continue
            limits = _limits(student, unit.name, chip, shapes, bits, gains)
            if unit.name in hosts:
                limits["relay weight"] = float(most_relayed)
            limited[unit.name] = min(limits, key=limits.__getitem__)
            units[unit.name] = int(min(limits.values()))
            if units[unit.name] < WEIGHT_STEP:
                raise NotRepresentable(
                    f"{unit.name}: the scale allowed by its {limited[unit.name]} is {units[unit.name]}, too coarse for "
                    f"{chip.name}; lower convert.percentile or payload_bits, or train with more weight decay"
                )
            reads_input = any(wire.source == INPUT for wire in unit.wires)
            fine_enough &= not reads_input or units[unit.name] >= COARSEST * limits["weight grid"]
        if fine_enough or bits == candidates[-1]:
            return Scales(units=units, gains=gains, payload_bits=bits, limited_by=limited)
    raise AssertionError("the last candidate always returns")


def relay_hosts(architecture: Architecture) -> set[str]:
    """The units that some wire skips: they stand between its source and its target."""
    names = [INPUT, *(unit.name for unit in architecture.units)]
    spans = [(names.index(w.source), names.index(u.name)) for u in architecture.units for w in u.wires]
    return {names[between] for start, end in spans for between in range(start + 1, end)}


def _limits(
    student: GraphNet, name: str, chip: Chip, shapes: dict[str, Shape], bits: int, gains: dict[tuple[str, str], float]
) -> dict[str, float]:
    """The largest scale that each resource of the chip allows a unit; fills in the gains of its wires."""
    node = student.node(name)
    last = node.unit is student.architecture.units[-1]
    limits = {"threshold": float(chip.v_th_max), "weight grid": float("inf")}
    sums = torch.zeros(node.unit.channels)
    room = float("inf")
    bias = _largest_bias(node)
    for wire, synapses in zip(node.unit.wires, node.synapses, strict=True):
        found = dict(synapses.named_parameters())
        weight = next(p.detach() for n, p in found.items() if n.endswith("weight")).cpu()
        positions = shapes[wire.source][1] * shapes[wire.source][2] if _is_mean(wire) else 1
        payload = Source(payload_bits=bits).max_payload if wire.source == INPUT else 1
        gains[wire.source, name] = float(payload * positions)
        if not weight.any():
            raise NotRepresentable(
                f"{wire.source} -> {name}: all weights are zero, which the chip's synapse format cannot hold; "
                "train the ANN longer"
            )
        grid = WEIGHT_LIMIT / float(weight.abs().max()) * payload * positions
        limits["weight grid"] = min(limits["weight grid"], grid)
        # Weights shrink by the gain and the payloads or positions grow by it, so the sum is that of the raw weights.
        sums = sums + _one_sided(weight)
        room = min(room, _accumulator(wire, chip))
    limits["accumulator"] = HEADROOM * room / float(sums.max())
    if float(bias.max()) > 0:
        limits["bias"] = HEADROOM * chip.bias_max / float(bias.max())
    if last:
        limits["read-out membrane"] = HEADROOM * chip.v_th_max / (student.n_steps * float((sums + bias).max()))
    return limits


def _largest_bias(node: Node) -> Tensor:
    """Per output channel: the largest magnitude of a neuron's bias, summed over the wires. (out,)."""
    channels = node.unit.channels
    biases = [p.detach().cpu().reshape(channels, -1) for n, p in node.synapses.named_parameters() if n.endswith("bias")]
    return sum(biases, torch.zeros(channels, 1)).abs().amax(dim=1)


def _is_mean(wire: object) -> bool:
    return isinstance(wire, LinearWire) and wire.mean


def _one_sided(weight: Tensor) -> Tensor:
    """Per output: the larger of the sum of positive and the sum of negative weights, as magnitudes. (out,)."""
    rows = weight.reshape(weight.shape[0], -1) if weight.ndim > 1 else weight.reshape(1, 1)
    return torch.maximum(rows.clamp_min(0).sum(dim=1), (-rows).clamp_min(0).sum(dim=1))


@torch.no_grad()
def contain_(net: GraphNet, chip: Chip, scales: Scales) -> None:
    """Keep an integer network inside the chip after an optimizer step, in place.

    Latent weights are clamped to the grid; the rows of a population whose integer sums could leave the accumulator
    (or, for the read-out, whose membrane could reach the threshold) are shrunk until they cannot. The read-out's biases
    take at most half of its membrane.
    """
    for node in net.walk():
        if node.unit.pool is not None:
            continue
        assert isinstance(node, IntegerNode)
        for wire in node.wires:
            limit = WEIGHT_LIMIT / wire.scale
            wire.weight.clamp_(-limit, limit)
        room = float(min(_accumulator(wire.wire, chip) for wire in node.wires))
        if node.unit is net.architecture.units[-1]:
            _contain_bias_(node, chip.v_th_max / (2 * net.n_steps))
            room = min(room, chip.v_th_max / net.n_steps - float(node.grid_bias.abs().max()))
        # More than one round only where rounding to the grid takes back what shrinking gave.
        while bool(((total := _total_reach(node, scales)) > room).any()):
            factor = torch.where(total > room, 0.98 * room / total.double(), 1.0)
            for wire in node.wires:
                # A shortcut's gain is shared by all rows.
                rows = factor.reshape(-1, *[1] * (wire.weight.ndim - 1)) if wire.weight.ndim > 1 else factor.min()
                wire.weight.mul_(rows.to(wire.weight))


def _contain_bias_(node: IntegerNode, limit: float) -> None:
    """Clamp the biases of a node so that their sum stays within +-limit, if the grid of biases goes beyond it."""
    biases = [wire.bias for wire in node.wires if wire.bias is not None]
    if limit < node.bias_limit:
        for bias in biases:
            bias.clamp_(-limit / node.scale / len(biases), limit / node.scale / len(biases))


def _total_reach(node: IntegerNode, scales: Scales) -> Tensor:
    """The largest magnitude of a node's integer sums over all its wires, per output (out,)."""
    reaches = [_reach(wire, scales.gains[wire.wire.source, node.unit.name]) for wire in node.wires]
    return torch.zeros(node.unit.channels) + torch.stack(torch.broadcast_tensors(*reaches)).sum(dim=0)


def _accumulator(wire: Wire, chip: Chip) -> int:
    """The largest sum the chip holds for a wire: an identity is a convolution there (`pipeline/lower.py`)."""
    return chip.dense_sum_max if isinstance(wire, LinearWire) else chip.conv_sum_max


def _reach(wire: IntegerSynapses, gain: float) -> Tensor:
    """The largest magnitude of a wire's integer sums for any input, per output (out,)."""
    return _one_sided(wire.grid_weight.detach()).cpu() * gain
