"""Small networks to be placed, chips with tiny cores, and synapses one by one. Not a test."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from hypothesis import strategies as st
from spikeport import hw

LOIHI1, LOIHI2 = hw.CHIPS["loihi1"], hw.CHIPS["loihi2"]


def tiny(chip: hw.Chip, **limits: int | None) -> hw.Chip:
    """A chip with other limits."""
    return dataclasses.replace(chip, cores=dataclasses.replace(chip.cores, **limits))


def network(shapes, connections) -> hw.Network:
    """shapes: {name: shape}, the first one the source, the last one the read-out."""
    names = list(shapes)
    populations = tuple(
        hw.Population(name=name, shape=shapes[name], neuron=hw.Cuba(v_th_mant=100) if i else hw.Source())
        for i, name in enumerate(names)
    )
    return hw.Network(
        populations=populations,
        connections=tuple(connections),
        readout=hw.Readout(population=names[-1], kind="spike_count"),
        n_steps=4,
    )


def weights(*shape: int, largest: int = 254) -> np.ndarray:
    """Even weights of both signs, the extremes of 8 bits among them where `largest` is 254."""
    n = int(np.prod(shape))
    values = 2 * (np.arange(n) * 37 % (largest + 1) - largest // 2)
    values[: min(n, 2)] = [-largest - 2, largest][: min(n, 2)]
    return values.reshape(shape)


def dense(n_in: int, *sizes: int, largest: int = 254) -> hw.Network:
    """A chain of fully connected populations l1, l2, ... behind `in`."""
    shapes, connections, before = {"in": (n_in,)}, [], "in"
    for i, size in enumerate(sizes, start=1):
        shapes[f"l{i}"] = (size,)
        weight = weights(size, shapes[before][0], largest=largest)
        connections.append(hw.Dense(source=before, target=f"l{i}", weight=weight))
        before = f"l{i}"
    return network(shapes, connections)


@st.composite
def mixed(draw) -> hw.Network:
    """in (C, H, W) -> conv `a` -> conv `b` -> perhaps one-to-one `c` -> dense `d`, perhaps recurrent."""
    side = st.integers(2, 6)
    source = (draw(st.sampled_from([1, 2, 4])), draw(side), draw(side))
    shapes, connections, before = {"in": source}, [], "in"
    for name in ("a", "b"):
        groups = draw(st.sampled_from([g for g in (1, 2) if shapes[before][0] % g == 0]))
        out = groups * draw(st.integers(1, 3))
        kernel = draw(st.sampled_from([1, 2, 3]))
        dilation = draw(st.sampled_from([1, 2])) if kernel > 1 else 1
        connection = hw.Conv(
            source=before,
            target=name,
            weight=weights(out, shapes[before][0] // groups, kernel, kernel, largest=draw(st.sampled_from([6, 254]))),
            stride=(draw(st.integers(1, 2)), draw(st.integers(1, 2))),
            padding=(dilation * (kernel - 1), draw(st.integers(dilation * (kernel - 1), 2 * kernel))),
            dilation=(dilation, dilation),
            groups=groups,
        )
        shapes[name] = connection.out_shape(shapes[before])
        connections.append(connection)
        before = name
    if draw(st.booleans()):
        shapes["c"] = shapes[before]
        connections.append(hw.OneToOne(source=before, target="c", weight=np.array(64)))
        before = "c"
    n = int(np.prod(shapes[before]))
    shapes["d"] = (draw(st.integers(1, 7)),)
    connections.append(hw.Dense(source=before, target="d", weight=weights(shapes["d"][0], n)))
    if draw(st.booleans()):
        connections.append(hw.Dense(source="d", target="d", weight=weights(shapes["d"][0], shapes["d"][0])))
    return network(shapes, connections)


def synapses(net: hw.Network, connection: hw.Connection):
    """Every synapse of a connection as (source coordinates, target coordinates, taps), the slow and obvious way."""
    source, target = net[connection.source].shape, net[connection.target].shape
    everywhere = [list(itertools.product(*map(range, shape))) for shape in (source, target)]
    if isinstance(connection, hw.Dense):
        for a, b in itertools.product(*everywhere):
            yield a, b, ()
    elif isinstance(connection, hw.OneToOne):
        for a in everywhere[0]:
            yield a, a, ()
    else:
        out, width, n_rows, n_columns = connection.weight.shape
        for f, y, x in everywhere[1]:
            group = f // (out // connection.groups)
            for c, ky, kx in itertools.product(range(width), range(n_rows), range(n_columns)):
                row = y * connection.stride[0] + ky * connection.dilation[0] - connection.padding[0]
                column = x * connection.stride[1] + kx * connection.dilation[1] - connection.padding[1]
                if 0 <= row < source[1] and 0 <= column < source[2]:
                    yield (group * width + c, row, column), (f, y, x), (ky, kx)


def inside(part, place) -> bool:
    """Whether a neuron lies in a part."""
    return all(a <= i < b for a, i, b in zip(part.start, place, part.stop, strict=True))
