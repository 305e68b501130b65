"""What papers usually give, or should, and a report does not hold: said, never passed over."""

from __future__ import annotations

from ...sim.report import Report


def gaps(report: Report) -> tuple[str, ...]:
    """What this run did not measure, in words; the last two hold for every run."""
    absent = {
        "events of single timesteps were not kept": not report.events,
        "conventions were not compared side by side": not report.conventions,
        "the energy as usually reported was not audited": not report.audits,
        "the energy of single samples was not measured, so no interval and no worst sample is given": not report.spread,
        "the sensitivity to constants and choices was not measured": not report.sensitivity,
        "no ANN in 8 bits or in matched bits was measured": not report.baselines,
        "the break-even spike rate was not measured": report.break_even is None,
        "placement, messages, time and static energy were not computed": not (report.on_chip or report.refusals),
        "the file was not run in Lava": report.lava is None,
    }
    always = (
        f"the spread over trainings was not measured: this is one run with seed {report.seed}",
        "the energy of a chip was not measured; nor were input, output and host",
    )
    return (*(text for text, missing in absent.items() if missing), *always)
