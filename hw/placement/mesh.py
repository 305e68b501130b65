"""Where the messages of a connection go: to which cores, and by how many steps on the chip's mesh.

Every target core gets a message of its own. Within a chip a message goes straight east or west, then straight north or
south. Steps between chips are not counted, only how many messages leave theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..chip import Mesh
from ..connections import Connection
from .place import Core, Placement

OUTSIDE = -1
"""No chip, no tile."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Traffic:
    """Of one spike of each source neuron, int64 (source shape) each.

    messages: cores it is sent to. off_chip: those of them on other chips. same_tile: those on its own tile, the core it
    comes from included. east_west, north_south: steps between tiles, over all messages that stay on the chip.

    same_tile and the steps are None where the chip's mesh is not published. A spike from outside the network has only
    messages; all else is 0 (or None).
    """

    messages: np.ndarray
    off_chip: np.ndarray
    same_tile: np.ndarray | None
    east_west: np.ndarray | None
    north_south: np.ndarray | None


def tile(core: int, mesh: Mesh) -> tuple[int, int]:
    """(column, row) of the tile of a core, by its number on its chip. The numbering is ours, row by row."""
    row, column = divmod(core // mesh.cores_per_tile, mesh.columns)
    return column, row


def traffic(placement: Placement, connection: Connection) -> Traffic:
    """The messages of a connection, see `Traffic`."""
    shape, mesh = placement.network[connection.source].shape, placement.chip.cores.mesh
    messages, off_chip, same_tile, east_west, north_south = (np.zeros(shape, np.int64) for _ in range(5))
    senders = placement.of(connection.source)
    from_chip, from_column, from_row = (np.full(shape, OUTSIDE, np.int32) for _ in range(3))
    for sender in senders:
        here = sender.part.slices
        from_chip[here] = sender.chip
        if mesh is not None:
            from_column[here], from_row[here] = _tile_of(sender, placement.chip.cores.per_chip, mesh)
    for target in placement.of(connection.target):
        listens = placement.listens(target, connection)
        messages += listens
        if not senders:
            continue
        near = listens & (from_chip == target.chip)
        off_chip += listens & ~near
        if mesh is not None:
            column, row = _tile_of(target, placement.chip.cores.per_chip, mesh)
            across, along = np.abs(from_column - column), np.abs(from_row - row)
            same_tile += near & (across + along == 0)
            east_west += near * across
            north_south += near * along
    known = mesh is not None
    return Traffic(
        messages=messages,
        off_chip=off_chip,
        same_tile=same_tile if known else None,
        east_west=east_west if known else None,
        north_south=north_south if known else None,
    )


def _tile_of(core: Core, per_chip: int, mesh: Mesh) -> tuple[int, int]:
    """(column, row) of a core's tile on its own chip."""
    return tile(core.index % per_chip, mesh)
