"""What `capsule.json` holds: what was run, on which data, and what every other member is."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from ...hw import BadInput
from ..recipe import validated
from ..section import Section

FORMAT = 1
"""Version of the layout; `format` and `made_by` mean the same in every version."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(min_length=1)]
Size = Annotated[int, Field(ge=1)]
Total = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Part(Section):
    """Samples of one data set, in order. sha256: over values, labels, shape and levels (`datasets.fingerprint`)."""

    part: Literal["train", "test", "stills train", "stills test"]
    samples: Size
    sha256: Sha256


class DataUsed(Section):
    """The data of the run. licence and source: as the data set's publisher words them, by data set."""

    name: Name
    licence: dict[str, str]
    source: dict[str, str]
    parts: list[Part]


class Net(Section):
    """The `.net` file. fingerprint: that of the network in it (`hw.Network.fingerprint`)."""

    sha256: Sha256
    fingerprint: Sha256
    n_steps: Size
    chip: Name


class Inputs(Section):
    """The first samples of the test set as integers the network takes. file: None where they were left out.

    sha256: over little-endian 32-bit integers, C order.
    """

    file: str | None
    shape: list[Size]
    sha256: Sha256


class Spikes(Section):
    """The spikes of one population. sha256: over zeros and ones, a byte each, of (T, B, *shape), C order."""

    name: Name
    shape: list[Size]
    file: str
    spikes: Total
    sha256: Sha256


class CountRow(Section):
    """Events of one kind. golden: those of the capsule's samples. test_set: those of the run's whole test set."""

    kind: Literal["spikes", "synops", "synops_effective"]
    populations: list[Name]
    golden: Total
    test_set: Total


class Step(Section):
    """One step of the accuracy waterfall. elsewhere: the data set it was measured on where that is another one."""

    step: Name
    correct: Total
    n: Size
    accuracy: Share
    ci95: list[Share]
    note: str
    elsewhere: str | None


class Document(Section):
    """The capsule's table of contents. made_by: version of spikeport.

    seeds: every seed of the recipe, by its key. versions: by stage, what it was computed with. tested: samples of the
    whole test set.
    """

    format: int
    made_by: Name
    recipe: Name
    seeds: dict[str, int]
    versions: dict[str, dict[str, str]]
    data: DataUsed
    network: Net
    tested: Size
    samples: Size
    inputs: Inputs
    populations: list[Spikes]
    predictions: list[Total]
    counts: list[CountRow]
    waterfall: list[Step]


def dump(document: Document) -> bytes:
    """The document as JSON text, keys sorted."""
    value = document.model_dump(mode="json")
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n").encode()


def parse(content: bytes, where: str) -> Document:
    """The document in a text. Raises BadInput for no JSON object, another format version, wrong and unknown keys."""
    value = json_object(content, where)
    found = value.get("format")
    if found != FORMAT:
        raise BadInput(
            f"{where}: capsule format {found!r}, made by spikeport {value.get('made_by', 'unknown')}; this version "
            f"reads format {FORMAT}: replay it with the version that made it"
        )
    return validated(TypeAdapter(Document), value, where, Document)


def json_object(content: bytes, where: str) -> dict[str, Any]:
    """The JSON object in a text. Raises BadInput."""
    try:
        value = json.loads(content, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where}: cannot be read as JSON ({error}); fetch the capsule again") from None
    if not isinstance(value, dict):
        raise BadInput(f"{where}: holds a {type(value).__name__}, not a JSON object; fetch the capsule again")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")
