"""deploy.md: what deploy.json says, for a reader."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def markdown(document: dict[str, Any]) -> str:
    """The report as Markdown. document: what deploy.json holds."""
    data = document["data"]
    origin = (
        f"From `{document['file']}` for {document['chip']}, {document['n_steps']} timesteps a sample. Calibrated on "
        f"{data['calibration']} samples of {data['name']}; nothing was trained."
    )
    parts = [
        f"# {document['net']['file']}",
        origin,
        _test(document["test"]),
        _verification(document["verification"]),
        _list("Assumed", document["assumed"], "The file left nothing open."),
        _populations(document["quantization"]),
        _list("Changed", _notices(document), "Nothing else."),
        _list("Folded", (_folding(row) for row in document["folded"]), "Nothing."),
        _file(document),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def share(value: dict[str, Any]) -> str:
    """An accuracy with its interval."""
    low, high = value["ci95"]
    return f"{value['accuracy']:.2%} (95 %: {low:.2%} to {high:.2%}, n = {value['n']})"


def _test(test: dict[str, Any]) -> str:
    lines = [f"On {test['on']}, the file answers as the original in {share(test['alike'])}."]
    if "float" in test:
        lines.append(f"Accuracy of the original {share(test['float'])}, of the file {share(test['integer'])}.")
    if test["overflows"]:
        lines.append(f"{test['overflows']} synaptic sums left the range of the chip: calibrate on more samples.")
    return "## Test\n\n" + "\n".join(lines)


def _verification(result: dict[str, Any]) -> str:
    head = "## Verification\n\nThe file was read back as the network that was simulated, every number equal."
    if result.get("skipped"):
        return f"{head} Real Lava was not run: {result['skipped']}."
    return (
        f"{head} Real Lava: {result['samples']} samples, {result['layers_built']} of {result['layers_written']} layers "
        f"built, {result['mismatches']} mismatches in {result['values']} values."
    )


def _populations(report: dict[str, Any]) -> str:
    head = (
        f"## Quantization\n\nInput: {report['input']}. Same answers on the calibration data: {report['answers']:.2%}."
    )
    if not report["populations"]:
        return head
    columns = (
        "population",
        "agreement",
        "alone",
        "spikes / step",
        "threshold",
        "weights off by",
        "decay off by",
        "limit",
    )
    rows = [
        (
            row["name"],
            f"{row['agreement']:.2%}",
            f"{row['common']:.2%}",
            f"{row['alone']:.2%}",
            f"{row['spikes_per_step']:.3f}",
            str(row["v_th_mant"]),
            f"{row['weight_error']:.2%}",
            f"{row['decay_error']:.1e}",
            row["limit"],
        )
        for row in report["populations"]
    ]
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    legend = (
        "agreement: part of all (timestep, sample, neuron) in which the integer network fires as the float one; of a "
        "read-out by membrane, same answers. common spikes: those both fire at the same time, of the mean number. "
        "alone: agreement, fed with the float network's spikes."
    )
    return "\n".join([head, "", *lines, "", legend])


def _notices(document: dict[str, Any]) -> Iterable[str]:
    yield from document["approximated"]
    for row in document["quantization"]["populations"]:
        for note in row["notes"]:
            yield f"{row['name']}: {note}"
        if row["clipped"]:
            yield f"{row['name']}: {row['clipped']} weights were cut to the grid"
    for name in document["calibrated"]:
        yield f"{name}: its sums are bounded by the calibration data alone"
    for row in document["notices"]:
        yield f"{row['layer']}: {row['what']} ({row['why']}); {row['way_out']}"


def _folding(row: dict[str, Any]) -> str:
    exact = "exact" if row["exact"] else "not exact"
    return f"{row['node']} into {row['into']}: {row['what']} ({exact}, difference {row['checked']:.1e})"


def _file(document: dict[str, Any]) -> str:
    net = document["net"]
    return (
        f"## File\n\n`{net['file']}`, {net['bytes']} bytes, {net['populations']} populations, {net['neurons']} "
        f"neurons, fingerprint `{net['fingerprint'][:16]}`."
    )


def _list(title: str, lines: Iterable[str], nothing: str) -> str:
    rows = [f"- {line}" for line in dict.fromkeys(lines)]
    return f"## {title}\n\n" + ("\n".join(rows) if rows else nothing)
