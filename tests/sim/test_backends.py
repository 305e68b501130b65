"""However the sums and the neurons are computed, the integers are the same, and nothing untested is used."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport import hw, sim
from spikeport.sim import plan, selfcheck
from spikeport.sim.plan import Backend

from . import twin
from .networks import dense_chain, network, over_time, runs

WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = None  # an import of numba now fails
import numpy as np, torch
from spikeport import hw, sim
from spikeport.sim import selfcheck
torch.set_num_threads(1)
given = np.load(sys.argv[1])
ends = (("in", "a"), ("a", "b"))
net = hw.Network(
    populations=(
        hw.Population(name="in", shape=(16, 6, 6), neuron=hw.Source(payload_bits=8)),
        *(hw.Population(name=name, shape=(16, 6, 6), neuron=hw.Cuba(v_th_mant=90)) for name in "ab"),
    ),
    connections=tuple(
        hw.Conv(source=a, target=b, weight=w, padding=(1, 1)) for (a, b), w in zip(ends, given["weights"])
    ),
    readout=hw.Readout(population="b"),
    n_steps=3,
)
assert selfcheck.compiled() is None
for backend in ("auto", "event", "int8"):
    print(sim.run(net, torch.from_numpy(given["inputs"]), backend=backend).readout.flatten().tolist())
"""

