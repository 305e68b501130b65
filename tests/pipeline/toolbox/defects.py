"""A simulator with one defect: neuron by neuron and synapse by synapse, in Python numbers. Not a test.

It shares no arithmetic with the package, so what it gives is evidence about the package's own variants.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from spikeport import hw
from spikeport.export.traces import Recording

LIMIT = 2**23


def _trunc(x: float) -> int:
    return math.trunc(x)


@dataclass(frozen=True, kw_only=True)
class Defect:
    """The chip's behaviour unless changed. weight: a weight as multiplied. tap: where a kernel entry is looked up.

    lead: timesteps each neuron runs, on its bias alone, before the first sample. clear: whether a state is cleared at
    timestep t of the whole row of samples, for samples of T timesteps.
    """

    weight: Callable[[int], int] = lambda w: w
    tap: Callable[[int, int, int], tuple[int, int]] = lambda y, x, size: (y, x)
    transposed: bool = False
    flat: Callable[[np.ndarray], np.ndarray] = lambda x: x
    payload: Callable[[int], int] = lambda p: p
    delay: Callable[[int], int] = lambda d: d
    late: int = 0
    keep: Callable[[int, int], float] = lambda x, decay: _trunc(x * (4096 - decay) / 4096)
    u_limit: Callable[[float], float] = lambda u: u - 2 * LIMIT if u > LIMIT else u + 2 * LIMIT if u <= -LIMIT else u
    v_limit: Callable[[float], float] = lambda v: max(-LIMIT + 1, min(LIMIT - 1, v))
    bias: Callable[[int, int], int] = lambda bias, step: bias * 64
    fires: Callable[[float, int], bool] = lambda v, threshold: v > threshold
    after: Callable[[float, int], float] = lambda v, threshold: 0
    u_after: Callable[[float], float] = lambda u: u
    shown: Callable[[float, float, bool], float] = lambda before, after, z: after
    continuous: bool = False
    lead: int = 0
    clear: Callable[[int, int], bool] = lambda t, steps: t % steps == 0


CHIP = Defect()


def run(network: hw.Network, inputs: np.ndarray, defects: dict[str, Defect]) -> Recording:
    """The whole network on inputs (T, B, *S), some layers defective."""
    spikes: dict[str, np.ndarray] = {network.sources[0].name: inputs}
    values = {}
    for population, neuron in network.neurons:
        defect = defects.get(population.name, CHIP)
        values[population.name] = _layer(network, population, neuron, spikes, defect)
        spikes[population.name] = values[population.name]["spikes"]
    return Recording(where="the reference", inputs=inputs, values=values)


def _layer(network, population, neuron, spikes, defect):
    steps, samples = next(iter(spikes.values())).shape[:2]
    wires = [
        (start, end, weight, delay, connection.source)
        for connection in network.incoming(population.name)
        for start, end, weight, delay in _synapses(connection, network[connection.source].shape, population, defect)
    ]
    rows = {}
    for source in {wire[4] for wire in wires} - {population.name}:
        flat = np.array([[defect.flat(x).reshape(-1) for x in step] for step in spikes[source]])
        rows[source] = _rows(flat, defect)
    length, width = (defect.lead + steps * samples, 1) if defect.continuous else (steps, samples)
    bias = np.broadcast_to(neuron.bias_over(population.shape), population.shape).reshape(-1)
    out = {name: np.zeros((length, width, population.size)) for name in ("u", "v", "spikes")}
    u, v = np.zeros((width, population.size)), np.zeros((width, population.size))
    for t in range(length):
        if defect.continuous and defect.clear(t - defect.lead, steps):
            u[:], v[:] = 0, 0
        sums = np.zeros((width, population.size), dtype=int)
        for start, end, weight, delay, source in wires:
            own = source == population.name
            sent = t - delay - own - (0 if own else defect.late)
            if 0 <= sent < length:
                events = out["spikes"] if own else rows[source]
                for b in range(width):
                    sums[b, end] += weight * defect.payload(int(events[sent, b, start]))
        for b, n in np.ndindex(width, population.size):
            u[b, n], v[b, n], out["u"][t, b, n], out["v"][t, b, n], out["spikes"][t, b, n] = _neuron(
                neuron, defect, u[b, n], v[b, n], int(sums[b, n]), int(bias[n]), (t - defect.lead) % steps
            )
    return {name: _shaped(array, defect, steps, population.shape) for name, array in out.items()}


def _neuron(neuron, defect, u, v, a, bias, step):
    threshold = neuron.v_th_mant * 64
    u = defect.u_limit(defect.keep(u, neuron.i_decay) + a * 64)
    before = defect.v_limit(defect.keep(v, neuron.v_decay) + u + defect.bias(bias, step))
    z = defect.fires(before, threshold)
    v = defect.after(before, threshold) if z else before
    u = defect.u_after(u) if z else u
    return u, v, u, defect.shown(before, v, z), z


def _rows(flat: np.ndarray, defect: Defect) -> np.ndarray:
    if not defect.continuous:
        return flat
    row = flat.swapaxes(0, 1).reshape(-1, 1, flat.shape[2])
    return np.concatenate([np.zeros((defect.lead, 1, flat.shape[2]), row.dtype), row])


def _shaped(array: np.ndarray, defect: Defect, steps: int, shape: hw.Shape) -> np.ndarray:
    if defect.continuous:
        array = array[defect.lead :, 0].reshape(-1, steps, array.shape[2]).swapaxes(0, 1)
    return np.rint(array).astype(np.int64).reshape(*array.shape[:2], *shape)


def _synapses(connection, source: hw.Shape, population: hw.Population, defect: Defect):
    """(source index, target index, weight, delay) of every synapse."""
    if isinstance(connection, hw.OneToOne):
        return [(n, n, int(connection.weight), 0) for n in range(population.size)]
    if isinstance(connection, hw.Dense):
        matrix = connection.weight.T if defect.transposed else connection.weight
        delay = np.broadcast_to(connection.delay, connection.weight.shape)
        return [
            (i, o, defect.weight(int(matrix[o, i])), defect.delay(int(delay[o, i])))
            for o, i in np.ndindex(matrix.shape)
        ]
    found = []
    target = population.shape
    per_group = target[0] // connection.groups
    for o, y, x in np.ndindex(*target):
        for i, ky, kx in np.ndindex(*connection.weight.shape[1:]):
            channel = (o // per_group) * connection.weight.shape[1] + i
            row = y * connection.stride[0] - connection.padding[0] + ky * connection.dilation[0]
            column = x * connection.stride[1] - connection.padding[1] + kx * connection.dilation[1]
            if 0 <= row < source[1] and 0 <= column < source[2]:
                ry, rx = defect.tap(ky, kx, connection.weight.shape[2])
                weight = defect.weight(int(connection.weight[o, i, ry, rx]))
                found.append(
                    ((channel * source[1] + row) * source[2] + column, (o * target[1] + y) * target[2] + x, weight, 0)
                )
    return found


def shifted(recording: Recording, layer: str, steps: int) -> Recording:
    """The same recording with one layer's rows `steps` later (earlier if negative), rubbish where nothing is known."""

    def moved(array: np.ndarray) -> np.ndarray:
        rolled = np.roll(array, steps, axis=0)
        unknown = slice(None, steps) if steps > 0 else slice(steps, None)
        rolled[unknown] = 1
        return rolled

    values = {**recording.values, layer: {name: moved(array) for name, array in recording.values[layer].items()}}
    return replace(recording, values=values)
