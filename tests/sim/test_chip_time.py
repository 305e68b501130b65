"""The time bound and what it rests on: events of every core, against a walk over every synapse and every event."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport import hw, sim
from spikeport.hw.placement import Placement, place
from spikeport.sim.chip_time import static_pj, time_bounds, total_energies
from spikeport.sim.constants import Constant
from spikeport.sim.core_events import core_operations, levels
from spikeport.sim.references import STATIC_POWER
from spikeport.sim.timings import TIMINGS, Timings

from ..hw.placement.nets import LOIHI1, LOIHI2, dense, inside, mixed, network, synapses, tiny, weights

DAVIES, NAHUKU = TIMINGS
BOTH = pytest.mark.parametrize("times", TIMINGS, ids=lambda times: times.title.split()[0].strip(","))


def random_spikes(net: hw.Network, seed: int, n_samples: int) -> dict[str, np.ndarray]:
    """0/1 of shape (T, B, *shape) by population."""
    rng = np.random.default_rng(seed)
    shapes = {p.name: (net.n_steps, n_samples, *p.shape) for p in net.populations}
    return {name: rng.integers(0, 2, shape) for name, shape in shapes.items()}


def summed(spikes: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Over the samples."""
    return {name: torch.from_numpy(values.sum(axis=1)) for name, values in spikes.items()}


def by_hand(**spikes: list) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(values, dtype=torch.int64) for name, values in spikes.items()}


def ns(constant: Constant | None) -> float:
    return 0.0 if constant is None else constant.value


def slow_operations(placement: Placement, spikes: dict[str, np.ndarray]) -> np.ndarray:
    """(T, cores): each spike walked along each of its synapses to the core that holds the neuron there."""
    net = placement.network
    found = np.zeros((net.n_steps, len(placement.cores)), np.int64)
    for connection in net.connections:
        for a, b, _ in synapses(net, connection):
            for core in placement.of(connection.target):
                if inside(core.part, b):
                    found[:, core.index] += spikes[connection.source].sum(axis=1)[(slice(None), *a)]
    return found


def slow_latency_ns(placement: Placement, spikes: dict[str, np.ndarray], times: Timings, barrier: float) -> float:
    """One sample, event after event; spikes (T, 1, *shape). The longer of a core's two sides decides a step."""
    net = placement.network
    level = levels(net)
    lasts: dict[tuple[int, int, str], float] = defaultdict(float)
    steps = net.n_steps + level[net.readout.population]
    for core in placement.cores:
        for step in range(steps):
            lasts[step, core.index, "sent"] = times.update.value * core.part.size
    for connection in net.connections:
        source, target = connection.source, connection.target
        synop = times.dense_synop if isinstance(connection, hw.Dense) else times.shared_synop
        reached = defaultdict(set)
        for t in range(net.n_steps):
            heard = t + level[target] - (source != target)
            for a, b, _ in synapses(net, connection):
                if spikes[source][(t, 0, *a)]:
                    core = next(core for core in placement.of(target) if inside(core.part, b))
                    lasts[heard, core.index, "received"] += synop.value
                    reached[t, a].add(core.index)
        for (t, a), cores in reached.items():
            for core in cores:
                lasts[t + level[target] - (source != target), core, "received"] += ns(times.message_in)
            for sender in placement.of(source):
                if inside(sender.part, a):
                    lasts[t + level[source], sender.index, "sent"] += ns(times.message_out) * len(cores)
    for core in placement.cores:
        for t in range(net.n_steps):
            fired = int(spikes[core.population][(t, 0, *core.part.slices)].sum())
            lasts[t + level[core.population], core.index, "sent"] += ns(times.spike) * fired
    return sum(max(v for (at, *_), v in lasts.items() if at == step) + barrier for step in range(steps))


def barrier_of(placement: Placement, times: Timings) -> float:
    """Cores of one chip, four to a tile."""
    tiles = (min(len(placement.cores), placement.chip.cores.per_chip) + 3) // 4
    return [time for known, time in times.barrier.items() if known <= tiles][-1].value


def small(net: hw.Network) -> Placement:
    """On many cores: 20 neurons each."""
    return place(net, tiny(LOIHI1, compartments=20, input_axons=None, output_axons=None))


@settings(max_examples=40, deadline=None)
@given(mixed(), st.integers(0, 2**32 - 1))
def test_operations_of_every_core_are_those_of_every_synapse(net, seed):
    placement, spikes = small(net), random_spikes(net, seed, 2)
    assert np.array_equal(core_operations(placement, summed(spikes)), slow_operations(placement, spikes))


