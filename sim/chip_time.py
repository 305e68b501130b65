"""A lower bound on the time of a sample on a chip, and the static energy drawn meanwhile.

A chip steps all cores together: a step lasts until the busiest core is done, then comes a barrier. A core takes in
spikes and steps its neurons side by side (its synapses work for the next timestep, its neurons on this one; the fit to
silicon overlaps the two as well), so a step lasts at least as long as the longer of the two on any core:

    received = messages in * message time + synaptic operations * synapse time
    sent     = neurons * update time + spikes * spike time + messages out * message time
    step    >= max over cores of max(received, sent), plus the barrier
    latency  = sum of the T + depth steps from the first input to the answer

Why it is a lower bound, as far as the published times hold: neurons count as inactive; messages take no time on their
way and never wait for one another; a barrier no published number covers counts as the nearest smaller one; and work is
the mean over samples before its maximum over cores is taken, and the maximum of means is at most the mean of the maxima
(Jensen). Host, input and output, and the cores that pass a skip connection on are left out. One time is no minimum:
Davies et al. print 3.5 ns as the *maximum* of a synaptic operation.

**Samples one after the other**, each from zero state, enter every T steps, as `export.lava` runs exported files; every
T + 1 where synapses remember (recurrent, delayed) and one empty step keeps samples apart. Answers then come so many
steps apart, with several samples in the pipeline at once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..hw import BadInput, Dense, Network
from ..hw.placement import Placement
from .constants import Constant
from .convention import CONVENTIONS
from .core_events import Activity, CoreEvents, core_events
from .references import STATIC_POWER
from .timings import TIMINGS, Timings

S_PER_NS = 1e-9
PJ_PER_MW_S = 1e9


@dataclass(frozen=True, kw_only=True)
class TimeBound:
    """A lower bound on time under one source of published times. constants: whose.

    step_s: of a mean step, the barrier included. busiest: the population of the core that steps wait for, most often.
    steps: from the first input to the answer, T and the depth of the pipeline. latency_s: of one sample, steps *
    step_s. interval_s: between two answers, samples one after the other. scope: to be printed with it.
    """

    constants: str
    step_s: float
    barrier_s: float
    busiest: str
    steps: int
    latency_s: float
    interval_s: float
    scope: str


@dataclass(frozen=True, kw_only=True)
class TotalEnergy:
    """Dynamic and static energy of one sample in pJ, never added up here. constants: whose time static power lasts.

    static_pj: of the cores in use alone, and of whole chips. source: of the static power, and what the product is.
    """

    convention: str
    constants: str
    dynamic_pj: float
    static_pj: tuple[float, float]
    source: str


def time_bounds(placement: Placement, activity: Activity, n_samples: int) -> tuple[TimeBound, ...]:
    """A bound for each source that publishes times of the chip's events; none for Loihi 2, where none is known.

    activity: spikes of each neuron at each timestep, summed over n_samples: by population, integers (T, *shape). Zeros
    give what holds for any data. Raises BadInput for an activity that is not the network's, and for no samples.
    """
    if n_samples < 1:
        raise BadInput(f"time_bounds: {n_samples} samples have no mean; give the number the activity is summed over")
    known = [times for times in TIMINGS if times.chip == placement.chip.name]
    events = core_events(placement, activity) if known else None
    return tuple(_bound(placement, events, n_samples, times) for times in known if events is not None)


def total_energies(
    placement: Placement, times: Sequence[TimeBound], dynamic: Mapping[str, float]
) -> tuple[TotalEnergy, ...]:
    """Static energy beside the dynamic one, for the conventions that price the chip's events and have a time bound.

    times: of `time_bounds`. dynamic: pJ per sample by convention, messages and hops included where it prices them. A
    convention goes with the times of its own source; those that price no events of this chip are left out. Empty for
    Loihi 2, of which no energy of an operation and no time of an event is known. Raises BadInput for an unknown
    convention.
    """
    for convention in dynamic:
        _ = CONVENTIONS[convention]  # raises with the nearest known name
    bounds = {bound.constants: bound for bound in times}
    return tuple(
        _total(placement, bounds[source.title], convention, dynamic[convention])
        for source in TIMINGS
        if source.chip == placement.chip.name and source.title in bounds
        for convention in source.conventions
        if convention in dynamic
    )


def _bound(placement: Placement, events: CoreEvents, n_samples: int, times: Timings) -> TimeBound:
    work = _work_ns(events, n_samples, times)
    barrier = times.barrier_ns(_tiles(placement))
    busiest, steps = work.max(axis=1), len(work)
    latency = busiest.sum() + steps * barrier
    period = events.n_steps + _remembers(placement.network)
    # Steps a period apart are one step of a full pipeline: it lasts as long as the longest of them, or an idle one.
    idle = times.update.value * events.neurons.max()
    interval = sum(busiest[step::period].max(initial=idle) + barrier for step in range(period))
    waited_for = Counter(placement.cores[core].population for core in work.argmax(axis=1))
    return TimeBound(
        constants=times.title,
        step_s=float(latency / steps * S_PER_NS),
        barrier_s=barrier * S_PER_NS,
        busiest=waited_for.most_common(1)[0][0],
        steps=steps,
        latency_s=float(latency * S_PER_NS),
        interval_s=float(interval * S_PER_NS),
        scope=_scope(placement, times),
    )


def _work_ns(events: CoreEvents, n_samples: int, times: Timings) -> np.ndarray:
    """The longer of what a core does side by side, at each step of a mean sample. float64 (steps, cores)."""
    received = (
        times.dense_synop.value * events.dense_synops
        + times.shared_synop.value * events.shared_synops
        + _ns(times.message_in) * events.messages_in
    )
    sent = _ns(times.spike) * events.spikes + _ns(times.message_out) * events.messages_out
    return np.maximum(received / n_samples, times.update.value * events.neurons + sent / n_samples)


def _ns(time: Constant | None) -> float:
    return 0.0 if time is None else time.value


def _tiles(placement: Placement) -> int:
    """The fewest tiles its cores can lie on, of one chip: of several, the first one is full."""
    cores = placement.chip.cores
    per_tile = cores.per_chip if cores.mesh is None else cores.mesh.cores_per_tile
    return math.ceil(min(len(placement.cores), cores.per_chip) / per_tile)


def _remembers(network: Network) -> bool:
    """Whether spikes of a sample can be on their way when it ends, so that an empty step must follow it."""
    dense = [connection for connection in network.connections if isinstance(connection, Dense)]
    return any(connection.recurrent or connection.max_delay for connection in dense)


def _scope(placement: Placement, times: Timings) -> str:
    tiles, covered = _tiles(placement), max(known for known in times.barrier if known <= _tiles(placement))
    barrier = f"barrier as published for {covered} tile{'s' * (covered > 1)}, {tiles} in use"
    if placement.n_chips > 1:
        barrier += f" on the fullest of {placement.n_chips} chips, that between chips not published"
    return (
        "a lower bound as far as the published times hold: the busiest core at each step, its synapses and its neurons "
        f"side by side; {barrier}; no waiting and no way of messages, no host, no input and output"
    )


def _total(placement: Placement, bound: TimeBound, convention: str, dynamic_pj: float) -> TotalEnergy:
    core, chip = STATIC_POWER[placement.chip.name]
    return TotalEnergy(
        convention=convention,
        constants=bound.constants,
        dynamic_pj=dynamic_pj,
        static_pj=(
            static_pj(core, len(placement.cores), bound.latency_s),
            static_pj(chip, placement.n_chips, bound.latency_s),
        ),
        source=(
            f"{chip.source}; {chip.value:.4g} mW a chip, or divided by its cores {core.value:.3g} mW each in use, for "
            "the least time of a sample"
        ),
    )


def static_pj(power: Constant, units: int, seconds: float) -> float:
    """Energy in pJ of so many units of a static power in mW over a time: mW * s = mJ = 10^9 pJ."""
    return power.value * units * seconds * PJ_PER_MW_S
