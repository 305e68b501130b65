"""From the energy that papers usually report to an audited one, step by step.

*As usually reported*: the dense MACs of the first layer, once, and for every later layer mean firing rate times dense
count, padding included; pooling, residual additions, biases and neuron updates are left out. *Audited*: every event of
the deployed network, counted one by one, and the arithmetic of its neurons. The steps between add up exactly.

Arithmetic of a neuron, our composition: one AC to compare with the threshold at every timestep, one AC for a bias, one
MAC for each of its two states that decays by a fraction.

Pooling and residual additions are told by their synapses: kernels of equal weights per channel, and one-to-one
synapses. A file that holds only a chain carries its shortcuts as further channels of its convolutions; there they count
as layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..hw import BadInput, Connection, Conv, Cuba, Network, OneToOne
from ..hw.arithmetic import DECAY_ONE
from .convention import CONVENTIONS
from .counts import Counts, Pair, dense_macs, is_graded
from .workload import Workload


@dataclass(frozen=True, kw_only=True)
class AuditStep:
    """One difference between the two totals. what: in words. pj: what it adds to a mean sample, may be negative."""

    what: str
    pj: float


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Both totals in pJ per mean sample, and the steps that lead from one to the other.

    usual_pj + sum of the steps = audited_pj. ann_usual_pj: one MAC for each product of the formula, padding included.
    """

    convention: str
    usual_pj: float
    steps: tuple[AuditStep, ...]
    audited_pj: float
    ann_usual_pj: float


def audit(network: Network, counts: Counts, convention: str = "op_count_fp32") -> Audit:
    """Audit the operation-count price of a run.

    Raises BadInput for a convention without a price per AC and per MAC, and for counts of another network.
    """
    prices = CONVENTIONS[convention]
    ac, mac = prices.constant("acs"), prices.constant("graded_macs")
    if ac is None or mac is None:
        raise BadInput(f"audit: {convention} has no price per AC and per MAC; use one that has, such as op_count_fp32")
    work = Workload(network=network, counts=counts)
    parts = _Parts(work, ac.value, mac.value)
    ann = sum(dense_macs(network, connection, "formula") for connection in network.connections) * mac.value
    return Audit(
        convention=convention,
        usual_pj=parts.usual(),
        steps=tuple(parts.steps()),
        audited_pj=parts.audited(),
        ann_usual_pj=ann,
    )


class _Parts:
    """The operations of a run, sorted by how the usual table treats them. All energies per mean sample."""

    def __init__(self, work: Workload, ac: float, mac: float) -> None:
        self.work, self.ac, self.mac = work, ac, mac
        graded = [pair for pair in work.pairs if is_graded(work.network, pair[0])]
        self.first = [pair for i, pair in enumerate(graded) if pair[0] not in {source for source, _ in graded[:i]}]
        self.graded_later = [pair for pair in graded if pair not in self.first]
        binary = [pair for pair in work.pairs if pair not in graded]
        self.residual = [pair for pair in binary if all(isinstance(c, OneToOne) for c in work.joining(pair))]
        self.pooling = [pair for pair in binary if all(_pools(c) for c in work.joining(pair))]
        self.layers = [pair for pair in binary if pair not in self.residual and pair not in self.pooling]

    def usual(self) -> float:
        first = sum(self._formula(pair) for pair in self.first) * self.mac
        return first + self._by_rate([*self.layers, *self.graded_later]) * self.ac

    def steps(self) -> Iterator[AuditStep]:
        first = sum(self._formula(pair) for pair in self.first)
        repeats = self.work.counts.n_steps - 1
        yield AuditStep(what="first layer, every timestep", pj=first * repeats * self.mac)
        yield AuditStep(what="non-binary inputs multiply", pj=self._by_rate(self.graded_later) * (self.mac - self.ac))
        yield AuditStep(what="pooling", pj=self._events(self.pooling) * self.ac)
        yield AuditStep(what="residual additions", pj=self._events(self.residual) * self.ac)
        yield AuditStep(what="biases (batch norm folded)", pj=self._biases())
        yield AuditStep(what="neuron updates", pj=self._updates())
        graded = [*self.first, *self.graded_later]
        approximate = first * self.work.counts.n_steps + self._by_rate(self.graded_later)
        counted = (self._events(graded) - approximate) * self.mac
        counted += (self._events(self.layers) - self._by_rate(self.layers)) * self.ac
        yield AuditStep(what="events counted one by one", pj=counted)

    def audited(self) -> float:
        graded = [*self.first, *self.graded_later]
        binary = [*self.residual, *self.pooling, *self.layers]
        arithmetic = self._events(graded) * self.mac + self._events(binary) * self.ac
        return arithmetic + self._biases() + self._updates()

    def _formula(self, pair: Pair) -> int:
        return sum(dense_macs(self.work.network, connection, "formula") for connection in self.work.joining(pair))

    def _by_rate(self, pairs: list[Pair]) -> float:
        """Mean firing rate of the source over a sample, times the dense count."""
        per_sample = self.work.counts.spikes_per_sample()
        return sum(per_sample[s] / self.work.network[s].size * self._formula((s, t)) for s, t in pairs)

    def _events(self, pairs: list[Pair]) -> float:
        return sum(int(self.work.counts.synops[pair].sum()) for pair in pairs) / self.work.counts.n_samples

    def _biases(self) -> float:
        neurons = ((n.bias_over(p.shape) != 0).sum() for p, n in self.work.network.neurons)
        return int(sum(neurons)) * self.work.counts.n_steps * self.ac

    def _updates(self) -> float:
        per_step = sum(p.size * (self.ac + _decaying(n) * self.mac) for p, n in self.work.network.neurons)
        return per_step * self.work.counts.n_steps


def _pools(connection: Connection) -> bool:
    """Whether a convolution averages: each channel by itself, with a kernel of several equal weights."""
    if not isinstance(connection, Conv):
        return False
    weight = connection.weight
    own_channel = weight.shape[0] == connection.groups and weight.shape[1] == 1
    return own_channel and weight[0].size > 1 and bool((weight == weight[:, :, :1, :1]).all())


def _decaying(neuron: Cuba) -> int:
    """How many of the states u and v keep a fraction of themselves."""
    return sum(0 < decay < DECAY_ONE for decay in (neuron.i_decay, neuron.v_decay))
