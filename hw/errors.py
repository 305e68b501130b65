"""Every error Spikeport raises on purpose.

    SpikeportError
    |-- BadInput            a recipe, file, array or argument from outside is not what it must be
    |-- NotRepresentable    a number of the network has no equal in the chip's arithmetic
    |-- UnsupportedLayer    a kind of layer, neuron or graph this stage has no rule for
    |-- DoesNotFit          more of a resource is needed than the chip has
    `-- OracleFailed        the real Lava could not be run, or did not finish

Each message says who, which value, which limit, and the way out. `assert` is kept for our own invariants.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SpikeportError(Exception):
    """Base of all errors raised on purpose."""


class BadInput(SpikeportError):
    """Something that came from outside (recipe, file, array, argument) is not what it must be."""


class NotRepresentable(SpikeportError):
    """A number of the network has no equal in the chip's arithmetic."""


class UnsupportedLayer(SpikeportError):
    """There is no rule for this kind of layer, neuron or graph."""


class DoesNotFit(SpikeportError):
    """The network needs more of a resource than the chip has."""


class OracleFailed(SpikeportError):
    """Real Lava could not be started, failed, or ran out of time."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The tail of an unknown-name message: the nearest known name if there is one, and all of them."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}known: {', '.join(known)}"
