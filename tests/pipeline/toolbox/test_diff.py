"""Two networks side by side: each way in which they can differ is found, and only that."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport import hw
from spikeport.pipeline.toolbox.diff import diff

from .networks import chain, inputs_for, one_layer, renamed, with_connection, with_layer


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_a_network_is_equal_to_itself(seed):
    network = chain(seed=seed)
    found = diff(network, network, inputs_for(network), "random")
    assert found.equal
    assert found.behaviour is not None
    assert found.behaviour.values == 3 * 6 * 3 * (36 + 5 + 3)  # u, v, spikes x timesteps x samples x neurons


def test_names_alone_are_no_difference_and_layers_are_matched_by_position():
    found = diff(chain(), renamed(chain(), "x"), inputs_for(chain()), "random")
    assert found.equal
    assert found.matched_by == "position"
    assert found.pairs == (("in", "xin"), ("a", "xa"), ("b", "xb"), ("out", "xout"))


@pytest.mark.parametrize("foreign", [False, True])
def test_one_weight_is_found_with_its_index_and_both_values(foreign):
    weight = chain().connections[1].weight.copy()
    weight[2, 7] += 6
    weight[4, 0] -= 2
    other = with_connection(chain(), 1, weight=weight)
    found = diff(chain(), renamed(other, "x") if foreign else other)
    (change,) = found.arrays
    assert (change.where, change.what, change.index) == ("a -> b", "weight", (2, 7))
    assert (change.differing, change.total, change.largest) == (2, 5 * 36, 6)
    assert (change.a, change.b) == (weight[2, 7] - 6, weight[2, 7])
    assert not found.changes
    assert not found.equal


@pytest.mark.parametrize(("field", "value"), [("v_th_mant", 91), ("i_decay", 1501), ("v_decay", 0), ("bias_exp", 5)])
def test_a_neuron_parameter_is_named(field, value):
    found = diff(chain(), with_layer(chain(), "a", **{field: value}))
    (change,) = found.changes
    assert (change.where, change.what, change.b) == ("a", field, str(value))


def test_a_bias_and_a_delay_are_compared_neuron_by_neuron():
    found = diff(chain(), with_layer(chain(), "a", bias_mant=np.array([8, -6, 7])))
    (change,) = found.arrays
    assert (change.what, change.differing, change.index, change.a, change.b) == ("bias", 12, (2, 0, 0), 4, 7)
    plain = one_layer(np.array([[3, -2], [5, 1]]), hw.Cuba(v_th_mant=4))
    slow = with_connection(plain, 0, delay=np.array([[0], [3]]))
    (change,) = diff(plain, slow).arrays
    assert (change.what, change.differing, change.index, change.largest) == ("delay", 2, (1, 0), 3)


def test_structure_is_compared():
    geometry = diff(chain(), with_connection(chain(), 0, dilation=(2, 2), padding=(2, 2)))
    assert [(c.where, c.what) for c in geometry.changes] == [("in -> a", "geometry")]
    assert "dilation (2, 2)" in str(geometry.changes[0].b)
    longer = diff(chain(), dataclasses.replace(chain(), n_steps=9))
    assert [(c.where, c.what, c.a, c.b) for c in longer.changes] == [("network", "n_steps", "6", "9")]
    counted = diff(chain(), dataclasses.replace(chain(), readout=hw.Readout(population="b", kind="spike_count")))
    assert [(c.what, c.b) for c in counted.changes] == [("readout", "b by spike_count")]
    wider = dataclasses.replace(
        chain(),
        populations=(dataclasses.replace(chain()["in"], neuron=hw.Source(payload_bits=4)), *chain().populations[1:]),
    )
    assert [(c.where, c.what, c.a, c.b) for c in diff(chain(), wider).changes] == [
        ("in", "payload", "3 bits", "4 bits")
    ]


def test_layers_that_are_only_in_one_are_named():
    whole = chain()
    short = hw.Network(
        populations=whole.populations[:3],
        connections=whole.connections[:2],
        readout=hw.Readout(population="b", kind="spike_count"),
        n_steps=6,
    )
    found = diff(whole, short, inputs_for(whole), "random")
    assert ("out", "layer", "Cuba (3,)", None) in [(c.where, c.what, c.a, c.b) for c in found.changes]
    assert ("b -> out", "connection", None) in [(c.where, c.what, c.b) for c in found.changes]
    assert found.behaviour is not None
    assert found.behaviour.mismatches == 0  # of the layers both have
    back = diff(short, whole)
    assert ("out", "layer", None, "Cuba (3,)") in [(c.where, c.what, c.a, c.b) for c in back.changes]


def test_behaviour_parts_in_the_layer_that_was_changed():
    weight = chain().connections[1].weight.copy()
    weight[:, :] += 2
    found = diff(chain(), with_connection(chain(), 1, weight=weight), inputs_for(chain()), "random")
    assert found.behaviour is not None
    first = found.behaviour.first
    assert first is not None
    assert (first.layer, first.quantity) == ("b", "u")


def test_networks_of_other_lengths_are_compared_over_the_shorter_sample():
    found = diff(chain(), dataclasses.replace(chain(), n_steps=4), inputs_for(chain()), "random")
    assert found.behaviour is not None
    assert (found.behaviour.n_steps, found.behaviour.mismatches) == (4, 0)


def test_why_behaviour_is_not_compared_is_said():
    small = one_layer(np.array([[3, -2], [5, 1]]), hw.Cuba(v_th_mant=4))
    assert diff(chain(), small).not_run == "no inputs were given"
    assert "different shapes, (2, 4, 3) and (2,)" in str(diff(chain(), small, inputs_for(chain()), "").not_run)
    narrow = dataclasses.replace(
        chain(), populations=(dataclasses.replace(chain()["in"], neuron=hw.Source()), *chain().populations[1:])
    )
    assert "one of the two takes 0..1" in str(diff(chain(), narrow, inputs_for(chain()), "").not_run)
