"""The energy stage: the counted events of the test set, priced under every convention and every choice."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

from .. import sim
from ..export import netx
from ..hw import Network
from .deploy import written
from .files import write_json
from .sections import Energy
from .simulate import load_counts
from .stage import Stage, StageContext

FILE = "energy.json"
DETAILED = ("op_count_fp32", "op_count_int8")
"""The conventions whose prices the report shows layer by layer, and that it audits."""


def run(context: StageContext) -> dict[str, Any]:
    """Write energy.json: a list of prices, each with its convention, choices, lines and scope (`sim.EnergyReport`);
    the audits of the detailed conventions, NeuroBench's metrics, and where conventions rank SNN and ANN differently."""
    network = netx.read(written(context.inputs["export"], context.results["export"]))
    counts = load_counts(context.inputs["simulate"], network)
    prices = every_price(network, counts)
    chosen = [price for price in prices if is_chosen(price, context.recipe.energy)]
    values = {
        "prices": [dataclasses.asdict(price) for price in prices],
        "audits": [dataclasses.asdict(sim.audit(network, counts, name)) for name in DETAILED],
        "neurobench": dataclasses.asdict(sim.neurobench(network, counts)),
        "chosen": [prices.index(price) for price in chosen],
        "conflicts": [str(conflict) for conflict in sim.twin_conflicts(chosen)],
    }
    write_json(context.folder / FILE, values)
    return {
        price.convention.name: {"snn_pj": price.snn_pj, "ann_pj": price.ann_pj, "ratio": price.ratio}
        for price in chosen
    }


def every_price(network: Network, counts: sim.Counts) -> list[sim.EnergyReport]:
    """Every convention under every combination of the recipe's choices that changes it, by name."""
    found = {}
    for first_layer, synops in itertools.product(("per_step", "once"), ("stored", "effective")):
        choices = sim.Choices(first_layer=first_layer, synops=synops)
        for name, price in sim.price_all(network, counts, choices).items():
            found[name, price.choices] = price
    return sorted(found.values(), key=lambda price: price.convention.name)


def is_chosen(price: sim.EnergyReport, energy: Energy) -> bool:
    """Whether a price follows the recipe's choices, as far as its convention reads them."""
    wanted = sim.Choices(first_layer=energy.first_layer, synops=energy.synops)
    return price.choices == wanted.only(price.convention.reads)


STAGE = Stage(name="energy", needs=("export", "simulate"), reads=("energy",), version=2, run=run)
