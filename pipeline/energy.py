"""The energy stage: the counted events of the test set, priced under every convention and every choice."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

from .. import sim
from ..export import netx
from .deploy import written
from .files import write_json
from .simulate import load_counts
from .stage import Stage, StageContext

FILE = "energy.json"


def run(context: StageContext) -> dict[str, Any]:
    """Write energy.json: a list of prices, each with its convention, choices, rows and scope (`sim.EnergyReport`)."""
    network = netx.read(written(context.inputs["export"], context.results["export"]))
    counts = load_counts(context.inputs["simulate"], network)
    prices = [
        sim.price(network, counts, convention, first_layer=first_layer, synops=synops)
        for convention, first_layer, synops in itertools.product(
            sim.CONVENTIONS, ("per_step", "once"), ("stored", "effective")
        )
    ]
    write_json(context.folder / FILE, {"prices": [dataclasses.asdict(price) for price in prices]})
    chosen = context.recipe.energy
    return {
        price.convention.name: {"snn_pj": price.snn_pj, "ann_pj": price.ann_pj, "ratio": price.ratio}
        for price in prices
        if (price.choices.first_layer, price.choices.synops) == (chosen.first_layer, chosen.synops)
    }


STAGE = Stage(name="energy", needs=("export", "simulate"), reads=("energy",), version=1, run=run)