BACKENDS = get_args(Backend)
RECORD = ("spikes", "u", "v")


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `auto` try every way and compile, however small the network."""
    monkeypatch.setattr(plan, "WORTH_A_TRIAL", 0)
    monkeypatch.setattr(plan, "WORTH_COMPILING", 0)


@pytest.fixture
def fresh() -> Iterator[None]:
    """Checks made inside the test are forgotten after it."""
    selfcheck.forget()
    yield
    selfcheck.forget()


def assert_same(a: sim.Trace, b: sim.Trace) -> None:
    assert torch.equal(a.readout, b.readout)
    tables = [(getattr(a, name), getattr(b, name)) for name in RECORD]
    tables += [(getattr(a.counts, name), getattr(b.counts, name)) for name in ("spikes", "synops", "synops_effective")]
    for ours, theirs in tables:
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.usefixtures("eager")
@settings(max_examples=60, deadline=None)
@given(runs())
def test_every_backend_equals_the_slow_twin(case: tuple[hw.Network, torch.Tensor]) -> None:
    net, inputs = case
    expected = twin.simulate(net, over_time(net, inputs))
    if expected.largest_sum >= 2**18:
        for backend in BACKENDS:
            with pytest.raises(hw.NotRepresentable, match="a synaptic sum reached"):
                sim.run(net, inputs, backend=backend)
        return
    walked = twin.count(net, expected.spikes, effective=False)
    present = twin.count(net, expected.spikes, effective=True)
    for backend in BACKENDS:
        trace = sim.run(net, inputs, record=RECORD, backend=backend)
        tables = {"spikes": (trace.spikes, expected.spikes), "u": (trace.u, expected.u), "v": (trace.v, expected.v)}
        tables |= {"synops": (trace.counts.synops, walked), "effective": (trace.counts.synops_effective, present)}
        for table, (ours, theirs) in tables.items():
            assert ours.keys() == theirs.keys()
            for key in ours:
                assert np.array_equal(ours[key].numpy(), theirs[key]), (backend, table, key)


@st.composite
def wide(draw: st.DrawFn) -> tuple[hw.Network, torch.Tensor]:
    """Channels that fill words and registers, weights on and off the 8-bit grid, residual joins, many timesteps."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    channels = draw(st.sampled_from([8, 24, 64]))
    low, high, step = draw(st.sampled_from([(-256, 254, 2), (-128, 127, 1), (0, 255, 1), (-255, 255, 1)]))

    def weight(*shape: int) -> np.ndarray:
        return rng.integers(low // step, high // step, shape, endpoint=True) * step

    stride = draw(st.sampled_from([1, 2]))
    inner = (channels, 8 // stride, 8 // stride)
    shapes: dict[str, hw.Shape] = {"in": (3, 8, 8), "a": inner, "b": inner, "c": inner, "out": (10,)}
    connections: list[hw.Connection] = [
        hw.Conv(source="in", target="a", weight=weight(channels, 3, 3, 3), stride=(stride, stride), padding=(1, 1)),
        hw.Conv(source="a", target="b", weight=weight(channels, channels, 3, 3), padding=(1, 1)),
        hw.Conv(source="b", target="c", weight=weight(channels, channels // 8, 3, 3), padding=(1, 1), groups=8),
        hw.OneToOne(source="a", target="c", weight=np.array(200)),
        hw.Dense(source="c", target="out", weight=weight(10, int(np.prod(inner))) // 8),
    ]
    threshold = draw(st.sampled_from([50, 2000, 20000]))
    decays = {"i_decay": draw(st.sampled_from([4096, 1000, 0])), "v_decay": draw(st.sampled_from([0, 300, 4096]))}
    neurons = {name: hw.Cuba(v_th_mant=threshold, **decays) for name in ("a", "b", "c")}
    neurons["out"] = hw.Cuba(v_th_mant=hw.NEVER_FIRES)
    net = network(connections, shapes, neurons, payload_bits=5, n_steps=4)
    inputs = rng.integers(0, 31, draw(st.sampled_from([(3, 3, 8, 8), (4, 3, 3, 8, 8)])), endpoint=True)
    return net, torch.from_numpy(inputs.astype(np.uint8))


@pytest.mark.usefixtures("eager")
@settings(max_examples=25, deadline=None)
@given(wide(), st.sampled_from([1, 2]))
def test_every_backend_equals_plain_torch_on_wide_layers(case: tuple[hw.Network, torch.Tensor], threads: int) -> None:
    net, inputs = case
    plain = sim.run(net, inputs, record=RECORD, backend="portable")
    torch.set_num_threads(threads)
    try:
        for backend in BACKENDS:
            assert_same(sim.run(net, inputs, record=RECORD, backend=backend), plain)
    finally:
        torch.set_num_threads(1)


def deep() -> tuple[hw.Network, torch.Tensor]:
    """Two convolutions, the second fed by binary spikes, with weights on the 8-bit grid."""
    rng = np.random.default_rng(0)
    connections: list[hw.Connection] = [
        hw.Conv(source=a, target=b, weight=2 * rng.integers(-10, 10, (16, 16, 3, 3)), padding=(1, 1))
        for a, b in (("in", "a"), ("a", "b"))
    ]
    neurons = {"a": hw.Cuba(v_th_mant=90), "b": hw.Cuba(v_th_mant=90)}
    net = network(connections, dict.fromkeys(("in", "a", "b"), (16, 6, 6)), neurons, payload_bits=8, n_steps=3)
    return net, torch.from_numpy(rng.integers(0, 255, (2, 16, 6, 6), dtype=np.uint8))


@pytest.mark.parametrize(
    ("backend", "ways"),
    [
        ("portable", ("float", "float")),
        ("float", ("float", "float")),
        ("int8", ("int8", "int8")),
        ("event", ("int8", "event")),  # the input is graded, and events are binary
    ],
)
def test_a_forced_backend_is_taken_wherever_it_can_be(backend: Backend, ways: tuple[str, str]) -> None:
    if selfcheck.int8_payload() < 255:
        pytest.skip("this machine has no exact 8-bit products")
    net, _ = deep()
    assert sim.Simulator(net, backend=backend).plan == {("in", "a"): (ways[0],), ("a", "b"): (ways[1],)}


@pytest.mark.usefixtures("eager")
def test_auto_settles_on_the_fastest_way_and_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    net, inputs = deep()
    speed = {"FloatConv": 3.0, "Int8Conv": 2.0, "EventConv": 1.0}
    timed = plan._timed

    def told(way: plan.Sum, spikes: torch.Tensor, runs: int = 3) -> tuple[torch.Tensor, float]:
        return timed(way, spikes, 1)[0], speed[type(way).__name__]

    monkeypatch.setattr(plan, "_timed", told)
    simulator = sim.Simulator(net)
    assert set(simulator.plan.values()) == {("float",)}
    first = simulator.run(inputs)
    assert simulator.plan["a", "b"] == ("event",)
    monkeypatch.setattr(plan, "_timed", None)  # a second trial would fail
    assert torch.equal(simulator.run(inputs).readout, first.readout)


@pytest.mark.usefixtures("eager")
def test_a_way_that_gives_another_integer_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    net, inputs = deep()
    expected = sim.run(net, inputs, backend="portable")

    def wrong(way: plan.Sum, spikes: torch.Tensor, runs: int = 3) -> tuple[torch.Tensor, float]:
        fast = type(way).__name__ != "FloatConv"
        return way(spikes) + fast, 0.0 if fast else 1.0

    monkeypatch.setattr(plan, "_timed", wrong)
    simulator = sim.Simulator(net)
    assert_same(simulator.run(inputs), sim.run(net, inputs, backend="portable"))
    assert torch.equal(simulator.run(inputs).readout, expected.readout)
    assert set(simulator.plan.values()) == {("float",)}


@pytest.mark.usefixtures("fresh")
def test_wrong_8_bit_products_fail_their_check_and_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    right = selfcheck.Int8Conv.__call__
    monkeypatch.setattr(selfcheck.Int8Conv, "__call__", lambda self, spikes: right(self, spikes).clamp(max=100_000))
    net, inputs = deep()
    assert selfcheck.int8_payload() == 0
    simulator = sim.Simulator(net, backend="int8")
    assert set(simulator.plan.values()) == {("float",)}
    assert_same(simulator.run(inputs), sim.run(net, inputs, backend="portable"))


@pytest.mark.usefixtures("fresh")
def test_products_that_saturate_above_127_serve_binary_spikes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    right = selfcheck.Int8Conv.__call__

    def saturating(self: selfcheck.Int8Conv, spikes: torch.Tensor) -> torch.Tensor:
        return right(self, spikes.clamp(max=127))

    monkeypatch.setattr(selfcheck.Int8Conv, "__call__", saturating)
    net, inputs = deep()
    assert selfcheck.int8_payload() == 127
    simulator = sim.Simulator(net, backend="int8")
    assert simulator.plan == {("in", "a"): ("float",), ("a", "b"): ("int8",)}
    assert_same(simulator.run(inputs), sim.run(net, inputs, backend="portable"))


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("error", [AttributeError, RuntimeError, NotImplementedError])
def test_an_operation_that_is_not_there_is_done_without(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def missing(*_: object) -> None:
        raise error("no such operation")

    monkeypatch.setattr(selfcheck, "Int8Dense", missing)
    assert selfcheck.int8_payload() == 0


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("kernel", ["neurons", "conv_events", "tally", "add_events"])
def test_a_compiled_loop_that_is_wrong_is_not_used(monkeypatch: pytest.MonkeyPatch, kernel: str) -> None:
    loops = selfcheck.compiled()
    assert loops is not None
    right = getattr(loops, kernel)

    def wrong(*arguments: object) -> None:
        right(*arguments)
        outputs = [a for a in arguments if isinstance(a, np.ndarray) and a.size]
        outputs[-1].flat[0] += 1

    selfcheck.forget()
    monkeypatch.setattr(loops, kernel, wrong)
    assert selfcheck.compiled() is None
    net, inputs = deep()
    simulator = sim.Simulator(net, backend="event")
    assert "event" not in {way for ways in simulator.plan.values() for way in ways}
    assert_same(simulator.run(inputs), sim.run(net, inputs, backend="portable"))


def test_the_result_is_the_same_without_numba(tmp_path: Path) -> None:
    net, inputs = deep()
    np.savez(tmp_path / "net.npz", inputs=inputs, weights=[c.weight for c in net.connections])
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_NUMBA, str(tmp_path / "net.npz")], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [str(sim.run(net, inputs).readout.flatten().tolist())] * 3


def test_an_unknown_backend_names_the_nearest() -> None:
    net = dense_chain([np.ones((1, 1), int)])
    with pytest.raises(hw.BadInput, match="backend: unknown name 'evnt'; did you mean 'event'"):
        sim.run(net, torch.ones(1, 1, dtype=torch.uint8), backend="evnt")  # type: ignore[arg-type]


def test_one_channel_per_group_with_unequal_strides_on_a_narrow_picture() -> None:
    """oneDNN gives wrong sums there; found by the property above."""
    rng = np.random.default_rng(4)
    conv = hw.Conv(
        source="in", target="p", weight=rng.integers(-2, 3, (4, 1, 2, 2)), stride=(1, 2), padding=(1, 0), groups=2
    )
    net = network([conv], {"in": (2, 2, 3), "p": (4, 3, 1)}, {"p": hw.Cuba(v_th_mant=1)}, n_steps=2)
    inputs = torch.from_numpy(rng.integers(0, 2, (2, 40, 2, 2, 3), dtype=np.uint8))
    slow = sim.run(net, inputs, record=RECORD, backend="portable")
    assert_same(sim.run(net, inputs, record=RECORD, backend="int8"), slow)
