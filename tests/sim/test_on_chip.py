"""What a report says of a placement has the report's own form, and its numbers are the placement's."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from spikeport.hw.placement import RESOURCES, RULES, Placement, place
from spikeport.sim import report
from spikeport.sim.chip_time import TimeBound, TotalEnergy, time_bounds
from spikeport.sim.on_chip import CoreSquare, OnChip, PopulationOnChip, on_chip
from spikeport.sim.routing import Messages

from ..hw.placement.nets import LOIHI1, LOIHI2, dense, tiny

FLOW = Messages(messages=12.5, off_chip=1.5, hops_ew=3.0, hops_ns=0.25)
NO_MESH = Messages(messages=12.5, off_chip=0.0, hops_ew=None, hops_ns=None)


def placed(chip=LOIHI1) -> tuple[Placement, dict[str, torch.Tensor]]:
    """in (3) -> l1 (5) on 3 cores of 2 neurons -> l2 (2) on one; 4 cores of 3 to a chip."""
    net = dense(3, 5, 2)
    spikes = {p.name: torch.ones(net.n_steps, *p.shape, dtype=torch.int64) for p in net.populations}
    return place(net, tiny(chip, compartments=2, per_chip=3)), spikes


@pytest.mark.parametrize("ours", [OnChip, PopulationOnChip, CoreSquare, Messages, TimeBound, TotalEnergy])
def test_the_fields_are_those_of_the_report(ours):
    assert {field.name for field in dataclasses.fields(ours)} == set(getattr(report, ours.__name__).model_fields)


@pytest.mark.parametrize(("chip", "flow"), [(LOIHI1, FLOW), (LOIHI2, NO_MESH)], ids=["loihi1", "loihi2"])
def test_a_report_reads_it_and_gives_it_back(chip, flow):
    found = on_chip(*placed(chip), 1, flow, {"loihi1_davies2018": 5.0, "op_count_fp32": 9.0}, ("a hint",))
    values = dataclasses.asdict(found)
    assert report.OnChip.model_validate(values).model_dump() == values


def test_its_numbers_are_those_of_the_placement():
    placement, spikes = placed()
    found = on_chip(placement, spikes, 1, FLOW, {"loihi1_davies2018": 5.0}, ("a hint",))
    assert (found.chip, found.cores, found.cores_per_chip, found.chips) == ("loihi1", 4, 3, 2)
    assert found.rule == RULES["nxtf"].title
    assert found.shares == {RESOURCES[field]: share for field, share in placement.shares().items()}
    assert found.shares["compartments"] == 1.0
    assert found.bottleneck == "compartments"
    assert found.populations == (
        PopulationOnChip(
            name="l1", neurons=5, cores=3, cut="blocks of 2 neurons", bottleneck="compartments", share=1.0
        ),
        PopulationOnChip(name="l2", neurons=2, cores=1, cut="whole", bottleneck="compartments", share=1.0),
    )
    assert [(core.chip, core.population, core.share) for core in found.layout] == [
        (0, "l1", 1.0),
        (0, "l1", 1.0),
        (0, "l1", 0.5),
        (1, "l2", 1.0),
    ]
    assert found.traffic == FLOW
    assert found.times == time_bounds(placement, spikes, 1)
    assert [energy.convention for energy in found.energies] == ["loihi1_davies2018"]
    assert found.advice == ("a hint",)


def test_of_loihi_2_it_says_what_is_not_published():
    found = on_chip(*placed(LOIHI2), 1, NO_MESH, {"loihi2_hala_point_bound": 5.0})
    assert set(found.unknown) == {"input axons", "output axons"}
    assert found.traffic.hops_ew is None
    assert found.times == found.energies == found.advice == ()
