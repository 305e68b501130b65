"""The integers of a network as metadata of a NIR graph: what its nodes, which hold floats and times, cannot say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..hw import BadInput, Connection, Conv, Cuba, Dense, Network, OneToOne, Population, Readout, Source, SpikeportError
from .nir_file import NirFields

METADATA = "spikeport"
"""The key under which a graph's metadata hold the integers."""

FORMAT_VERSION = 1
"""Version of the metadata."""

_INTEGERS = ("v_th_mant", "i_decay", "v_decay", "bias_exp")


def to_metadata(network: Network) -> dict[str, Any]:
    """Everything a network is made of: structure as JSON, numbers as arrays."""
    populations, connections, arrays = [], [], {}
    for index, p in enumerate(network.populations):
        if isinstance(p.neuron, Source):
            row: dict[str, Any] = {"payload_bits": p.neuron.payload_bits, "signed": p.neuron.signed}
        else:
            row = {field: getattr(p.neuron, field) for field in _INTEGERS}
            arrays[f"bias_{index}"] = _array(p.neuron.bias_mant)
        populations.append({"name": p.name, "shape": list(p.shape), **row})
    for index, c in enumerate(network.connections):
        row = {"kind": type(c).__name__, "source": c.source, "target": c.target}
        if isinstance(c, Conv):
            row |= {"stride": c.stride, "padding": c.padding, "dilation": c.dilation, "groups": c.groups}
        if isinstance(c, Dense):
            arrays[f"delay_{index}"] = _array(c.delay)
        arrays[f"weight_{index}"] = _array(c.weight)
        connections.append(row)
    structure = {
        "format": FORMAT_VERSION,
        "n_steps": network.n_steps,
        "readout": {"population": network.readout.population, "kind": network.readout.kind},
        "populations": populations,
        "connections": connections,
        "shapes": {name: list(values) for name, (values, _) in arrays.items()},
        "fingerprint": network.fingerprint(),
    }
    return {"network": json.dumps(structure), **{name: values for name, (_, values) in arrays.items()}}


def _array(values: np.ndarray) -> tuple[tuple[int, ...], np.ndarray]:
    """An array's shape, and its values as a vector: nir compresses, which HDF5 refuses for scalars."""
    return values.shape, values.reshape(-1)


def from_metadata(fields: NirFields, path: Path) -> Network:
    """The network that `to_metadata` described. Raises BadInput if the metadata are damaged or contradictory."""
    way_out = "the file is damaged; write it again"
    try:
        text = json.loads(fields.text("network"))
        if text["format"] != FORMAT_VERSION:
            raise ValueError(f"format {text['format']}, known: {FORMAT_VERSION}")
        arrays = {
            name: fields.integers(name).reshape([int(n) for n in shape]) for name, shape in text["shapes"].items()
        }
        network = Network(
            populations=tuple(_population(row, arrays.get(f"bias_{i}")) for i, row in enumerate(text["populations"])),
            connections=tuple(_connection(row, arrays, i) for i, row in enumerate(text["connections"])),
            readout=Readout(**text["readout"]),
            n_steps=int(text["n_steps"]),
        )
        fingerprint = text["fingerprint"]
    except (SpikeportError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(f"{path}: the metadata do not describe a network ({error}); {way_out}") from None
    if network.fingerprint() != fingerprint:
        raise BadInput(f"{path}: the metadata do not match their own fingerprint; {way_out}")
    return network


def _population(row: Mapping[str, Any], bias: np.ndarray | None) -> Population:
    shape = tuple(int(n) for n in row["shape"])
    if bias is None:
        neuron: Cuba | Source = Source(payload_bits=int(row["payload_bits"]), signed=bool(row["signed"]))
    else:
        neuron = Cuba(**{field: int(row[field]) for field in _INTEGERS}, bias_mant=bias)
    return Population(name=str(row["name"]), shape=shape, neuron=neuron)


def _connection(row: Mapping[str, Any], arrays: Mapping[str, np.ndarray], index: int) -> Connection:
    ends: dict[str, Any] = {"source": row["source"], "target": row["target"], "weight": arrays[f"weight_{index}"]}
    if row["kind"] == "Conv":
        return Conv(**ends, **{field: row[field] for field in ("stride", "padding", "dilation", "groups")})
    if row["kind"] == "Dense":
        return Dense(**ends, delay=arrays[f"delay_{index}"])
    if row["kind"] == "OneToOne":
        return OneToOne(**ends)
    raise KeyError(row["kind"])
