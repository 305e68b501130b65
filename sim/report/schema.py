"""The report of a run as one validated value: what report.json holds, version 1.

Every model is frozen and refuses unknown keys, so a report that loads is a report whose numbers agree with each
other: each total is the sum of its rows, each rate is its count divided by its neurons, each interval belongs to its
accuracy and n, and a step of the waterfall that was not run says why. `docs/report.md` explains every key.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AwareDatetime, BaseModel, Field, ValidationError, model_validator

from ...hw import BadInput, did_you_mean
from .onchip import OnChip, Refusal
from .portrait import Portrait
from .priced import Audit, Convention, NeuroBench
from .scrutiny import Baseline, BreakEven, Events, Sensitivity, Spread
from .values import Amount, Count, Score, Text, Value, equal

SCHEMA_VERSION = 1
STEPS = ("ann", "converted_soft", "converted_hard", "refined", "integer", "netx", "lava")
"""The steps of the accuracy waterfall, in order."""

StepName = Literal["ann", "converted_soft", "converted_hard", "refined", "integer", "netx", "lava"]


class Step(Score):
    """One step of the waterfall. note: what was measured, in a few words.

    elsewhere: the data set whose test images it was measured on, where that is not the report's own; such a step is
    compared with no other.
    """

    step: StepName
    note: str = ""
    elsewhere: Text | None = None


class Data(Value):
    """The data set and the sizes of its three splits, in images."""

    name: Text
    train: Count
    validation: Count
    test: Count
    licence: Text


class Population(Value):
    """One population. The three neuron parameters are null for a source. Units: decays of 4096, threshold mantissa."""

    name: Text
    shape: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]
    neurons: Annotated[int, Field(ge=1)]
    v_decay: int | None
    i_decay: int | None
    v_th_mant: int | None

    @model_validator(mode="after")
    def _neurons_fill_the_shape(self) -> Population:
        if self.neurons != math.prod(self.shape):
            raise ValueError(f"{self.name}: {self.neurons} neurons, but its shape {list(self.shape)} holds "
                             f"{math.prod(self.shape)}")  # fmt: skip
        return self


class NetworkFacts(Value):
    """What was deployed. n_steps: timesteps per sample. payload_bits: of the input spikes, 0 if binary."""

    n_steps: Annotated[int, Field(ge=1)]
    payload_bits: Count
    chip: Text
    populations: Annotated[tuple[Population, ...], Field(min_length=1)]
    synapses: Count
    fingerprint: Text


class LavaCheck(Value):
    """What real Lava said: images run, layers in the file and in Lava, integers compared, and how many differed."""

    samples: Annotated[int, Field(ge=1)]
    layers_written: Annotated[int, Field(ge=1)]
    layers_built: Count
    values: Count
    mismatches: Count
    first_mismatch: str | None = None

    @property
    def agrees(self) -> bool:
        """Whether Lava built every layer, something was compared, and nothing differed."""
        return self.values > 0 and self.mismatches == 0 and self.layers_built == self.layers_written


class Layer(Value):
    """Counts and energy of one layer, means per sample. energy_pj: by convention.

    One row is one population with its incoming connections, or one row per connection: then `neurons` and the spikes
    of a shared target stand in the first row and are 0 in the others, so that the columns add up.
    """

    name: Text
    kind: Text
    neurons: Count
    synapses: Count
    spikes: Amount
    spikes_per_neuron: Amount
    spikes_per_step: Amount
    synops: Amount
    synops_effective: Amount
    dense_macs: Count
    is_mac: bool
    energy_pj: dict[str, Amount]


class Energy(Value):
    """One convention: its two constants (pJ) and where they are published, its choices, and the totals (pJ).

    first_layer: whether a static image is charged at every timestep or once. synops: whether synapses that store a
    zero weight are counted. ratio: ANN / SNN; null only if the SNN total is zero.
    """

    convention: Text
    mac_pj: Annotated[float, Field(gt=0)]
    ac_pj: Annotated[float, Field(gt=0)]
    source: Text
    snn_pj: Amount
    ann_pj: Amount
    ratio: float | None
    first_layer: Literal["per_step", "once"]
    synops: Literal["stored", "effective"]


class Drift(Value):
    """How far one layer of the converted network had drifted from its ANN, and the weight refinement gave it."""

    layer: Text
    drift: float
    weight: Amount


class Timesteps(Value):
    """Accuracy at T timesteps, null where it was not measured. split: on which images, if known."""

    T: Annotated[int, Field(ge=1)]
    split: Literal["validation", "test"] | None = None
    converted_soft: Score | None = None
    converted_hard: Score | None = None
    refined: Score | None = None


class AnyTime(Value):
    """The deployed integers with samples of T timesteps, on the validation images.

    synops: per image, stored synapses reached by spikes. energy_pj: per image, by convention, the first layer charged
    at every timestep. chosen: whether the file's samples last so long.
    """

    T: Annotated[int, Field(ge=1)]
    score: Score
    synops: Amount
    energy_pj: dict[str, Amount]
    chosen: bool


class Notice(Value):
    """Something that was folded, approximated, clipped or refused: which layer, what, why, and the way out."""

    layer: Text
    what: Text
    why: Text
    way_out: str


class Report(Value):
    """The report of a run. Raises pydantic's ValidationError; `parse` and `load` turn that into BadInput."""

    schema_version: Literal[1] = SCHEMA_VERSION
    recipe: Text
    created: AwareDatetime
    versions: dict[str, str]
    seed: int
    data: Data
    network: NetworkFacts
    waterfall: Annotated[tuple[Step, ...], Field(min_length=1)]
    skipped: dict[StepName, Text] = Field(default_factory=dict)
    lava: LavaCheck | None
    counted_samples: Annotated[int, Field(ge=1)]
    layers: Annotated[tuple[Layer, ...], Field(min_length=1)]
    energy: Annotated[tuple[Energy, ...], Field(min_length=1)]
    scope: Text
    conventions: tuple[Convention, ...] = ()
    conflicts: tuple[Text, ...] = ()
    audits: tuple[Audit, ...] = ()
    neurobench: NeuroBench | None = None
    events: tuple[Events, ...] = ()
    spread: tuple[Spread, ...] = ()
    sensitivity: tuple[Sensitivity, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    break_even: BreakEven | None = None
    on_chip: tuple[OnChip, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    portrait: Portrait | None = None
    drift: tuple[Drift, ...] = ()
    timesteps: tuple[Timesteps, ...] = ()
    anytime: tuple[AnyTime, ...] = ()
    notices: tuple[Notice, ...] = ()
    commands: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _numbers_agree(self) -> Report:
        problems = [*_waterfall_problems(self), *_layer_problems(self), *_energy_problems(self)]
        problems += _convention_problems(self)
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def step(self, name: StepName) -> Step | None:
        """The waterfall's step of that name, or None if it is in `skipped`."""
        return next((s for s in self.waterfall if s.step == name), None)


def load(path: Path) -> Report:
    """Read report.json. Raises BadInput for a file that is missing, is not JSON, is of another version or is wrong."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); make it with `spikeport report`") from None
    except ValueError as error:
        raise BadInput(f"{path}: is not JSON ({error}); make it again with `spikeport report`") from None
    if not isinstance(values, dict):
        raise BadInput(f"{path}: holds a JSON {type(values).__name__}, a report is an object")
    _check_version(values.get("schema_version"), str(path))
    try:
        return Report.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise BadInput(_explain(error, str(path))) from None


def parse(values: Mapping[str, Any], where: str = "report") -> Report:
    """A report from plain values. Raises BadInput with one line per wrong or unknown key; `where` begins each."""
    _check_version(values.get("schema_version", SCHEMA_VERSION), where)
    try:
        return Report.model_validate(dict(values))
    except ValidationError as error:
        raise BadInput(_explain(error, where)) from None


def json_text(report: Report) -> str:
    """The text of report.json: two-space indent, one final newline; `load` gives back an equal report."""
    return report.model_dump_json(indent=2) + "\n"


def json_schema() -> str:
    """The JSON Schema of report.json, as text."""
    return json.dumps(Report.model_json_schema(), indent=2, sort_keys=True) + "\n"


def _check_version(version: Any, where: str) -> None:
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise BadInput(
            f"{where}: schema_version is {version!r}, this Spikeport reads {SCHEMA_VERSION}; make the report again "
            "with `spikeport report`, or read it with the version that wrote it"
        )


def _waterfall_problems(report: Report) -> Iterator[str]:
    names = [s.step for s in report.waterfall]
    if names != [s for s in STEPS if s in names]:
        yield f"waterfall: steps {names} must be distinct and in the order {list(STEPS)}"
    for step in STEPS:
        if step in names and step in report.skipped:
            yield f"skipped: {step!r} is in the waterfall too; a step was either run or skipped"
        if step not in names and step not in report.skipped:
            yield f"waterfall: {step!r} is missing; give its accuracy, or the reason in skipped[{step!r}]"
    lava = report.step("lava")
    if (lava is None) != (report.lava is None):
        yield "lava: its check and its step in the waterfall come together, or neither does"
    elif lava is not None and report.lava is not None and lava.n != report.lava.samples:
        yield f"lava: accuracy over n={lava.n}, but {report.lava.samples} samples compared; these are the same images"


def _layer_problems(report: Report) -> Iterator[str]:
    names = [row.name for row in report.layers]
    if len(set(names)) != len(names):
        yield f"layers: names are not unique: {names}"
    synapses = sum(row.synapses for row in report.layers)
    if synapses != report.network.synapses:
        yield f"network.synapses is {report.network.synapses}, but the layers hold {synapses}"
    for row in report.layers:
        rate = row.spikes / row.neurons if row.neurons else 0.0
        if not row.neurons and row.spikes:
            yield f"layers: {row.name} has no neurons but {row.spikes} spikes"
        if not equal(row.spikes_per_neuron, rate):
            yield f"layers: {row.name} has spikes_per_neuron {row.spikes_per_neuron}, spikes / neurons is {rate}"
        if not equal(row.spikes_per_step, rate / report.network.n_steps):
            yield (
                f"layers: {row.name} has spikes_per_step {row.spikes_per_step}, spikes_per_neuron / n_steps is "
                f"{rate / report.network.n_steps}"
            )
        if row.synops_effective > row.synops:
            yield f"layers: {row.name} has {row.synops_effective} effective synops of {row.synops}; at most all count"


def _energy_problems(report: Report) -> Iterator[str]:
    names = [e.convention for e in report.energy]
    if len(set(names)) != len(names):
        yield f"energy: conventions are not unique: {names}"
    for row in report.layers:
        if set(row.energy_pj) != set(names):
            yield f"layers: {row.name} has energy under {sorted(row.energy_pj)}, the conventions are {sorted(names)}"
            return
    dense = sum(row.dense_macs for row in report.layers)
    for e in report.energy:
        for row in report.layers:
            count = row.synops if e.synops == "stored" else row.synops_effective
            energy = row.energy_pj[e.convention]
            if not row.is_mac and not equal(energy, e.ac_pj * count):
                yield (
                    f"energy: {e.convention}: {row.name} costs {energy} pJ, but {count} {e.synops} synops at {e.ac_pj} "
                    f"pJ are {e.ac_pj * count}"
                )
        total = sum(row.energy_pj[e.convention] for row in report.layers)
        if not equal(e.snn_pj, total):
            yield f"energy: {e.convention}: snn_pj is {e.snn_pj}, the layers add up to {total}"
        if not equal(e.ann_pj, e.mac_pj * dense):
            yield f"energy: {e.convention}: ann_pj is {e.ann_pj}, {dense} MACs at {e.mac_pj} pJ are {e.mac_pj * dense}"
        if (e.ratio is None) != (e.snn_pj == 0) or (e.ratio is not None and not equal(e.ratio, e.ann_pj / e.snn_pj)):
            yield f"energy: {e.convention}: ratio is {e.ratio}, but must be ann_pj / snn_pj (null if snn_pj is 0)"


def _convention_problems(report: Report) -> Iterator[str]:
    names = [c.convention for c in report.conventions]
    if len(set(names)) != len(names):
        yield f"conventions: names are not unique: {names}"
    for c in report.conventions:
        for side, total in (("snn", c.snn_pj), ("ann", c.ann_pj)):
            lines = sum(item.pj for item in c.items if item.side == side)
            if not equal(total or 0.0, lines):
                yield f"conventions: {c.convention}: {side}_pj is {total}, its items add up to {lines}"
        expected = c.ann_pj / c.snn_pj if c.snn_pj and c.ann_pj is not None else None
        if (c.ratio is None) != (expected is None) or (expected is not None and not equal(c.ratio or 0.0, expected)):
            yield f"conventions: {c.convention}: ratio is {c.ratio}, but must be ann_pj / snn_pj (null without either)"
    for e in report.energy:
        same = next((c for c in report.conventions if c.convention == e.convention), None)
        if same is not None and not equal(same.snn_pj, e.snn_pj):
            yield f"conventions: {e.convention}: snn_pj is {same.snn_pj}, in energy it is {e.snn_pj}"


def _explain(error: ValidationError, where: str) -> str:
    """One line per problem: where, what, and for an unknown key the nearest known one."""
    lines = []
    for item in error.errors(include_url=False):
        loc = [part for part in item["loc"] if part != "[key]"]
        place = ".".join(map(str, loc)) or "numbers disagree"
        if item["type"] == "extra_forbidden":
            lines.append(f"{where}: unknown key {place!r}; {did_you_mean(str(loc[-1]), _known_keys(loc[:-1]))}")
        elif item["type"] == "missing":
            lines.append(f"{where}: {place} is missing")
        else:
            given = "" if isinstance(item["input"], Mapping | BaseModel) else f" (got {item['input']!r})"
            lines.append(f"{where}: {place}: {item['msg'].removeprefix('Value error, ')}{given}")
    return "\n".join(lines)


def _known_keys(loc: list[int | str]) -> list[str]:
    """The keys of the model that stands at `loc` in a report."""
    model: type[BaseModel] = Report
    for part in loc:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model inside an annotation such as `tuple[Step, ...]` or `LavaCheck | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _model_in(arg))), None)
