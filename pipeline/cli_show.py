"""The toolbox's results as text: tables on a terminal, plain lines elsewhere."""

from __future__ import annotations

from ..export.netx import LayerSurvey, Survey
from ..hw.arithmetic import DECAY_ONE
from .cli_common import say, table
from .toolbox.against import Verification
from .toolbox.diff import Difference
from .toolbox.inspect import Inspection, LayerSummary, NeuronSummary, Summary, SynapsesSummary


def show_inspection(inspection: Inspection) -> None:
    """A model summary, or the layers as stored with the reason why there is none."""
    if inspection.summary is not None:
        _show_summary(inspection.summary)
    elif inspection.survey is not None:
        _show_survey(inspection.survey)


def _show_summary(summary: Summary) -> None:
    rows = [row for layer in summary.layers for row in _synapse_rows(layer)]
    columns = ("#", "layer", "type", "output", "neurons", "weights", "non-zero", "bits", "range", "even", "geometry",
               "delay", "bytes")  # fmt: skip
    table(f"{summary.file}", columns, rows)
    neurons = [(layer.name, *_neuron_cells(layer.neuron)) for layer in summary.layers if layer.neuron is not None]
    columns = ("layer", "threshold", "i_decay (tau)", "v_decay (tau)", "bias", "worst sum", f"{summary.chip} holds",
               "used")  # fmt: skip
    table("neurons: time constants in timesteps, synaptic sums for any input", columns, neurons)
    m = summary.memory
    length = "not in the file" if summary.n_steps is None else f"{summary.n_steps} timesteps"
    payload = f"{summary.payload_bits} bits" if summary.payload_bits else "binary spikes"
    say(f"total: {summary.neurons} neurons, {summary.stored} weights, {summary.nonzero} of them not zero")
    say(
        f"memory: {m.total} bytes: weights {m.weights}, delays {m.delays}, biases {m.biases}, states {m.states}, "
        f"in flight {m.in_flight}"
    )
    for formula in summary.memory_formulas:
        say(f"  {formula}")
    say(f"sample: {length}; input: {payload}, {summary.payload[0]}..{summary.payload[1]}")
    say(f"read-out: {summary.readout[0]} by {summary.readout[1]}")
    say(f"fingerprint: {summary.fingerprint}")
    calibrated = [layer.name for layer in summary.layers if layer.neuron and layer.neuron.rests_on_calibration]
    if calibrated:
        say(f"calibration: only data can keep the sums of {', '.join(calibrated)} in {summary.chip}'s range")
    say(f"{summary.chip}: " + ("not legal:" if summary.violations else "legal"))
    for line in summary.violations:
        say(f"  {line}")
    for line in summary.notes:
        say(f"note: {line}")


def _synapse_rows(layer: LayerSummary) -> list[tuple[str, ...]]:
    """One row per connection that leads to a layer; its own facts stand in the first."""
    own = (str(layer.index), layer.name)
    size = ("x".join(map(str, layer.shape)), str(layer.neurons))
    if not layer.synapses:
        return [(*own, "input", *size, "", "", "", "", "", "", "", "0")]
    rows = []
    for i, synapses in enumerate(layer.synapses):
        kind = f"{synapses.kind} of {synapses.source}"
        first = i == 0
        rows.append(
            (
                *(own if first else ("", "")),
                kind,
                *(size if first else ("", "")),
                str(synapses.stored),
                str(synapses.nonzero),
                str(synapses.bits),
                f"{synapses.low}..{synapses.high}",
                f"{synapses.even:.0%}",
                _geometry(synapses),
                _range(synapses.delay),
                str(layer.memory.total) if first else "",
            )
        )
    return rows


def _geometry(synapses: SynapsesSummary) -> str:
    if synapses.kernel is None:
        return ""
    parts = [f"{synapses.kernel[0]}x{synapses.kernel[1]}"]
    for letter, pair, plain in (("s", synapses.stride, 1), ("p", synapses.padding, 0), ("d", synapses.dilation, 1)):
        if pair is not None and pair != (plain, plain):
            parts.append(f"{letter}{pair[0]}" + (f"x{pair[1]}" if pair[1] != pair[0] else ""))
    if synapses.groups and synapses.groups > 1:
        parts.append(f"g{synapses.groups}")
    return " ".join(parts)


