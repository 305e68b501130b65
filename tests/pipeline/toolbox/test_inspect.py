"""Inspecting a file: every number of the summary is derived here by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from spikeport import hw
from spikeport.export import netx
from spikeport.pipeline.toolbox import memory
from spikeport.pipeline.toolbox.inspect import inspect, summarise, time_constant
from spikeport.pipeline.toolbox.opening import Reading

from .networks import chain, foreign, one_layer

LOIHI2 = hw.CHIPS["loihi2"]


def of(network: hw.Network):
    return summarise(network, Path("x.net"), LOIHI2)


def test_a_layer_is_summed_up():
    kernel = np.zeros((3, 2, 3, 3), int)
    kernel[:, :, 1, 1] = [[20, -6], [4, 4], [0, 2]]
    summary = of(chain(kernel=kernel))
    layer = summary.layers[1]
    (synapses,) = layer.synapses
    assert (layer.index, layer.name, layer.shape, layer.neurons) == (1, "a", (3, 4, 3), 36)
    assert (synapses.source, synapses.kind, synapses.stored, synapses.nonzero) == ("in", "conv", 54, 5)
    assert (synapses.low, synapses.high, synapses.even, synapses.bits) == (-6, 20, 1.0, 5)  # -3..10 once halved
    assert (synapses.kernel, synapses.padding, synapses.groups, synapses.delay) == ((3, 3), (1, 1), 1, (0, 0))
    neuron = layer.neuron
    assert neuron is not None
    assert neuron.bias == (-6, 8)
    assert neuron.worst_sum == 20 * 7  # payloads of 3 bits
    assert neuron.sum_limit == hw.sum_limit(chain(), "a", LOIHI2)
    assert neuron.utilisation == pytest.approx(140 / neuron.sum_limit)


def test_totals_are_the_sums_of_the_layers():
    network = chain()
    summary = of(network)
    assert summary.neurons == 36 + 5 + 3
    assert summary.stored == 54 + 5 * 36 + 3 * 5
    assert summary.memory.total == sum(layer.memory.total for layer in summary.layers)
    assert (summary.n_steps, summary.payload_bits, summary.payload) == (6, 3, (0, 7))
    assert summary.readout == ("out", "membrane")
    assert summary.fingerprint == network.fingerprint()


def test_memory_follows_the_printed_formulas():
    network = one_layer(
        np.array([[3, -2], [5, 1], [0, 7]]),
        hw.Cuba(v_th_mant=9, bias_mant=np.array([1, 2, 3])),
        delay=np.array([[0, 5], [1, 0], [0, 0]]),
    )
    found = memory.of_population(network, network["a"])
    assert found.weights == math.ceil(6 * 4 / 8)  # -2..7 needs 4 bits
    assert found.delays == math.ceil(6 * 6 / 8)
    assert found.biases == 3 * 2
    assert found.states == 3 * 2 * 3
    assert found.in_flight == 3 * 5 * 3
    assert found.total == 3 + 5 + 6 + 18 + 45
    assert memory.of_population(network, network["in"]) == memory.NONE


def test_time_constants():
    assert time_constant(4096) == 0
    assert time_constant(0) is None
    # after tau steps e^-1 is left
    tau = time_constant(100)
    assert tau is not None
    assert (1 - 100 / 4096) ** tau == pytest.approx(math.exp(-1))


def test_what_a_chip_cannot_hold_is_listed():
    summary = of(chain(kernel=np.full((3, 2, 3, 3), 300)))
    assert summary.violations == tuple(hw.violations(chain(kernel=np.full((3, 2, 3, 3), 300)), LOIHI2))
    assert any("weight 300 exceeds 255" in line for line in summary.violations)


def test_what_netx_would_change_is_noted():
    # [[0, -64]]: Lava multiplies by -32
    summary = of(one_layer(np.array([[0, -64], [0, -64]]), hw.Cuba(v_th_mant=9)))
    assert any("Lava would multiply by -32" in note for note in summary.notes)


def test_a_graph_netx_cannot_hold_is_noted():
    network = chain()
    skip = hw.Conv(source="in", target="a", weight=np.ones((3, 2, 1, 1), int))
    summary = of(hw.Network(
        populations=network.populations, connections=(*network.connections, skip), readout=network.readout, n_steps=2
    ))  # fmt: skip
    assert any("a netx file holds one chain" in note for note in summary.notes)
    assert [row.source for row in summary.layers[1].synapses] == ["in", "in"]


def test_a_file_that_is_silent_about_its_sample_is_shown_and_that_is_noted(tmp_path):
    inspection = inspect(foreign(tmp_path / "x.net", refDelay=1), LOIHI2)
    summary = inspection.summary
    assert summary is not None
    assert summary.n_steps is None
    assert "--steps" in summary.notes[0]
    assert "layer 1 (dense): netx ignores inFeatures, neuron/refDelay" in summary.notes
    assert "layer 1 (dense): weight holds fractions, which netx cuts towards zero" in summary.notes
    assert summary.layers[1].synapses[0].low == -4
    longer = inspect(tmp_path / "x.net", LOIHI2, Reading(n_steps=5)).summary
    assert longer is not None
    assert longer.n_steps == 5


def test_a_file_that_cannot_be_run_is_shown_as_stored_with_the_reason(tmp_path):
    inspection = inspect(foreign(tmp_path / "x.net", type="SDNN"), LOIHI2)
    assert inspection.summary is None
    assert inspection.survey is not None
    assert "SDNN" in str(inspection.survey.refused)
    assert inspection.survey.layers[1].arrays["weight"].shape == (2, 2)


def test_a_file_of_ours_says_all_itself(tmp_path):
    netx.write(chain(), tmp_path / "x.net")
    summary = inspect(tmp_path / "x.net", LOIHI2).summary
    assert summary is not None
    assert summary.fingerprint == chain().fingerprint()
    assert not summary.notes


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(hw.BadInput, match="there is no such file"):
        inspect(tmp_path / "x.net", LOIHI2)
