"""Capsules of small networks without a run behind them, whole or changed and sealed again. Not a test."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from spikeport import hw
from spikeport.export import netx
from spikeport.pipeline.capsule import archive, arrays, content, make, schema, simulated
from spikeport.pipeline.capsule.readme import readme

VERSIONS = {"spikeport": "0.1.0"}


def network(*, payload_bits: int = 3, n_steps: int = 3, kind: str = "membrane", seed: int = 1) -> hw.Network:
    """in (2, 4, 3) -> conv `a` (3, 2, 3), stride (2, 1) -> dense `b` of 5, recurrent -> delayed `out` of 3."""
    rng = np.random.default_rng(seed)

    def weights(*shape: int) -> np.ndarray:
        return 2 * rng.integers(-10, 10, shape, endpoint=True)

    membrane = kind == "membrane"
    return hw.Network(
        populations=(
            hw.Population(name="in", shape=(2, 4, 3), neuron=hw.Source(payload_bits=payload_bits)),
            hw.Population(name="a", shape=(3, 2, 3), neuron=hw.Cuba(v_th_mant=20, i_decay=1500, v_decay=700)),
            hw.Population(name="b", shape=(5,), neuron=hw.Cuba(v_th_mant=8, v_decay=300)),
            hw.Population(name="out", shape=(3,), neuron=hw.Cuba(v_th_mant=hw.NEVER_FIRES if membrane else 6)),
        ),
        connections=(
            hw.Conv(source="in", target="a", weight=weights(3, 2, 3, 3), padding=(1, 1), stride=(2, 1)),
            hw.Dense(source="a", target="b", weight=weights(5, 18)),
            hw.Dense(source="b", target="b", weight=weights(5, 5)),
            hw.Dense(source="b", target="out", weight=weights(3, 5), delay=np.array([[0], [1], [0]])),
        ),
        readout=hw.Readout(population="out", kind="membrane" if membrane else "spike_count"),
        n_steps=n_steps,
    )


def inputs_for(net: hw.Network, *, samples: int = 4, seed: int = 1) -> np.ndarray:
    """Payloads that change at every timestep, int32 (T, B, *S)."""
    source = net.sources[0]
    assert isinstance(source.neuron, hw.Source)
    rng = np.random.default_rng(seed)
    shape = (net.n_steps, samples, *source.shape)
    return rng.integers(source.neuron.min_payload, source.neuron.max_payload, shape, endpoint=True).astype(np.int32)


def members(net: hw.Network, inputs: np.ndarray, *, keep_inputs: bool = True) -> dict[str, bytes]:
    """The sealed members of a capsule of a network and some samples, with the manifest of an export stage alone."""
    golden = simulated.run(net, inputs)
    assert golden.counts is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.net"
        netx.write(net, path, chip=None)
        file = path.read_bytes()
    (source,) = net.sources
    assert isinstance(source.neuron, hw.Source)
    manifest = {"inputs": {}, "outputs": {"x.net": archive.sha256(file)}, "metrics": {}, "versions": VERSIONS}
    document = schema.Document(
        format=schema.FORMAT,
        made_by="0.1.0",
        recipe="small",
        seeds={"seed": 0},
        versions={"export": VERSIONS},
        data=schema.DataUsed(
            name="digits",
            licence={"digits": "CC BY 4.0"},
            source={"digits": "somebody"},
            parts=[schema.Part(part="test", samples=golden.n_samples, sha256="0" * 64)],
        ),
        network=schema.Net(
            sha256=archive.sha256(file), fingerprint=net.fingerprint(), n_steps=net.n_steps, chip="loihi2"
        ),
        tested=golden.n_samples,
        samples=golden.n_samples,
        inputs=schema.Inputs(
            file=content.INPUTS if keep_inputs else None,
            shape=list(inputs.shape),
            sha256=arrays.of_payload(inputs),
        ),
        populations=make.spikes_entries(net, golden),
        predictions=golden.predictions.tolist(),
        counts=make.count_entries(golden, {row: torch.from_numpy(values) for row, values in golden.counts.items()}),
        waterfall=[
            schema.Step(step="netx", correct=1, n=4, accuracy=0.25, ci95=[0.0, 1.0], note="made up", elsewhere=None)
        ],
    )
    return archive.sealed(
        content.members_of(
            document,
            readme(document),
            b"name: small\n",
            {"export": json.dumps(manifest).encode()},
            file,
            source.neuron,
            inputs,
            golden,
        )
    )


def write(path: Path, sealed: dict[str, bytes]) -> Path:
    path.write_bytes(archive.pack(sealed))
    return path


def resealed(sealed: dict[str, bytes], **changes: bytes | None) -> dict[str, bytes]:
    """Members changed, added or left out (None), and their sums made to fit, as somebody with intent would."""
    whole = {**sealed, **changes}
    return archive.sealed({k: v for k, v in whole.items() if v is not None and k != archive.SUMS})


def edited(sealed: dict[str, bytes], edit: Callable[[dict[str, Any]], Any]) -> dict[str, bytes]:
    """The members with capsule.json edited in place, sealed again."""
    document = json.loads(sealed[content.DOCUMENT])
    edit(document)
    return resealed(sealed, **{content.DOCUMENT: json.dumps(document).encode()})


def with_spikes(sealed: dict[str, bytes], index: int, place: tuple[int, ...]) -> dict[str, bytes]:
    """The members with one golden spike turned over, its hashes and totals made to fit."""
    document = json.loads(sealed[content.DOCUMENT])
    entry = document["populations"][index]
    shape = (document["network"]["n_steps"], document["samples"], *entry["shape"])
    values = arrays.from_bits(sealed[entry["file"]], shape, "x").copy()
    values[place] ^= 1
    entry |= {"spikes": int(values.sum()), "sha256": arrays.of_spikes(values)}
    changes = {content.DOCUMENT: json.dumps(document).encode(), entry["file"]: arrays.to_bits(values)}
    return resealed(sealed, **changes)


def with_network(sealed: dict[str, bytes], net: hw.Network) -> dict[str, bytes]:
    """The members with another network in the place of theirs, every hash made to fit."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.net"
        netx.write(net, path, chip=None)
        file = path.read_bytes()
    document = json.loads(sealed[content.DOCUMENT])
    document["network"] |= {"sha256": archive.sha256(file), "fingerprint": net.fingerprint()}
    manifest = json.loads(sealed[content.MANIFEST.format("export")])
    manifest["outputs"]["x.net"] = archive.sha256(file)
    changes = {
        content.DOCUMENT: json.dumps(document).encode(),
        content.MANIFEST.format("export"): json.dumps(manifest).encode(),
        content.NET: file,
    }
    return resealed(sealed, **changes)


def with_bias(net: hw.Network, name: str, bias: int) -> hw.Network:
    """The network with another bias in one population."""
    populations = [
        dataclasses.replace(p, neuron=dataclasses.replace(p.neuron, bias_mant=np.array(bias))) if p.name == name else p
        for p in net.populations
    ]
    return dataclasses.replace(net, populations=tuple(populations))
