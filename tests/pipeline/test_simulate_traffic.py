"""The simulate stage counts, with the spikes, what they send on every chip that holds the network."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from spikeport import sim
from spikeport.hw import CHIPS, NEVER_FIRES, Conv, Cuba, Dense, Network, Population, Readout, Source
from spikeport.hw.placement import place, traffic
from spikeport.pipeline import deploy, simulate
from spikeport.pipeline.data import load_splits
from spikeport.pipeline.files import read_tensors, write_tensors
from spikeport.pipeline.placing import placements
from spikeport.pipeline.recipe import parse
from spikeport.sim import routing

from . import stages

N = 70  # images; more than a batch


def conv_net(weights: np.ndarray, n_classes: int = 10) -> Network:
    """Images of 8 x 8 -> conv -> dense read-out, three timesteps."""
    channels, rng = len(weights), np.random.default_rng(1)
    readout = 2 * rng.integers(-5, 5, (n_classes, channels * 64))
    return Network(
        populations=(
            Population(name="input", shape=(1, 8, 8), neuron=Source(payload_bits=4)),
            Population(name="conv1", shape=(channels, 8, 8), neuron=Cuba(v_th_mant=300)),
            Population(name="out", shape=(n_classes,), neuron=Cuba(v_th_mant=NEVER_FIRES)),
        ),
        connections=(
            Conv(source="input", target="conv1", weight=weights, padding=(1, 1)),
            Dense(source="conv1", target="out", weight=readout),
        ),
        readout=Readout(population="out"),
        n_steps=3,
    )


@pytest.fixture(scope="module")
def network() -> Network:
    """2560 neurons: several cores of 1024 on Loihi 1."""
    return conv_net(2 * np.random.default_rng(0).integers(-30, 40, (40, 1, 3, 3)))


@pytest.fixture(scope="module")
def finished(network, tmp_path_factory):
    """(folder, metrics, payload) of the stage run on a file, as if quantized before."""
    folder = tmp_path_factory.mktemp("run")
    recipe = parse({"name": "tiny", "data": {"name": "digits", "validation": 50, "test_limit": N}})
    context = stages.context(recipe, folder, "simulate")
    inputs = {name: folder / name for name in ("quantize", "export")}
    for path in inputs.values():
        path.mkdir()
    context = dataclasses.replace(context, inputs=inputs, results={"export": {"file": "a.net"}})
    deploy.write_checked(network, inputs["export"] / "a.net", "loihi2")
    payload = deploy.payload_for(network, load_splits(recipe).test)
    answers = sim.run(network, payload, record=("readout",)).readouts
    assert answers is not None
    write_tensors(inputs["quantize"] / simulate.PREDICTIONS, {"test": answers.argmax(dim=2)})
    return context.folder, simulate.run(context), payload


def test_the_tallies_on_the_disk_are_those_of_a_run_with_each_chips_placement(network, finished):
    folder, _, payload = finished
    counts = simulate.load_counts(folder, network)
    for chip in CHIPS.values():
        placement = place(network, chip)
        again = sim.run(network, payload, tallies=routing.tallies_of(placement)).counts
        assert routing.messages(counts, placement) == routing.messages(again, placement)
        assert routing.messages(counts, placement).messages > 0
        for tally, table in again.tallies.items():
            assert list(counts.tallies[tally]) == list(table) == ["input", "conv1"]
            assert all(torch.equal(counts.tallies[tally][name], events) for name, events in table.items())
    assert {tally.split(".")[0] for tally in counts.tallies} == set(CHIPS)


def test_all_messages_are_the_activity_of_each_neuron_times_what_one_spike_sends(network, finished):
    folder, _, payload = finished
    counts, activity = simulate.load_counts(folder, network), simulate.load_activity(folder, network)
    spikes = sim.run(network, payload, record=("spikes",)).spikes
    assert list(activity) == [p.name for p in network.populations]
    assert all(torch.equal(times, (spikes[name] != 0).sum(dim=1)) for name, times in activity.items())
    for name, chip in CHIPS.items():
        for connection in network.connections:
            sent = traffic(place(network, chip), connection).messages
            times = activity[connection.source].sum(dim=0).numpy()
            assert int(counts.tallies[f"{name}.messages"][connection.source].sum()) == int((times * sent).sum())


def test_a_network_cut_over_several_cores_sends_more_messages_than_spikes(network, finished):
    folder, _, _ = finished
    counts, placement = simulate.load_counts(folder, network), placements(network)[0]["loihi1"]
    assert len(placement.of("conv1")) >= 3  # ceil(2560 / 1024)
    assert counts.tallies["loihi1.messages"]["input"].sum() > counts.spikes["input"].sum()
    assert torch.equal(counts.tallies["loihi1.messages"]["conv1"], counts.spikes["conv1"])  # the read-out is one core


def test_the_metrics_hold_the_score_and_the_spikes_alone(network, finished):
    _, metrics, _ = finished
    assert set(metrics) == {"test", "spikes_per_sample"}
    assert set(metrics["spikes_per_sample"]) == {p.name for p in network.populations}


def test_counts_written_without_tallies_have_none(network, finished, tmp_path):
    folder, _, _ = finished
    stored = read_tensors(folder / simulate.COUNTS)
    kept = {name: tensor for name, tensor in stored.items() if not name.startswith('["tallies"')}
    assert len(kept) < len(stored)
    write_tensors(tmp_path / simulate.COUNTS, kept)
    assert simulate.load_counts(tmp_path, network).tallies == {}


def test_every_chip_is_placed_by_its_own_first_rule(network):
    placed, refused = placements(network)
    assert list(placed) == list(CHIPS)
    assert refused == {}
    for name, placement in placed.items():
        assert (placement.chip.name, placement.rule) == (name, CHIPS[name].cores.rules[0])
        assert placement.cores == place(network, CHIPS[name]).cores


def test_a_chip_that_cannot_hold_the_network_says_why_and_what_would():
    weight = np.ones((1, 4097), int)  # one more than the input axons of a core of Loihi 1
    network = Network(
        populations=(
            Population(name="in", shape=(4097,), neuron=Source()),
            Population(name="out", shape=(1,), neuron=Cuba(v_th_mant=NEVER_FIRES)),
        ),
        connections=(Dense(source="in", target="out", weight=weight),),
        readout=Readout(population="out"),
        n_steps=1,
    )
    placed, refused = placements(network)
    assert list(placed) == ["loihi2"]
    assert list(refused) == ["loihi1"]
    assert "out: 4097 input axons exceed loihi1's 4096 per core" in str(refused["loihi1"])
    assert "loihi2 would hold it on 1 core of 1 chip" in str(refused["loihi1"])