@settings(max_examples=25, deadline=None)
@given(mixed(), st.integers(0, 2**32 - 1))
def test_over_the_cores_of_a_population_they_are_the_operations_counted_in_a_run(net, seed):
    inputs = np.random.default_rng(seed).integers(0, 2, (net.n_steps, 3, *net.sources[0].shape))
    trace = sim.run(net, torch.from_numpy(inputs), record=("spikes",))
    placement = small(net)
    found = core_operations(placement, summed({name: spikes.numpy() for name, spikes in trace.spikes.items()}))
    for population, _ in net.neurons:
        counted = sum(n.sum(dim=1).numpy() for (_, to), n in trace.counts.synops.items() if to == population.name)
        cores = [core.index for core in placement.of(population.name)]
        assert np.array_equal(found[:, cores].sum(axis=1), counted)


def two_cores() -> tuple[Placement, dict[str, torch.Tensor]]:
    """in (2) -> l1 (3) on one core -> l2 (1) on another; 2 timesteps, one sample."""
    net = dataclasses.replace(dense(2, 3, 1), n_steps=2)
    return place(net, LOIHI1), by_hand(**{"in": [[1, 1], [1, 0]], "l1": [[0, 0, 0], [1, 1, 0]], "l2": [[0], [0]]})


def test_a_step_of_two_cores_is_right_to_the_nanosecond():
    davies, nahuku = time_bounds(*two_cores(), 1)
    # Steps of the chip 0..3. l1 hears 2 spikes x 3 synapses at 0 and 1 x 3 at 1; l2 hears 2 x 1 at 2.
    # l1 takes 3 x 5.3 = 15.9 ns for its neurons at every step, longer than what it hears at step 1 (10.5 ns).
    assert davies.steps == 2 + 2
    assert davies.barrier_s == pytest.approx(113e-9)
    assert davies.latency_s == pytest.approx((6 * 3.5 + 3 * 15.9 + 4 * 113) * 1e-9)
    assert davies.step_s == pytest.approx(davies.latency_s / 4)
    assert davies.busiest == "l1"
    # A message costs 16 ns to receive; at step 2 two neurons of l1 fire, 33.7 ns each, a message of 5.1 ns each.
    steps = [2 * 16 + 6 * 3.8, 16 + 3 * 3.8, 3 * 6.0 + 2 * (33.7 + 5.1), 3 * 6.0]
    assert nahuku.latency_s == pytest.approx((sum(steps) + 4 * 600) * 1e-9)


def test_samples_one_after_the_other_share_steps():
    davies, nahuku = time_bounds(*two_cores(), 1)
    # Every second step a sample: steps 0 and 2 of two samples are one step, and so are 1 and 3.
    assert davies.interval_s == pytest.approx((21 + 15.9 + 2 * 113) * 1e-9)
    assert nahuku.interval_s == pytest.approx((18 + 2 * 38.8 + 16 + 3 * 3.8 + 2 * 600) * 1e-9)


def test_a_spike_leaves_once_for_each_core_it_goes_to():
    net = dataclasses.replace(dense(1, 1, 3), n_steps=1)
    placement = place(net, tiny(LOIHI1, compartments=1))
    _, nahuku = time_bounds(placement, by_hand(**{"in": [[0]], "l1": [[1]], "l2": [[0, 0, 0]]}), 1)
    # 6 ns of a neuron at each of 3 steps; at one of them it fires, 33.7 ns, and sends 3 messages.
    assert nahuku.latency_s == pytest.approx((3 * 6.0 + 33.7 + 3 * 5.1 + 3 * 600) * 1e-9)


def test_work_is_a_mean_over_samples_and_what_every_sample_has_is_not_divided():
    placement, activity = two_cores()
    doubled = {name: 2 * spikes for name, spikes in activity.items()}
    assert time_bounds(placement, doubled, 2) == time_bounds(placement, activity, 1)


@BOTH
@settings(max_examples=12, deadline=None)
@given(net=mixed(), seed=st.integers(0, 2**32 - 1))
def test_the_bound_is_exact_for_one_sample_and_below_the_mean_of_several(times, net, seed):
    placement, spikes = small(net), random_spikes(net, seed, 3)
    barrier = barrier_of(placement, times)
    one_by_one = []
    for sample in range(3):
        alone = {name: values[:, sample : sample + 1] for name, values in spikes.items()}
        slow = slow_latency_ns(placement, alone, times, barrier) * 1e-9
        one_by_one.append(slow)
        assert found(placement, summed(alone), 1, times).latency_s == pytest.approx(slow)
    assert found(placement, summed(spikes), 3, times).latency_s <= np.mean(one_by_one) * (1 + 1e-9)


