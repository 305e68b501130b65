"""The network on chips: cores, traffic, a bound on time, and dynamic and static energy apart."""

from __future__ import annotations

from .. import units
from ..schema import Report
from .table import NONE, Table


def placements(report: Report) -> Table:
    """Cores, chips, bottleneck and traffic on every chip that holds the network."""
    rows = tuple(
        (
            o.chip,
            f"{o.cores:,}",
            f"{o.chips:,}",
            f"{o.bottleneck}, {units.share(o.shares[o.bottleneck])}" if o.bottleneck in o.shares else o.bottleneck,
            units.amount(o.traffic.messages),
            units.amount(o.traffic.off_chip),
            NONE if o.traffic.hops_ew is None else units.amount(o.traffic.hops_ew),
            NONE if o.traffic.hops_ns is None else units.amount(o.traffic.hops_ns),
            o.rule,
        )
        for o in report.on_chip
    )
    return Table(
        "placements",
        "The network on each chip that holds it. Messages are means per sample, one per spike and destination core, "
        "those from the host included. A dash: the mesh is not published.",
        (
            "Chip",
            "Cores",
            "Chips",
            "Fullest resource",
            "Messages",
            "To another chip",
            "Hops east-west",
            "Hops north-south",
            "Counted as by",
        ),
        "lrrlrrrrp",
        rows,
    )


def populations_on_chip(report: Report) -> Table:
    """How every population is cut on every chip."""
    rows = tuple(
        (o.chip, p.name, f"{p.neurons:,}", f"{p.cores:,}", p.cut, p.bottleneck, units.share(p.share))
        for o in report.on_chip
        for p in o.populations
    )
    return Table(
        "populations_on_chip",
        "Populations on the cores of each chip, with the fullest resource of each one's fullest core.",
        ("Chip", "Population", "Neurons", "Cores", "Cut", "Fullest resource", "Used"),
        "llrrllr",
        rows,
    )


def resources(report: Report) -> Table:
    """The largest use of each resource by any core."""
    rows = tuple(
        (o.chip, name, used)
        for o in report.on_chip
        for name, used in (
            *((name, units.share(share)) for name, share in o.shares.items()),
            *((name, "limit not published") for name in o.unknown),
        )
    )
    return Table(
        "resources", "Largest use of each resource by any core.", ("Chip", "Resource", "Largest use"), "llr", rows
    )


def times(report: Report) -> Table:
    """Lower bounds on time."""
    rows = tuple(
        (
            o.chip,
            units.seconds(t.step_s),
            units.seconds(t.barrier_s),
            t.busiest,
            f"{t.steps:,}",
            units.seconds(t.latency_s),
            units.seconds(t.interval_s),
            t.constants,
            t.scope,
        )
        for o in report.on_chip
        for t in o.times
    )
    return Table(
        "times",
        "Lower bounds on time, from published times of single events. A mean timestep is the busiest core, its "
        "synapses and its neurons side by side, then the barrier; latency counts the steps from the first input to the "
        "answer.",
        (
            "Chip",
            "Timestep",
            "of it barrier",
            "Busiest",
            "Steps",
            "Latency",
            "Between answers",
            "Constants",
            "Scope",
        ),
        "lrrlrrrpp",
        rows,
    )


def chip_energies(report: Report) -> Table:
    """Dynamic, static and total energy, always apart."""
    rows = []
    for o in report.on_chip:
        for e in o.energies:
            static = (NONE,) * 4
            if e.static_pj is not None:
                totals = tuple(e.dynamic_pj + pj for pj in e.static_pj)
                static = tuple(units.joules(pj) for pj in (*e.static_pj, *totals))
            rows.append((o.chip, e.convention, units.joules(e.dynamic_pj), *static, e.constants, e.source))
    return Table(
        "chip_energies",
        "Dynamic, static and total energy per sample, apart. Static is published power times the bound on time: of the "
        "cores in use alone, each with its part of a chip's, and of whole chips. A dash: no static power is published.",
        (
            "Chip",
            "Convention",
            "Dynamic",
            "Static, cores in use",
            "Static, whole chips",
            "Total, cores in use",
            "Total, whole chips",
            "Times from",
            "Static power from",
        ),
        "llrrrrrpp",
        tuple(rows),
    )


def refusals(report: Report) -> Table:
    """Chips that do not hold the network."""
    rows = tuple((r.chip, r.why) for r in report.refusals)
    return Table("refusals", "Chips that do not hold the network.", ("Chip", "Why"), "lp", rows)
