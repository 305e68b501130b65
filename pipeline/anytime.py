"""One network, any number of timesteps: what shorter samples would answer and cost, and which a budget allows.

A sample's first t timesteps do not depend on those that follow, so one run of the longest sample gives the accuracy,
the synaptic operations and the energy of every shorter one. The chip's integers are the same at every T; only the
moment at which the read-out is taken differs. A choice of T is made on validation images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .. import sim
from ..hw import BadInput, Network
from .metrics import accuracy
from .sections import Budget


def curve(
    network: Network,
    payload: Tensor,
    labels: Tensor,
    *,
    batch_size: int = 64,
    device: str | torch.device = "cpu",
    progress: Callable[[int], None] | None = None,
) -> list[dict[str, Any]]:
    """One row per T in 1..network.n_steps: {"T", "score": with n and interval, "synops", "energy_pj": {convention}}.

    payload: integers of the network's source, (B, *S). labels: (B,). synops: stored synapses reached by spikes, per
    image. energy_pj: per image, the first layer charged at every timestep. Raises what `sim.run` does.
    """
    trace = sim.run(network, payload, batch_size=batch_size, record=("readout",), device=device, progress=progress)
    assert trace.readouts is not None  # it was recorded
    hits = (trace.readouts.argmax(dim=2) == labels).sum(dim=1)
    return [
        _row(replace(network, n_steps=t), trace.counts.until(t), int(hits[t - 1]), len(labels))
        for t in range(1, network.n_steps + 1)
    ]


def _row(network: Network, counts: sim.Counts, hits: int, n: int) -> dict[str, Any]:
    return {
        "T": network.n_steps,
        "score": accuracy(hits, n),
        "synops": sum(counts.synops_per_sample().values()),
        "energy_pj": {name: sim.price(network, counts, name).snn_pj for name in sim.CONVENTIONS},
    }


def choose(rows: Sequence[dict[str, Any]], budget: Budget) -> int:
    """The number of timesteps a budget picks from the rows of `curve`.

    With a ceiling on operations or energy, the most accurate T below it; with a demand on accuracy, the smallest T that
    meets it; with both, the smallest T that meets all. Of equally accurate ones the smallest. Raises BadInput if no T
    meets the budget, with the nearest one.
    """
    best = max(row["score"]["accuracy"] for row in rows)
    demands = [
        a
        for a in (budget.accuracy, None if budget.accuracy_drop is None else best - budget.accuracy_drop)
        if a is not None
    ]
    least = max(demands, default=0.0)
    cheap = [row for row in rows if _within(row, budget)]
    if not cheap:
        first = rows[0]
        raise BadInput(
            f"export.budget: already T = 1 takes {first['synops']:,.0f} synaptic operations and "
            f"{first['energy_pj'][budget.energy_convention]:,.0f} pJ ({budget.energy_convention}); allow more"
        )
    # A share of n images is never exactly what was written in decimals.
    good = [row for row in cheap if row["score"]["accuracy"] >= least - 1e-9]
    if not good:
        nearest = max(cheap, key=lambda row: row["score"]["accuracy"])
        raise BadInput(
            f"export.budget: no T in {cheap[0]['T']}..{cheap[-1]['T']} within the budget reaches an accuracy of "
            f"{least:.2%} on the validation images; the nearest is {nearest['score']['accuracy']:.2%} at T = "
            f"{nearest['T']}; allow more operations, or ask for less accuracy"
        )
    if demands:
        return good[0]["T"]
    return max(good, key=lambda row: (row["score"]["accuracy"], -row["T"]))["T"]


def _within(row: dict[str, Any], budget: Budget) -> bool:
    dear = budget.synops is not None and row["synops"] > budget.synops
    hot = budget.energy_pj is not None and row["energy_pj"][budget.energy_convention] > budget.energy_pj
    return not dear and not hot
