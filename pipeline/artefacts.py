"""What stages hand on through their folders: networks as safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..hw import BadInput, Connection, Conv, Cuba, Dense, Network, Population, Readout, Source
from ..models import GraphNet, build_ann
from ..models.qcfs import as_qcfs
from .checkpoint import module_state, restore_module
from .data import ann_architecture_of
from .files import read_json, read_tensors, write_json, write_tensors
from .sections import Recipe

WEIGHTS = "weights.safetensors"
NETWORK = "network.json"
NETWORK_ARRAYS = "network.safetensors"


def save_net(net: GraphNet, folder: Path) -> None:
    """Write a network's parameters and buffers to `folder`. Raises BadInput if one is NaN or infinite."""
    state = module_state(net)
    for name, value in state.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise BadInput(
                f"{net.architecture.name}: {name} holds NaN or infinity; it is not saved, train with lower lr"
            )
    write_tensors(folder / WEIGHTS, state)


def load_into(net: GraphNet, folder: Path) -> GraphNet:
    """Load what `save_net` wrote into a network of the same form, in place, and return it in evaluation mode.

    Raises BadInput for missing or unfitting weights, and for NaN or infinity in them.
    """
    state = read_tensors(folder / WEIGHTS)
    for name, value in state.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise BadInput(f"{folder / WEIGHTS}: {name} holds NaN or infinity; run the stage that writes it again")
    restore_module(net, state)
    return net.eval()


def load_ann(recipe: Recipe, folder: Path) -> GraphNet:
    """The trained ANN of the train stage, in evaluation mode."""
    net = build_ann(ann_architecture_of(recipe))
    return load_into(as_qcfs(net, recipe.train.levels) if recipe.train.activation == "qcfs" else net, folder)


def save_network(network: Network, folder: Path) -> None:
    """Write an integer network as JSON (structure) and safetensors (weights and biases). Any graph, chain or not."""
    arrays: dict[str, torch.Tensor] = {}
    populations, connections = [], []
    for p in network.populations:
        if isinstance(p.neuron, Source):
            neuron: dict[str, Any] = {"payload_bits": p.neuron.payload_bits}
        else:
            n = p.neuron
            neuron = {"v_th_mant": n.v_th_mant, "i_decay": n.i_decay, "v_decay": n.v_decay}
            arrays[f"bias.{p.name}"] = torch.tensor(n.bias_mant)
        populations.append({"name": p.name, "shape": list(p.shape), **neuron})
    for index, c in enumerate(network.connections):
        arrays[f"weight.{index}"] = torch.tensor(c.weight)
        row: dict[str, Any] = {"source": c.source, "target": c.target}
        if isinstance(c, Conv):
            row |= {"stride": c.stride, "padding": c.padding, "dilation": c.dilation, "groups": c.groups}
        connections.append(row)
    readout = {"population": network.readout.population, "kind": network.readout.kind}
    write_tensors(folder / NETWORK_ARRAYS, arrays)
    write_json(
        folder / NETWORK,
        {
            "n_steps": network.n_steps,
            "readout": readout,
            "populations": populations,
            "connections": connections,
            "fingerprint": network.fingerprint(),
        },
    )


def load_network(folder: Path) -> Network:
    """The network that `save_network` wrote. Raises BadInput if the files are damaged or disagree."""
    way_out = "run the quantize stage again"
    text, arrays = read_json(folder / NETWORK, way_out), read_tensors(folder / NETWORK_ARRAYS)
    try:
        populations = [_population(row, arrays) for row in text["populations"]]
        connections = [_connection(row, arrays[f"weight.{i}"]) for i, row in enumerate(text["connections"])]
        network = Network(
            populations=tuple(populations),
            connections=tuple(connections),
            readout=Readout(**text["readout"]),
            n_steps=text["n_steps"],
        )
        expected = text["fingerprint"]
    except (KeyError, TypeError) as error:
        raise BadInput(f"{folder / NETWORK}: lacks or misnames {error}; {way_out}") from None
    if network.fingerprint() != expected:
        raise BadInput(f"{folder / NETWORK}: does not match its own fingerprint; {way_out}")
    return network


def _population(row: dict[str, Any], arrays: dict[str, torch.Tensor]) -> Population:
    name, shape = row["name"], tuple(row["shape"])
    if "payload_bits" in row:
        return Population(name=name, shape=shape, neuron=Source(payload_bits=row["payload_bits"]))
    numbers = {field: row[field] for field in ("v_th_mant", "i_decay", "v_decay")}
    return Population(name=name, shape=shape, neuron=Cuba(**numbers, bias_mant=arrays[f"bias.{name}"].numpy()))


def _connection(row: dict[str, Any], weight: torch.Tensor) -> Connection:
    return Conv(**row, weight=weight.numpy()) if "stride" in row else Dense(**row, weight=weight.numpy())
