"""How the networks were measured: accuracy, counts, energies, baselines, spread, placement, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator

from ...sim import CONVENTIONS
from ...sim.baselines import BY_BITS, multiply_by
from ...sim.report import Baseline, OnChip, Report, prose, units
from ...sim.report.prose.sentence import sentence
from .gaps import gaps
from .methods_networks import LAVA
from .sources import keys_in, named_in
from .statement import Statement

INTERVAL = "Wilson, J. Am. Stat. Assoc. 22 (1927) 209"


def accuracy(report: Report) -> Iterator[Statement]:
    """How well each network does."""
    yield Statement("Intervals of accuracies are 95 % Wilson score intervals.", named_in(INTERVAL))
    for line in prose.accuracy(report):
        yield Statement(line)
    for line in prose.skipped(report):
        yield Statement(line)


def counting(report: Report) -> Iterator[Statement]:
    """Which events were counted, in what, and how often."""
    n, first = report.network, report.energy[0]
    yield Statement(
        f"Events were counted one by one in the deployed integer network, over {report.counted_samples:,} test samples "
        f"of {n.n_steps} timesteps: a synaptic operation is one spike that reaches one synapse."
    )
    zero = "counted" if first.synops == "stored" else "left out"
    yield Statement(f"Synapses that store a zero weight are {zero}.")
    if n.payload_bits:
        when = "at every timestep" if first.first_layer == "per_step" else "once per sample"
        yield Statement(f"The graded input multiplies: its operations are MACs, charged {when}; all others are ACs.")
    else:
        yield Statement("The input is binary, so every operation is an AC.")
    yield Statement(prose.activity(report))
    if report.neurobench is not None:
        yield Statement(prose.neurobench(report.neurobench), named_in("NeuroBench"))


def conventions(report: Report) -> Iterator[Statement]:
    """What every convention charges and leaves out, with its sources."""
    if not report.conventions:
        keys = tuple(key for e in report.energy for key in keys_in(e.source))
        yield Statement(sentence(" ".join(report.scope.split())), tuple(dict.fromkeys(keys)))
    for c in report.conventions:
        yield Statement(sentence(c.scope), sources_of(c.convention, c.title))


def energy(report: Report) -> Iterator[Statement]:
    """Whether the conventions agree, and what none of them is."""
    for conflict in report.conflicts:
        yield Statement(f"Conventions do not agree: {sentence(conflict)}")
    yield Statement("No figure is the measured energy of a chip.")


def sources_of(convention: str, title: str) -> tuple[str, ...]:
    """Whom a convention's constants and its title name. One that is not registered here has its title alone."""
    keys = set(keys_in(title))
    if convention in CONVENTIONS:
        for term in CONVENTIONS[convention].terms():
            keys.update(named_in(term.cost.source))
    return tuple(sorted(keys))


def baselines(report: Report) -> Iterator[Statement]:
    """The ANNs it is compared with, and where spiking stops to pay."""
    for baseline in report.baselines:
        yield Statement(_baseline(baseline))
    if any(BY_BITS in baseline.energy_pj for baseline in report.baselines) and report.break_even is not None:
        mac = multiply_by(report.break_even.matched_bits)
        yield Statement(
            f"Under {BY_BITS} a MAC costs in proportion to the bits of the activation, {mac.value:.4g} pJ at "
            f"{report.break_even.matched_bits} bits; that is a composition, no published number.",
            named_in(mac.source),
        )
    for line in prose.break_even(report):
        yield Statement(line, keys_in(line))


def _baseline(b: Baseline) -> str:
    how = b.how.rstrip(".")
    if b.score is None:
        return f"Baseline {b.title}: {how}; its accuracy was not measured."
    score = f"{units.percent(b.score.accuracy)} (n = {b.score.n:,}, {units.interval(b.score.ci95)})"
    return f"Baseline {b.title}: {how}; it scores {score}."


def spread(report: Report) -> Iterator[Statement]:
    """From sample to sample, and with other constants and choices."""
    for line in (*prose.spread(report), *prose.sensitivity(report)):
        yield Statement(line)


def placement(report: Report) -> Iterator[Statement]:
    """Cores, messages, time and static energy on every chip."""
    for chip in report.on_chip:
        yield from _on_chip(chip)
    for refusal in report.refusals:
        yield Statement(f"The network does not fit {refusal.chip}: {sentence(refusal.why)}")


def _on_chip(o: OnChip) -> Iterator[Statement]:
    size = f"{o.cores:,} core{'s' * (o.cores > 1)} on {o.chips:,} chip{'s' * (o.chips > 1)}"
    unknown = f"; limits not published: {', '.join(o.unknown)}" if o.unknown else ""
    yield Statement(
        f"On {o.chip} the network takes {size}, counted by {o.rule}; the fullest resource is {o.bottleneck}{unknown}.",
        keys_in(o.rule),
    )
    m = o.traffic
    hops = "hops are not known"
    if m.hops_ew is not None and m.hops_ns is not None:
        hops = f"{units.count(m.hops_ew)} hops east-west and {units.count(m.hops_ns)} north-south"
    yield Statement(
        f"A mean sample sends {units.count(m.messages)} messages to cores, one per spike and destination core, "
        f"{units.count(m.off_chip)} of them to another chip; {hops}."
    )
    for t in o.times:
        yield Statement(
            f"A sample takes at least {units.seconds(t.latency_s)} by the times of {t.constants} ({t.scope}).",
            keys_in(t.constants),
        )
    for e in o.energies:
        static = "static energy not published"
        if e.static_pj is not None:
            cores, chips = map(units.joules, e.static_pj)
            static = f"static {cores} for the cores in use, {chips} for whole chips"
        yield Statement(
            f"Under {e.convention}: dynamic {units.joules(e.dynamic_pj)}, {static} ({e.source}).",
            tuple(dict.fromkeys([*keys_in(e.constants), *keys_in(e.source)])),
        )


def lava(report: Report) -> Iterator[Statement]:
    """Whether real Lava computes the same integers."""
    yield Statement(prose.lava(report), named_in(LAVA))


def versions(report: Report) -> Iterator[Statement]:
    """What it was computed with."""
    versions = ", ".join(f"{name} {version}" for name, version in sorted(report.versions.items()))
    yield Statement(f"Seed {report.seed}. Computed with {versions}.")


def missing(report: Report) -> Iterator[Statement]:
    """What was not measured."""
    for gap in gaps(report):
        yield Statement(f"{gap[:1].upper()}{gap[1:]}.")
