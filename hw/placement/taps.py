"""One axis of a convolution, seen from the neurons of one core: which inputs reach which outputs, by which tap.

A convolution is the product of its two axes, so all counts of a block of neurons follow from two of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Axis:
    """in_size: inputs along the axis. start, stop: outputs of the core. before: zeros in front of the inputs."""

    in_size: int
    start: int
    stop: int
    kernel: int
    stride: int
    before: int
    dilation: int = 1

    @cached_property
    def taps(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """For each input, its (tap, output - start) pairs in ascending order of the output."""
        found: list[list[tuple[int, int]]] = [[] for _ in range(self.in_size)]
        for output in range(self.start, self.stop):
            for tap in range(self.kernel):
                at = output * self.stride + tap * self.dilation - self.before
                if 0 <= at < self.in_size:
                    found[at].append((tap, output - self.start))
        return tuple(map(tuple, found))

    @cached_property
    def fan_out(self) -> np.ndarray:
        """int64 (in_size,): synapses of each input onto the core, along this axis."""
        return np.array([len(pairs) for pairs in self.taps], np.int64)

    @cached_property
    def reached(self) -> np.ndarray:
        """bool (in_size,): the inputs with a synapse onto the core."""
        return self.fan_out > 0

    @cached_property
    def runs(self) -> Runs:
        """The outputs cut into runs, and the inputs that may share their synapses."""
        return _runs(self.taps, self.stop - self.start)


@dataclass(frozen=True, kw_only=True)
class Runs:
    """How NxTF shares the synapses of a convolution between the columns of its input.

    Columns of the target are cut into runs; compartments are numbered so that the same place of two neighbouring runs
    lies one compartment apart, the step by which an axon can shift its synapses (its base). Two columns of the input
    share one list of synapses where tap, place in the run, and run counted from the base are all the same.

    sizes: columns of each run. patterns: the distinct lists, each ((tap, place, run - base), ...).
    Source: NxTF, `nxsdk_modules_ncl/dnn/src/utils.py`.
    """

    sizes: tuple[int, ...]
    patterns: tuple[tuple[tuple[int, int, int], ...], ...]


def _runs(taps: tuple[tuple[tuple[int, int], ...], ...], n_outputs: int) -> Runs:
    """A run begins at an input whose first output is the first one not yet in a run, and takes all of its outputs."""
    place: dict[int, tuple[int, int]] = {}  # output -> (run, place in it)
    sizes: list[int] = []
    bases: list[int] = []
    for pairs in taps:
        outputs = sorted({output for _, output in pairs})
        if outputs and outputs[0] == len(place):
            _open_run(place, sizes, outputs[-1] + 1)
        bases.append(len(sizes) - 1)
    if len(place) < n_outputs:
        _open_run(place, sizes, n_outputs)
    lists = (
        tuple((tap, place[output][1], place[output][0] - base) for tap, output in pairs)
        for pairs, base in zip(taps, bases, strict=True)
        if pairs
    )
    return Runs(sizes=tuple(sizes), patterns=tuple(dict.fromkeys(lists)))


def _open_run(place: dict[int, tuple[int, int]], sizes: list[int], stop: int) -> None:
    start = len(place)
    place |= {output: (len(sizes), output - start) for output in range(start, stop)}
    sizes.append(stop - start)
