"""The chip's equations for a chain of layers, in loops and Python's integers: slow, and plain enough to trust."""

import numpy as np
from spikeport import hw
from spikeport.export import netx


def convolve(weight, stride, padding, dilation, groups, z):
    """Cross-correlation of one (C, H, W) integer image, by loops."""
    out_channels, in_group, kernel_h, kernel_w = weight.shape
    padded = np.pad(z, [(0, 0), (padding[0],) * 2, (padding[1],) * 2])
    height = (padded.shape[1] - dilation[0] * (kernel_h - 1) - 1) // stride[0] + 1
    width = (padded.shape[2] - dilation[1] * (kernel_w - 1) - 1) // stride[1] + 1
    out = np.zeros((out_channels, height, width), np.int64)
    for o, y, x in np.ndindex(*out.shape):
        first = o // (out_channels // groups) * in_group
        for c, ky, kx in np.ndindex(in_group, kernel_h, kernel_w):
            pixel = padded[first + c, y * stride[0] + ky * dilation[0], x * stride[1] + kx * dilation[1]]
            out[o, y, x] += int(weight[o, c, ky, kx]) * int(pixel)
    return out


def synaptic_sum(connection, z, shape):
    """What one timestep's spikes `z` (C, H, W) or (F,) add to a population of `shape`, delays left aside."""
    if isinstance(connection, hw.Conv):
        geometry = (connection.stride, connection.padding, connection.dilation, connection.groups)
        return convolve(connection.weight, *geometry, z)
    if isinstance(connection, hw.OneToOne):
        return int(connection.weight) * z
    return (connection.weight.astype(np.int64) @ z.reshape(-1)).reshape(shape)


def delayed_sum(connection, history, t, shape):
    """The sum that arrives at step t. history: the source's spikes of steps 0, 1, ...; a loop hears step t - 1."""
    if not isinstance(connection, hw.Dense):
        return synaptic_sum(connection, history[t], shape)
    total = np.zeros(shape, np.int64)
    delays = np.broadcast_to(connection.delay, connection.weight.shape)
    for (o, i), weight in np.ndenumerate(connection.weight):
        sent = t - int(delays[o, i]) - (connection.source == connection.target)
        if sent >= 0:
            total[o] += int(weight) * int(history[sent].reshape(-1)[i])
    return total


def decay(x, constant):
    return int(np.sign(x)) * (abs(int(x)) * (4096 - constant) // 4096)


def neuron_step(u, v, a, bias, neuron):
    """One neuron, one timestep, in Python's integers. bias: with its exponent applied."""
    u = decay(u, neuron.i_decay) + (int(a) << 6)
    if u > 1 << 23:
        u -= 1 << 24
    elif u <= -(1 << 23):
        u += 1 << 24
    v = decay(v, neuron.v_decay) + u + int(bias)
    v = max(-(1 << 23) + 1, min((1 << 23) - 1, v))
    spike = v > neuron.v_th_mant << 6
    return u, 0 if spike else v, spike


def twin(network, inputs):
    """inputs: (B, *shape) or (T, B, *shape). Returns {population: {u, v, spikes}}, each (T, B, *shape)."""
    n_steps, source = network.n_steps, network.sources[0]
    if inputs.ndim == 1 + len(source.shape):
        inputs = np.repeat(inputs[None], n_steps, axis=0)
    records = {
        p.name: {q: np.zeros((n_steps, inputs.shape[1], *p.shape), np.int64) for q in ("u", "v", "spikes")}
        for p, _ in network.neurons
    }
    for sample in range(inputs.shape[1]):
        sent = {name: record["spikes"][:, sample] for name, record in records.items()}
        sent[source.name] = inputs[:, sample].astype(np.int64)
        for _, population in netx.as_chain(network):
            run_population(network, population, sent, records[population.name], sample)
    return records


def run_population(network, population, sent, record, sample):
    shape, neuron = population.shape, population.neuron
    u, v = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    bias = neuron.bias_over(shape).astype(np.int64) << neuron.bias_exp
    for t in range(network.n_steps):
        a = sum(delayed_sum(c, sent[c.source], t, shape) for c in network.incoming(population.name))
        z = sent[population.name][t]  # a view into the record: a loop reads it in the next step
        for i in np.ndindex(*shape):
            u[i], v[i], z[i] = neuron_step(u[i], v[i], a[i], bias[i], neuron)
        record["u"][t, sample], record["v"][t, sample] = u, v
