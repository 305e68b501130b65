"""What one run of a network gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from .counts import Counts


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """Answers, exact event counts and, where asked for, every state of every timestep. All tensors are on the CPU.

    readout: int64 (B, K), K neurons of the read-out population. For a `membrane` read-out it is `v` after the last
    timestep as the register holds it, in units of 2^-6 mantissa: a lossless integrator has v = 64 * (sum of its
    synaptic sums and biases). Nothing is shifted down. For a `spike_count` read-out it is the number of spikes.

    readouts: the same after each timestep, int64 (T, B, K), where recorded: what shorter samples would have answered.

    counts: int64 (T, B) per population and per connection; also of sums beyond the chip's range, where watched, and of
    tallies, where asked for.

    spikes, u, v: by population, (T, B, *shape); empty unless recorded. spikes: uint8, also the input's payloads (int32
    where they are signed or have more than 8 bits). u: int32. v: int32 after the reset, as Lava's register shows it.

    activity: by population, in how many of the samples each neuron spikes at each timestep, whatever the payload. int64
    (T, *shape); empty unless recorded.
    """

    readout: torch.Tensor
    counts: Counts
    readouts: torch.Tensor | None = None
    spikes: Mapping[str, torch.Tensor] = field(default_factory=dict)
    u: Mapping[str, torch.Tensor] = field(default_factory=dict)
    v: Mapping[str, torch.Tensor] = field(default_factory=dict)
    activity: Mapping[str, torch.Tensor] = field(default_factory=dict)

    @property
    def n_samples(self) -> int:
        """Samples run."""
        return self.readout.shape[0]

    @property
    def predictions(self) -> torch.Tensor:
        """Index of the largest read-out, the first one where several are equal. int64 (B,)."""
        return self.readout.argmax(dim=1)
