"""The ANNs that a spiking network is to be compared with, priced from its graph alone: one MAC per synapse.

    ann_fp32      32-bit floating point, as most papers compare
    ann_int8      8-bit weights and activations: an ordinary quantized network
    ann_matched   8-bit weights and as many bits of activation as T timesteps can say, ceil(log2(T + 1)), since a neuron
                  spikes 0..T times (Yan et al., arXiv 2409.08290)
    ann_int32     32-bit integers: the one width at which Lemaire et al. price operations, addressing and memory

An energy stands under the convention that gave it, and is to be compared with the spiking network under the same one:
an SNN at int8 beside an ANN at fp32 gains a factor of up to 20 by the width of its numbers alone. KerasSpiking's
and the 77 fJ conventions are left out: each prices its two networks on two different technologies.

The matched ANN is priced twice. As int8 MACs: an upper bound, for hardware that knows no fewer bits; none is given for
more than 8. Under `BY_BITS`: a multiplier whose energy is in proportion to the bits of the activation, our composition;
there the first layer multiplies the bits that a graded input really has, in both networks; of a binary one the matched
ANN reads the sum over time. Padding is never charged, save where Lemaire's formulas include it.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from ..hw import BadInput, Network, Source
from .bill import bill
from .constants import INT8_ADD, INT8_MULTIPLY, Constant
from .convention import CONVENTIONS, Convention, operation_counts
from .counts import Counts, is_graded, n_synapses
from .workload import Workload

BY_BITS = "op_count_int8_by_bits"
"""Name of the convention that `by_bits` makes for a network. It is not among CONVENTIONS: its prices depend on T."""


def matched_bits(n_steps: int) -> int:
    """ceil(log2(n_steps + 1)), in integers: the bits that hold every spike count of n_steps timesteps.

    Raises BadInput for less than one timestep.
    """
    if n_steps < 1:
        raise BadInput(f"matched_bits: {n_steps} timesteps say nothing; give 1 or more")
    return n_steps.bit_length()


def multiply_by(bits: int) -> Constant:
    """A MAC of an 8-bit weight and an activation of so many bits: 0.2 pJ * bits / 8 + 0.03 pJ, derived."""
    return Constant(
        value=INT8_MULTIPLY.value * bits / 8 + INT8_ADD.value,
        unit="pJ",
        source=f"{INT8_MULTIPLY.source} {INT8_MULTIPLY.value} pJ x {bits} of 8 bits + add {INT8_ADD.value} pJ; "
        "that a multiplier costs in proportion to the bits of one factor is our composition",
        kind="derived",
        scope=INT8_ADD.scope,
        voltage=INT8_ADD.voltage,
        node=INT8_ADD.node,
    )


def by_bits(network: Network) -> Convention:
    """Operation counts of this spiking network at int8, its graded inputs multiplied at the bits they really have.

    Of several graded inputs the widest counts. It defines no ANN: the layers of the matched one differ in bits, and
    `baseline_energies` prices it.
    """
    found = operation_counts(
        BY_BITS,
        "operation counts at 8-bit weights, multiplications by the bits of the activation",
        ac=INT8_ADD,
        mac=multiply_by(_input_bits(network)),
    )
    return replace(found, ann=())


def convention_of(name: str, network: Network) -> Convention:
    """The convention under which a baseline of this network was priced. Raises BadInput for an unknown name."""
    return by_bits(network) if name == BY_BITS else CONVENTIONS[name]


def baseline_energies(network: Network) -> dict[str, dict[str, float]]:
    """Energy of one inference of each ANN of the network's graph, in pJ, by convention; see the module for the keys."""
    silent = Workload(network=network, counts=_silent(network))

    def under(*names: str) -> dict[str, float]:
        return {name: bill(silent, CONVENTIONS[name]).total_pj("ann") for name in names}

    upper = under("op_count_int8") if matched_bits(network.n_steps) <= 8 else {}
    return {
        "ann_fp32": under("op_count_fp32"),
        "ann_int8": under("op_count_int8"),
        "ann_matched": {**upper, BY_BITS: _matched_pj(network)},
        "ann_int32": under("lemaire_int32_a", "lemaire_int32_b", "lemaire_int32_c"),
    }


def _matched_pj(network: Network) -> float:
    inner, outer = multiply_by(matched_bits(network.n_steps)), multiply_by(_input_bits(network))
    return sum(
        synapses * (outer if is_graded(network, source) else inner).value
        for (source, _), synapses in n_synapses(network).items()
    )


def _input_bits(network: Network) -> int:
    """Of the widest graded input; where none is graded, nothing is multiplied by it, and it is called 8."""
    payloads = [source.neuron.payload_bits for source in network.sources if isinstance(source.neuron, Source)]
    return max(payloads, default=0) or 8


def _silent(network: Network) -> Counts:
    """One sample without a spike: what is priced of it is the ANN alone."""
    nothing = torch.zeros(network.n_steps, 1, dtype=torch.int64)
    pairs = n_synapses(network)
    return Counts(
        spikes={population.name: nothing for population in network.populations},
        synops=dict.fromkeys(pairs, nothing),
        synops_effective=dict.fromkeys(pairs, nothing),
    )
