"""Temporal efficient training: its loss from the formula, and what it makes of a network of several steps."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport.hw import BadInput
from spikeport.pipeline.losses import tet
from spikeport.pipeline.recipe import parse
from spikeport.pipeline.refine import METHODS, Pair, check_method
from spikeport.pipeline.refine.tet import TetConfig
from torch.nn import functional

from .. import tiny_nets
from . import pairs


def drawn(steps: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """(logits (T, 5, 3), labels)."""
    return torch.randn(steps, 5, 3, generator=tiny_nets.generator(seed), dtype=torch.float64), torch.arange(5) % 3


def test_one_step_and_no_regularisation_is_cross_entropy():
    """T-T-1: T = 1, weight 0."""
    sequence, y = drawn(1)
    assert tet(sequence, y, weight=0).item() == pytest.approx(functional.cross_entropy(sequence[0], y).item())


@given(st.integers(1, 8), st.integers(0, 99))
@settings(deadline=None)
def test_constant_logits_give_the_cross_entropy_of_one_step(steps, seed):
    """T-T-1: z_t = z for every t."""
    sequence, y = drawn(1, seed)
    repeated = sequence.expand(steps, 5, 3)
    assert tet(repeated, y, weight=0).item() == pytest.approx(functional.cross_entropy(sequence[0], y).item())


def test_the_regularisation_draws_every_logit_to_phi():
    """T-T-1: at weight 1 the loss is the mean square distance, 0 where all logits are phi."""
    sequence, y = drawn(4)
    assert tet(torch.full_like(sequence, 0.5), y, weight=1, phi=0.5).item() == 0
    by_hand = sum((float(z) - 0.5) ** 2 for z in sequence.flatten()) / sequence.numel()
    assert tet(sequence, y, weight=1, phi=0.5).item() == pytest.approx(by_hand)


def test_the_loss_is_the_mean_over_steps_and_not_that_of_the_mean():
    student, teacher, x, y = pairs.pair(n_steps=3)
    method = METHODS["tet"].build(Pair(student=student, teacher=teacher, calibration=[x]), TetConfig(weight=0.0))
    loss, _, _ = method.loss(x, y, tiny_nets.moment())
    with torch.no_grad():
        sequence, _ = student(x)
    each = [functional.cross_entropy(step, y).item() for step in sequence]
    assert loss.item() == pytest.approx(sum(each) / 3, rel=1e-5)
    assert loss.item() != pytest.approx(functional.cross_entropy(sequence.mean(dim=0), y).item(), rel=1e-3)


def test_an_engine_without_steps_is_refused():
    with pytest.raises(BadInput, match=r"tet compares single timesteps.*use refine\.engine bptt"):
        check_method(parse({"name": "a", "refine": {"method": "tet", "engine": "rate"}}))


def test_a_weight_beyond_one_is_refused():
    with pytest.raises(BadInput, match=r"weight is 1\.5; it is a share"):
        TetConfig(weight=1.5)
