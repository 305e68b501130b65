"""One population of a network, prepared to run: its synaptic sums, then its neurons over all timesteps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType

import numpy as np
import torch

from ..hw import Cuba, Network, NotRepresentable, Population, worst_sum
from ..hw.arithmetic import DECAY_ONE, STATE_SHIFT
from .exact import sum_dtype
from .kernels import parallel
from .kernels.plain import FloatDense, PlainNeurons, States
from .layout import inside, inside_shape
from .plan import Chooser, Plan
from .synapses import bundles, largest_payload

SUM_LIMIT = 1 << 18
"""Lava wraps `u` once per step, which equals the 24-bit register while |a << 6| < 2^24."""

CHUNK_BYTES = 2 << 20
"""Synaptic sums made before the neurons consume them, so that these find them in the cache. Found by timing."""

CHUNK_BYTES_FLOAT = 8 << 20
"""The same for torch's floating-point convolutions, which order their weights anew at every call. Found by timing."""

Spikes = Mapping[str, torch.Tensor]
"""By population: (B, T, *inner shape), or (B, 1, *inner shape) where every timestep is the same."""


class Layer:
    """A population that computes, its weights on the device, the type of its sums proven exact.

    Raises NotRepresentable for parameters beyond the arithmetic itself; `hw.check` has the limits of a given chip.
    """

    def __init__(self, network: Network, population: Population, neuron: Cuba, plan: Plan) -> None:
        _check_parameters(population.name, neuron)
        self.population = population
        self.neuron = neuron
        self.n_steps = network.n_steps
        self.plan = plan
        incoming = network.incoming(population.name)
        bound = sum(int(worst_sum(network, connection).max()) for connection in incoming)
        self.may_overflow = bound >= SUM_LIMIT
        self.dtype = sum_dtype(bound, plan.device, population.name)
        bias = inside(neuron.bias_over(population.shape)).reshape(-1).astype(np.int32) << neuron.bias_exp
        self.bias = torch.from_numpy(np.ascontiguousarray(bias)).to(plan.device)
        self.plain_neurons = PlainNeurons(neuron, self.bias, *self._largest_states(bound))
        self.choosers = [
            Chooser(plan, bundle, largest_payload(network, connection.source), self.dtype)
            for connection in incoming
            if connection.source != connection.target
            for bundle in bundles(network, connection, plan.device)
        ]
        self.feedback = [
            (bundle, FloatDense(bundle.weight, self.dtype, plan.device))
            for connection in network.recurrent(population.name)
            for bundle in bundles(network, connection, plan.device)
        ]

    def samples_at_once(self, spikes: Spikes) -> int:
        """How many samples to run together: on the CPU as many as keep their synaptic sums in the cache."""
        batch = len(next(iter(spikes.values())))
        if self.plan.device.type != "cpu":
            return batch
        most = CHUNK_BYTES_FLOAT if any(chooser.chosen == "float" for chooser in self.choosers) else CHUNK_BYTES
        return max(1, min(batch, most // (4 * self._sum_steps(spikes) * self.population.size)))

    def run(self, spikes: Spikes, pictures: int, out: States, watch: Callable[[torch.Tensor], None] | None) -> None:
        """Run a few samples from zero and fill `out`.

        spikes: of all sources, for these samples. pictures: samples times timesteps in the whole batch. watch: called
        with the synaptic sums, (B, T or 1, neurons).
        """
        loops = self.plan.loops(pictures * self.population.size)
        sums = self._forward_sums(spikes, pictures)
        if self.feedback:
            sums = self._run_with_feedback(sums, out, loops)
        else:
            self._check_sums(sums)
            self._step(sums, out, loops)
        if watch is not None:
            watch(sums)

    def _sum_steps(self, spikes: Spikes) -> int:
        """Timesteps whose sums differ: 1 where all sources are the same at every timestep and nothing is delayed."""
        held = all(c.bundle.delay == 0 and spikes[c.bundle.connection.source].shape[1] == 1 for c in self.choosers)
        return 1 if held else self.n_steps

    def _forward_sums(self, spikes: Spikes, pictures: int) -> torch.Tensor:
        """Synaptic sums `a` from other populations, (B, T or 1, neurons)."""
        steps = self._sum_steps(spikes)
        total: torch.Tensor | None = None
        for chooser in self.choosers:
            bundle = chooser.bundle
            given = spikes[bundle.connection.source]
            if bundle.delay >= steps:
                continue
            if given.shape[1] > 1 and bundle.delay:
                given = given[:, : steps - bundle.delay]
            samples, times = given.shape[:2]
            part = chooser.sum(given.flatten(0, 1), pictures).reshape(samples, times, -1)
            whole = bundle.delay == 0 and bundle.rows is None and times == steps
            if total is None and whole:
                total = part
                continue
            if total is None:
                total = part.new_zeros(samples, steps, self.population.size)
            if bundle.rows is None:
                total[:, bundle.delay :] += part
            else:
                total[:, bundle.delay :, bundle.rows] += part
        if total is None:  # every spike arrives after the sample's end
            batch = len(next(iter(spikes.values())))
            total = torch.zeros(batch, steps, self.population.size, dtype=self.dtype, device=self.plan.device)
        return total.round_() if total.dtype == torch.float64 else total

    def _run_with_feedback(self, forward: torch.Tensor, out: States, loops: ModuleType | None) -> torch.Tensor:
        """Step by step, each step hearing the population's own earlier spikes. Returns all the sums."""
        sums = forward.expand(-1, self.n_steps, -1).contiguous()
        u, v = (torch.zeros_like(sums[:, 0], dtype=torch.int32) for _ in range(2))
        for t in range(self.n_steps):
            for bundle, matrix in self.feedback:
                if t < bundle.delay:
                    continue
                heard = matrix(bundle.take(out.spikes[:, t - bundle.delay])).round_()
                if bundle.rows is None:
                    sums[:, t] += heard
                else:
                    sums[:, t, bundle.rows] += heard
            self._check_sums(sums[:, t])
            step = States(torch.empty_like(out.spikes[:, :1]), u=u, v=v, fresh=t == 0)
            self._step(sums[:, t : t + 1].contiguous(), step, loops)
            out.spikes[:, t : t + 1] = step.spikes
            for everything, now in ((out.all_u, u), (out.all_v, v)):
                if everything is not None:
                    everything[:, t] = now
        if out.v is not None:
            out.v.copy_(v)
        return sums

    def _step(self, sums: torch.Tensor, out: States, loops: ModuleType | None) -> None:
        if loops is None:
            self.plain_neurons.run(sums, out)
            return
        given, spikes = sums.to(torch.float32).contiguous().numpy(), out.spikes.numpy()
        wanted = [(out.all_u, 3), (out.all_v, 3), (out.u, 2), (out.v, 2)]
        states = [np.empty((0,) * axes, np.int32) if x is None else x.numpy() for x, axes in wanted]
        neuron, bias = self.neuron, self.bias.numpy()
        threshold = np.int32(neuron.v_th_mant << STATE_SHIFT)

        def some(part: slice) -> None:
            here = [x[part] if x.size else x for x in states]
            loops.neurons(given[part], bias, neuron.i_decay, neuron.v_decay, threshold, spikes[part], *here, out.fresh)

        parallel(some, len(given))

    def _check_sums(self, sums: torch.Tensor) -> None:
        if not self.may_overflow:
            return
        worst = max(abs(float(end)) for end in sums.aminmax())
        if worst >= SUM_LIMIT:
            raise NotRepresentable(
                f"{self.population.name}: a synaptic sum reached {worst:.0f}, and beyond {SUM_LIMIT - 1} the 24-bit "
                "current has no defined wrap; scale the layer down or lower payload_bits"
            )

    def _largest_states(self, bound: int) -> tuple[int, int]:
        """Bounds on |u| and |v| before wrapping and clipping: geometric series of the largest input."""

        def grown(step: int, decay: int) -> int:
            return step * (self.n_steps if decay == 0 else min(self.n_steps, DECAY_ONE // decay + 1))

        u = grown(bound << STATE_SHIFT, self.neuron.i_decay)
        return u, grown(u + int(self.bias.abs().max()), self.neuron.v_decay)

    @property
    def inner_shape(self) -> tuple[int, ...]:
        """The population's shape as the simulator holds it."""
        return inside_shape(self.population.shape)


def _check_parameters(name: str, neuron: Cuba) -> None:
    way = "hw.check(network, chip) lists every number a chip cannot hold"
    for field in ("i_decay", "v_decay"):
        value = getattr(neuron, field)
        if not 0 <= value <= DECAY_ONE:
            raise NotRepresentable(f"{name}: {field} is {value}, decay constants are 0..{DECAY_ONE}; {way}")
    bias = int(abs(neuron.bias_mant.astype("i8")).max())
    for what, value, shift in (("threshold", neuron.v_th_mant, STATE_SHIFT), ("bias", bias, neuron.bias_exp)):
        if abs(value) << shift >= 1 << 30:
            raise NotRepresentable(f"{name}: {what} mantissa {value} leaves 32 bits once shifted by {shift}; {way}")
