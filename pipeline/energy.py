"""The energy stage: the counted events of the test set, priced under every convention and every choice."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

from .. import sim
from ..export import netx
from .deploy import written
from .files import write_json
from .scrutiny import CountedRun, findings
from .sections import Energy
from .simulate import load_activity, load_counts
from .stage import Stage, StageContext

FILE = "energy.json"
DETAILED = ("op_count_fp32", "op_count_int8")
"""The conventions whose prices the report shows layer by layer, and that it audits."""


def run(context: StageContext) -> dict[str, Any]:
    """Write energy.json: a list of prices, each with its convention, choices, lines and scope (`sim.EnergyReport`);
    the audits of the detailed conventions, NeuroBench's metrics, and where conventions rank SNN and ANN differently;
    and what `scrutiny.findings` finds out about them."""
    network = netx.read(written(context.inputs["export"], context.results["export"]))
    folder, wanted = context.inputs["simulate"], choices_of(context.recipe.energy)
    counted = CountedRun.on_chips(network, load_counts(folder, network), load_activity(folder, network))
    prices = every_price(counted)
    chosen = [price for price in prices if price.choices == wanted.only(price.convention.reads)]
    values = {
        "prices": [dataclasses.asdict(price) for price in prices],
        "audits": [dataclasses.asdict(sim.audit(network, counted.counts, name)) for name in DETAILED],
        "neurobench": dataclasses.asdict(sim.neurobench(network, counted.counts)),
        "chosen": [prices.index(price) for price in chosen],
        "conflicts": [str(conflict) for conflict in sim.twin_conflicts(chosen)],
        **findings(counted, chosen, wanted, context.recipe.quantize.chip),
    }
    write_json(context.folder / FILE, values)
    return {
        price.convention.name: {"snn_pj": price.snn_pj, "ann_pj": price.ann_pj, "ratio": price.ratio}
        for price in chosen
    }


def every_price(run: CountedRun) -> list[sim.EnergyReport]:
    """Every convention under every combination of the recipe's choices that changes it, by name."""
    found = {}
    for first_layer, synops in itertools.product(("per_step", "once"), ("stored", "effective")):
        choices = sim.Choices(first_layer=first_layer, synops=synops)
        for name, price in sim.price_all(run.network, run.counts, choices, run.traffic).items():
            found[name, price.choices] = price
    return sorted(found.values(), key=lambda price: price.convention.name)


def choices_of(energy: Energy) -> sim.Choices:
    """The recipe's choices; a price follows them as far as its convention reads them."""
    return sim.Choices(first_layer=energy.first_layer, synops=energy.synops)


STAGE = Stage(name="energy", needs=("export", "simulate"), reads=("energy", "quantize.chip"), version=3, run=run)
