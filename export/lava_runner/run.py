"""Run `.net` files in real Lava and record every neuron at every timestep.

    python run.py JOBS.json

JOBS.json is a list; each job: `net` (path), `inputs` (.npy, int32, (n_samples, n_steps or 1, *shape) in Lava's order:
(W, H, C), or (F,) where the first layer is dense), `n_steps`, `payload_bits`, `input_bias` (see below, or null), `gap`
(empty timesteps between samples, 0 or 1), `num_layers` (of the file, or null for all), `layers` (how many are built),
`out` (an existing folder), `fast_conv`. Into `out` go `<layer>.u.npy`, `<layer>.v.npy` (int32) and `<layer>.spikes.npy`
(uint8), each (n_steps, n_samples, *shape), and at the very end `result.json`.

All samples go through in one pipelined run. The source sends local step n of sample k at Lava's step t = k P + n; each
layer adds one step, so layer i (from 0) works on it at t = k P + n + i + 1. Layer i is reset there, by netx's
`reset_offset=1`. K samples through L layers take K P + L steps. P, the period, is the sample length T; see `clearing`
for networks that keep more than `u` and `v`.

An input layer with neurons is layer 0 and has no synapse, so every layer works one step earlier. netx leaves its input
to the caller. Here a source speaks to the neurons' `a_in`, and `input_bias` becomes their bias. netx would have the
caller set the bias at every step instead, which passes the current by; so the current must forget at once (`du` 4095)
whatever the file says, for both to give the same membrane.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
CHANNEL_SLOTS = 2  # shared-memory slots per channel; the default of 64 fills a small /dev/shm. Results are identical.


def main(jobs_file: str) -> None:
    """Run every job of the file; any failure ends the process with a traceback and a non-zero status."""
    sys.path[:0] = [str(HERE), str(HERE / "probes")]
    import shim

    shim.install()
    for job in json.loads(Path(jobs_file).read_text()):
        if job["fast_conv"]:
            shim.fast_conv()
        _run(job)


def _run(job: dict) -> None:
    started = time.perf_counter()
    net, source, steps = _assemble(job)
    _simulate(source, steps)
    with contextlib.suppress(AttributeError):
        net.net_config.f.close()  # netx leaves the HDF5 file open
    result = {
        "layers_built": len(net.layers),
        "steps": steps,
        "seconds": time.perf_counter() - started,
        "versions": {name: version(name) for name in ("lava-nc", "lava-dl", "numpy", "scipy")},
    }
    partial = Path(job["out"]) / "result.json.partial"
    partial.write_text(json.dumps(result))
    os.replace(partial, partial.with_suffix(""))


def _assemble(job: dict):
    """Build the network with its source and probes. Returns (network, source, number of Lava steps)."""
    import clearing
    from lava.lib.dl.netx import hdf5
    from lava.proc.io.source import RingBuffer

    n_steps = job["n_steps"]
    inputs = np.load(job["inputs"], allow_pickle=False)
    n_samples = len(inputs)
    has_neurons = job["input_bias"] is not None
    lead = 0 if has_neurons else 1  # layer i works on local step n of sample k at t = k P + n + i + lead
    gap = job["gap"]
    period = n_steps + gap
    net = hdf5.Network(
        net_config=job["net"],
        num_layers=job["num_layers"],
        input_message_bits=job["payload_bits"],
        reset_interval=period,
        reset_offset=lead,
    )
    if len(net.layers) != job["layers"]:
        raise SystemExit(f"netx built {len(net.layers)} layers of {job['net']}, the network has {job['layers']}")

    shape = inputs.shape[2:]
    stream = np.zeros((n_samples, period, *shape), np.int32)
    stream[:, :n_steps] = inputs
    source = RingBuffer(data=np.ascontiguousarray(np.moveaxis(stream.reshape(-1, *shape), 0, -1)))
    if has_neurons:
        neuron = net.in_layer.neuron
        neuron.du.init = 4095
        neuron.bias_mant.init = np.full(shape, job["input_bias"], np.int32)
        source.s_out.connect(neuron.a_in)
    else:
        source.s_out.connect(net.inp)
    for i, layer in enumerate(net.layers):
        if gap:
            clearing.clear(layer, period=period, first_step=i + lead + 1)
        _watch(layer, i, job["out"], (n_steps, n_samples), first_step=i + lead + 1, period=period)
    return net, source, n_samples * period - gap + len(net.layers) - 1 + lead


def _watch(layer, i: int, out: str, sizes: tuple[int, int], *, first_step: int, period: int) -> None:
    """Record a layer's neurons into files of (n_steps, n_samples, *shape)."""
    from layer_probe import LayerProbe

    shape = tuple(int(n) for n in layer.neuron.v.shape)
    files = {}
    for name, dtype in (("u", np.int32), ("v", np.int32), ("spikes", np.uint8)):
        files[name] = str(Path(out) / f"{i}.{name}.npy")
        np.lib.format.open_memmap(files[name], mode="w+", dtype=dtype, shape=(*sizes, *shape))
    probe = LayerProbe(shape=shape, files=files, first_step=first_step, period=period)
    probe.u.connect_var(layer.neuron.u)
    probe.v.connect_var(layer.neuron.v)
    layer.neuron.s_out.connect(probe.spikes)


def _simulate(process, steps: int) -> None:
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg

    process.run(
        condition=RunSteps(num_steps=steps),
        run_cfg=Loihi2SimCfg(select_tag="fixed_pt"),
        compile_config={"pypy_channel_size": CHANNEL_SLOTS},
    )
    process.stop()


if __name__ == "__main__":
    main(sys.argv[1])
