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

from ..hw import CHIPS, BadInput, Chip, Conv, Cuba, Dense, Network, NotRepresentable, OneToOne, Population, check
from ..hw.arithmetic import STATE_SHIFT
from .netx_chain import as_chain, check_input_layer, check_numbers, file_bias, neuron_of

FORMAT_VERSION = 2
"""Newest version of the `spikeport` group. Version 2 adds `signed` and `bias_exp`; without them 1 is written."""


def write(network: Network, path: str | os.PathLike[str], *, chip: Chip | None = CHIPS["loihi2"]) -> None:
    """Write `network` to `path` as a netx file; the file appears complete or not at all.

    A one-to-one connection behind the source becomes an input layer with neurons: its weight and the population's bias
    are the file's transform. netx leaves that to the caller, who sets the neurons' bias to `weight * x + bias` at every
    step (`u` then stays 0; `v` and the spikes are the network's). A recurrent population becomes a `dense_rec` layer.

    chip: the network must be legal on it (`hw.check`); None asks only for what Lava's CPU simulation needs.

    Raises UnsupportedLayer for a graph that is not a chain, and NotRepresentable for numbers the chip cannot hold or
    Lava would silently change. Source of the format: lava-dl 0.6.0, lava/lib/dl/netx/hdf5.py.
    """
    chain = as_chain(network)
    if chip is not None:
        check(network, chip)
    for i, (connection, population) in enumerate(chain):
        check_numbers(connection, population, _recurrent(network, population))
        if isinstance(connection, OneToOne):
            if i:
                raise NotRepresentable(
                    f"{connection.source} -> {connection.target}: a netx file has one-to-one synapses right behind the "
                    "source only; export.lowering.to_chain writes this one as a convolution"
                )
            check_input_layer(connection, population, network[connection.source])

    path = Path(path)
    if not path.parent.is_dir():
        raise BadInput(f"{path}: the folder {path.parent} does not exist; create it first")
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with h5py.File(partial, "x") as file:
            _write_layers(file.create_group("layer"), network)
            _write_extras(file.create_group("spikeport"), network)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _recurrent(network: Network, population: Population) -> Dense | None:
    return next(iter(network.recurrent(population.name)), None)


def _write_layers(root: h5py.Group, network: Network) -> None:
    def layer(kind: str) -> h5py.Group:
        group = root.create_group(str(len(root)))
        group["type"] = np.bytes_(kind)
        return group

    source = network.sources[0]
    first = layer("input")
    first["shape"] = np.array(source.shape, np.int32)
    shape = source.shape
    for connection, population in as_chain(network):
        if isinstance(connection, OneToOne):
            _write_input_neurons(first, connection, population)
        elif isinstance(connection, Conv):
            _write_conv(layer("conv"), connection, population)
        else:
            if len(shape) == 3:
                layer("flatten")
            recurrent = _recurrent(network, population)
            group = layer("dense" if recurrent is None else "dense_rec")
            _write_dense(group, connection, population, recurrent)
        shape = population.shape


def _write_input_neurons(group: h5py.Group, connection: OneToOne, population: Population) -> None:
    group["weight"] = np.int32(connection.weight)
    group["bias"] = np.int32(file_bias(population).flat[0])
    _write_neuron(group, neuron_of(population))


def _write_conv(group: h5py.Group, connection: Conv, population: Population) -> None:
    group["shape"] = np.array(population.shape, np.int32)
    group["weight"] = connection.weight.astype("<i2")
    for field in ("stride", "padding", "dilation"):
        group[field] = np.array(getattr(connection, field), np.int32)
    group["groups"] = np.int32(connection.groups)
    bias = _bias_over(population)
    per_channel = bias[:, 0, 0]
    if bias.any():
        uniform = np.array_equal(bias, np.broadcast_to(per_channel[:, None, None], bias.shape))
        group["bias"] = (per_channel if uniform else bias.transpose(2, 1, 0)).astype("<i4")
    _write_neuron(group, neuron_of(population))


def _write_dense(group: h5py.Group, connection: Dense, population: Population, recurrent: Dense | None) -> None:
    group["shape"] = np.array(population.shape, np.int32)
    group["weight"] = connection.weight.astype("<i2")
    if recurrent is not None:
        group["weight_rec"] = recurrent.weight.astype("<i2")
    delay = connection.delay
    if delay.any():
        # netx knows (), (out,) and (out, in); it reads (out,) per output even where as many inputs lead there.
        group["delay"] = (delay[:, 0] if delay.ndim == 2 and delay.shape[1] == 1 else delay).astype("<i4")
    bias = _bias_over(population)
    if bias.any():
        group["bias"] = bias.astype("<i4")
    _write_neuron(group, neuron_of(population))


def _bias_over(population: Population) -> np.ndarray:
    """The file's bias of every neuron."""
    return Cuba(v_th_mant=1, bias_mant=file_bias(population)).bias_over(population.shape)


def _write_neuron(group: h5py.Group, neuron: Cuba) -> None:
    params = group.create_group("neuron")
    params["type"] = np.bytes_("CUBA")
    for field, value in (("iDecay", neuron.i_decay), ("vDecay", neuron.v_decay), ("vThMant", neuron.v_th_mant)):
        params[field] = np.int32(value)


def _write_extras(group: h5py.Group, network: Network) -> None:
    names = [p.name for p in network.populations]
    chain = as_chain(network)
    connections = [c for c, _ in chain] + [r for _, p in chain for r in network.recurrent(p.name)]
    source = network.sources[0].neuron
    exponents = [neuron_of(p).bias_exp for _, p in chain]
    version = 1
    if getattr(source, "signed", False):
        version = 2
        group["signed"] = np.int32(1)
    if any(exponent != STATE_SHIFT for exponent in exponents):
        version = 2
        group["bias_exp"] = np.array(exponents, np.int32)
    group["format"] = np.int32(version)
    group["n_steps"] = np.int32(network.n_steps)
    group["payload_bits"] = np.int32(getattr(source, "payload_bits", 0))
    group["populations"] = np.bytes_(json.dumps(names))
    group["readout_population"] = np.int32(names.index(network.readout.population))
    group["readout_kind"] = np.bytes_(network.readout.kind)
    # Connections may be listed in any order: the forward ones are counted first, then the recurrent ones.
    group["connections"] = np.array([connections.index(c) for c in network.connections], np.int32)
    group["fingerprint"] = np.bytes_(network.fingerprint())
