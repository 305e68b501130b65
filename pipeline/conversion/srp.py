"""SRP: neurons that a first look finds without residual potential are kept silent. A software reference.

Stage one runs the converted network for tau timesteps and reads every neuron's residual

    v(tau) = v0 + sum_t I(t) - theta N                                        in units of theta

Stage two starts again at v0 and runs T timesteps; neurons with v(tau) <= 0.001 send nothing. It is for networks of a
QCFS ANN, soft reset, v0 = theta / 2, and not deployable (`NOT_DEPLOYABLE`).
Source: Hao et al., AAAI 2023 ("Reducing ANN-SNN conversion error through residual membrane potential"), and its code.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...hw import BadInput
from ...models import GraphNet, Spiking
from .layerwise import Upstream

NOT_DEPLOYABLE = (
    "every image is presented twice and each neuron is told per image whether it may speak; the chip does neither, and "
    "it resets hard"
)

TAU = 4
"""Timesteps of the first stage, as published."""

RESIDUAL = 1e-3
"""Thresholds; a residual above it lets a neuron speak."""


def require_soft(net: GraphNet, who: str) -> None:
    """Raise BadInput unless every population integrates without leak, resets softly and fires at the threshold."""
    for neuron in net.spiking:
        profile = neuron.profile
        if (profile.leak, profile.gain, profile.reset, profile.strict) != (1, 1, "soft", False):
            raise BadInput(
                f"{who}: is defined for neurons like those of profile 'qcfs_if', not for '{profile.name}'; convert the "
                "ANN with PROFILES['qcfs_if']"
            )


@torch.no_grad()
def srp_logits(net: GraphNet, images: Tensor, tau: int = TAU) -> Tensor:
    """Logits per timestep of the second stage, (T, N, K), T being the network's n_steps.

    net: converted in weight form, soft reset. images: (N, *input shape). Raises BadInput for other neurons and tau < 1.
    """
    require_soft(net, "SRP")
    if tau < 1:
        raise BadInput(f"SRP: tau is {tau}; its first stage needs at least 1 timestep")
    speaking = speakers(net, images, tau)
    behind = Upstream(net, images, net.n_steps)
    for node in net.walk()[:-1]:
        spikes = behind.spikes(node.unit, node.neuron if isinstance(node.neuron, Spiking) else None)
        behind.put(node.unit, spikes & speaking[node.unit.name] if node.unit.pool is None else spikes)
    return behind.logits()


@torch.no_grad()
def speakers(net: GraphNet, images: Tensor, tau: int) -> dict[str, Tensor]:
    """Which neurons of each population have a residual left after a first stage in which all speak: bool (N, ...)."""
    behind = Upstream(net, images, tau)
    found: dict[str, Tensor] = {}
    for node in net.walk()[:-1]:
        if not isinstance(node.neuron, Spiking):
            behind.put(node.unit, behind.spikes(node.unit, None))
            continue
        theta = float(node.neuron.threshold)
        neuron = Spiking(node.neuron.profile, tau, threshold=theta)
        spikes, residual = [], []
        for current in behind.currents(node.unit):
            spikes.append(neuron(current, False) > 0)
            residual.append(residual_potential(current / theta, spikes[-1], neuron.profile.v_init))
        found[node.unit.name] = torch.cat(residual) > RESIDUAL
        behind.put(node.unit, torch.cat(spikes, dim=1))
    return found


def residual_potential(current: Tensor, spikes: Tensor, v_init: float) -> Tensor:
    """v after the last step, (N, ...), in thresholds. current: in thresholds; spikes: bool; both (T, N, ...)."""
    return v_init + current.sum(dim=0) - spikes.sum(dim=0, dtype=current.dtype)
