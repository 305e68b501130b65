"""Run a `Network` bit for bit as the chip does, many samples at a time, and count every event.

Layer by layer: a population's synaptic sums for all timesteps are made at once (T folded into the batch), then its
neurons are stepped. Sums are floating-point products of integers proven exact (`sim/exact.py`); the neuron is
`hw.step` on int32. The result equals stock Lava's, in which every layer lags its sources by one step (see
`hw/network.py`).

Memory: the spikes of a population are kept, for one batch, until its last consumer has run. The peak is about
`batch_size * n_steps * 12 bytes` times the neurons alive at once; lower `batch_size` if that is too much.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch

from ..hw import BadInput, Network, Population, Source, UnsupportedLayer, did_you_mean
from .counts import Counts, EventCounter
from .exact import exact_sums
from .layer import Layer, Over
from .trace import Trace

RECORDABLE = ("spikes", "u", "v")
INTEGERS = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def run(
    network: Network,
    inputs: torch.Tensor,
    *,
    batch_size: int = 64,
    record: Collection[str] = (),
    device: str | torch.device = "cpu",
    progress: Callable[[int], None] | None = None,
) -> Trace:
    """Simulate `network.n_steps` timesteps of every sample, from zero state.

    inputs: integers in 0..max_payload of the network's one source of shape S: (B, *S), the same at every timestep
    (synaptic sums are then made once), or (T, B, *S). record: any of "spikes", "u", "v", for every population; this
    keeps the whole tensors, so ask for it on few samples. device: "cpu" or a CUDA device; the integers are the same.
    progress: called after each batch with the number of samples it held.

    Raises BadInput for inputs or arguments that are not as above, UnsupportedLayer for a network of several sources,
    NotRepresentable if a synaptic sum leaves the range in which the chip's arithmetic is defined.
    """
    source = _only_source(network)
    place = _device(device)
    _check_arguments(network, batch_size, record)
    n_samples = _check_inputs(network, source, inputs)
    engine = _Engine(network, source, place, frozenset(record))
    parts = []
    with exact_sums(place):
        for start in range(0, n_samples, batch_size):
            batch = inputs.narrow(inputs.ndim - len(source.shape) - 1, start, min(batch_size, n_samples - start))
            parts.append(engine.batch(batch.to(place)))
            if progress is not None:
                progress(parts[-1].n_samples)
    return _side_by_side(parts)


class _Engine:
    """A network prepared for one device: what each population needs, and when its spikes may be dropped."""

    def __init__(self, network: Network, source: Population, device: torch.device, record: frozenset[str]) -> None:
        self.network = network
        self.source = source
        self.record = record
        self.layers = {p.name: Layer(network, p, neuron, device) for p, neuron in network.neurons}
        self.counters = {p.name: EventCounter(network, p, device) for p in network.populations}
        order = {p.name: i for i, p in enumerate(network.populations)}
        self.last_use = {
            p.name: max((order[c.target] for c in network.outgoing(p.name)), default=order[p.name])
            for p in network.populations
        }

    def batch(self, inputs: torch.Tensor) -> Trace:
        """One batch of inputs, (B, *S) or (T, B, *S), on the device."""
        kept: dict[str, dict[str, torch.Tensor]] = {name: {} for name in RECORDABLE}
        counts = Counts(spikes={}, synops={}, synops_effective={})
        alive: dict[str, torch.Tensor] = {}
        readout: torch.Tensor | None = None
        for index, population in enumerate(self.network.populations):
            name = population.name
            if name in self.layers:
                layer = self.layers[name]
                over = layer.run(layer.sums(alive), u="u" in self.record, v="v" in self.record)
                alive[name] = over.spikes
                for key, states in (("u", over.u), ("v", over.v)):
                    if states is not None:
                        kept[key][name] = states.cpu()
                if name == self.network.readout.population:
                    readout = self._readout(over)
            else:
                alive[name] = inputs if inputs.ndim == len(population.shape) + 2 else inputs[None]
            self._count(name, alive[name], counts)
            if "spikes" in self.record:
                kept["spikes"][name] = self._recorded(population, alive[name])
            alive = {n: spikes for n, spikes in alive.items() if self.last_use[n] > index}
        assert readout is not None  # _check_arguments refuses a source as read-out
        return Trace(readout=readout, counts=counts, **kept)

    def _count(self, name: str, spikes: torch.Tensor, counts: Counts) -> None:
        """Add a population's events to `counts`; what is the same at every timestep was counted once."""
        counter = self.counters[name]
        columns = [c.cpu().expand(self.network.n_steps, -1).contiguous() for c in counter.count(spikes)]
        counts.spikes[name] = columns[0]
        for i, pair in enumerate(counter.pairs):
            for table, column in ((counts.synops, columns[1 + 2 * i]), (counts.synops_effective, columns[2 + 2 * i])):
                table[pair] = table[pair] + column if pair in table else column

    def _recorded(self, population: Population, spikes: torch.Tensor) -> torch.Tensor:
        bits = population.neuron.payload_bits if isinstance(population.neuron, Source) else 0
        return spikes.to("cpu", torch.uint8 if bits <= 8 else torch.int32).expand(
            self.network.n_steps, *spikes.shape[1:]
        )

    def _readout(self, over: Over) -> torch.Tensor:
        """int64 (B, K) on the CPU."""
        answer = over.v_end if self.network.readout.kind == "membrane" else over.spikes.sum(dim=0)
        return answer.flatten(1).to("cpu", torch.int64)


