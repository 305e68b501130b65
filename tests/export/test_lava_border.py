"""The subprocess around Lava and the comparison, without Lava: small shell scripts stand in for its Python."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from spikeport import hw
from spikeport.export import lava, lava_process, netx


@pytest.fixture
def network():
    return hw.Network(
        populations=(
            hw.Population(name="in", shape=(2, 1, 3), neuron=hw.Source(payload_bits=2)),
            hw.Population(name="fc", shape=(2,), neuron=hw.Cuba(v_th_mant=9)),
        ),
        connections=(hw.Dense(source="in", target="fc", weight=2 * np.arange(-5, 7).reshape(2, 6)),),
        readout=hw.Readout(population="fc", kind="spike_count"),
        n_steps=2,
    )


@pytest.fixture
def call(network, tmp_path):
    """Runs a job with `script` in place of Lava's Python."""
    netx.write(network, tmp_path / "a.net")

    def run(script, timeout_s=20.0, inputs=None):
        python = tmp_path / "python"
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
        inputs = np.zeros((1, 2, 1, 3), int) if inputs is None else inputs
        return lava.run(tmp_path / "a.net", inputs, network=network, timeout_s=timeout_s, python=python)

    return run


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process that ended but was not yet collected by init counts as gone.
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


def gone(pid, within_s=5.0):
    deadline = time.monotonic() + within_s
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def test_a_hanging_run_is_stopped_with_everything_it_started(call, tmp_path):
    pids = tmp_path / "pids"
    with pytest.raises(hw.OracleFailed, match=r"lava: not done after 0\.5 s and stopped; allow more with timeout_s"):
        call(f"sleep 300 & echo $! $$ > {pids}; echo still building; wait", timeout_s=0.5)
    for pid in map(int, pids.read_text().split()):
        assert gone(pid)


def test_a_run_that_ignores_the_polite_signal_is_stopped_too(call, tmp_path):
    pid = tmp_path / "pid"
    started = time.monotonic()
    with pytest.raises(hw.OracleFailed, match="not done after"):
        call(f"trap '' TERM; echo $$ > {pid}; while true; do sleep 0.1; done", timeout_s=0.5)
    assert gone(int(pid.read_text()))
    assert time.monotonic() - started < 0.5 + 2 * lava_process.TERM_GRACE_S + 5


def test_children_left_behind_by_a_finished_run_are_stopped(call, tmp_path):
    pid = tmp_path / "pid"
    with pytest.raises(hw.OracleFailed, match="no result"):
        call(f"sleep 300 & echo $! > {pid}; exit 0")
    assert gone(int(pid.read_text()))


def test_a_crash_shows_the_end_of_the_log_and_the_way_out(call):
    with pytest.raises(hw.OracleFailed) as caught:
        call("for i in $(seq 40); do echo line $i; done; echo boom >&2; exit 3")
    message = str(caught.value)
    assert "ended with status 3" in message
    assert "make lava" in message
    assert message.endswith("line 40\n    boom")
    assert "line 26\n" not in message  # 15 lines: 27 to 40, and boom


def test_a_killed_run_is_a_failure(call):
    with pytest.raises(hw.OracleFailed, match=f"ended with status -{int(signal.SIGKILL)}"):
        call("kill -9 $$")


def test_success_without_a_result_is_a_failure(call):
    with pytest.raises(hw.OracleFailed, match=r"no result for .*a\.net; the log ends:\n    \(empty\)"):
        call("exit 0")


def test_nothing_can_be_read_from_the_terminal(call):
    with pytest.raises(hw.OracleFailed, match="read nothing"):
        call('read line || echo "read nothing"; exit 1')


def test_a_missing_python_names_the_way_out(tmp_path, monkeypatch):
    with pytest.raises(hw.OracleFailed, match=r"there is no Python at .*nowhere; set .* up with `make lava`"):
        lava.find_python(tmp_path / "nowhere")
    monkeypatch.setenv(lava.PYTHON_VARIABLE, str(tmp_path / "elsewhere"))
    with pytest.raises(hw.OracleFailed, match="there is no Python at .*elsewhere"):  # noqa: RUF043
        lava.find_python()
    assert not lava.available()


def test_python_is_found_by_argument_then_variable(tmp_path, monkeypatch):
    for name in ("argument", "variable"):
        (tmp_path / name).touch()
    monkeypatch.setenv(lava.PYTHON_VARIABLE, str(tmp_path / "variable"))
    assert lava.find_python(tmp_path / "argument") == tmp_path / "argument"
    assert lava.find_python() == tmp_path / "variable"


