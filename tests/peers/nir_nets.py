"""Small networks of snnTorch, SpikingJelly and Norse, written through their own NIR exports, with their own spikes.

Runs under the interpreter of the framework's environment and imports nothing of this project:

    python nir_nets.py snntorch|spikingjelly|norse digits.npz folder

digits.npz holds x float32 (n, 8, 8) in [0, 1] and y. For each network, `<name>.nir` and `<name>.npz` are written: `x`
(T, B, *shape), `y` (B,), and `z0`, `z1`, ... the spikes (or last: potentials) of each population in order. The
feed-forward networks are trained for a few epochs; the others have random weights, scaled so that neurons fire.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor, nn

STEPS, SAMPLES = 12, 64
Step = Callable[[nn.Module, Tensor], tuple[Tensor, list[Tensor]]]


def train(net: nn.Module, x: Tensor, y: Tensor, unroll: Callable[[nn.Module, Tensor], list[Tensor]]) -> None:
    """A few epochs of surrogate-gradient descent on spike counts (or the last potential)."""
    optimiser = torch.optim.Adam(net.parameters(), lr=5e-3)
    for _ in range(4):
        for order in torch.randperm(len(x)).split(64):
            last = unroll(net, over_time(x[order]))[-1]
            loss = nn.functional.cross_entropy(last.sum(0) if last.max() <= 1 else last[-1], y[order])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()


def over_time(x: Tensor) -> Tensor:
    return x.expand(STEPS, *x.shape)


def coins(x: Tensor) -> Tensor:
    """Spikes (T, B, *shape) with the probability of each pixel."""
    return (torch.rand(STEPS, *x.shape) < 0.6 * x).float()


def save(folder: Path, name: str, graph: Any, x: Tensor, y: Tensor, outputs: list[Tensor]) -> None:
    if graph is not None:
        nir.write(folder / f"{name}.nir", graph, compression=None)
    arrays = {f"z{i}": z.detach().numpy() for i, z in enumerate(outputs)}
    np.savez(folder / f"{name}.npz", x=x.numpy(), y=y.numpy(), **arrays)


def taps(net: nn.Module, kinds: tuple[type, ...], run: Callable[[], Any]) -> list[list[Tensor]]:
    """What every module of the kinds named gives, per timestep, while `run` runs."""
    found: list[list[Tensor]] = []
    hooks = []
    for module in net.modules():
        if isinstance(module, kinds):
            steps: list[Tensor] = []
            found.append(steps)
            hooks.append(
                module.register_forward_hook(
                    lambda _m, _i, out, steps=steps: steps.append(out[0] if isinstance(out, tuple) else out)
                )
            )
    run()
    for hook in hooks:
        hook.remove()
    return found


def snntorch(folder: Path, x: Tensor, y: Tensor) -> None:
    import snntorch as snn
    from snntorch import surrogate, utils
    from snntorch.export_nir import export_to_nir

    def leaky(beta: float, *shape: int, kind: Any = snn.Leaky, **more: Any) -> nn.Module:
        more = {"reset_mechanism": "zero", "reset_delay": False, "init_hidden": True} | more
        beta_of = torch.full(shape, beta)
        return kind(beta=beta_of, threshold=torch.ones(shape), spike_grad=surrogate.atan(), **more)

    def unroll(net: nn.Module, x: Tensor) -> list[Tensor]:
        utils.reset(net)
        for module in net.modules():
            if isinstance(module, snn.SpikingNeuron):
                for state in ("mem", "syn", "spk"):
                    if hasattr(module, state):
                        setattr(module, state, torch.zeros(0))
        kinds = (snn.SpikingNeuron,)
        return [torch.stack(steps) for steps in taps(net, kinds, lambda: [net(step) for step in x])]

    net = nn.Sequential(nn.Linear(64, 48), leaky(0.9, 48), nn.Linear(48, 10), leaky(0.8, 10))
    train(net, x[400:].flatten(1), y[400:], unroll)
    given = over_time(x[:SAMPLES].flatten(1))
    save(folder, "trained", export_to_nir(net, given[0], ignore_dims=[0]), given, y[:SAMPLES], unroll(net, given))

    conv = nn.Conv2d(1, 6, 3, stride=1)
    net = nn.Sequential(conv, leaky(0.75, 6, 6, 6), nn.AvgPool2d(2, 2), nn.Flatten(), nn.Linear(54, 12), leaky(0.6, 12))
    with torch.no_grad():
        net[4].weight.mul_(6)
    spikes = coins(x[:SAMPLES, None])
    save(folder, "pooled", export_to_nir(net, spikes[0], ignore_dims=[0]), spikes, y[:SAMPLES], unroll(net, spikes))

    recurrent = snn.RLeaky(beta=0.85, linear_features=32, init_hidden=True, reset_mechanism="zero", reset_delay=False)
    synaptic = leaky(0.7, 10, kind=snn.Synaptic, alpha=torch.full((10,), 0.6))
    net = nn.Sequential(nn.Linear(64, 32), recurrent, nn.Linear(32, 10, bias=False), synaptic)
    with torch.no_grad():
        net[0].weight.mul_(3)
        recurrent.recurrent.weight.mul_(2)
        net[2].weight.mul_(2)
    spikes = coins(x[:SAMPLES].flatten(1))
    save(folder, "recurrent", export_to_nir(net, spikes[0], ignore_dims=[0]), spikes, y[:SAMPLES], unroll(net, spikes))

    net = nn.Sequential(
        nn.Linear(64, 32),
        leaky(0.9, 32, reset_mechanism="subtract", reset_delay=True),
        nn.Linear(32, 10),
        leaky(0.8, 10, reset_mechanism="subtract", reset_delay=True),
    )
    with torch.no_grad():
        net[0].weight.mul_(3)
        net[2].weight.mul_(2)
    save(
        folder, "subtracting", export_to_nir(net, spikes[0], ignore_dims=[0]), spikes, y[:SAMPLES], unroll(net, spikes)
    )


def spikingjelly(folder: Path, x: Tensor, y: Tensor) -> None:
    from spikingjelly.activation_based import functional, layer, neuron, surrogate
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    def unroll(net: nn.Module, x: Tensor) -> list[Tensor]:
        functional.reset_net(net)
        return [torch.stack(steps) for steps in taps(net, (neuron.BaseNode,), lambda: [net(step) for step in x])]

    def export(net: nn.Module, name: str, x: Tensor) -> None:
        functional.reset_net(net)
        graph = export_to_nir(net, x[0], dt=1e-4)
        functional.reset_net(net)
        save(folder, name, graph, x, y[:SAMPLES], unroll(net, x))

    atan = {"surrogate_function": surrogate.ATan(), "detach_reset": True}
    net = nn.Sequential(
        layer.Conv2d(1, 8, 3, padding=1),
        neuron.LIFNode(tau=2.0, **atan),
        layer.AvgPool2d(2, 2),
        layer.Flatten(),
        layer.Linear(128, 10),
        neuron.IFNode(**atan),
    )
    train(net, x[400:, None], y[400:], unroll)
    export(net, "trained", over_time(x[:SAMPLES, None]))

    net = nn.Sequential(
        layer.Linear(64, 40),
        neuron.LIFNode(tau=4.0, decay_input=False, v_reset=-0.2, v_threshold=0.7),
        layer.Linear(40, 12, bias=False),
        neuron.CUBALIFNode(c_decay=0.5, v_decay=0.75, v_threshold=0.5),
    )
    with torch.no_grad():
        net[0].weight.mul_(2)
        net[2].weight.mul_(2)
    export(net, "reset", coins(x[:SAMPLES].flatten(1)))


def norse(folder: Path, x: Tensor, y: Tensor) -> None:
    import norse.torch as norse

    def unroll(net: nn.Module, x: Tensor) -> list[Tensor]:
        state: Any = None
        kinds = (norse.LIFBoxCell, norse.LIFCell, norse.IAFCell, norse.LIBoxCell)

        def run() -> None:
            nonlocal state
            for step in x:
                _, state = net(step, state)

        return [torch.stack(steps) for steps in taps(net, kinds, run)]

    net = norse.SequentialState(
        nn.Linear(64, 48), norse.LIFBoxCell(norse.LIFBoxParameters(tau_mem_inv=torch.tensor(200.0))), nn.Linear(48, 10),
        norse.LIBoxCell(),
    )  # fmt: skip
    with torch.no_grad():
        net[0].weight.mul_(4)
    train(net, x[400:].flatten(1), y[400:], unroll)
    given = over_time(x[:SAMPLES].flatten(1))
    save(folder, "trained", norse.to_nir(net, given[0]), given, y[:SAMPLES], unroll(net, given))

    net = norse.SequentialState(nn.Linear(64, 40, bias=False), norse.LIFCell(), nn.Linear(40, 12), norse.IAFCell())
    with torch.no_grad():
        net[0].weight.mul_(6)
        net[2].weight.mul_(3)
    spikes = coins(x[:SAMPLES].flatten(1))
    save(folder, "current", norse.to_nir(net, spikes[0]), spikes, y[:SAMPLES], unroll(net, spikes))


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    with np.load(sys.argv[2], allow_pickle=False) as digits:
        images, labels = torch.from_numpy(digits["x"]), torch.from_numpy(digits["y"])
    {"snntorch": snntorch, "spikingjelly": spikingjelly, "norse": norse}[sys.argv[1]](Path(sys.argv[3]), images, labels)
