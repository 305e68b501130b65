"""Run a `Network` bit for bit as the chip does, many samples at a time, and count every event.

Layer by layer: a population's synaptic sums for all timesteps are made at once (T folded into the batch), then its
neurons are stepped; only a population with recurrent synapses is run step by step. Sums are floating-point or 8-bit
products, or are gathered from the spikes, each proven exact (`sim/exact.py`, `sim/selfcheck.py`, `sim/plan.py`); the
neuron is that of `hw.neurons.cuba`. The result equals stock Lava's, in which every layer lags its sources by one step
(see `hw/network.py`).

Memory: the spikes of a population are kept, a byte each, for one batch, until its last consumer has run; synaptic sums
only for a few samples at a time. What is recorded is kept whole.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch

from ..hw import Chip, Network
from .arguments import Tallies
from .plan import Backend
from .simulator import Simulator
from .trace import Trace


def run(
    network: Network,
    inputs: torch.Tensor,
    *,
    batch_size: int = 64,
    record: Collection[str] = (),
    device: str | torch.device = "cpu",
    progress: Callable[[int], None] | None = None,
    chip: Chip | None = None,
    backend: Backend = "auto",
    tallies: Tallies | None = None,
) -> Trace:
    """Simulate `network.n_steps` timesteps of every sample, from zero state.

    inputs: integers in min_payload..max_payload of the network's one source of shape S: (B, *S), the same at every
    timestep (synaptic sums are then made once), or (T, B, *S). record: any of "spikes", "u", "v", for every population,
    which keeps the whole tensors, so ask for it on few samples; "readout", the answer after each timestep; "activity",
    in how many samples each neuron spikes at each timestep. device: "cpu" or a CUDA device; the integers are the same.
    progress: called after each batch with the number of samples it held.

    chip: where given, the populations of `hw.rests_on_calibration(network, chip)` are watched, and `Counts.overflows`
    says how many of their synaptic sums left the chip's range. backend: how sums and neurons are computed on the CPU
    (`sim/plan.py`), for tests and benchmarks; it never changes the result. A GPU always takes the plain path.

    tallies: by population and name, a number for each neuron, such as the messages that one spike of it becomes. Each
    spike adds its neuron's number, and `Counts.tallies` has the sums, exact for every timestep of every sample.

    Raises BadInput for inputs or arguments that are not as above, UnsupportedLayer for a network of several sources,
    NotRepresentable if a synaptic sum leaves the range in which the chip's arithmetic is defined.
    """
    simulator = Simulator(network, device=device, backend=backend, chip=chip, tallies=tallies)
    return simulator.run(inputs, batch_size=batch_size, record=record, progress=progress)


def largest_sums(
    network: Network,
    inputs: torch.Tensor,
    *,
    batch_size: int = 64,
    device: str | torch.device = "cpu",
    progress: Callable[[int], None] | None = None,
) -> dict[str, int]:
    """The largest magnitude of a synaptic sum in each population that computes: `observed` of `hw.check`.

    Arguments and errors as for `run`.
    """
    return Simulator(network, device=device).largest_sums(inputs, batch_size=batch_size, progress=progress)
