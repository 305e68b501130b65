"""Count operations with NeuroBench and with SpikingJelly.

Runs under the interpreter of the peers' own environment and imports nothing of this project:

    python count.py layers.npz counts.json

layers.npz holds `layers.json` (a string: a list of {name, kind, ...}) and, for each layer, `<name>.input`, the spikes
(rows, *shape) that enter it, one row per timestep and sample. Kinds: `conv` and `dense` with `<name>.weight` and
`<name>.bias`, `pool` (an average) with a kernel and a stride, `identity`. A layer is counted in double precision unless
its `dtype` says otherwise. counts.json holds, for each layer, the totals over all rows, and the versions that counted.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from neurobench.metrics.utils.layers import single_layer_MACs
from spikingjelly.activation_based.op_counter import ACCounter, DispatchCounterMode, MACCounter, SynOpCounter


def main(layers_path: str, counts_path: str) -> None:
    counts: dict[str, Any] = {name: version(name) for name in ("neurobench", "spikingjelly", "torch")}
    counts["layers"] = {}
    with np.load(layers_path, allow_pickle=False) as arrays:
        for spec in json.loads(str(arrays["layers.json"])):
            name = spec["name"]
            # NeuroBench adds its counts up in the dtype of the layer.
            dtype = getattr(torch, spec.get("dtype", "float64"))
            given = {
                part: torch.from_numpy(arrays[f"{name}.{part}"]).to(dtype)
                for part in ("weight", "bias", "input")
                if f"{name}.{part}" in arrays
            }
            spikes = given.pop("input")
            layer = build(spec, **given)
            counts["layers"][name] = count(layer, spikes.flatten(1) if spec["kind"] == "dense" else spikes)
    with open(counts_path, "w") as file:
        json.dump(counts, file)


def build(
    spec: dict[str, Any], weight: torch.Tensor | None = None, bias: torch.Tensor | None = None
) -> torch.nn.Module:
    if spec["kind"] == "identity":
        return torch.nn.Identity()
    if spec["kind"] == "pool":
        return torch.nn.AvgPool2d(tuple(spec["kernel"]), stride=tuple(spec["stride"]))
    assert weight is not None
    if spec["kind"] == "dense":
        layer: torch.nn.Module = torch.nn.Linear(weight.shape[1], weight.shape[0])
    else:
        layer = torch.nn.Conv2d(
            weight.shape[1] * spec["groups"],
            weight.shape[0],
            tuple(weight.shape[2:]),
            stride=tuple(spec["stride"]),
            padding=tuple(spec["padding"]),
            dilation=tuple(spec["dilation"]),
            groups=spec["groups"],
        )
    layer.weight = torch.nn.Parameter(weight, requires_grad=False)
    layer.bias = None if bias is None else torch.nn.Parameter(bias, requires_grad=False)
    return layer


def count(layer: torch.nn.Module, spikes: torch.Tensor) -> dict[str, Any]:
    effective, is_spiking = single_layer_MACs(spikes, layer)
    dense, _ = single_layer_MACs(spikes, layer, total=True)
    synops, acs, macs = SynOpCounter(), ACCounter(), MACCounter()
    with torch.no_grad(), DispatchCounterMode([synops, acs, macs]):
        layer(spikes)
    return {
        "neurobench_effective": effective,
        "neurobench_operation": "AC" if is_spiking else "MAC",
        "neurobench_dense": dense,
        "spikingjelly_synops": int(synops.get_total()),
        "spikingjelly_acs": int(acs.get_total()),
        "spikingjelly_macs": int(macs.get_total()),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
