"""How strong a relay's synapses must be in the layer that hosts it, and whether it then repeats spikes exactly.

A relay shares its layer's decays and threshold. It must fire at every spike, and at no other timestep:

    always   w + b > v_th: its potential is never negative, so a spike lifts it above the threshold whatever it was;
    never else   from the potential 0 that its last spike left, silence must not carry it there.

In silence v <- floor(v (4096 - v_decay) / 4096) + 64 b (with `i_decay` 4096; `hw.step`). From 0 this only rises, up to
the least v with ceil(v v_decay / 4096) = 64 b, which is floor((64 b - 1) 4096 / v_decay) + 1; it is at most 64 v_th,
and the relay silent for ever, exactly if

    b <= floor((v_th v_decay + 63) / 4096).

A larger bias may still be silent for as long as a sample lasts, after which `u` and `v` are zero again: without a leak
v = 64 b t, so b <= floor(v_th / T). `silent` runs the recurrence itself, so it also judges a current with memory.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..hw import Chip, Cuba, NotRepresentable, UnsupportedLayer
from ..hw.arithmetic import DECAY_ONE, STATE_LIMIT, STATE_SHIFT, decay

RELAY_WEIGHT_MAX = 254
"""The largest mixed-sign weight; a relay driven by one synapse, without a bias, needs a threshold below it."""

COPIES_MAX = 16
"""Most copies of a population for one relay: beyond, the layers would grow more than sixteenfold."""


@dataclass(frozen=True, kw_only=True)
class Drive:
    """What makes a relay of one layer fire.

    inputs: synapses, each from another copy of what is repeated. weight: of each. bias: mantissa, with exponent 6.
    lasting: whether silence never makes it fire, however long; else it does not within one sample.
    """

    inputs: int
    weight: int
    bias: int
    lasting: bool

    @property
    def way(self) -> str:
        """In words, for the report."""
        if self.inputs > 1:
            return f"{self.inputs} copies of weight {self.weight}" + (
                f" and a bias of {self.bias}" if self.bias else ""
            )
        return f"weight {self.weight}" + (f" and a bias of {self.bias}" if self.bias else "")


def largest_lasting_bias(v_th: int, v_decay: int) -> int:
    """The largest bias mantissa that never fires a neuron by itself, for i_decay 4096. See the module's derivation."""
    return (v_th * v_decay + 63) // DECAY_ONE


def silent(neuron: Cuba, total_weight: int, bias: int, n_steps: int) -> bool:
    """Whether a relay stays silent when nothing drives it, within a sample of n_steps timesteps.

    The worst case is taken: a current that n_steps spikes in a row have built up, then silence from the potential 0.
    total_weight: sum of the synapses that drive it; bias: mantissa, with exponent 6.
    """
    u = 0
    if neuron.i_decay < DECAY_ONE:
        for _ in range(n_steps):
            u = decay(u, neuron.i_decay) + (total_weight << STATE_SHIFT)
        if u >= STATE_LIMIT:
            return False
    v = 0
    for _ in range(n_steps):
        u = decay(u, neuron.i_decay)
        after = decay(v, neuron.v_decay) + u + (bias << STATE_SHIFT)
        if after > neuron.v_th_mant << STATE_SHIFT:
            return False
        if u == 0 and after == v:
            return True
        v = after
    return True


def relay_drive(layer: str, carries: str, neuron: Cuba, n_steps: int, chip: Chip) -> Drive:
    """The cheapest drive of relays in a layer: as few copies as possible, and no bias where none is needed.

    layer, carries: for messages. Raises UnsupportedLayer where the current's memory would fire a relay again, and
    NotRepresentable for a threshold that COPIES_MAX copies do not exceed.
    """
    where = f"{layer}: a relay of {carries}"
    strongest = min(RELAY_WEIGHT_MAX, chip.weight_max - chip.weight_max % chip.weight_step)
    refused = False
    for inputs in range(1, COPIES_MAX + 1):
        bias = max(0, neuron.v_th_mant + 1 - inputs * strongest)
        least = (neuron.v_th_mant - bias) // inputs + 1
        weight = max(least + least % 2, 2)
        if bias > chip.bias_max:
            continue
        if silent(neuron, inputs * weight, bias, n_steps):
            lasting = bias <= largest_lasting_bias(neuron.v_th_mant, neuron.v_decay)
            lasting &= neuron.i_decay == DECAY_ONE
            return Drive(inputs=inputs, weight=weight, bias=bias, lasting=lasting)
        refused |= bias == 0
    if refused:
        raise UnsupportedLayer(
            f"{where} would fire again from its current, which keeps {DECAY_ONE - neuron.i_decay} of {DECAY_ONE} per "
            f"timestep (i_decay {neuron.i_decay}); use i_decay {DECAY_ONE} in {layer}, or run the graph with "
            "export.lava_graph"
        )
    raise NotRepresentable(
        f"{where} needs weights that add up to more than the threshold {neuron.v_th_mant}, at most {strongest} each "
        f"from {COPIES_MAX} copies; quantize {layer} with a threshold below {COPIES_MAX * strongest}"
    )
