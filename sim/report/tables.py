"""The tables of a report, as plain text cells: Markdown, LaTeX and HTML render the same ones.

So a number reads the same in every file, and every number comes from report.json or is a sum of numbers there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from . import units
from .schema import STEPS, Energy, Layer, Report, Score, Step, StepName

STEP_TITLES: dict[StepName, str] = {
    "ann": "ANN",
    "converted_soft": "Converted, soft reset",
    "converted_hard": "Converted, hard reset",
    "refined": "Refined",
    "integer": "Chip integers",
    "netx": ".net read back",
    "lava": "Lava",
}
NOT_RUN = "not run"
NONE = "\u2014"


@dataclass(frozen=True)
class Table:
    """Cells as text. align: one of l, r, p (left, long text) per column. total: a last row that sums the others."""

    key: str
    caption: str
    header: tuple[str, ...]
    align: str
    rows: tuple[tuple[str, ...], ...]
    total: tuple[str, ...] | None = None


def waterfall(report: Report) -> Table:
    """Accuracy at every step, with n and interval; the change is given where both steps saw equally many images."""
    rows: list[tuple[str, ...]] = []
    before: Step | None = None
    for name in STEPS:
        step = report.step(name)
        if step is None:
            rows.append((STEP_TITLES[name], NOT_RUN, NONE, NONE, NONE, report.skipped[name]))
            continue
        comparable = before is not None and before.n == step.n and before.elsewhere == step.elsewhere
        change = units.points(step.accuracy - before.accuracy) if before and comparable else NONE
        n, interval = f"{step.n:,}", units.interval(step.ci95)
        rows.append((STEP_TITLES[name], units.percent(step.accuracy), interval, n, change, step.note))
        before = step
    return Table(
        "waterfall",
        f"Accuracy at every step on {report.data.name}, T = {report.network.n_steps}, with 95 % Wilson intervals. "
        "Change: percentage points against the step before, where both saw the same number of images.",
        ("Step", "Accuracy", "95 % interval", "n", "Change", "Note"),
        "lrrrrp",
        tuple(rows),
    )


def activity(report: Report) -> Table:
    """Neurons, spikes and operations of every layer, means per sample; counts first."""
    layers = report.layers
    spikes = units.count_scale([sum(row.spikes for row in layers)])
    synapses = units.count_scale([sum(row.synapses for row in layers)])
    synops = units.count_scale([sum(row.synops for row in layers), sum(row.dense_macs for row in layers)])

    def line(name: str, kind: str, rows: Iterable[Layer]) -> tuple[str, ...]:
        rows = list(rows)
        neurons = sum(row.neurons for row in rows)
        fired = sum(row.spikes for row in rows)
        per_neuron = fired / neurons if neurons else 0.0
        return (
            name,
            kind,
            f"{neurons:,}",
            synapses.whole(sum(row.synapses for row in rows)),
            spikes.text(fired),
            units.rate(per_neuron),
            units.rate(per_neuron / report.network.n_steps),
            synops.text(sum(row.synops for row in rows)),
            synops.text(sum(row.synops_effective for row in rows)),
            synops.text(sum(row.dense_macs for row in rows)),
        )

    return Table(
        "activity",
        f"Spikes and operations per sample, means over n = {report.counted_samples:,} samples of "
        f"{report.network.n_steps} timesteps. Synaptic operations are exact counts of spikes times synapses reached; "
        "effective ones leave out synapses that store a zero weight; dense MACs are the work of one pass of the ANN.",
        (
            "Layer",
            "Kind",
            "Neurons",
            _unit("Synapses", synapses.prefix),
            _unit("Spikes", spikes.prefix),
            "Spikes per neuron",
            "Per neuron and timestep",
            _unit("Synaptic operations", synops.prefix),
            _unit("Effective", synops.prefix),
            _unit("Dense MACs", synops.prefix),
        ),
        "llrrrrrrrr",
        tuple(line(row.name, row.kind, [row]) for row in layers),
        line("Total", "", layers),
    )


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
            *(_unit(name, counts.prefix) for name in names),
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
            _unit("SNN MACs", counts.prefix),
            _unit("SNN ACs", counts.prefix),
            f"SNN ({scale.prefix}J)",
            _unit("ANN MACs", counts.prefix),
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
        rows,
        ("Audited", *(scale.text(a.audited_pj * units.PICO) for a in report.audits)),
    )


def timesteps(report: Report) -> Table:
    """Accuracy against T, each with n and interval."""

    def cell(score: Score | None) -> str:
        if score is None:
            return NONE
        return f"{units.percent(score.accuracy)} ({units.interval(score.ci95)}, n = {score.n:,})"

    rows = [(str(t.T), cell(t.converted_soft), cell(t.converted_hard), cell(t.refined)) for t in report.timesteps]
    names = [STEP_TITLES[s] for s in ("converted_soft", "converted_hard", "refined")]
    caption = f"Accuracy against the number of timesteps T{on_split(report)}, with 95 % Wilson intervals."
    return Table("timesteps", caption, ("T", *names), "rlll", tuple(rows))


def anytime(report: Report) -> Table:
    """Accuracy, operations and energy of the deployed integers against T, under the conventions shown in detail."""
    shown = {e.convention for e in report.energy}
    conventions = [name for name in report.anytime[0].energy_pj if name in shown]
    scales = {n: units.scale_of([row.energy_pj[n] * units.PICO for row in report.anytime]) for n in conventions}
    rows = tuple(
        (
            f"{row.T}{' (the file)' if row.chosen else ''}",
            f"{units.percent(row.score.accuracy)} ({units.interval(row.score.ci95)}, n = {row.score.n:,})",
            f"{row.synops:,.0f}",
            *(scales[name].text(row.energy_pj[name] * units.PICO) for name in conventions),
        )
        for row in report.anytime
    )
    caption = (
        "The deployed integers with samples of T timesteps, on the validation images: accuracy with its 95 % Wilson "
        "interval, synaptic operations and energy per image (synaptic operations only"
        f"{', the first layer at every step' if report.network.payload_bits else ''})."
    )
    heads = ("T", "Accuracy", "Synaptic operations", *(f"{n} ({scales[n].prefix}J)" for n in conventions))
    return Table("anytime", caption, heads, "llr" + "r" * len(conventions), rows)


def on_split(report: Report) -> str:
    """On which images the accuracy against T was measured, in words; empty if the report does not say."""
    splits = sorted({t.split for t in report.timesteps if t.split})
    return f" on the {' and '.join(splits)} images" if splits else ""


def drift(report: Report) -> Table:
    """Drift of each layer before refinement, and the weight that refinement gave it."""
    rows = tuple((d.layer, f"{d.drift:.4f}", f"{d.weight:.4f}") for d in report.drift)
    caption = "Drift of each layer from the ANN before refinement, and its weight in the refinement loss."
    return Table("drift", caption, ("Layer", "Drift", "Weight"), "lrr", rows)


def notices(report: Report) -> Table:
    """Everything that was folded, approximated, clipped or refused."""
    rows = tuple((n.layer, n.what, n.why, n.way_out or NONE) for n in report.notices)
    caption = "Everything that was folded, approximated, clipped or refused."
    return Table("notices", caption, ("Layer", "What", "Why", "Way out"), "lppp", rows)


def populations(report: Report) -> Table:
    """The network that was deployed, population by population."""
    rows = tuple(
        (p.name, " × ".join(map(str, p.shape)), f"{p.neurons:,}", _of(p.v_decay), _of(p.i_decay), _of(p.v_th_mant))
        for p in report.network.populations
    )
    neurons = f"{sum(p.neurons for p in report.network.populations):,}"
    return Table(
        "populations",
        "Populations of the deployed network. Decays are of 4096; the threshold is its mantissa.",
        ("Population", "Shape", "Neurons", "v decay", "i decay", "Threshold"),
        "llrrrr",
        rows,
        ("Total", "", neurons, "", "", ""),
    )


def versions(report: Report) -> Table:
    """Versions of what made the run."""
    rows = tuple(sorted(report.versions.items()))
    return Table("versions", "Versions.", ("Package", "Version"), "ll", rows)


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


def _unit(title: str, prefix: str) -> str:
    return f"{title} ({prefix})" if prefix else title


def _of(value: int | None) -> str:
    return NONE if value is None else f"{value:,}"
