"""Count synaptic operations with NeuroBench and with SpikingJelly.

Runs under the interpreter of the peers' own environment and imports nothing of this project:

    python count.py layers.npz counts.json

layers.npz holds `layers.json` (a string: a list of {name, kind, stride, padding, dilation, groups}) and, for each
layer, `<name>.weight` and `<name>.input`, the spikes (rows, *shape) that enter it, one row per timestep and sample.
counts.json holds, for each layer, the totals over all rows and the versions that counted.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from neurobench.metrics.utils.layers import single_layer_MACs
from spikingjelly.activation_based.op_counter import DispatchCounterMode, MACCounter, SynOpCounter


def main(layers_path: str, counts_path: str) -> None:
    counts: dict[str, Any] = {name: version(name) for name in ("neurobench", "spikingjelly", "torch")}
    counts["layers"] = {}
    with np.load(layers_path, allow_pickle=False) as arrays:
        for spec in json.loads(str(arrays["layers.json"])):
            # Double precision throughout: NeuroBench adds its counts up in the dtype of the layer.
            weight = torch.from_numpy(arrays[f"{spec['name']}.weight"]).double()
            spikes = torch.from_numpy(arrays[f"{spec['name']}.input"]).double()
            layer = build(spec, weight)
            counts["layers"][spec["name"]] = count(layer, spikes if spec["kind"] == "conv" else spikes.flatten(1))
    with open(counts_path, "w") as file:
        json.dump(counts, file)


def build(spec: dict[str, Any], weight: torch.Tensor) -> torch.nn.Module:
    if spec["kind"] == "dense":
        layer: torch.nn.Module = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    else:
        layer = torch.nn.Conv2d(
            weight.shape[1] * spec["groups"],
            weight.shape[0],
            tuple(weight.shape[2:]),
            stride=tuple(spec["stride"]),
            padding=tuple(spec["padding"]),
            dilation=tuple(spec["dilation"]),
            groups=spec["groups"],
            bias=False,
        )
    layer.weight = torch.nn.Parameter(weight, requires_grad=False)
    return layer


def count(layer: torch.nn.Module, spikes: torch.Tensor) -> dict[str, Any]:
    effective, is_spiking = single_layer_MACs(spikes, layer)
    dense, _ = single_layer_MACs(spikes, layer, total=True)
    synops, macs = SynOpCounter(), MACCounter()
    with torch.no_grad(), DispatchCounterMode([synops, macs]):
        layer(spikes)
    return {
        "neurobench_effective": effective,
        "neurobench_operation": "AC" if is_spiking else "MAC",
        "neurobench_dense": dense,
        "spikingjelly_synops": int(synops.get_total()),
        "spikingjelly_macs": int(macs.get_total()),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
