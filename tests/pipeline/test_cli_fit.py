"""`spikeport fit`: what it prints, draws and refuses."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from spikeport import hw
from spikeport.export import netx
from spikeport.hw.placement import place
from spikeport.pipeline import cli, core_map
from typer.testing import CliRunner


def chain(n_in: int, n_hidden: int) -> hw.Network:
    """in -> `hidden` -> `out` of 4, fully connected, weights of 8 bits."""

    def weights(*shape: int) -> np.ndarray:
        return (np.arange(np.prod(shape)) % 250 * 2 - 250).reshape(shape)

    return hw.Network(
        populations=(
            hw.Population(name="in", shape=(n_in,), neuron=hw.Source()),
            hw.Population(name="hidden", shape=(n_hidden,), neuron=hw.Cuba(v_th_mant=100)),
            hw.Population(name="out", shape=(4,), neuron=hw.Cuba(v_th_mant=100)),
        ),
        connections=(
            hw.Dense(source="in", target="hidden", weight=weights(n_hidden, n_in)),
            hw.Dense(source="hidden", target="out", weight=weights(4, n_hidden)),
        ),
        readout=hw.Readout(population="out", kind="spike_count"),
        n_steps=4,
    )


@pytest.fixture
def spikeport(tmp_path, monkeypatch):
    """Run the program in a folder with a.net (784 -> 150 -> 4) and wide.net (5000 -> 3 -> 4)."""
    monkeypatch.chdir(tmp_path)
    netx.write(chain(784, 150), tmp_path / "a.net", chip=None)
    netx.write(chain(5000, 3), tmp_path / "wide.net", chip=None)

    def call(*arguments):
        result = CliRunner().invoke(cli.app, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    return call


def test_it_prints_cores_utilisation_and_the_bottleneck_of_each_population(spikeport):
    code, out, _ = spikeport("fit", "a.net", "--chip", "loihi1", "--rule", "nengo")
    assert code == 0
    row = next(line for line in out.splitlines() if line.startswith("hidden "))
    assert re.split(r"  +", row)[:5] == ["hidden", "150", "150", "2", "blocks of 75 neurons"]
    assert row.endswith("words of synaptic memory")
    assert f"{784 * 11 / 16384:.1%}" in row  # 64 + 11 synapses: 9 + 2 words
    assert "total: 3 cores on 1 chip of 128 cores each" in out
    assert "counted by: nengo-loihi's formula for Loihi 1" in out
    assert "by NxTF's compiler for Loihi 1: 2 cores on 1 chip" in out
    assert "advice: hidden: 6-bit weights would take 1 core instead of 2; 2 in all instead of 3" in out
    assert "not published" not in out


def test_it_says_which_limits_are_unknown(spikeport):
    code, out, _ = spikeport("fit", "a.net")
    assert code == 0
    assert "a.net on loihi2" in out
    assert "limits not published: input axons, output axons" in out


def test_a_network_that_does_not_fit_is_refused_with_what_would_hold_it(spikeport):
    code, out, err = spikeport("fit", "wide.net", "--chip", "loihi1")
    assert (code, out) == (2, "")
    assert "hidden: 5000 input axons exceed loihi1's 4096 per core even with one neuron per core" in err
    assert "loihi2 would hold it on 2 cores of 1 chip (not published: input axons, output axons)" in err


def test_json_has_a_schema_and_the_usage_of_every_core(spikeport):
    code, out, _ = spikeport("fit", "a.net", "--chip", "loihi1", "--rule", "nengo", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["schema"] == "spikeport.fit/1"
    assert (document["chip"], document["rule"], document["cores"], document["chips"]) == ("loihi1", "nengo", 3, 1)
    assert [(core["population"], core["start"], core["stop"]) for core in document["layout"]] == [
        ("hidden", [0], [75]),
        ("hidden", [75], [150]),
        ("out", [0], [4]),
    ]
    assert document["layout"][0]["usage"]["synapse_words"] == 784 * 11
    assert sum(population["cores"] for population in document["populations"]) == document["cores"]


@pytest.mark.parametrize(("suffix", "begins"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_the_core_map_is_drawn(spikeport, tmp_path, suffix, begins):
    code, out, _ = spikeport("fit", "a.net", "--map", f"map{suffix}")
    assert code == 0
    assert f"map{suffix}: core map" in out
    assert (tmp_path / f"map{suffix}").read_bytes().startswith(begins)


def test_the_core_map_has_a_square_per_core_and_names_every_population():
    placement = place(chain(784, 150), hw.CHIPS["loihi1"], rule="nengo")
    svg = core_map.draw(placement, "a.net", ".svg").decode()
    assert "hidden (2)" in svg
    assert "out (1)" in svg
    assert "not as they lie on the chip" in svg
    for index, used in enumerate((2, 1)):
        colour = core_map.COLOURS[index]
        # two squares per core, light and filled, and one in the legend
        assert len(re.findall(rf"fill: {colour}", svg)) == 2 * used + 1
    assert core_map.draw(placement, "a.net", ".svg").decode() == svg


def test_a_map_of_another_kind_is_refused_before_anything_is_read(spikeport):
    code, _, err = spikeport("fit", "nowhere.net", "--map", "map.pdf")
    assert code == 2
    assert "fit: found the suffix '.pdf' for the map, expected .png or .svg" in err


def test_a_file_that_is_not_there_is_named(spikeport):
    code, _, err = spikeport("fit", "nowhere.net")
    assert code == 2
    assert "nowhere.net: there is no such file" in err
