"""The stages between the rooms: the file, its simulation, its price."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from spikeport import sim
from spikeport.hw import (
    NEVER_FIRES,
    Conv,
    Cuba,
    Dense,
    Network,
    NotRepresentable,
    Population,
    Readout,
    Source,
    SpikeportError,
)
from spikeport.models.datasets import Images
from spikeport.pipeline import deploy, report, simulate
from spikeport.pipeline.files import write_tensors


@pytest.fixture
def network():
    rng = np.random.default_rng(0)
    return Network(
        populations=(
            Population(name="input", shape=(1, 4, 4), neuron=Source(payload_bits=4)),
            Population(name="conv1", shape=(2, 4, 4), neuron=Cuba(v_th_mant=40)),
            Population(name="out", shape=(3,), neuron=Cuba(v_th_mant=NEVER_FIRES)),
        ),
        connections=(
            Conv(source="input", target="conv1", weight=2 * rng.integers(-9, 9, (2, 1, 3, 3)), padding=(1, 1)),
            Dense(source="conv1", target="out", weight=2 * rng.integers(-9, 9, (3, 32))),
        ),
        readout=Readout(population="out"),
        n_steps=3,
    )


@pytest.fixture
def images():
    x = torch.randint(0, 17, (5, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Images(x=x, y=torch.zeros(5, dtype=torch.int64), levels=16)


def test_images_enter_as_the_payload_the_network_takes(network, images):
    payload = deploy.payload_for(network, images)
    expected = (images.x.to(torch.int32) * 15 * 2 + 16) // 32  # round(x / 16 * 15), halves up
    assert torch.equal(payload, expected)


def test_counts_come_back_from_the_disk_in_the_networks_order(network, images, tmp_path):
    counts = sim.run(network, deploy.payload_for(network, images)).counts
    write_tensors(tmp_path / simulate.COUNTS, simulate.counts_as_tensors(counts))
    again = simulate.load_counts(tmp_path, network)
    for table in ("spikes", "synops", "synops_effective"):
        before, after = getattr(counts, table), getattr(again, table)
        assert list(after) == list(before)
        assert all(torch.equal(after[key], before[key]) for key in before)


def test_the_first_image_on_which_file_and_training_differ_is_named():
    trained, simulated = torch.tensor([1, 2, 3, 4]), torch.tensor([1, 2, 5, 6])
    simulate.require_equal(trained, trained.clone(), "a.net")
    with pytest.raises(SpikeportError, match=r"test image 2: a\.net answers 5, .* answered 3 \(2 of 4 images differ\)"):
        simulate.require_equal(trained, simulated, "a.net")


def test_a_different_number_of_answers_is_an_error():
    with pytest.raises(SpikeportError, match="3 images answered, the quantize stage answered 4"):
        simulate.require_equal(torch.zeros(4), torch.zeros(3), "a.net")


def test_a_network_the_chip_cannot_hold_leaves_no_file(network, tmp_path):
    with pytest.raises(NotRepresentable, match="payload of 4 bits, loihi1 carries at most 0"):
        deploy.write_checked(network, tmp_path / "a.net", "loihi1")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_reads_back_as_another_network_is_removed(network, tmp_path, monkeypatch):
    monkeypatch.setattr(deploy, "same", lambda a, b: False)
    with pytest.raises(NotRepresentable, match="reads back as another network"):
        deploy.write_checked(network, tmp_path / "a.net", "loihi2")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("first_layer", ["per_step", "once"])
def test_the_layers_of_a_report_add_up_to_the_price(network, images, first_layer):
    import dataclasses

    counts = sim.run(network, deploy.payload_for(network, images)).counts
    price = sim.price(network, counts, "op_count_fp32", first_layer=first_layer)
    rows = report.layers(network, counts, [dataclasses.asdict(price)])
    assert [row["name"] for row in rows] == ["conv1", "out"]
    assert [row["is_mac"] for row in rows] == [True, False]
    assert sum(row["energy_pj"]["op_count_fp32"] for row in rows) == pytest.approx(price.snn_pj)
    assert rows[1]["synops"] == pytest.approx(
        3 * rows[0]["spikes"]
    )  # every spike of conv1 reaches the three read-out neurons
    assert rows[0]["dense_macs"] == 2 * (4 * 4 + 8 * 6 + 4 * 9)  # corners reach 4 taps, edges 6, the rest 9
