"""Projections from firing rates to a teacher's activations: where they start, and what they can become."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spikeport.pipeline.refine.projection import Channels, Projection, ProjectionKind, Seen
from torch import Tensor

from .. import tiny_nets

KINDS = get_args(ProjectionKind)
SHAPES = [(5, 4, 6), (7,)]


def drawn(shape: tuple[int, ...], size: float = 3.0) -> tuple[Tensor, Tensor]:
    """(rates, activations) of 16 images: rates in quarters, activations near `size` times these."""
    rng = tiny_nets.generator(4)
    rates = torch.randint(5, (16, *shape), generator=rng) / 4
    return rates, size * rates + 0.1 * torch.rand(16, *shape, generator=rng)


def settled(kind: ProjectionKind, rates: Tensor, activations: Tensor) -> Projection:
    projection = Projection(kind, tuple(rates.shape[1:]))
    seen = Seen(rates.shape[1])
    for part in zip(rates.split(5), activations.split(5), strict=True):
        seen.add(*part)
    projection.settle_(seen)
    return projection


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", [True, False])
def test_it_starts_as_the_rates_in_the_teachers_units(kind, shape, training):
    """In training with the batch's statistics, in evaluation with the remembered ones."""
    rates, activations = drawn(shape)
    projection = settled(kind, rates, activations).train(training)
    scale = float((rates * activations).sum() / rates.square().sum())
    assert projection.scale.item() == pytest.approx(scale, rel=1e-6)
    torch.testing.assert_close(projection(rates), scale * rates, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_is_trained(kind, shape):
    rates, activations = drawn(shape)
    projection = settled(kind, rates, activations).train()
    (projection(rates) - activations).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in projection.parameters())
    assert "scale" in dict(projection.named_buffers())


def test_kinds_differ_in_what_they_see_and_give():
    """Only `linear` gives negative values; only `conv3x3` looks beside a position."""
    rates, activations = drawn((5, 4, 6))
    reach = {}
    for kind in KINDS:
        projection = settled(kind, rates, activations).eval()
        weight = projection.weighted.weight
        with torch.no_grad():
            weight.copy_(torch.randn(weight.shape, generator=tiny_nets.generator(1)))
        changed = rates.clone()
        changed[:, :, 1, 1] += 1
        different = (projection(changed) != projection(rates)).any(dim=0).any(dim=0)
        reach[kind] = int(different.sum())
        assert bool((projection(rates) < 0).any()) == (kind == "linear")
    assert reach == {"linear": 1, "conv1x1": 1, "conv3x3": 9}


@pytest.mark.parametrize("rate", [0.0, 1 / 3])
def test_a_channel_that_never_varied_is_not_magnified_once_it_does(rate):
    """It gets the teacher's spread: half of its positions firing is as much as the teacher's spread, not 300 times."""
    rates, activations = drawn((5, 4, 6))
    rates[:, 2] = rate
    projection = settled("conv1x1", rates, activations)
    awake = rates.clone()
    awake[::2, 2] = 1.0
    out = projection.train()(awake)[:, 2].detach()
    assert out.isfinite().all()
    assert float(out.max() - out.min()) < 4 * float(activations[:, 2].std())
    assert float(out.max() - out.min()) > 0.2 * float(activations[:, 2].std())
    assert float(projection.eval()(rates)[:, 2].detach().std()) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_silent_stage_starts_with_the_scale_of_one(kind):
    rates, activations = drawn((5, 4, 6))
    projection = settled(kind, torch.zeros_like(rates), activations).eval()
    assert projection.scale.item() == 1
    assert not projection(torch.zeros_like(rates)).any()


@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 9), st.integers(0, 999))
def test_channels_have_the_mean_and_variance_of_all_batches(batch, channels, pixels, seed):
    x = torch.randn(2 * batch, channels, pixels, dtype=torch.float64, generator=tiny_nets.generator(seed))
    both = Channels(channels)
    for part in x.split(batch):
        both.add(part)
    flat = x.transpose(0, 1).flatten(1)
    torch.testing.assert_close(both.mean, flat.mean(1))
    torch.testing.assert_close(both.variance, flat.var(1, unbiased=False))
    assert torch.equal(both.varies, flat.var(1, unbiased=False) > 1e-9 * flat.square().mean(1))
