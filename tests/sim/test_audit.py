"""The steps from the energy as usually reported to the audited one, each by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from spikeport import hw, sim

from .networks import counted, dense_chain, network, runs
from .pricing import counts_of

AC, MAC, STEPS = 0.9, 4.6, 3


def whole_net() -> tuple[hw.Network, sim.Counts]:
    """Every kind the usual table treats apart: (1, 4, 4), graded -> conv 2 x 4 x 4, padded -> average pooling 2 x 2 x 2
    -> conv of one tap, with a shortcut one to one -> 3 neurons, also fed by the input. T = 3, one sample.

    Formula: 9 * 16 * 2 = 288 products; pooling 2 * 4 * 4; 1 x 1: 4 * 4; shortcut 8; dense 24; from the input 48.
    """
    pool = np.full((2, 1, 2, 2), 64)
    net = network(
        [
            hw.Conv(source="in", target="a", weight=np.ones((2, 1, 3, 3), int), padding=(1, 1)),
            hw.Conv(source="a", target="pool", weight=pool, stride=(2, 2), groups=2),
            hw.Conv(source="pool", target="b", weight=np.ones((2, 2, 1, 1), int)),
            hw.OneToOne(source="pool", target="b", weight=np.array(64)),
            hw.Dense(source="b", target="out", weight=np.ones((3, 8), int)),
            hw.Dense(source="in", target="out", weight=np.ones((3, 16), int)),
        ],
        {"in": (1, 4, 4), "a": (2, 4, 4), "pool": (2, 2, 2), "b": (2, 2, 2), "out": (3,)},
        {
            "a": hw.Cuba(v_th_mant=1, bias_mant=np.array([5, 0])),
            "pool": hw.Cuba(v_th_mant=1),
            "b": hw.Cuba(v_th_mant=1, v_decay=2048),
            "out": hw.Cuba(v_th_mant=hw.NEVER_FIRES, v_decay=2048, i_decay=100),
        },
        payload_bits=2,
        n_steps=STEPS,
    )
    synops = {("in", "a"): 500, ("a", "pool"): 20, ("pool", "b"): 12, ("b", "out"): 9, ("in", "out"): 90}
    return net, counts_of(net, synops, {"in": 30, "a": 20, "pool": 4, "b": 3})


def split_net() -> tuple[hw.Network, sim.Counts]:
    """As `whole_net`, the shortcut between populations of its own, so that it is counted by itself."""
    net = network(
        [
            hw.Dense(source="in", target="a", weight=np.ones((4, 2), int)),
            hw.Dense(source="a", target="b", weight=np.ones((4, 4), int)),
            hw.OneToOne(source="a", target="c", weight=np.array(64)),
            hw.Dense(source="b", target="c", weight=np.ones((4, 4), int)),
        ],
        {"in": (2,), "a": (4,), "b": (4,), "c": (4,)},
        {name: hw.Cuba(v_th_mant=1) for name in "abc"},
        payload_bits=1,
        n_steps=STEPS,
    )
    synops = {("in", "a"): 24, ("a", "b"): 20, ("a", "c"): 5, ("b", "c"): 8}
    return net, counts_of(net, synops, {"in": 6, "a": 5, "b": 2})


def test_every_step_of_a_network_with_all_kinds() -> None:
    net, counts = whole_net()
    audit = sim.audit(net, counts)
    # The first graded connection is the first layer; the other, the 1 x 1 with its shortcut and the last go by rate.
    rated = {"1x1 and shortcut": 4 / 8 * (16 + 8), "out": 3 / 8 * 24}
    late = 30 / 16 * 48
    assert audit.usual_pj == pytest.approx(288 * MAC + (sum(rated.values()) + late) * AC)
    steps = {step.what: step.pj for step in audit.steps}
    assert steps["first layer, every timestep"] == pytest.approx(2 * 288 * MAC)
    assert steps["non-binary inputs multiply"] == pytest.approx(late * (MAC - AC))
    assert steps["pooling"] == pytest.approx(20 * AC)
    assert steps["biases (batch norm folded)"] == pytest.approx(16 * STEPS * AC)
    # One comparison for each of 51 neurons; b leaks in one state, out in two.
    assert steps["neuron updates"] == pytest.approx(STEPS * (51 * AC + (8 + 2 * 3) * MAC))
    counted = (500 - 3 * 288 + 90 - late) * MAC + (12 + 9 - sum(rated.values())) * AC
    assert steps["events counted one by one"] == pytest.approx(counted)
    assert audit.ann_usual_pj == pytest.approx((288 + 32 + 16 + 8 + 24 + 48) * MAC)


def test_a_residual_addition_is_a_step_of_its_own() -> None:
    audit = sim.audit(*split_net(), "op_count_int8")
    assert {step.what: step.pj for step in audit.steps}["residual additions"] == pytest.approx(5 * 0.03)
    assert audit.usual_pj == pytest.approx(8 * 0.23 + (5 / 4 * 16 + 2 / 4 * 16) * 0.03)


@settings(max_examples=40, deadline=None)
@given(runs())
def test_the_steps_lead_from_one_total_to_the_other_and_the_end_is_the_exact_price(
    case: tuple[hw.Network, torch.Tensor],
) -> None:
    net, counts = counted(case)
    audit = sim.audit(net, counts)
    steps = {step.what: step.pj for step in audit.steps}
    assert audit.usual_pj + sum(steps.values()) == pytest.approx(audit.audited_pj, rel=1e-9, abs=1e-6)
    neurons = steps["biases (batch norm folded)"] + steps["neuron updates"]
    assert audit.audited_pj == pytest.approx(sim.price(net, counts).snn_pj + neurons)


def test_a_convention_without_prices_per_operation_cannot_be_audited() -> None:
    net = dense_chain([np.ones((1, 1), int)])
    with pytest.raises(hw.BadInput, match="loihi1_nahuku has no price per AC and per MAC"):
        sim.audit(net, counts_of(net, {}), "loihi1_nahuku")
