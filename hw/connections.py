"""Synapses: how the spikes of one population become the synaptic sums of another.

A connection whose source is its own target is recurrent: the spikes of timestep t arrive at t + 1 (plus the delay),
because a neuron cannot hear itself within one step. All others arrive within their own timestep (plus the delay).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from .errors import BadInput

Shape = tuple[int, ...]

DELAY_MAX = 62
"""Longest synaptic delay, in timesteps: Loihi's ring of 64 input slots less two (lava-dl, netx `delay`)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Dense:
    """All-to-all synapses, or recurrent ones where `source` is `target`.

    weight: int16 (out, in), `in` counting the source in C, H, W order. delay: timesteps a spike is held back on its
    way, uint8, shape () for one value, (out, 1) per target neuron, or (out, in) per synapse.
    """

    source: str
    target: str
    weight: np.ndarray
    delay: np.ndarray = field(default_factory=lambda: np.zeros((), np.uint8))

    def __post_init__(self) -> None:
        _freeze_weight(self, ndim=2)
        _freeze_delay(self)

    @property
    def recurrent(self) -> bool:
        """Whether the population speaks to itself."""
        return self.source == self.target

    @property
    def max_delay(self) -> int:
        """The longest delay of any synapse, in timesteps."""
        return int(self.delay.max())

    def out_shape(self, source: Shape) -> Shape:
        """Shape of the target; raises BadInput if the source has another size than the weight's columns.

        A recurrent connection keeps its population's shape, whatever that is.
        """
        size = math.prod(source)
        if size != self.weight.shape[1]:
            raise BadInput(
                f"{self.source} -> {self.target}: the weight {self.weight.shape} takes {self.weight.shape[1]} inputs, "
                f"but {self.source} {source} has {size} neurons"
            )
        if self.recurrent and self.weight.shape[0] == size:
            return source
        return (self.weight.shape[0],)


@dataclass(frozen=True, kw_only=True, eq=False)
class OneToOne:
    """One synapse from each neuron to the neuron of the same index, all of one weight. weight: int16 ()."""

    source: str
    target: str
    weight: np.ndarray

    def __post_init__(self) -> None:
        _freeze_weight(self, ndim=0)

    def out_shape(self, source: Shape) -> Shape:
        """Shape of the target, which is the source's."""
        return source


@dataclass(frozen=True, kw_only=True, eq=False)
class Conv:
    """Convolutional synapses, as cross-correlation (torch's `conv2d`).

    weight: int16 (out channels, in channels / groups, kernel H, kernel W). stride, padding, dilation: (H, W).
    """

    source: str
    target: str
    weight: np.ndarray
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        _freeze_weight(self, ndim=4)
        for name in ("stride", "padding", "dilation"):
            pair = tuple(int(n) for n in getattr(self, name))
            least = 0 if name == "padding" else 1
            if len(pair) != 2 or min(pair) < least:
                raise BadInput(f"{self.source} -> {self.target}: {name} {pair} must be two integers >= {least}")
            object.__setattr__(self, name, pair)
        if self.groups < 1 or self.weight.shape[0] % self.groups:
            raise BadInput(
                f"{self.source} -> {self.target}: groups={self.groups} does not divide {self.weight.shape[0]} channels"
            )

    def out_shape(self, source: Shape) -> Shape:
        """(C, H, W) of the target; raises BadInput where the source cannot be convolved with this kernel."""
        where = f"{self.source} -> {self.target}"
        if len(source) != 3:
            raise BadInput(f"{where}: a convolution needs a source of shape (C, H, W), but {self.source} has {source}")
        channels = self.weight.shape[1] * self.groups
        if channels != source[0]:
            raise BadInput(f"{where}: the weight takes {channels} channels, but {self.source} {source} has {source[0]}")
        size = []
        for axis in range(2):
            reach = self.dilation[axis] * (self.weight.shape[2 + axis] - 1) + 1
            room = source[1 + axis] + 2 * self.padding[axis] - reach
            if room < 0:
                raise BadInput(f"{where}: a kernel reaching over {reach} does not fit {self.source} {source}")
            size.append(room // self.stride[axis] + 1)
        return (self.weight.shape[0], *size)


Connection = Dense | Conv | OneToOne


def _freeze_weight(connection: Connection, ndim: int) -> None:
    """Store the weight as read-only int16; refuse fractions, other ranks and values that int16 cannot hold."""
    where = f"{connection.source} -> {connection.target}"
    given = np.asarray(connection.weight)
    if given.ndim != ndim or given.size == 0:
        raise BadInput(f"{where}: a {type(connection).__name__} weight has {ndim} axes, got shape {given.shape}")
    if not np.issubdtype(given.dtype, np.integer):
        raise BadInput(f"{where}: weights are integers, got {given.dtype}; quantize the network first")
    worst = max(int(given.max()), int(given.min()), key=abs)
    if abs(worst) > np.iinfo(np.int16).max:
        raise BadInput(f"{where}: weight {worst} is beyond 16 bits; quantize the network to smaller weights")
    weight = np.array(given, dtype=np.int16)
    weight.flags.writeable = False
    object.__setattr__(connection, "weight", weight)


def _freeze_delay(connection: Dense) -> None:
    """Store the delay as read-only uint8, as () where all are equal."""
    where = f"{connection.source} -> {connection.target}"
    given = np.asarray(connection.delay)
    rows, columns = connection.weight.shape
    if given.shape not in ((), (rows, 1), (rows, columns)):
        raise BadInput(
            f"{where}: delays of shape {given.shape} do not fit the weight {(rows, columns)}; give (), ({rows}, 1) or "
            f"({rows}, {columns})"
        )
    if not np.issubdtype(given.dtype, np.integer):
        raise BadInput(f"{where}: delays are whole timesteps, got {given.dtype}; round them first")
    low, high = int(given.min()), int(given.max())
    if low < 0 or high > DELAY_MAX:
        raise BadInput(
            f"{where}: a delay of {low if low < 0 else high} timesteps is outside 0..{DELAY_MAX}; "
            "use fewer, longer steps"
        )
    delay = np.array(low if low == high else given, dtype=np.uint8)
    delay.flags.writeable = False
    object.__setattr__(connection, "delay", delay)
