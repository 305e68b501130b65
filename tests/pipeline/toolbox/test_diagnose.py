"""For every cause: a reference with that defect, made by independent code, is explained by that cause and no other."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport import hw
from spikeport.export.traces import Recording
from spikeport.pipeline.toolbox.compare import compare
from spikeport.pipeline.toolbox.diagnose import Diagnosis, diagnose
from spikeport.pipeline.toolbox.recording import record
from spikeport.pipeline.toolbox.semantics import LayerAlone, simulate

from .defects import Defect, run, shifted
from .networks import chain, inputs_for, one_layer

PERFECT = hw.Cuba(v_th_mant=30, i_decay=4096, v_decay=0)
"""An integrator without memory in u: every state is a multiple of 64, so no rounding matters."""


def explained(network: hw.Network, reference: Recording) -> Diagnosis:
    assert reference.inputs is not None
    ours = record(network, reference.inputs, "ours")
    comparison = compare(reference.values, ours.values, [p.name for p in network.populations])
    assert comparison.first is not None, "the defect changes nothing on these inputs"
    return diagnose(network, reference, ours, comparison.first)


def causes(network: hw.Network, defect: Defect, layer: str = "a", inputs: np.ndarray | None = None) -> list[str]:
    inputs = inputs_for(network) if inputs is None else inputs
    diagnosis = explained(network, run(network, inputs, {layer: defect}))
    assert diagnosis.layer == layer
    return [cause.key for cause in diagnosis.causes]


def test_the_defect_simulator_without_a_defect_equals_ours():
    for network in (
        chain(),
        one_layer(np.array([[3, -2], [5, 1]]), hw.Cuba(v_th_mant=4, i_decay=900, v_decay=77), delay=2),
        one_layer(np.array([[3], [5]]), PERFECT, recurrent=np.array([[0, 9], [-4, 2]])),
    ):
        inputs = inputs_for(network)
        reference, ours = run(network, inputs, {}), record(network, inputs, "ours")
        assert compare(reference.values, ours.values, [p.name for p in network.populations]).agrees


@pytest.mark.parametrize(
    ("key", "defect"),
    [
        ("decay-rounds-down", Defect(keep=lambda x, d: math.floor(x * (4096 - d) / 4096))),
        ("decay-rounds-to-nearest", Defect(keep=lambda x, d: math.floor(x * (4096 - d) / 4096 + 0.5))),
        ("decay-in-floats", Defect(keep=lambda x, d: x * (1 - d / 4096))),
        ("reset-by-subtraction", Defect(after=lambda v, threshold: v - threshold)),
        ("reset-missing", Defect(after=lambda v, threshold: v)),
        ("u-reset", Defect(u_after=lambda u: 0)),
        ("v-before-reset", Defect(shown=lambda before, after, z: before)),
        ("v-register", Defect(shown=lambda before, after, z: 128 if z else after)),
        ("bias-missing", Defect(bias=lambda bias, step: 0)),
        ("bias-once", Defect(bias=lambda bias, step: bias * 64 if step == 0 else 0)),
        ("bias-shifted-by-0", Defect(bias=lambda bias, step: bias)),
        ("bias-shifted-by-7", Defect(bias=lambda bias, step: bias * 128)),
        ("late-by-1", Defect(late=1)),
        ("late-by-2", Defect(late=2)),
        ("kernel-flipped", Defect(tap=lambda y, x, size: (size - 1 - y, size - 1 - x))),
        ("kernel-transposed", Defect(tap=lambda y, x, size: (x, y))),
        ("payload-ignored", Defect(payload=lambda p: int(p != 0))),
        ("samples-not-reset", Defect(continuous=True, clear=lambda t, steps: False)),
        ("reset-offset-1", Defect(continuous=True, lead=1, clear=lambda t, steps: t % steps == steps - 1)),
        ("reset-offset-2", Defect(continuous=True, lead=2, clear=lambda t, steps: t % steps == steps - 2)),
        ("reset-offset+1", Defect(continuous=True, clear=lambda t, steps: t % steps == 1)),
    ],
)
def test_a_defect_of_a_convolution_is_named(key, defect):
    assert causes(chain(), defect) == [key]


@pytest.mark.parametrize(
    ("key", "defect"),
    [
        ("late-by-1", Defect(late=1)),
        ("reset-by-subtraction", Defect(after=lambda v, threshold: v - threshold)),
        ("flattened-whc", Defect(flat=lambda x: x.transpose(2, 1, 0))),
    ],
)
def test_a_defect_of_a_later_layer_is_named_though_others_follow(key, defect):
    assert causes(chain(), defect, "b") == [key]


@pytest.mark.parametrize("rounds", [lambda w: w - w % 2, lambda w: 2 * math.trunc(w / 2), lambda w: 2 * round(w / 2)])
def test_weights_rounded_to_even_are_named_whatever_the_rounding(rounds):
    kernel = np.random.default_rng(3).integers(-20, 20, (3, 2, 3, 3))
    assert causes(chain(kernel=kernel), Defect(weight=rounds)) == ["weights-even"]


@pytest.mark.parametrize("low", [-128, -127])
def test_weights_clipped_to_8_bits_are_named(low):
    network = chain(largest=200, a=hw.Cuba(v_th_mant=900, v_decay=700))
    assert causes(network, Defect(weight=lambda w: min(max(w, low), 127))) == ["weights-clipped"]


def test_weights_that_stock_lava_halves_are_named():
    # a matrix of zeros and -64: Lava multiplies by -32
    network = one_layer(np.array([[0, -64], [-64, 0], [-64, -64]]), hw.Cuba(v_th_mant=500, v_decay=10))
    assert causes(network, Defect(weight=lambda w: w // 2)) == ["weights-refitted"]


def test_a_matrix_read_as_in_out_is_named():
    network = one_layer(np.array([[3, -2, 8], [5, 12, 4], [-6, 7, 10]]), PERFECT)
    assert causes(network, Defect(transposed=True)) == ["weights-transposed"]


def test_firing_at_the_threshold_is_named():
    # v = 15 << 6 per spike: two of them meet the threshold of 30 exactly
    network = one_layer(np.array([[15], [14]]), PERFECT)
    assert causes(network, Defect(fires=lambda v, threshold: v >= threshold)) == ["fires-at-threshold"]


def test_a_membrane_that_does_not_saturate_is_named():
    # 60000 << 6 is 3.8 million a timestep; the third one passes -2^23
    network = one_layer(np.array([[-6]]), hw.Cuba(v_th_mant=100), payload_bits=14)
    inputs = np.full((6, 2, 1), 10000, np.int32)
    assert causes(network, Defect(v_limit=lambda v: v), inputs=inputs) == ["v-not-saturated"]


@pytest.mark.parametrize(
    ("key", "limit"),
    [("u-not-wrapped", lambda u: u), ("u-saturated", lambda u: max(-(2**23) + 1, min(2**23 - 1, u)))],
)
def test_a_current_that_does_not_wrap_is_named(key, limit):
    # u never decays: 40000 << 6 each timestep passes -2^23 at the fourth
    network = one_layer(np.array([[-4]]), hw.Cuba(v_th_mant=100, i_decay=0, v_decay=4096), payload_bits=14)
    inputs = np.full((6, 2, 1), 10000, np.int32)
    assert causes(network, Defect(u_limit=limit), inputs=inputs) == [key]


DELAYED = np.array([[0, 2, 1], [3, 0, 0], [1, 1, 2]])


def test_ignored_delays_are_named():
    network = one_layer(np.array([[3, -2, 8], [5, 12, 4], [-6, 7, 10]]), PERFECT, delay=DELAYED)
    assert causes(network, Defect(delay=lambda d: 0)) == ["delays-ignored"]


@pytest.mark.parametrize(
    "network",
    [
        one_layer(np.array([[3, -2, 8], [5, 12, 4], [-6, 7, 10]]), PERFECT, delay=DELAYED),
        one_layer(np.array([[20], [25]]), PERFECT, recurrent=np.array([[0, 9], [4, 12]])),
    ],
    ids=["delays", "recurrent"],
)
def test_spikes_that_reach_the_next_sample_are_named(network):
    assert causes(network, Defect(continuous=True)) == ["spikes-in-flight"]


@pytest.mark.parametrize("layer", ["a", "b"])
@pytest.mark.parametrize(("key", "steps"), [("late-by-1", 1), ("late-by-2", 2), ("early-by-1", -1), ("early-by-2", -2)])
def test_a_recording_that_is_shifted_is_named_whatever_fills_its_ends(layer, key, steps):
    network = chain()
    reference = shifted(run(network, inputs_for(network), {}), layer, steps)
    diagnosis = explained(network, reference)
    assert (diagnosis.layer, [cause.key for cause in diagnosis.causes]) == (layer, [key])


def test_two_defects_at_once_are_explained_by_none_and_the_number_tried_is_told():
    both = Defect(after=lambda v, threshold: v - threshold, bias=lambda bias, step: 0)
    network = chain()
    diagnosis = explained(network, run(network, inputs_for(network), {"a": both}))
    assert diagnosis.causes == ()
    assert diagnosis.tried > 20
    assert f"none of the {diagnosis.tried} tried" in str(diagnosis)


def test_causes_that_cannot_be_told_apart_are_all_listed():
    # One timestep, one neuron, its spike recorded and nothing else: v = 31 << 6 less the bias, the threshold 30 << 6.
    # The chip's bias of -1 << 6 makes it 30 << 6 and silent. It fires without the bias, with one of less than 64 (any
    # exponent below 6), with >=, and with the weight rounded up to 32.
    neuron = hw.Cuba(v_th_mant=30, bias_mant=np.array(-1))
    network = one_layer(np.array([[31]]), neuron, n_steps=1)
    inputs = np.ones((1, 1, 1), np.int32)
    whole = run(network, inputs, {"a": Defect(bias=lambda bias, step: 0)})
    reference = dataclasses.replace(whole, values={"a": {"spikes": whole.values["a"]["spikes"]}})
    expected = {"fires-at-threshold", "bias-missing", "weights-even", *(f"bias-shifted-by-{e}" for e in range(6))}
    assert {cause.key for cause in explained(network, reference).causes} == expected


def test_spikes_alone_are_enough_to_find_a_soft_reset():
    network = chain(n_steps=12)
    whole = run(network, inputs_for(network), {"a": Defect(after=lambda v, threshold: v - threshold)})
    spikes = {name: {"spikes": quantities["spikes"]} for name, quantities in whole.values.items()}
    diagnosis = explained(network, dataclasses.replace(whole, values=spikes))
    assert [cause.key for cause in diagnosis.causes] == ["reset-by-subtraction"]


def test_no_defect_is_explained_as_one_of_the_input():
    network = chain()
    reference = run(network, inputs_for(network), {})
    ours = record(network, reference.inputs, "ours")
    other = compare(reference.values, run(network, inputs_for(network, seed=9), {}).values, ["a"]).first
    assert other is not None
    assert [cause.key for cause in diagnose(network, reference, ours, other).causes] == ["input-differs"]


@pytest.mark.parametrize("kept", [("out",), ("b", "out")])
def test_a_defect_in_a_layer_that_was_not_recorded_is_found_from_a_later_one(kept):
    network = chain()
    whole = run(network, inputs_for(network), {"a": Defect(after=lambda v, threshold: v - threshold)})
    diagnosis = explained(network, dataclasses.replace(whole, values={name: whole.values[name] for name in kept}))
    assert diagnosis.layer == kept[0]
    assert diagnosis.unrecorded == (("a",) if "b" in kept else ("b", "a"))
    assert [(cause.layer, cause.key) for cause in diagnosis.causes] == [("a", "reset-by-subtraction")]
    assert "in a: the reference subtracts the threshold" in str(diagnosis)


@given(seed=st.integers(0, 10_000), i_decay=st.integers(0, 4096), v_decay=st.integers(0, 4096))
@settings(max_examples=25, deadline=None)
def test_a_layer_alone_under_the_chips_semantics_is_the_simulators(seed, i_decay, v_decay):
    rng = np.random.default_rng(seed)
    neuron = hw.Cuba(v_th_mant=60, i_decay=i_decay, v_decay=v_decay, bias_mant=rng.integers(-9, 9, (3, 4, 3)))
    network = chain(seed=seed, a=neuron)
    inputs = inputs_for(network, seed=seed)
    trace = record(network, inputs, "ours").values
    layer = LayerAlone(population=network["a"], neuron=neuron, drive=((network.connections[0], inputs),), recurrent=())
    for quantity, values in simulate(layer).items():
        assert np.array_equal(values, trace["a"][quantity]), quantity