def _neuron_cells(neuron: NeuronSummary | None) -> tuple[str, ...]:
    assert neuron is not None  # rows are of layers that compute
    bias = _range(neuron.bias) + (f" << {neuron.bias_exp}" if neuron.bias != (0, 0) else "")
    return (
        str(neuron.v_th_mant),
        f"{neuron.i_decay} ({_tau(neuron.tau_u, neuron.i_decay)})",
        f"{neuron.v_decay} ({_tau(neuron.tau_v, neuron.v_decay)})",
        bias,
        str(neuron.worst_sum),
        str(neuron.sum_limit),
        f"{neuron.utilisation:.1%}",
    )


def _tau(tau: float | None, decay: int) -> str:
    if tau is None:
        return "no decay"
    return "no memory" if decay >= DECAY_ONE else f"{tau:.3g}"


def _range(pair: tuple[int, int]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}..{pair[1]}"


def _show_survey(survey: Survey) -> None:
    columns = ("#", "type", "output", "neuron", "parameters", "arrays", "ignored by netx")
    table(f"{survey.path}: cannot be run, shown as stored", columns, [_survey_row(layer) for layer in survey.layers])
    for layer in survey.layers:
        if layer.refused:
            reason = layer.refused.removeprefix(f"{survey.path}: layer: {layer.index}: ")
            say(f"layer {layer.index} cannot be run: {reason}")
    say(f"the file cannot be run: {(survey.refused or '').removeprefix(f'{survey.path}: ')}")


def _survey_row(layer: LayerSurvey) -> tuple[str, ...]:
    parameters = [
        f"{name}={value if isinstance(value, str) else ','.join(f'{n:g}' for n in value[:4])}"
        for name, value in layer.parameters.items()
    ]
    arrays = [
        f"{name} {array.shape} {array.dtype}"
        + ("" if array.least is None or array.most is None else f" {array.least:g}..{array.most:g}")
        for name, array in layer.arrays.items()
    ]
    return (
        str(layer.index),
        layer.type,
        "x".join(map(str, layer.shape)) if layer.shape else "",
        layer.neuron or "",
        " ".join(parameters),
        "; ".join(arrays),
        ", ".join(layer.ignored),
    )


def show_difference(difference: Difference, a: str, b: str) -> None:
    """What differs between two files, a being the first."""
    if difference.changes:
        rows = [(c.where, c.what, "absent" if c.a is None else c.a, "absent" if c.b is None else c.b)
                for c in difference.changes]  # fmt: skip
        table("structure and parameters", ("where", "what", a, b), rows)
    if difference.arrays:
        rows = [
            (c.where, c.what, f"{c.differing} of {c.total}", str(c.largest), str(c.index), str(c.a), str(c.b))
            for c in difference.arrays
        ]
        table("numbers", ("where", "what", "differ", "largest gap", "first at", a, b), rows)
    if difference.matched_by == "position":
        say("layers were matched by position, they share no name")
    if difference.behaviour is None:
        say(f"behaviour: not compared: {difference.not_run}")
    else:
        run = difference.behaviour
        text = f"behaviour: {run.mismatches} of {run.values} values differ on {run.samples} samples of {run.inputs}"
        if run.first is not None:
            d = run.first
            text += (
                f"; first: sample {d.sample}, timestep {d.timestep}, layer {d.layer}, neuron {d.neuron}: "
                f"{d.quantity} is {d.expected} in {a}, {d.found} in {b}"
            )
        say(text)
    say("equal" if difference.equal else "different")


def show_verification(verification: Verification) -> None:
    """The verdict, the first difference, and its likely cause."""
    v = verification
    say(
        f"{v.file} against {v.reference}: {v.samples} samples, {len(v.layers)} layers, {v.mismatches} mismatches in "
        f"{v.values} values"
    )
    if v.first is not None:
        d = v.first
        states = ", ".join(f"{quantity} {wanted} / {found}" for quantity, (wanted, found) in v.states.items())
        say(
            f"first: sample {d.sample}, timestep {d.timestep}, layer {d.layer}, neuron {d.neuron}: {d.quantity} is "
            f"{d.expected} in the reference, {d.found} in the file ({states})"
        )
    if v.diagnosis is not None:
        say(str(v.diagnosis))
