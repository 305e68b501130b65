"""What the ANNs of a graph cost, by hand, and that each energy stands under the convention that gave it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from spikeport import hw, sim
from spikeport.sim.baselines import BY_BITS, baseline_energies, by_bits, convention_of, matched_bits, multiply_by

from .networks import counted, dense_chain, network, runs


def padded(n_steps: int, payload_bits: int) -> hw.Network:
    """(1, 2, 2) -> conv 3 x 3, padding 1 -> dense of 3: 16 synapses (36 with padding), then 12."""
    conv = hw.Conv(source="in", target="a", weight=np.ones((1, 1, 3, 3), int), padding=(1, 1))
    dense = hw.Dense(source="a", target="b", weight=np.ones((3, 4), int))
    return network(
        [conv, dense],
        {"in": (1, 2, 2), "a": (1, 2, 2), "b": (3,)},
        {"a": hw.Cuba(v_th_mant=1), "b": hw.Cuba(v_th_mant=1)},
        payload_bits=payload_bits,
        n_steps=n_steps,
    )


def test_the_baselines_of_a_small_network_by_hand() -> None:
    # Four timesteps: activations of 3 bits. The first layer multiplies pixels of 8 bits, whatever T is.
    found = baseline_energies(padded(4, 8))
    assert list(found) == ["ann_fp32", "ann_int8", "ann_matched", "ann_int32"]
    assert found["ann_fp32"] == pytest.approx({"op_count_fp32": 28 * 4.6})
    assert found["ann_int8"] == pytest.approx({"op_count_int8": 28 * 0.23})
    assert found["ann_matched"] == pytest.approx(
        {"op_count_int8": 28 * 0.23, BY_BITS: 16 * 0.23 + 12 * (0.2 * 3 / 8 + 0.03)}
    )
    # Lemaire's dense layer at 5 pJ per word: 12 MAC, addresses 4 + 3; 4 inputs, 12 weights, 3 outputs. Convolution, by
    # the published formula with padding: 36 MAC, addresses 4 + 4 + 9; 36 inputs, 36 weights, 4 outputs.
    memory = (4 + 12 + 3) + (36 + 36 + 4)
    assert found["ann_int32"]["lemaire_int32_c"] == pytest.approx(48 * 3.2 + (7 + 17) * 0.1 + 5 * memory)


def test_a_binary_input_is_summed_over_time_and_takes_the_matched_bits() -> None:
    found = baseline_energies(padded(4, 0))
    assert found["ann_matched"][BY_BITS] == pytest.approx(28 * (0.2 * 3 / 8 + 0.03))


def test_eight_bit_products_bound_fewer_bits_and_are_not_offered_for_more() -> None:
    most, more = (baseline_energies(padded(n, 8))["ann_matched"] for n in (255, 256))
    assert most["op_count_int8"] == pytest.approx(most[BY_BITS])
    assert list(more) == [BY_BITS]
    assert more[BY_BITS] == pytest.approx(16 * 0.23 + 12 * (0.2 * 9 / 8 + 0.03))


def test_eight_bits_are_the_published_mac_and_the_rest_is_called_derived() -> None:
    mac = sim.CONVENTIONS["op_count_int8"].constant("ann_macs")
    assert mac is not None
    assert multiply_by(8).value == pytest.approx(mac.value)
    assert multiply_by(3).kind == "derived"
    assert "Horowitz" in multiply_by(3).source
    assert "x 3 of 8 bits" in multiply_by(3).source
    assert "our composition" in multiply_by(3).source


@pytest.mark.parametrize("n_steps", [*range(1, 70), 255, 256, 1023, 1024])
def test_matched_bits_hold_every_spike_count_and_none_is_spare(n_steps: int) -> None:
    bits = matched_bits(n_steps)
    assert bits == math.ceil(math.log2(n_steps + 1))
    assert 2 ** (bits - 1) < n_steps + 1 <= 2**bits


def test_no_timesteps_have_no_bits() -> None:
    with pytest.raises(hw.BadInput, match="matched_bits: 0 timesteps"):
        matched_bits(0)


def test_the_network_multiplies_the_bits_its_input_really_has() -> None:
    # A pixel of the corner reaches all 4 neurons, at each of 2 timesteps: 8 MACs.
    image = torch.zeros(1, 1, 2, 2, dtype=torch.uint8)
    image[0, 0, 0, 0] = 1
    for bits, mac in ((8, 0.23), (4, 0.13), (16, 0.43)):
        net = padded(2, bits)
        counts = sim.run(net, image).counts
        report = sim.price(net, counts, by_bits(net))
        assert report.convention.name == BY_BITS
        assert report.ann_pj is None
        assert report.macs_per_sample == 8
        assert report.snn_pj == pytest.approx(8 * mac + report.acs_per_sample * 0.03)


def test_a_name_leads_to_the_convention_that_gave_the_energy() -> None:
    net = padded(2, 4)
    assert convention_of(BY_BITS, net) == by_bits(net)
    assert convention_of("lemaire_int32_a", net) is sim.CONVENTIONS["lemaire_int32_a"]
    assert BY_BITS not in sim.CONVENTIONS
    with pytest.raises(hw.BadInput, match="did you mean 'op_count_int8'"):
        convention_of("op_count_int9", net)


@settings(max_examples=30, deadline=None)
@given(runs())
def test_a_baseline_is_the_ann_of_its_convention_whatever_the_network_did(
    case: tuple[hw.Network, torch.Tensor],
) -> None:
    net, counts = counted(case)
    found = baseline_energies(net)
    for energies in found.values():
        for name, pj in energies.items():
            if name != BY_BITS:
                assert pj == pytest.approx(sim.price(net, counts, name).ann_pj)
    source = net.sources[0].neuron
    assert isinstance(source, hw.Source)
    if source.payload_bits <= 8:
        assert found["ann_matched"][BY_BITS] <= found["ann_matched"]["op_count_int8"] * (1 + 1e-12)


def test_a_chain_without_hidden_layers_has_baselines_too() -> None:
    found = baseline_energies(dense_chain([np.ones((2, 3), int)], n_steps=7))
    assert found["ann_matched"][BY_BITS] == pytest.approx(6 * (0.2 * 3 / 8 + 0.03))