def found(placement: Placement, activity: dict[str, torch.Tensor], n_samples: int, times: Timings):
    return next(bound for bound in time_bounds(placement, activity, n_samples) if bound.constants == times.title)


@settings(max_examples=25, deadline=None)
@given(mixed(), st.integers(0, 2**32 - 1))
def test_more_spikes_never_take_less_time(net, seed):
    placement, some, others = small(net), random_spikes(net, seed, 2), random_spikes(net, seed + 1, 2)
    before = time_bounds(placement, summed(some), 2)
    after = time_bounds(placement, summed({name: spikes | others[name] for name, spikes in some.items()}), 2)
    for less, more in zip(before, after, strict=True):
        assert more.latency_s >= less.latency_s
        assert more.interval_s >= less.interval_s
        assert less.interval_s <= less.latency_s


def silent(net: hw.Network) -> dict[str, torch.Tensor]:
    return {p.name: torch.zeros(net.n_steps, *p.shape, dtype=torch.int64) for p in net.populations}


def test_a_chain_is_as_deep_as_it_has_connections():
    for sizes in ((2,), (2, 2), (2, 2, 2, 2)):
        net = dense(3, *sizes)
        assert {bound.steps for bound in time_bounds(place(net, LOIHI1), silent(net), 1)} == {net.n_steps + len(sizes)}


def test_a_residual_network_is_as_deep_as_its_longest_way():
    shape = (2, 3, 3)

    def conv(source: str, target: str) -> hw.Conv:
        return hw.Conv(source=source, target=target, weight=weights(2, 2, 3, 3), padding=(1, 1))

    net = network(
        {"in": shape, "a": shape, "b": shape, "joined": shape, "out": (2,)},
        [
            conv("in", "a"),
            conv("a", "b"),
            conv("b", "joined"),
            hw.OneToOne(source="a", target="joined", weight=np.array(64)),
            hw.Dense(source="joined", target="out", weight=weights(2, 18)),
        ],
    )
    assert levels(net) == {"in": 0, "a": 1, "b": 2, "joined": 3, "out": 4}
    assert {bound.steps for bound in time_bounds(place(net, LOIHI1), silent(net), 1)} == {net.n_steps + 4}


def test_what_comes_after_the_answer_is_left_out():
    net = network(
        {"in": (2,), "side": (2,), "beyond": (2,), "out": (2,)},
        [
            hw.Dense(source=a, target=b, weight=weights(2, 2))
            for a, b in (("in", "side"), ("side", "beyond"), ("in", "out"))
        ],
    )
    assert {bound.steps for bound in time_bounds(place(net, LOIHI1), silent(net), 1)} == {net.n_steps + 1}


@pytest.mark.parametrize("kind", ["recurrent", "delayed"])
def test_samples_that_synapses_would_remember_are_an_empty_step_apart(kind):
    net = dense(2, 3, 1)
    if kind == "recurrent":
        connections = (*net.connections, hw.Dense(source="l1", target="l1", weight=weights(3, 3)))
    else:
        connections = (dataclasses.replace(net.connections[0], delay=np.array(2)), net.connections[1])
    remembering = dataclasses.replace(net, connections=connections)
    plain, longer = (time_bounds(place(n, LOIHI1), silent(n), 1)[0] for n in (net, remembering))
    step = 3 * 5.3 + 113
    assert plain.interval_s == pytest.approx(net.n_steps * step * 1e-9)
    assert longer.interval_s == pytest.approx((net.n_steps + 1) * step * 1e-9)


@pytest.mark.parametrize(
    ("cores", "davies", "nahuku"),
    [
        (1, 113, 600),
        (4, 113, 600),
        (5, 113, 1000),
        (13, 113, 1400),
        (113, 113, 1800),
        (125, 465, 1800),
        (300, 465, 1800),
    ],
)
def test_the_barrier_is_that_of_the_tiles_in_use(cores, davies, nahuku):
    net = dense(1, cores)
    placement = place(net, tiny(LOIHI1, compartments=1))
    assert len(placement.cores) == cores
    bounds = time_bounds(placement, silent(net), 1)
    assert [bound.barrier_s for bound in bounds] == [pytest.approx(davies * 1e-9), pytest.approx(nahuku * 1e-9)]
    for bound in bounds:
        assert f", {min(math.ceil(cores / 4), 32)} in use" in bound.scope
        assert ("between chips not published" in bound.scope) == (cores > 128)


def test_where_the_mesh_is_not_known_the_barrier_is_the_smallest():
    net = dense(1, 9)
    bounds = time_bounds(place(net, tiny(LOIHI1, compartments=1, mesh=None)), silent(net), 1)
    assert [bound.barrier_s for bound in bounds] == [pytest.approx(113e-9), pytest.approx(600e-9)]