def _side_by_side(parts: list[Trace]) -> Trace:
    """The traces of consecutive batches as one."""

    def joined(field: str) -> dict[str, torch.Tensor]:
        return {name: torch.cat([getattr(p, field)[name] for p in parts], dim=1) for name in getattr(parts[0], field)}

    return Trace(
        readout=torch.cat([part.readout for part in parts]),
        counts=Counts.merge([part.counts for part in parts]),
        spikes=joined("spikes"),
        u=joined("u"),
        v=joined("v"),
    )


def _only_source(network: Network) -> Population:
    sources = network.sources
    if len(sources) != 1:
        raise UnsupportedLayer(
            f"network: it has {len(sources)} sources ({', '.join(p.name for p in sources)}), and one input tensor "
            "feeds exactly one; join them into one source of more channels"
        )
    return sources[0]


def _device(device: str | torch.device) -> torch.device:
    try:
        place = torch.device(device)
    except RuntimeError:
        raise BadInput(f"device: {device!r} is not one torch knows; use 'cpu' or 'cuda'") from None
    if place.type not in ("cpu", "cuda"):
        raise BadInput(f"device: {device!r} has no exact integer path here; use 'cpu' or 'cuda'")
    if place.type == "cuda" and not torch.cuda.is_available():
        raise BadInput(f"device: {device!r} was asked for, but torch finds no CUDA device; use 'cpu'")
    return place


def _check_arguments(network: Network, batch_size: int, record: Collection[str]) -> None:
    if batch_size < 1:
        raise BadInput(f"batch_size: {batch_size} is below 1; give the number of samples to run at once")
    if isinstance(record, str):
        raise BadInput(f'record: {record!r} is a string; give a collection of names, such as ("{record}",)')
    for name in record:
        if name not in RECORDABLE:
            raise BadInput(f"record: unknown name {name!r}; {did_you_mean(name, RECORDABLE)}")
    readout = network[network.readout.population]
    if isinstance(readout.neuron, Source):
        raise BadInput(f"{readout.name}: a source cannot be the read-out; name a population that computes")


def _check_inputs(network: Network, source: Population, inputs: torch.Tensor) -> int:
    """The number of samples; raises BadInput for anything the source could not send."""
    if not isinstance(inputs, torch.Tensor):
        raise BadInput(f"inputs: expected a torch tensor of integers, got {type(inputs).__name__}; convert it first")
    if inputs.dtype not in INTEGERS:
        raise BadInput(
            f"inputs: spikes are integers, got {inputs.dtype}; quantize the images to payloads, as one of "
            f"{', '.join(str(dtype) for dtype in INTEGERS)}"
        )
    shape, given = source.shape, tuple(inputs.shape)
    sizes = ", ".join(map(str, shape))
    if given[-len(shape) :] != shape or inputs.ndim - len(shape) not in (1, 2):
        raise BadInput(f"inputs: shape {given} does not feed {source.name}; expected (B, {sizes}) or (T, B, {sizes})")
    if inputs.ndim - len(shape) == 2 and given[0] != network.n_steps:
        raise BadInput(
            f"inputs: {given[0]} timesteps given, the network's sample lasts n_steps={network.n_steps}; give "
            f"({network.n_steps}, B, {sizes}), or (B, {sizes}) to hold one input"
        )
    n_samples = given[-len(shape) - 1]
    if n_samples == 0:
        raise BadInput(f"inputs: shape {given} holds no samples; give at least one")
    assert isinstance(source.neuron, Source)  # network.sources holds nothing else
    low, high, most = int(inputs.min()), int(inputs.max()), source.neuron.max_payload
    if low < 0 or high > most:
        raise BadInput(
            f"inputs: value {low if low < 0 else high} is outside {source.name}'s payload 0..{most} "
            f"(payload_bits={source.neuron.payload_bits}); clip or requantize the inputs"
        )
    return n_samples
