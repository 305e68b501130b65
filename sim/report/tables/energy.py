"""Energy: layer by layer, in total, under every convention, and as audited.

Counts stand beside the energies they are priced at.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .. import units
from ..schema import Energy, Layer, Report
from .table import NONE, Table, unit


def first_rule(report: Report) -> list[Energy]:
    """The conventions that count as the first one does, and so differ from it in their constants alone."""
    first = report.energy[0]
    return [e for e in report.energy if (e.first_layer, e.synops) == (first.first_layer, first.synops)]


def energy_layers(report: Report, conventions: Sequence[Energy] | None = None) -> Table:
    """Energy of every layer, beside the count it prices, under the given conventions; by default under all."""
    conventions = conventions or report.energy
    scale = _energy_scale(report)
    rules = _rules(conventions)
    counted = [[_priced(row, e) for row in report.layers] for e in rules]
    counts = units.count_scale([max(map(sum, counted))])
    rows = [
        (
            row.name,
            "MAC" if row.is_mac else "AC",
            *(counts.text(column[i]) for column in counted),
            *(scale.text(row.energy_pj[e.convention] * units.PICO) for e in conventions),
        )
        for i, row in enumerate(report.layers)
    ]
    total = (
        "Total",
        "",
        *(counts.text(sum(column)) for column in counted),
        *(scale.text(e.snn_pj * units.PICO) for e in conventions),
    )
    names = [f"Operations, {rule_text(report, e)}" if len(rules) > 1 else "Operations" for e in rules]
    return Table(
        "energy_layers",
        f"Energy per layer and sample: operations (means over n = {report.counted_samples:,} samples) times the energy "
        "of one operation.",
        (
            "Layer",
            "Type",
            *(unit(name, counts.prefix) for name in names),
            *(f"{e.convention} ({scale.prefix}J)" for e in conventions),
        ),
        "ll" + "r" * (len(rules) + len(conventions)),
        tuple(rows),
        total,
    )


def energy_totals(report: Report) -> Table:
    """Both networks under every convention: the operations, the constants, the energies and their ratio."""
    scale = _energy_scale(report)
    dense = sum(row.dense_macs for row in report.layers)
    priced = {e.convention: operations(report, e) for e in report.energy}
    counts = units.count_scale([dense, *(n for pair in priced.values() for n in pair)])
    rows = [
        (
            e.convention,
            f"{e.mac_pj:g} / {e.ac_pj:g}",
            rule_text(report, e),
            counts.text(priced[e.convention][0]),
            counts.text(priced[e.convention][1]),
            scale.text(e.snn_pj * units.PICO),
            counts.text(dense),
            scale.text(e.ann_pj * units.PICO),
            units.ratio(e.ratio),
            e.source,
        )
        for e in report.energy
    ]
    return Table(
        "energy_totals",
        "Energy per sample, spiking network against ANN, under each convention. Counts are exact; the energy of one "
        "operation is the convention's.",
        (
            "Convention",
            "MAC / AC (pJ)",
            "Counting rule",
            unit("SNN MACs", counts.prefix),
            unit("SNN ACs", counts.prefix),
            f"SNN ({scale.prefix}J)",
            unit("ANN MACs", counts.prefix),
            f"ANN ({scale.prefix}J)",
            "ANN / SNN",
            "Source of the constants",
        ),
        "llprrrrrrp",
        tuple(rows),
    )


def conventions(report: Report) -> Table:
    """The same counts under every convention, side by side."""
    amounts = [amount for c in report.conventions for amount in (c.snn_pj, c.ann_pj) if amount]
    scale = units.scale_of([min(amounts, default=0.0) * units.PICO])
    rows = tuple(
        (
            c.convention,
            scale.text(c.snn_pj * units.PICO),
            NONE if c.ann_pj is None else scale.text(c.ann_pj * units.PICO),
            units.ratio(c.ratio),
            c.title,
        )
        for c in report.conventions
    )
    return Table(
        "conventions",
        "The same counts under every convention: energy per sample. A dash: the convention defines no ANN. Each row "
        "has a scope of its own, below; two rows are not two measurements of one thing.",
        ("Convention", f"SNN ({scale.prefix}J)", f"ANN ({scale.prefix}J)", "ANN / SNN", "What it is"),
        "lrrrp",
        rows,
    )


def bills(report: Report) -> Table:
    """What every convention charges the spiking network for: events times cost."""
    rows = tuple(
        (
            c.convention,
            item.what,
            units.count(item.events),
            "by memory size" if item.unit_pj is None else f"{item.unit_pj:,.5g}",
            units.joules(item.pj),
        )
        for c in report.conventions
        for item in c.items
        if item.side == "snn" and item.events
    )
    return Table(
        "bills",
        "What each convention charges the spiking network for, per sample, all layers together.",
        ("Convention", "What", "Events", "pJ each", "Energy"),
        "llrrr",
        rows,
    )


def audit(report: Report) -> Table:
    """From the energy as usually reported to the audited one, step by step, one column per convention."""
    scale = units.scale_of([min((a.usual_pj for a in report.audits if a.usual_pj), default=0.0) * units.PICO])

    def signed(pj: float) -> str:
        text = scale.text(abs(pj) * units.PICO)
        return text if pj == 0 else f"{'+' if pj > 0 else units.MINUS}{text}"

    steps = zip(*(a.steps for a in report.audits), strict=True)
    rows = (
        ("As usually reported", *(scale.text(a.usual_pj * units.PICO) for a in report.audits)),
        *((columns[0].what.capitalize(), *(signed(step.pj) for step in columns)) for columns in steps),
    )
    return Table(
        "audit",
        "From the energy as papers usually report it to the audited one, per sample. As usually reported: the dense "
        "MACs of the first layer, once, and firing rate times dense operations of the layers that follow, padding "
        "included; no pooling, no residual additions, no biases, no neuron updates.",
        ("Step", *(f"{a.convention} ({scale.prefix}J)" for a in report.audits)),
        "l" + "r" * len(report.audits),
        rows if report.audits else (),
        ("Audited", *(scale.text(a.audited_pj * units.PICO) for a in report.audits)),
    )


def operations(report: Report, e: Energy) -> tuple[float, float]:
    """The MACs and the ACs of one mean sample that a convention's SNN total prices."""
    macs = sum(_priced(row, e) for row in report.layers if row.is_mac)
    return macs, sum(_priced(row, e) for row in report.layers if not row.is_mac)


def rule_text(report: Report, e: Energy) -> str:
    """The counting rule of a convention in words; of the first layer nothing where its input is binary."""
    synops = "all stored synapses" if e.synops == "stored" else "zero weights left out"
    if not report.network.payload_bits:
        return synops
    return f"first layer {'at every timestep' if e.first_layer == 'per_step' else 'once'}, {synops}"


def _rules(energy: Iterable[Energy]) -> list[Energy]:
    """One convention for each distinct counting rule, in order."""
    return list({(e.first_layer, e.synops): e for e in reversed(list(energy))}.values())[::-1]


def _priced(row: Layer, e: Energy) -> float:
    """The operations a convention charges for a layer: its energy divided by the constant.

    Rounded to a millionth of an operation, which takes back the rounding of the product.
    """
    return round(row.energy_pj[e.convention] / (e.mac_pj if row.is_mac else e.ac_pj), 6)


def _energy_scale(report: Report) -> units.Scale:
    """One prefix for every energy of the report, such that the smallest total is at least 1."""
    totals = [amount * units.PICO for e in report.energy for amount in (e.snn_pj, e.ann_pj) if amount > 0]
    return units.scale_of([min(totals, default=0.0)])
