"""Writing a `.net` file: a chain `Network` lowered to the layers stock Lava's netx loads.

Layout (root group `layer`, sub-groups "0", "1", ...): `input` without a neuron, then `conv` and `dense`, each with a
neuron group, with `flatten` wherever a dense layer follows a (C, H, W) population. netx reverses shapes to (W, H, C);
the weights of a convolution stay in torch's order. netx reads nothing outside `layer`; there, the group `spikeport`
keeps what the layers cannot say, so that reading gives back the very same network.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

import h5py
import numpy as np

from ..hw import CHIPS, BadInput, Chip, Connection, Conv, Cuba, Network, Population, check
from .netx_chain import as_chain, check_numbers, neuron_of

FORMAT_VERSION = 1
"""Version of the `spikeport` group."""


def write(network: Network, path: str | os.PathLike[str], *, chip: Chip | None = CHIPS["loihi2"]) -> None:
    """Write `network` to `path` as a netx file; the file appears complete or not at all.

    chip: the network must be legal on it (`hw.check`); None asks only for what Lava's CPU simulation needs.

    Raises UnsupportedLayer for a graph that is not a chain, and NotRepresentable for numbers the chip cannot hold or
    Lava would silently change. Source of the format: lava-dl 0.6.0, lava/lib/dl/netx/hdf5.py.
    """
    chain = as_chain(network)
    if chip is not None:
        check(network, chip)
    for connection, population in chain:
        check_numbers(connection, population)

    path = Path(path)
    if not path.parent.is_dir():
        raise BadInput(f"{path}: the folder {path.parent} does not exist; create it first")
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with h5py.File(partial, "x") as file:
            _write_layers(file.create_group("layer"), network, chain)
            _write_extras(file.create_group("spikeport"), network)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _write_layers(root: h5py.Group, network: Network, chain: list[tuple[Connection, Population]]) -> None:
    def layer(kind: str) -> h5py.Group:
        group = root.create_group(str(len(root)))
        group["type"] = np.bytes_(kind)
        return group

    source = network.sources[0]
    layer("input")["shape"] = np.array(source.shape, np.int32)
    shape = source.shape
    for connection, population in chain:
        if isinstance(connection, Conv):
            _write_conv(layer("conv"), connection, population)
        else:
            if len(shape) == 3:
                layer("flatten")
            _write_dense(layer("dense"), connection, population)
        shape = population.shape


def _write_conv(group: h5py.Group, connection: Conv, population: Population) -> None:
    group["shape"] = np.array(population.shape, np.int32)
    group["weight"] = connection.weight.astype("<i2")
    for field in ("stride", "padding", "dilation"):
        group[field] = np.array(getattr(connection, field), np.int32)
    group["groups"] = np.int32(connection.groups)
    bias = neuron_of(population).bias_over(population.shape)
    per_channel = bias[:, 0, 0]
    if bias.any():
        uniform = np.array_equal(bias, np.broadcast_to(per_channel[:, None, None], bias.shape))
        group["bias"] = (per_channel if uniform else bias.transpose(2, 1, 0)).astype("<i4")
    _write_neuron(group, neuron_of(population))


def _write_dense(group: h5py.Group, connection: Connection, population: Population) -> None:
    group["shape"] = np.array(population.shape, np.int32)
    group["weight"] = connection.weight.astype("<i2")
    bias = neuron_of(population).bias_over(population.shape)
    if bias.any():
        group["bias"] = bias.astype("<i4")
    _write_neuron(group, neuron_of(population))


def _write_neuron(group: h5py.Group, neuron: Cuba) -> None:
    params = group.create_group("neuron")
    params["type"] = np.bytes_("CUBA")
    for field, value in (("iDecay", neuron.i_decay), ("vDecay", neuron.v_decay), ("vThMant", neuron.v_th_mant)):
        params[field] = np.int32(value)


def _write_extras(group: h5py.Group, network: Network) -> None:
    names = [p.name for p in network.populations]
    chain = [connection for connection, _ in as_chain(network)]
    source = network.sources[0].neuron
    group["format"] = np.int32(FORMAT_VERSION)
    group["n_steps"] = np.int32(network.n_steps)
    group["payload_bits"] = np.int32(getattr(source, "payload_bits", 0))
    group["populations"] = np.bytes_(json.dumps(names))
    group["readout_population"] = np.int32(names.index(network.readout.population))
    group["readout_kind"] = np.bytes_(network.readout.kind)
    # Connections may be listed in any order; position of each listed connection in the chain.
    group["connections"] = np.array([chain.index(c) for c in network.connections], np.int32)
    group["fingerprint"] = np.bytes_(network.fingerprint())
