"""Build network graphs from Lava's processes, run them, and record every neuron at every timestep.

    python graph.py JOBS.json

JOBS.json is a list; each job: `arrays` (.npz: `inputs`, int32 (n_samples, n_steps, *shape); by number `bias.<i>` of
populations, `weight.<i>` and `delay.<i>` of connections, all in Lava's order, (W, H, C) or (F,)), `n_steps`, `source`
(name, payload_bits), `populations` (name, shape, level, neuron parameters), `connections` (source, target, kind and its
settings), `out` (an existing folder), `fast_conv`. Into `out` go `<population>.u.npy`, `.v.npy` (int32) and
`.spikes.npy` (uint8), each (n_steps, n_samples, *shape), and at the very end `result.json`.

The source sends local step n of sample k at Lava's step t = k P + n; a population of level l works on it at
t = k P + n + l. It is reset there, so samples are independent. A connection that skips levels starts from relays of its
source, or from a source shifted in time, so that all of a population's input is of one local step.

The period P is the sample length, but for graphs whose synapses remember (recurrent or delayed), in which one empty
step follows every sample and Lava's own Reset clears the synapses around it: a delayed one at the end of the target's
last step (its source is then in its empty step, so all it holds is of the old sample), a recurrent one at the end of
the target's empty step.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
CHANNEL_SLOTS = 2  # shared-memory slots per channel; the default of 64 fills a small /dev/shm. Results are identical.
RELAY = {"weight": 2, "vth": 1}
GROUPS_MAX = 127


def main(jobs_file: str) -> None:
    """Run every job of the file; any failure ends the process with a traceback and a non-zero status."""
    sys.path[:0] = [str(HERE), str(HERE / "probes")]
    import shim

    shim.install()
    for job in json.loads(Path(jobs_file).read_text()):
        if job["fast_conv"]:
            shim.fast_conv()
        started = time.perf_counter()
        graph = Graph(job)
        graph.run()
        result = {
            "layers_built": len(graph.neurons),
            "seconds": time.perf_counter() - started,
            "versions": {name: version(name) for name in ("lava-nc", "lava-dl", "numpy", "scipy")},
        }
        partial = Path(job["out"]) / "result.json.partial"
        partial.write_text(json.dumps(result))
        os.replace(partial, partial.with_suffix(""))


class Graph:
    """The processes of one job, connected."""

    def __init__(self, job: dict) -> None:
        self.job = job
        with np.load(job["arrays"], allow_pickle=False) as archive:
            self.arrays = dict(archive)
        self.n_samples, self.n_steps = self.arrays["inputs"].shape[:2]
        self.remembers = any(c["kind"] == "delay_dense" or c["source"] == c["target"] for c in job["connections"])
        self.period = self.n_steps + self.remembers
        self.populations = {p["name"]: p for p in job["populations"]}
        depth = max(p["level"] for p in job["populations"])
        self.steps = self.n_samples * self.period + depth
        self.sources: dict[int, object] = {}
        self.relays: dict[tuple[str, int], object] = {}
        self.neurons = {name: self._neurons(i, p) for i, (name, p) in enumerate(self.populations.items())}
        for index, connection in enumerate(job["connections"]):
            self._connect(index, connection)
        for index, name in enumerate(self.populations):
            self._watch(index, name)

    def run(self) -> None:
        """Run all samples to their end."""
        from lava.magma.core.run_conditions import RunSteps
        from lava.magma.core.run_configs import Loihi2SimCfg

        process = next(iter(self.neurons.values()))
        process.run(
            condition=RunSteps(num_steps=self.steps),
            run_cfg=Loihi2SimCfg(select_tag="fixed_pt"),
            compile_config={"pypy_channel_size": CHANNEL_SLOTS},
        )
        process.stop()

    def _neurons(self, index: int, population: dict):
        from lava.proc.lif.process import LIFReset

        return LIFReset(
            shape=tuple(population["shape"]),
            du=population["du"],
            dv=population["dv"],
            vth=population["vth"],
            bias_mant=self.arrays[f"bias.{index}"].astype(np.int32),
            bias_exp=population["bias_exp"],
            reset_interval=self.period,
            reset_offset=population["level"] + 1,
        )

    def _connect(self, index: int, connection: dict) -> None:
        """Connect one synapse process, its source's spikes delayed until they are of its target's local step."""
        from lava.proc.conv.process import Conv
        from lava.proc.dense.process import DelayDense, Dense

        source, target = connection["source"], self.neurons[connection["target"]]
        level = self.populations[connection["target"]]["level"]
        recurrent = source == connection["target"]
        spikes = target.s_out if recurrent else self._spikes(source, level - 1)
        bits = self.job["source"]["payload_bits"] if source == self.job["source"]["name"] else 0
        weight = self.arrays[f"weight.{index}"]
        if connection["kind"] == "conv":
            geometry = {name: tuple(connection[name]) for name in ("stride", "padding", "dilation")}
            synapse = Conv(
                weight=weight,
                input_shape=tuple(connection["input_shape"]),
                groups=connection["groups"],
                num_message_bits=bits,
                **geometry,
            )
            spikes.connect(synapse.s_in)
            synapse.a_out.connect(target.a_in)
            return
        settings = {"num_message_bits": bits, "num_weight_bits": connection["num_weight_bits"]}
        if connection["kind"] == "delay_dense":
            synapse = DelayDense(weights=weight, delays=self.arrays[f"delay.{index}"], **settings)
        else:
            synapse = Dense(weights=weight, **settings)
        spikes.flatten().connect(synapse.s_in)
        synapse.a_out.reshape(target.a_in.shape).connect(target.a_in)
        if self.remembers:
            self._clear(synapse.a_buff, level if recurrent else level - 1)

    def _clear(self, buffer, remainder: int) -> None:
        """Clear a synapse's buffer at the end of every step t with t = remainder modulo the period."""
        from lava.proc.io.reset import Reset

        # Reset acts at the end of the steps t with (t - 1) % interval == offset.
        Reset(interval=self.period, offset=(remainder - 1) % self.period).connect_var(buffer)

    def _spikes(self, name: str, level: int):
        """The port that sends a population's spikes as if it were of the given level, its own or later."""
        if name == self.job["source"]["name"]:
            return self._source(level).s_out
        late = level - self.populations[name]["level"]
        process = self.neurons[name]
        for step in range(late):
            if (name, step) not in self.relays:
                self.relays[name, step] = _relay(process, tuple(self.populations[name]["shape"]))
            process = self.relays[name, step]
        return process.s_out

    def _source(self, late: int):
        """What the source sends, `late` timesteps later."""
        from lava.proc.io.source import RingBuffer

        if late not in self.sources:
            inputs = self.arrays["inputs"]
            shape = inputs.shape[2:]
            stream = np.zeros((self.n_samples, self.period, *shape), np.int32)
            stream[:, : self.n_steps] = inputs
            stream = stream.reshape(-1, *shape)
            data = np.zeros((self.steps, *shape), np.int32)
            data[late:][: len(stream)] = stream[: self.steps - late]
            self.sources[late] = RingBuffer(data=np.ascontiguousarray(np.moveaxis(data, 0, -1)))
        return self.sources[late]

    def _watch(self, index: int, name: str) -> None:
        from layer_probe import LayerProbe

        neurons, population = self.neurons[name], self.populations[name]
        shape = tuple(population["shape"])
        files = {}
        for quantity, dtype in (("u", np.int32), ("v", np.int32), ("spikes", np.uint8)):
            files[quantity] = str(Path(self.job["out"]) / f"{index}.{quantity}.npy")
            sizes = (self.n_steps, self.n_samples, *shape)
            np.lib.format.open_memmap(files[quantity], mode="w+", dtype=dtype, shape=sizes)
        probe = LayerProbe(shape=shape, files=files, first_step=population["level"] + 1, period=self.period)
        probe.u.connect_var(neurons.u)
        probe.v.connect_var(neurons.v)
        neurons.s_out.connect(probe.spikes)


def _relay(process, shape: tuple[int, ...]):
    """Neurons that repeat another process's spikes one timestep later."""
    from lava.proc.conv.process import Conv
    from lava.proc.dense.process import Dense
    from lava.proc.lif.process import LIF

    neurons = LIF(shape=shape, du=4095, dv=0, vth=RELAY["vth"], bias_mant=0)
    if len(shape) == 1:
        synapse = Dense(weights=RELAY["weight"] * np.eye(shape[0], dtype=np.int32))
    else:
        channels = shape[-1]
        groups = max(g for g in range(1, min(channels, GROUPS_MAX) + 1) if channels % g == 0)
        per_group = channels // groups
        kernel = np.tile(np.eye(per_group, dtype=np.int32), (groups, 1)).reshape(channels, 1, 1, per_group)
        synapse = Conv(weight=RELAY["weight"] * kernel, input_shape=shape, groups=groups)
    process.s_out.connect(synapse.s_in)
    synapse.a_out.connect(neurons.a_in)
    return neurons


if __name__ == "__main__":
    main(sys.argv[1])
