"""NeuroBench's metrics of a run: counts and bytes, no joules. Definitions: NeuroBench 2.3.0."""

from __future__ import annotations

from dataclasses import dataclass

from ..hw import Network
from .counts import Counts
from .energy import price


@dataclass(frozen=True, kw_only=True)
class NeuroBench:
    """Means per sample.

    effective_macs, effective_acs: `SynapticOperations`: non-zero weights reached by graded spikes and by binary ones.
    dense: its `Dense`: every synapse at every timestep, none at padded positions. footprint_bytes: `Footprint`: weights
    and biases as the network holds them, int16 and int32. connection_sparsity: `ConnectionSparsity`: share of stored
    weights that are zero, kernels counted once. activation_sparsity: `ActivationSparsity`: share of neurons and
    timesteps without a spike, of the populations that compute.

    `MembraneUpdates` is not here: it counts potentials that changed, which event counts do not hold.
    """

    effective_macs: float
    effective_acs: float
    dense: int
    footprint_bytes: int
    connection_sparsity: float
    activation_sparsity: float


def neurobench(network: Network, counts: Counts) -> NeuroBench:
    """The metrics of a run of `network`. Raises BadInput for counts of another network."""
    effective = price(network, counts, "op_count_int8", synops="effective")
    weights = [connection.weight for connection in network.connections]
    fired = sum(int(counts.spikes[population.name].sum()) for population, _ in network.neurons)
    states = sum(population.size for population, _ in network.neurons) * counts.n_steps * counts.n_samples
    return NeuroBench(
        effective_macs=effective.macs_per_sample,
        effective_acs=effective.acs_per_sample,
        dense=effective.dense_macs * counts.n_steps,
        footprint_bytes=sum(w.nbytes for w in weights) + sum(n.bias_mant.nbytes for _, n in network.neurons),
        connection_sparsity=sum(int((w == 0).sum()) for w in weights) / sum(w.size for w in weights),
        activation_sparsity=1 - fired / states,
    )
