"""What a part takes, against a count of its synapses one by one."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport import hw
from spikeport.hw.placement import RULES, nengo, nxtf
from spikeport.hw.placement.parts import Grid
from spikeport.hw.placement.place import place
from spikeport.hw.placement.weights import loihi1_bits, weight_bits

from .nets import LOIHI1, inside, mixed, synapses, tiny

few = settings(max_examples=60, deadline=None)


@st.composite
def layouts(draw):
    """A network, one of its connections into a population, and a grid of that population."""
    net = draw(mixed())
    connection = draw(st.sampled_from(net.connections))
    shape = net[connection.target].shape
    return net, connection, Grid(shape, tuple(draw(st.integers(1, n)) for n in shape))


def loads(name, net, connection, grid):
    bits = weight_bits(connection, {})
    source = net[connection.source].shape
    return [RULES[name].load(connection, source, grid, part, bits) for part in grid.parts()]


def targets_of(net, connection, grid):
    """{source neuron: {part: [(target, taps), ...]}}"""
    found = defaultdict(lambda: defaultdict(list))
    parts = list(grid.parts())
    for a, b, taps in synapses(net, connection):
        (part,) = (i for i, box in enumerate(parts) if inside(box, b))
        found[a][part].append((b, taps))
    return found


@few
@given(layouts())
def test_nengo_counts_an_axon_per_source_neuron_and_a_list_of_synapses_each(layout):
    net, connection, grid = layout
    width, found = loihi1_bits(weight_bits(connection, {})), targets_of(net, connection, grid)
    encoding = "dense" if isinstance(connection, hw.Dense) else "sparse"
    for i, (part, usage) in enumerate(zip(grid.parts(), loads("nengo", net, connection, grid), strict=True)):
        fans = [len(cores[i]) for cores in found.values() if i in cores]
        index = max(6, (part.size - 1).bit_length())
        bits = [nengo.bits_per_axon(n, weight_bits=width, encoding=encoding, index_bits=index) for n in fans]
        assert (usage.compartments, usage.input_axons) == (part.size, len(fans))
        assert usage.synapse_words * 64 == sum(bits)


@few
@given(layouts())
def test_nxtf_shares_an_axon_per_column_among_the_neurons_that_send_to_one_core(layout):
    net, connection, grid = layout
    found = targets_of(net, connection, grid)
    for i, usage in enumerate(loads("nxtf", net, connection, grid)):
        listening = {a: len(cores) for a, cores in found.items() if i in cores}
        if not isinstance(connection, hw.Conv):
            assert usage.input_axons == len(listening)
            continue
        shared = {(c, x) for (c, _, x), n in listening.items() if n == 1}
        assert usage.input_axons == len(shared) + sum(n > 1 for n in listening.values())


@few
@given(layouts())
def test_nxtf_stores_what_two_columns_share_once(layout):
    net, connection, grid = layout
    if not isinstance(connection, hw.Conv):
        return
    width = loihi1_bits(weight_bits(connection, {}))
    found = targets_of(net, connection, grid)
    for i, (part, usage) in enumerate(zip(grid.parts(), loads("nxtf", net, connection, grid), strict=True)):
        words, compartments = shared_words(connection, found, i, part, width, net[connection.source].shape)
        assert (usage.synapse_words, usage.compartments) == (words, compartments)


def shared_words(connection, found, core, part, width, source):
    """(words, compartments) of one core: runs, bases and lists built column by column, synapse by synapse."""
    reach = [
        sorted({b[2] for a, cores in found.items() if a[2] == x and core in cores for b, _ in cores[core]})
        for x in range(source[2])
    ]
    run_of, bases, runs = {}, [], []
    for columns in reach:
        if columns and columns[0] == part.start[2] + len(run_of):
            runs.append(list(range(columns[0], columns[-1] + 1)))
            run_of |= {column: (len(runs) - 1, place) for place, column in enumerate(runs[-1])}
        bases.append(len(runs) - 1)
    left = [column for column in range(part.start[2], part.stop[2]) if column not in run_of]
    if left:
        runs.append(left)
        run_of |= {column: (len(runs) - 1, place) for place, column in enumerate(left)}
    n_rows, longest = part.sides[1], max(map(len, runs))
    lists = defaultdict(dict)  # (channel, column) -> {row: ((run - base, compartment in the run, taps), ...)}
    for (c, y, x), cores in found.items():
        if core in cores:
            lists[c, x][y] = tuple(
                sorted(
                    (
                        run_of[b[2]][0] - bases[x],
                        (b[0] - part.start[0]) * longest * n_rows + run_of[b[2]][1] * n_rows + (b[1] - part.start[1]),
                        taps,
                    )
                    for b, taps in cores[core]
                )
            )
    words = 0
    for c in range(source[0]):
        for rows in {tuple(sorted(rows.items())) for (channel, _), rows in lists.items() if channel == c}:
            bits = []
            for _, row in rows:
                steps = {step for step, _, _ in row}
                of_step = [sorted(place for of, place, _ in row if of == step) for step in steps]
                bits.append(sum(sum(nxtf.entries(places, "sparse", weight_bits=width)) for places in of_step))
            words += nxtf.group_words(bits)
    return words, longest * len(runs) * n_rows * part.sides[0]


@settings(max_examples=40, deadline=None)
@given(mixed(), st.sampled_from(["nxtf", "nengo"]))
def test_output_axons_are_the_cores_each_neuron_sends_to(net, rule):
    chip = tiny(LOIHI1, per_chip=3, compartments=24, input_axons=None, output_axons=None)
    placement = place(net, chip, rule=rule)
    expected = dict.fromkeys((core.index for core in placement.cores), 0)
    for connection in net.connections:
        reach = defaultdict(set)
        for a, b, _ in synapses(net, connection):
            reach[a].add(next(core for core in placement.of(connection.target) if inside(core.part, b)))
        assert np.array_equal(
            placement.destinations(connection),
            np.array([len(reach[a]) for a in np.ndindex(net[connection.source].shape)]).reshape(
                net[connection.source].shape
            ),
        )
        for core in placement.of(connection.source):
            expected[core.index] += sent(
                rule, connection, core, {a: c for a, c in reach.items() if inside(core.part, a)}
            )
    assert {core.index: core.usage.output_axons for core in placement.cores} == expected


def sent(rule, connection, core, reach):
    """Entries of one core for one connection, from {neuron: target cores}."""
    if rule == "nengo":
        return sum(map(len, reach.values()))
    entries = 0
    for target in {target for cores in reach.values() for target in cores}:
        groups = defaultdict(list)
        for a, cores in reach.items():
            if target in cores:
                groups[(a[0], a[2]) if isinstance(connection, hw.Conv) else a].append(len(cores))
        far = target.chip != core.chip
        if isinstance(connection, hw.OneToOne):
            entries += len(groups) * (1 + far)
        else:
            entries += sum(nxtf.output_axon_entries(group, off_chip=far) for group in groups.values())
    return entries
