"""Messages between cores: how many, and how far."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from hypothesis import given, settings
from spikeport import hw
from spikeport.hw.chip import Mesh
from spikeport.hw.placement import place, tile, traffic

from .nets import LOIHI1, LOIHI2, dense, inside, mixed, synapses, tiny

SMALL = Mesh(columns=2, rows=2, cores_per_tile=2)


def test_tiles_are_numbered_row_by_row():
    assert [tile(core, SMALL) for core in range(8)] == [(0, 0)] * 2 + [(1, 0)] * 2 + [(0, 1)] * 2 + [(1, 1)] * 2


def test_the_mesh_of_loihi_1_has_a_tile_for_every_core():
    mesh = LOIHI1.cores.mesh
    tiles = [tile(core, mesh) for core in range(LOIHI1.cores.per_chip)]
    assert set(tiles) == {(x, y) for x in range(8) for y in range(4)}
    assert all(tiles.count(place) == 4 for place in set(tiles))


@settings(max_examples=40, deadline=None)
@given(mixed())
def test_messages_and_steps_are_those_of_every_pair_of_cores(net):
    chip = tiny(LOIHI1, compartments=20, per_chip=8, mesh=SMALL, input_axons=None, output_axons=None)
    placement = place(net, chip)
    for connection in net.connections:
        reach = defaultdict(set)
        for a, b, _ in synapses(net, connection):
            reach[a].add(next(core for core in placement.of(connection.target) if inside(core.part, b)))
        counted = traffic(placement, connection)
        for a in np.ndindex(net[connection.source].shape):
            sender = next((core for core in placement.of(connection.source) if inside(core.part, a)), None)
            near = [core for core in reach[a] if sender is not None and core.chip == sender.chip]
            steps = [
                tuple(
                    abs(i - j) for i, j in zip(tile(core.index % 8, SMALL), tile(sender.index % 8, SMALL), strict=True)
                )
                for core in near
            ]
            assert counted.messages[a] == len(reach[a])
            assert counted.off_chip[a] == (0 if sender is None else len(reach[a]) - len(near))
            assert counted.same_tile[a] == steps.count((0, 0))
            assert (counted.east_west[a], counted.north_south[a]) == (
                sum(x for x, _ in steps),
                sum(y for _, y in steps),
            )


def test_where_the_mesh_is_not_published_messages_are_counted_and_steps_are_not():
    net = dense(3, 4, 2)
    placement = place(net, tiny(LOIHI2, compartments=1))
    counted = traffic(placement, net.connections[1])
    assert counted.messages.tolist() == [2] * 4
    assert counted.off_chip.tolist() == [0] * 4
    assert counted.same_tile is counted.east_west is counted.north_south is None


def test_what_comes_from_outside_has_messages_only():
    net = dense(3, 4)
    counted = traffic(place(net, tiny(LOIHI1, compartments=1, per_chip=2)), net.connections[0])
    assert counted.messages.tolist() == [4] * 3
    assert counted.off_chip.tolist() == counted.same_tile.tolist() == counted.east_west.tolist() == [0] * 3
    assert isinstance(net["in"].neuron, hw.Source)
