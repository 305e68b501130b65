"""A file against a trace or another file; inputs; conversion."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from spikeport import hw
from spikeport.export import netx
from spikeport.export.traces import Recording
from spikeport.pipeline.toolbox.against import recorded_like, verify_against
from spikeport.pipeline.toolbox.inputs import random_inputs, read_inputs
from spikeport.pipeline.toolbox.opening import Reading, convert, open_network
from spikeport.pipeline.toolbox.recording import record

from .networks import chain, foreign, inputs_for, renamed, with_layer


def trace(network: hw.Network | None = None) -> Recording:
    network = network or chain()
    return record(network, inputs_for(network), "t.npz")


def test_a_network_agrees_with_its_own_trace():
    outcome = verify_against(chain(), "x.net", trace())
    assert outcome.agrees
    assert (outcome.samples, outcome.layers, outcome.diagnosis) == (3, ("a", "b", "out"), None)
    assert outcome.values == 3 * 6 * 3 * (36 + 5 + 3)


def test_any_subset_of_layers_and_quantities_will_do():
    values = {"b": {"spikes": trace().values["b"]["spikes"]}}
    outcome = verify_against(chain(), "x.net", dataclasses.replace(trace(), values=values), samples=2)
    assert (outcome.agrees, outcome.layers, outcome.samples, outcome.values) == (True, ("b",), 2, 6 * 2 * 5)


def test_one_wrong_number_is_found_and_no_cause_is_claimed():
    reference = trace()
    v = reference.values["a"]["v"].copy()
    v[2, 1, 0, 1, 1] += 1
    values = {**reference.values, "a": {**reference.values["a"], "v": v}}
    outcome = verify_against(chain(), "x.net", dataclasses.replace(reference, values=values))
    first = outcome.first
    assert first is not None
    assert (first.sample, first.timestep, first.layer, first.neuron, first.quantity) == (1, 2, "a", (0, 1, 1), "v")
    assert first.expected == first.found + 1
    where = (2, 1, 0, 1, 1)
    ours = trace().values["a"]
    assert outcome.states == {
        "u": (ours["u"][where], ours["u"][where]),
        "v": (first.expected, first.found),
        "spikes": (ours["spikes"][where], ours["spikes"][where]),
    }
    assert outcome.mismatches == 1
    assert outcome.diagnosis is not None
    assert outcome.diagnosis.causes == ()


def test_another_network_is_a_reference_and_its_cause_is_found():
    other = with_layer(chain(), "a", bias_mant=np.array(0))
    reference = recorded_like(renamed(other, "x"), chain(), inputs_for(chain()), "other.net")
    outcome = verify_against(chain(), "x.net", reference)
    assert outcome.diagnosis is not None
    assert [cause.key for cause in outcome.diagnosis.causes] == ["bias-missing"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": None}, "it holds no inputs"),
        ({"inputs": inputs_for(chain())[:, :2]}, "3 samples recorded, 2 inputs"),
        ({"inputs": inputs_for(chain()) * 5}, r"the inputs hold 0..35, in carries 0..7"),
        ({"values": {"aa": trace().values["a"]}}, "no population 'aa' in the network; did you mean 'a'"),
        ({"values": {"b": trace().values["a"]}}, r"neurons of shape \(3, 4, 3\), the network's b has \(5,\)"),
        ({"values": {"b": {"u": trace().values["b"]["u"][:5]}}}, "5 timesteps, a sample of the network lasts 6"),
    ],
)
def test_a_trace_that_does_not_fit_is_refused(changes, message):
    with pytest.raises(hw.BadInput, match=message):
        verify_against(chain(), "x.net", dataclasses.replace(trace(), **changes))


def test_networks_of_other_sample_lengths_are_no_reference():
    with pytest.raises(hw.BadInput, match="lasts 9 timesteps, the file's 6"):
        recorded_like(dataclasses.replace(chain(), n_steps=9), chain(), inputs_for(chain()), "other.net")


def test_random_inputs_are_the_seeds_and_cover_the_payload():
    inputs = random_inputs(chain(), 20, seed=3)
    assert np.array_equal(inputs, random_inputs(chain(), 20, seed=3))
    assert not np.array_equal(inputs, random_inputs(chain(), 20, seed=4))
    assert (inputs.shape, inputs.min(), inputs.max()) == ((6, 20, 2, 4, 3), 0, 7)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 2, 4)), r"shape \(2, 2, 4\), expected \(B, 2, 4, 3\) or \(6, B, 2, 4, 3\)"),
        (np.zeros((5, 2, 2, 4, 3)), "expected"),
        (np.full((1, 2, 4, 3), 0.5), "fractions"),
        (np.full((1, 2, 4, 3), 8), r"hold 0..8, in carries 0..7"),
        (np.zeros((0, 2, 4, 3)), "no samples"),
        (np.zeros((1, 2, 4, 3), complex), "complex128"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(tmp_path, array, message):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(hw.BadInput, match=message):
        read_inputs(tmp_path / "x.npy", chain())


def test_inputs_may_be_floats_that_hold_integers_and_held_for_every_timestep(tmp_path):
    np.save(tmp_path / "x.npy", np.full((3, 2, 4, 3), 2.0))
    found = read_inputs(tmp_path / "x.npy", chain())
    assert (found.dtype, found.shape, found.max()) == (np.int32, (3, 2, 4, 3), 2)


@pytest.mark.parametrize("content", [b"", b"not an array", b"\x93NUMPY\x01\x00v\x00{'descr': '<i8'"])
def test_what_is_no_array_is_refused(tmp_path, content):
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(hw.BadInput, match=r"x\.npy: not a readable \.npy file"):
        read_inputs(tmp_path / "x.npy", chain())


@pytest.mark.parametrize("way", [(".net", ".nir"), (".nir", ".net"), (".net", ".net")])
def test_a_file_converts_to_the_same_network(tmp_path, way):
    start, end = (tmp_path / f"{name}{suffix}" for name, suffix in zip("ab", way, strict=True))
    netx.write(chain(), tmp_path / "first.net")
    if start.suffix == ".nir":
        convert(tmp_path / "first.net", start, chip=None)
    else:
        (tmp_path / "first.net").rename(start)
    done = convert(start, end, chip=hw.CHIPS["loihi2"])
    assert done.fingerprint == chain().fingerprint()
    assert hw.same(open_network(end), chain())


def test_a_foreign_file_becomes_one_of_ours(tmp_path):
    source = foreign(tmp_path / "x.net")
    convert(source, tmp_path / "y.net", chip=None, reading=Reading(n_steps=7))
    assert open_network(tmp_path / "y.net").n_steps == 7


def test_nothing_is_overwritten_unasked(tmp_path):
    netx.write(chain(), tmp_path / "a.net")
    (tmp_path / "b.net").write_bytes(b"precious")
    with pytest.raises(hw.BadInput, match="the file exists; give --force"):
        convert(tmp_path / "a.net", tmp_path / "b.net", chip=None)
    assert (tmp_path / "b.net").read_bytes() == b"precious"
    convert(tmp_path / "a.net", tmp_path / "b.net", chip=None, force=True)
    assert hw.same(open_network(tmp_path / "b.net"), chain())
    with pytest.raises(hw.BadInput, match="not converted onto itself"):
        convert(tmp_path / "a.net", tmp_path / "a.net", chip=None, force=True)


def test_files_of_other_kinds_are_refused(tmp_path):
    with pytest.raises(hw.BadInput, match=r"suffix '.onnx', expected .net or .nir"):
        open_network(tmp_path / "x.onnx")
    netx.write(chain(), tmp_path / "a.net")
    convert(tmp_path / "a.net", tmp_path / "a.nir", chip=None)
    with pytest.raises(hw.BadInput, match="leave --steps"):
        open_network(tmp_path / "a.nir", Reading(n_steps=3))
