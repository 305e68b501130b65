"""Golden integers side by side: every one is compared, and the first difference is the one all others follow from."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from spikeport.pipeline.capsule import simulated
from spikeport.pipeline.capsule.golden import Golden, compare, count_rows

from .capsules import inputs_for, network

NET = network()
GOLDEN = simulated.run(NET, inputs_for(NET))


def changed(**arrays) -> Golden:
    """The golden integers with one of an array's turned over: spikes by population, else by field."""
    spikes = {name: values.copy() for name, values in GOLDEN.spikes.items()}
    readouts = GOLDEN.readouts.copy()
    assert GOLDEN.counts is not None
    counts = {row: values.copy() for row, values in GOLDEN.counts.items()}
    for name, places in arrays.items():
        array = {"readouts": readouts, "count": counts["synops", "in", "a"], **spikes}[name]
        for place in places:
            array[place] ^= 1
    return Golden(spikes=spikes, readouts=readouts, counts=counts)


def test_equal_runs_have_no_difference_and_every_integer_is_compared():
    verdict = compare(GOLDEN, changed())
    neurons = 3 * 4 * (18 + 5 + 3)  # T x B x populations that compute
    counts = 3 * 4 * (4 + 2 * 4)  # spikes of 4 populations; two kinds of operations of 4 pairs
    assert verdict.integers == neurons + 3 * 4 * 3 + counts
    assert (verdict.samples, verdict.mismatches, verdict.first) == (4, 0, None)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"b": [(2, 1, 4)]}, ("spikes of b", 2, 1, (4,))),
        ({"a": [(1, 3, 2, 1, 0)]}, ("spikes of a", 1, 3, (2, 1, 0))),
        ({"readouts": [(0, 2, 1)]}, ("read-out", 0, 2, (1,))),
        ({"count": [(1, 0)]}, ("count of synops of in -> a", 1, 0, ())),
        # the earliest timestep, then the earliest population, then the earliest sample
        ({"a": [(2, 0, 0, 0, 0)], "b": [(1, 3, 0)]}, ("spikes of b", 1, 3, (0,))),
        ({"a": [(1, 3, 0, 0, 0)], "b": [(1, 0, 0)]}, ("spikes of a", 1, 3, (0, 0, 0))),
        ({"b": [(1, 3, 0), (1, 2, 4)]}, ("spikes of b", 1, 2, (4,))),
        ({"readouts": [(1, 0, 0)], "b": [(1, 3, 0)], "count": [(1, 0)]}, ("spikes of b", 1, 3, (0,))),
    ],
)
def test_the_first_difference_is_named(changes, expected):
    verdict = compare(GOLDEN, changed(**changes))
    first = verdict.first
    assert first is not None
    assert (first.what, first.timestep, first.sample, first.neuron) == expected
    assert abs(first.expected - first.found) == 1
    assert verdict.mismatches == sum(len(places) for places in changes.values())


def test_a_difference_says_who_where_and_what():
    first = compare(GOLDEN, changed(b=[(2, 1, 4)])).first
    assert GOLDEN.spikes["b"][2, 1, 4] in (0, 1)
    had = int(GOLDEN.spikes["b"][2, 1, 4])
    assert str(first) == f"sample 1, timestep 2, spikes of b, neuron (4,): the capsule has {had}, the replay {1 - had}"


def test_counts_are_left_out_where_one_side_has_none():
    silent = dataclasses.replace(GOLDEN, counts=None)
    assert compare(GOLDEN, silent).integers == compare(silent, GOLDEN).integers == 3 * 4 * (18 + 5 + 3 + 3)


def test_the_first_samples_are_a_run_of_their_own():
    inputs = inputs_for(NET)
    assert compare(GOLDEN.first(2), simulated.run(NET, inputs[:, :2])).mismatches == 0
    assert GOLDEN.first(2).n_samples == 2


def test_a_prediction_is_the_first_of_equal_read_outs():
    readouts = np.array([[[9, 0, 0], [9, 0, 0]], [[1, 3, 3], [0, 0, 2]]])
    assert Golden(spikes={}, readouts=readouts, counts=None).predictions.tolist() == [1, 2]


def test_connections_between_the_same_populations_are_one_row():
    doubled = dataclasses.replace(NET, connections=(*NET.connections, NET.connections[-1]))
    assert count_rows(doubled) == count_rows(NET)
    assert len(count_rows(NET)) == 4 + 2 * 4
