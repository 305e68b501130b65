"""COS: membranes start where a first look says that the spikes then come out right. A software reference.

Population by population, behind those already calibrated, rho timesteps are simulated from v0 = theta / 2. In units of
theta, with u(t) the membrane before the spike test and v(t) after it, a neuron

    that fired too often    (v(rho) < 0, N > 0)    starts lower by   max(1, min over fired t of u(t) - 0.999)
    that fired too seldom   (v(rho) >= 1)          starts higher by  max(1, 1.001 - max over silent t of v(t))

and the sample is run again from there. It is for networks of a QCFS ANN, soft reset, and not deployable
(`NOT_DEPLOYABLE`).
Source: Hao et al., ICLR 2023 ("Bridging the gap between ANNs and SNNs by calibrating offset spikes"), and its code.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...hw import BadInput
from ...models import GraphNet, Profile, Spiking
from ...models.neurons import step
from .layerwise import Upstream
from .srp import require_soft

NOT_DEPLOYABLE = (
    "every image is presented twice and each neuron starts it at a signed potential of its own; on the chip every "
    "sample starts at 0, and it resets hard"
)

RHO = 4
"""Timesteps of the first look: 4 for CIFAR, 8 for ImageNet, as published."""


@torch.no_grad()
def cos_logits(net: GraphNet, images: Tensor, rho: int = RHO) -> Tensor:
    """Logits per timestep of the calibrated network, (T, N, K), T being the network's n_steps.

    net: converted in weight form, soft reset. images: (N, *input shape). Raises BadInput for other neurons and rho < 1.
    """
    require_soft(net, "COS")
    if rho < 1:
        raise BadInput(f"COS: rho is {rho}; its first look needs at least 1 timestep")
    n_steps = max(net.n_steps, rho)
    behind = Upstream(net, images, n_steps)
    for node in net.walk()[:-1]:
        neuron = node.neuron
        if not isinstance(neuron, Spiking):
            behind.put(node.unit, behind.spikes(node.unit, None))
            continue
        parts = []
        for current in behind.currents(node.unit):
            relative = current / neuron.threshold
            start = offset_start(relative[:rho], neuron.profile)
            parts.append(_run(relative, start, neuron.profile)[0])
        behind.put(node.unit, torch.cat(parts, dim=1))
    return behind.logits()[: net.n_steps]


def offset_start(current: Tensor, profile: Profile) -> Tensor:
    """Where membranes should start, (N, ...). current: of the first look, (rho, N, ...). All in thresholds."""
    start = torch.full_like(current[0], profile.v_init)
    spikes, u, last = _run(current, start, profile)
    lowest = u.masked_fill(~spikes, torch.inf).amin(dim=0)
    highest = u.masked_fill(spikes, -torch.inf).amax(dim=0)
    down = (lowest - 0.999).clamp(min=1)
    up = (1.001 - highest).clamp(min=1)
    start = torch.where((last < 0) & spikes.any(dim=0), start - down, start)
    return torch.where((last >= 1) & ~spikes.all(dim=0), start + up, start)


def _run(current: Tensor, start: Tensor, profile: Profile) -> tuple[Tensor, Tensor, Tensor]:
    """(spikes, bool (T, N, ...); membranes before the spike test, (T, N, ...); the last after it, (N, ...))."""
    v, before, fired = start, [], []
    for i in current:
        before.append(v + i)
        v, z = step(v, i, 1.0, profile)
        fired.append(z > 0)
    return torch.stack(fired), torch.stack(before), v