def test_for_loihi_2_no_time_is_published_and_none_is_given():
    net = dense(2, 3)
    placement = place(net, LOIHI2)
    assert time_bounds(placement, silent(net), 1) == ()
    assert total_energies(placement, (), {"loihi2_hala_point_bound": 1.0, "loihi1_davies2018": 1.0}) == ()


def test_static_energy_of_cores_and_of_chips_is_that_of_the_board():
    placement, activity = two_cores()
    davies, nahuku = bounds = time_bounds(placement, activity, 1)
    energies = total_energies(placement, bounds, {"loihi1_davies2018": 7.0, "loihi1_nahuku": 8.0})
    assert [(e.convention, e.constants, e.dynamic_pj) for e in energies] == [
        ("loihi1_davies2018", davies.constants, 7.0),
        ("loihi1_nahuku", nahuku.constants, 8.0),
    ]
    chip_w = 3.34 / 32  # of a board of 32 chips, 128 cores each
    for energy, bound in zip(energies, bounds, strict=True):
        cores, chips = energy.static_pj
        assert cores == pytest.approx(2 * chip_w / 128 * bound.latency_s * 1e12)
        assert chips == pytest.approx(1 * chip_w * bound.latency_s * 1e12)
        assert "Frady" in energy.source


def test_whole_chips_are_charged_by_their_number():
    net = dense(1, 300)
    placement = place(net, tiny(LOIHI1, compartments=1))
    bounds = time_bounds(placement, silent(net), 1)
    energy = total_energies(placement, bounds, {"loihi1_davies2018": 0.0})[0]
    assert energy.static_pj[1] == pytest.approx(3 * 3.34 / 32 * bounds[0].latency_s * 1e12)
    assert energy.static_pj[0] == pytest.approx(energy.static_pj[1] * 300 / (3 * 128))


@given(power_mw=st.floats(1e-3, 1e6), units=st.integers(1, 10_000), time_ns=st.floats(1e-3, 1e12))
def test_nanoseconds_times_milliwatts_are_picojoules(power_mw, units, time_ns):
    power = dataclasses.replace(STATIC_POWER["loihi1"][1], value=power_mw)
    # 1 ns * 1 mW = 10^-9 s * 10^-3 J/s = 10^-12 J
    assert static_pj(power, units, time_ns * 1e-9) == pytest.approx(units * power_mw * time_ns)


def test_only_conventions_that_price_the_chip_have_a_total():
    placement, activity = two_cores()
    found = total_energies(placement, time_bounds(placement, activity, 1), dict.fromkeys(sim.CONVENTIONS, 1.0))
    assert {energy.convention for energy in found} == {"loihi1_davies2018", "keras_spiking_loihi", "loihi1_nahuku"}


def test_a_convention_that_does_not_exist_is_refused():
    placement, activity = two_cores()
    with pytest.raises(hw.BadInput, match="did you mean 'loihi1_nahuku'"):
        total_energies(placement, time_bounds(placement, activity, 1), {"loihi1_nahuk": 1.0})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"l1": None}, "population l1 is not among"),
        ({"in": torch.zeros(2, 3, dtype=torch.int64)}, "the spikes of source in are integers of shape \\(T, 2\\)"),
        ({"l2": torch.zeros(3, 1, dtype=torch.int64)}, "T alike for all"),
        ({"l1": torch.zeros(2, 3)}, "l1 is float32"),
        ({"in": torch.zeros(0, 2, dtype=torch.int64)}, "in is int64 of shape \\(0, 2\\)"),
    ],
)
def test_an_activity_of_another_network_is_refused(change, says):
    placement, activity = two_cores()
    wrong = {name: spikes for name, spikes in {**activity, **change}.items() if spikes is not None}
    with pytest.raises(hw.BadInput, match=says):
        time_bounds(placement, wrong, 1)
    with pytest.raises(hw.BadInput, match=says):
        core_operations(placement, wrong)


def test_no_samples_have_no_mean():
    with pytest.raises(hw.BadInput, match="0 samples"):
        time_bounds(*two_cores(), 0)


@BOTH
def test_every_published_time_says_where_it_comes_from(times):
    assert times.chip in STATIC_POWER
    assert set(times.conventions) <= set(sim.CONVENTIONS)
    for event, time in times.rows():
        assert time.unit == "ns", event
        assert len(time.scope) > 10
        assert time.node == 14
    assert [time.value for _, time in times.rows()][-len(times.barrier) :] == sorted(
        time.value for time in times.barrier.values()
    )
    assert min(times.barrier) == 1