def test_a_python_without_lava_is_not_available(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    assert not lava.available(python)


@pytest.mark.parametrize(
    ("inputs", "match"),
    [
        (np.zeros((1, 3, 1, 2), int), r"inputs of shape \(1, 3, 1, 2\), expected \(B, \*\(2, 1, 3\)\) or \(2, B"),
        (np.zeros((2, 1, 3), int), r"inputs of shape \(2, 1, 3\)"),
        (np.zeros((3, 1, 2, 1, 3), int), r"inputs of shape \(3, 1, 2, 1, 3\)"),
        (np.zeros((1, 2, 1, 3)), "inputs are float64, spikes carry integers"),
        (np.full((1, 2, 1, 3), 4), r"inputs hold 4\.\.4, in carries 0\.\.3"),
        (np.full((1, 2, 1, 3), -1), r"inputs hold -1\.\.-1, in carries"),
        (np.zeros((0, 2, 1, 3), int), "inputs hold no samples"),
    ],
)
def test_inputs_are_checked_before_lava_starts(call, inputs, match):
    with pytest.raises(hw.BadInput, match=match):
        call("exit 0", inputs=inputs)


def trace(n_steps=3, n_samples=2, layers_built=2):
    """Zeros of two layers: a (2, 2, 2) and b (3,)."""
    shapes = {"a": (2, 2, 2), "b": (3,)}

    def zeros(dtype):
        return {name: np.zeros((n_steps, n_samples, *shape), dtype) for name, shape in shapes.items()}

    return lava.LavaTrace(
        u=zeros(np.int32),
        v=zeros(np.int32),
        spikes=zeros(np.uint8),
        layers_written=2,
        layers_built=layers_built,
        seconds=0.0,
        versions={},
    )


def expectation(of):
    return {name: {q: getattr(of, q)[name].copy() for q in ("u", "v", "spikes")} for name in of.v}


def test_equal_numbers_agree_and_are_counted():
    verdict = lava.compare(trace(), expectation(trace()))
    assert verdict.agrees
    assert verdict.first is None
    assert (verdict.samples, verdict.layers_written, verdict.layers_built) == (2, 2, 2)
    assert verdict.values == 3 * 2 * (8 + 3) * 3  # timesteps, samples, neurons, quantities


def test_one_number_is_found():
    wanted = expectation(trace())
    wanted["a"]["v"][1, 1, 1, 0, 1] = -7
    verdict = lava.compare(trace(), wanted)
    assert not verdict.agrees
    assert verdict.mismatches == 1
    assert verdict.first == lava.Divergence(
        sample=1, timestep=1, layer="a", neuron=(1, 0, 1), quantity="v", expected=-7, found=0
    )
    assert str(verdict.first) == ("sample 1, timestep 1, layer a, neuron (1, 0, 1): v expected -7, Lava has 0")


def test_the_first_divergence_is_earliest_in_time_then_nearest_to_the_input():
    wanted = expectation(trace())
    wanted["a"]["u"][2, 0, 0, 0, 0] = 1
    wanted["b"]["spikes"][1, 1, 2] = 1
    assert lava.compare(trace(), wanted).first.layer == "b"
    wanted["a"]["v"][1, 1, 0, 0, 0] = 1
    verdict = lava.compare(trace(), wanted)
    assert (verdict.first.layer, verdict.first.quantity, verdict.first.timestep) == ("a", "v", 1)
    assert verdict.mismatches == 3


def test_a_layer_that_was_not_built_is_no_agreement():
    assert not lava.compare(trace(layers_built=1), expectation(trace())).agrees


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda wanted: wanted.pop("b"), r"expected values are missing for \['b'\]"),
        (lambda wanted: wanted.update(c=wanted["b"]), r"given for unknown layers \['c'\]"),
        (lambda wanted: wanted.update(b={}), r"missing for \['b'\]"),
        (lambda wanted: wanted["b"].update(w=0), "b: 'w' is not recorded; recorded: u, v, spikes"),
        (lambda wanted: wanted["b"].update(v=np.zeros((3, 2, 4))), r"b: v of shape \(3, 2, 4\) given, Lava recorded"),
    ],
)
def test_a_comparison_that_would_skip_something_is_refused(change, match):
    wanted = expectation(trace())
    change(wanted)
    with pytest.raises(hw.BadInput, match=match):
        lava.compare(trace(), wanted)
