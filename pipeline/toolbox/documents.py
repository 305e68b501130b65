"""The toolbox's results as JSON objects of a stable schema.

Every object says its schema: `spikeport.inspect/1`, `.diff/1`, `.verify/1`, `.convert/1`, `.record/1`. Within a version
keys are added, never renamed, removed or given another meaning. Its keys are the fields of the dataclass it is made of,
which documents them, in its order, with what is computed from them beside (`total`, `equal`, `agrees`). Tuples are
lists; what is not known is null; a divergence is {sample, timestep, layer, neuron, quantity, expected, found}.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...export.traces import Recording
from .against import Verification
from .diff import Difference
from .inspect import Inspection
from .opening import Conversion


def of_inspection(inspection: Inspection) -> dict[str, Any]:
    """{schema, summary, survey}: `Summary` or null where the file cannot be run, `Survey` or null for `.nir`."""
    summary = inspection.summary
    document = _plain(inspection)
    if summary is not None:
        for layer, row in zip(summary.layers, document["summary"]["layers"], strict=True):
            row["memory"]["total"] = layer.memory.total
        document["summary"]["memory"]["total"] = summary.memory.total
    return {"schema": "spikeport.inspect/1", "summary": document["summary"], "survey": document["survey"]}


def of_difference(difference: Difference, a: str, b: str) -> dict[str, Any]:
    """{schema, a, b, equal, ...`Difference`}."""
    return {"schema": "spikeport.diff/1", "a": a, "b": b, "equal": difference.equal, **_plain(difference)}


def of_verification(verification: Verification) -> dict[str, Any]:
    """{schema, agrees, ...`Verification`}."""
    return {"schema": "spikeport.verify/1", "agrees": verification.agrees, **_plain(verification)}


def of_lava(verdict: dict[str, Any], file: str) -> dict[str, Any]:
    """{schema, file, reference: "lava", agrees, ...}: what `verify.compare` returns."""
    agrees = not verdict["mismatches"] and verdict["layers_built"] == verdict["layers_written"]
    return {"schema": "spikeport.verify/1", "file": file, "reference": "lava", "agrees": agrees, **_plain(verdict)}


def of_conversion(conversion: Conversion) -> dict[str, Any]:
    """{schema, ...`Conversion`}."""
    return {"schema": "spikeport.convert/1", **_plain(conversion)}


def of_recording(recording: Recording, out: str) -> dict[str, Any]:
    """{schema, file, trace, samples, layers}: layers are {name: {quantity: shape}}."""
    layers = {
        name: {quantity: list(values.shape) for quantity, values in quantities.items()}
        for name, quantities in recording.values.items()
    }
    samples = recording.n_samples
    return {
        "schema": "spikeport.record/1", "file": recording.where, "trace": out, "samples": samples, "layers": layers
    }  # fmt: skip


def _plain(value: Any) -> Any:
    """Dataclasses, mappings, sequences and numpy numbers as what JSON knows."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value
