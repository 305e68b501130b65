"""The commands on files: what they say, and with which exit code."""

from __future__ import annotations

import json

import numpy as np
import pytest
from spikeport import hw
from spikeport.export import lava, netx, traces
from spikeport.pipeline import cli
from typer.testing import CliRunner

from .defects import Defect, run
from .networks import chain, foreign, inputs_for, with_connection, with_layer

COMMANDS = ("inspect", "diff", "verify", "record", "convert")


@pytest.fixture
def spikeport(tmp_path, monkeypatch):
    """Run the program in a folder with a.net and b.net (a with other biases); gives (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    netx.write(chain(), tmp_path / "a.net")
    netx.write(with_layer(chain(), "a", bias_mant=np.array(0)), tmp_path / "b.net")

    def call(*arguments):
        result = CliRunner().invoke(cli.app, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    return call


def test_inspect_prints_a_plain_table_where_there_is_no_terminal(spikeport):
    code, out, _ = spikeport("inspect", "a.net")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "a.net"
    row = next(line for line in lines if line.startswith("1  a "))
    assert row.split()[:8] == ["1", "a", "conv", "of", "in", "3x4x3", "36", "54"]
    assert "3x3 p1" in row
    assert not set("│┃━┏") & set(out)
    assert "sample: 6 timesteps; input: 3 bits, 0..7" in out
    assert f"fingerprint: {chain().fingerprint()}" in out
    assert "loihi2: legal" in out


def test_inspect_draws_a_table_on_a_terminal(spikeport, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # what rich takes for a terminal
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = spikeport("inspect", "a.net")
    assert code == 0
    assert "┃" in out
    assert "3x3 p1" in out


def test_inspect_names_what_a_chip_cannot_hold_and_still_ends_with_0(spikeport):
    code, out, _ = spikeport("inspect", "a.net", "--chip", "loihi1")
    assert code == 0
    assert "loihi1: not legal:" in out
    assert "payload of 3 bits, loihi1 carries at most 0" in out


def test_inspect_as_json_holds_the_same_numbers(spikeport):
    code, out, _ = spikeport("inspect", "a.net", "--json")
    assert code == 0
    document = json.loads(out)
    assert document["schema"] == "spikeport.inspect/1"
    assert list(document) == ["schema", "summary", "survey"]
    summary = document["summary"]
    assert summary["stored"] == 54 + 180 + 15
    assert summary["layers"][1]["neuron"]["tau_v"] == pytest.approx(-1 / np.log(1 - 700 / 4096))
    assert summary["layers"][3]["neuron"]["tau_v"] is None
    assert summary["memory"]["total"] == sum(layer["memory"]["total"] for layer in summary["layers"])


def test_inspect_shows_a_file_that_cannot_be_run(spikeport, tmp_path):
    foreign(tmp_path / "x.net", type="SDNN")
    code, out, _ = spikeport("inspect", "x.net")
    assert code == 0
    assert "cannot be run, shown as stored" in out
    assert "layer 1 cannot be run: neuron: neuron type 'SDNN'" in out
    document = json.loads(spikeport("inspect", "x.net", "--json")[1])
    assert document["summary"] is None
    assert document["survey"]["layers"][1]["neuron"] == "SDNN"


def test_names_with_markup_are_printed_as_they_are(spikeport, tmp_path):
    network = chain()
    odd = hw.Network(
        populations=tuple(
            hw.Population(name=f"[red]{p.name}[/nope]", shape=p.shape, neuron=p.neuron) for p in network.populations
        ),
        connections=tuple(
            type(c)(**{**vars(c), "source": f"[red]{c.source}[/nope]", "target": f"[red]{c.target}[/nope]"})
            for c in network.connections
        ),
        readout=hw.Readout(population="[red]out[/nope]"),
        n_steps=6,
    )
    netx.write(odd, tmp_path / "odd.net")
    assert "[red]a[/nope]" in spikeport("inspect", "odd.net")[1]
    code, out, _ = spikeport("verify", "odd.net", "--against", "b.net", "--random", "2")
    assert code == 1
    assert "layer [red]a[/nope]" in out


def test_diff_of_equal_files_ends_with_0(spikeport):
    code, out, _ = spikeport("diff", "a.net", "a.net")
    assert (code, out.splitlines()[-1]) == (0, "equal")


def test_diff_names_what_differs_and_ends_with_1(spikeport):
    code, out, _ = spikeport("diff", "a.net", "b.net", "--random", "2", "--seed", "7")
    assert code == 1
    assert "a      bias  36 of 36" in out
    assert "samples of random payloads, seed 7; first: sample 0, timestep 0, layer a, neuron (0, 0, 0): v is" in out
    document = json.loads(spikeport("diff", "a.net", "b.net", "--json")[1])
    assert (document["schema"], document["equal"]) == ("spikeport.diff/1", False)
    assert document["arrays"][0]["largest"] == 8
    assert document["behaviour"]["first"]["layer"] == "a"


def test_diff_runs_on_given_inputs_or_on_none(spikeport, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((1, 2, 4, 3), int))
    assert "1 samples of x.npy" in spikeport("diff", "a.net", "b.net", "--inputs", "x.npy")[1]
    assert "not compared: no inputs were given" in spikeport("diff", "a.net", "b.net", "--random", "0")[1]


def test_record_and_verify_are_a_certificate(spikeport, tmp_path):
    code, out, _ = spikeport("record", "a.net", "--random", "3", "--out", "t.npz")
    assert code == 0
    assert "t.npz: 3 samples, 3 layers, 6 timesteps" in out
    recorded = traces.read(tmp_path / "t.npz")
    assert recorded.values["b"]["u"].shape == (6, 3, 5)
    code, out, _ = spikeport("verify", "a.net", "--against", "t.npz")
    assert code == 0
    assert f"0 mismatches in {3 * 6 * 3 * 44} values" in out
    code, out, _ = spikeport("verify", "b.net", "--against", "t.npz", "--samples", "2")
    assert code == 1
    assert "2 samples" in out
    assert "first: sample 0, timestep 0, layer a, neuron (0, 0, 0): v is" in out


def test_verify_says_the_likely_cause(spikeport, tmp_path):
    late = run(chain(), inputs_for(chain()), {"a": Defect(late=1)})
    traces.write(late, tmp_path / "late.npz")
    code, out, _ = spikeport("verify", "a.net", "--against", "late.npz")
    assert code == 1
    assert "likely cause: the reference is 1 timestep later" in out
    late_u, our_u = (r.values["a"]["u"][0, 0, 0, 0, 0] for r in (late, run(chain(), inputs_for(chain()), {})))
    assert f"(u {late_u} / {our_u}, v " in out
    document = json.loads(spikeport("verify", "a.net", "--against", "late.npz", "--json")[1])
    assert (document["schema"], document["agrees"]) == ("spikeport.verify/1", False)
    assert [cause["key"] for cause in document["diagnosis"]["causes"]] == ["late-by-1"]
    assert document["first"]["layer"] == "a"


def test_verify_against_another_file(spikeport):
    assert spikeport("verify", "a.net", "--against", "a.net", "--random", "2")[0] == 0
    code, out, _ = spikeport("verify", "a.net", "--against", "b.net", "--random", "2")
    assert code == 1
    assert "likely cause: the reference leaves the bias out" in out


class FakeLava:
    """Lava as it would be if its first layer reset by subtraction."""

    def __init__(self, monkeypatch):
        monkeypatch.setattr(lava, "find_python", lambda: None)
        monkeypatch.setattr(lava, "run", self.run)
        self.defects = {"a": Defect(after=lambda v, threshold: v - threshold)}

    def run(self, path, inputs, *, network, timeout_s, fast_conv):
        values = run(network, np.asarray(inputs), self.defects).values
        quantities = {q: {name: values[name][q].astype(np.int32) for name in values} for q in ("u", "v", "spikes")}
        return lava.LavaTrace(**quantities, layers_written=3, layers_built=3, seconds=0.1, versions={})


def test_verify_in_lava_tells_the_cause_too(spikeport, monkeypatch, tmp_path):
    fake = FakeLava(monkeypatch)
    np.save(tmp_path / "x.npy", inputs_for(chain()))
    code, out, _ = spikeport("verify", "a.net", "--inputs", "x.npy")
    assert code == 1
    assert "3 of 3 layers built" in out
    assert "likely cause: the reference subtracts the threshold" in out
    fake.defects = {}
    code, out, _ = spikeport("verify", "a.net", "--inputs", "x.npy", "--json")
    assert (code, json.loads(out)["agrees"]) == (0, True)


def test_convert_goes_by_suffix_and_overwrites_nothing(spikeport, tmp_path):
    code, out, _ = spikeport("convert", "a.net", "a.nir")
    assert code == 0
    assert "reads back the same" in out
    assert spikeport("diff", "a.net", "a.nir")[0] == 0
    code, _, err = spikeport("convert", "a.nir", "b.net")
    assert code == 2
    assert "--force" in err
    document = json.loads(spikeport("convert", "a.nir", "b.net", "--force", "--json")[1])
    assert document["fingerprint"] == chain().fingerprint()


def test_a_foreign_file_needs_its_sample_length_and_may_leave_the_chips_grid(spikeport, tmp_path):
    foreign(tmp_path / "x.net", vThMant=hw.CHIPS["loihi2"].v_th_max + 1)
    code, _, err = spikeport("convert", "x.net", "y.net")
    assert code == 2
    assert "does not say how long a sample lasts" in err
    code, _, err = spikeport("convert", "x.net", "y.net", "--steps", "4")
    assert code == 2
    assert "threshold mantissa 131072" in err
    assert spikeport("convert", "x.net", "y.net", "--steps", "4", "--chip", "none")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("inspect", "no.net"), "there is no such file"),
        (("inspect", "a.onnx"), "found the suffix '.onnx', expected .net or .nir"),
        (("inspect", "a.net", "--chip", "loihi9"), "unknown chip 'loihi9': did you mean 'loihi2'?"),
        (("diff", "a.net", "no.net"), "no.net: there is no such file"),
        (("diff", "a.net", "b.net", "--inputs", "no.npy"), "no.npy: there is no such file"),
        (("verify", "a.net", "--against", "x.csv"), "--against x.csv is none of lava, a trace"),
        (("verify", "a.net", "--against", "no.npz"), "spikeport record FILE --out trace.npz"),
        (("verify", "a.net", "--against", "b.net"), "a.net lies in no run folder; say what to run it on"),
        (("verify", "a.net", "--random", "2", "--data", "digits"), "--random and --data both say what to run on"),
        (("verify", "a.net", "--against", "b.net", "--data", "digits"), "takes images of (2, 4, 3), digits has"),
        (("verify", "a.yaml", "--against", "b.net"), "belong to a file"),
        (("record", "a.net", "--random", "2", "--out", "b.net"), "the file exists"),
        (("record", "a.net", "--random", "2", "--out", "t.csv"), "written as .npz"),
        (("convert", "a.net"), "name one file to write"),
        (("convert", "a.net", "x.onnx"), "found the suffix '.onnx'"),
        (("convert", "a.net", "c.net", "--set", "seed=2"), "no settings"),
    ],
)
def test_a_wrong_request_is_one_message_and_exit_code_2(spikeport, arguments, message):
    code, out, err = spikeport(*arguments)
    assert code == 2
    assert message in err
    assert err.startswith("spikeport: ")
    assert "Traceback" not in out + err


def test_a_trace_with_inputs_of_its_own_takes_no_others(spikeport):
    spikeport("record", "a.net", "--random", "2", "--out", "t.npz")
    code, _, err = spikeport("verify", "a.net", "--against", "t.npz", "--random", "2")
    assert code == 2
    assert "holds its own inputs" in err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(spikeport, command):
    code, out, _ = spikeport(command, "--help")
    assert code == 0
    assert "--json" in out


def test_a_weight_changed_by_hand_is_found_by_diff(spikeport, tmp_path):
    weight = chain().connections[2].weight.copy()
    weight[1, 3] += 2
    netx.write(with_connection(chain(), 2, weight=weight), tmp_path / "c.net")
    code, out, _ = spikeport("diff", "a.net", "c.net")
    assert code == 1
    assert "1 of 15" in out
    assert "(1, 3)" in out
