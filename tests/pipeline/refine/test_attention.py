"""Attention between layers: its bounds, what it weighs, and what it does not depend on."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport.hw import BadInput
from spikeport.pipeline.cka import gram
from spikeport.pipeline.refine.attention import (
    Embedding,
    LayerAttention,
    as_maps,
    attend,
    meet,
    step_similarity,
    stm_score,
    weighted_error,
)
from torch import Tensor, nn

from .. import tiny_nets

T, B = 3, 8
STUDENT = ((3, 8, 8), (5, 4, 4))
TEACHER = ((4, 8, 8), (6, 2, 2), (7,))


def features(seed: int = 0) -> tuple[list[Tensor], list[Tensor]]:
    """Spikes (T, B, *shape) at two student taps, activations (B, *shape) at three teacher taps, in double precision."""
    rng = tiny_nets.generator(seed)
    spikes = [(torch.rand(T, B, *s, generator=rng) < 0.3).double() for s in STUDENT]
    return spikes, [torch.rand(B, *s, generator=rng).double() for s in TEACHER]


def layers(student: Any = STUDENT, teacher: Any = TEACHER, batch_size: int = B, seed: int = 0) -> LayerAttention:
    return LayerAttention(student, teacher, batch_size, tiny_nets.generator(seed)).double()


def attention(net: LayerAttention, spikes: list[Tensor], activations: list[Tensor]) -> Tensor:
    return net.attention([step_similarity(s) for s in spikes], [gram(a) for a in activations])


def value(net: LayerAttention, spikes: list[Tensor], activations: list[Tensor]) -> Tensor:
    """The feature loss."""
    return weighted_error(attention(net, spikes, activations), net.errors(spikes, activations))


def test_attention_is_a_share_of_every_teacher_tap():
    """T-003-1: shape (T, B, s_L, a_L), summing to 1 over the teacher's taps."""
    eta = attention(layers(), *features())
    assert eta.shape == (T, B, 2, 3)
    assert (eta > 0).all()
    torch.testing.assert_close(eta.sum(-1), torch.ones(T, B, 2, dtype=torch.float64))
    assert eta.std(dim=1).min() > 0  # it depends on the sample


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10**6))
def test_no_teacher_tap_can_be_ignored(a_l, seed):
    """T-003-1: unit vectors bound eta; they are reached by parallel and opposed queries and keys."""
    rng = tiny_nets.generator(seed)
    vectors = [nn.functional.normalize(torch.randn(2, 4, n, 5, generator=rng).double(), dim=-1) for n in (3, a_l)]
    low, high = (math.exp(s) / (math.exp(s) + (a_l - 1) * math.exp(-s)) for s in (-1, 1))
    eta = attend(vectors[0], vectors[1][0])
    assert eta.min() >= low - 1e-12
    assert eta.max() <= high + 1e-12
    keys = -vectors[0][0, :, :1].repeat(1, a_l, 1)
    keys[:, 0] *= -1
    top = attend(vectors[0][:1, :, :1], keys)
    torch.testing.assert_close(top[..., 0], torch.full((1, 4, 1), high, dtype=torch.float64))


def test_the_bounds_of_three_and_four_teacher_taps():
    """T-003-1: [0.063, 0.787] and [0.043, 0.711]."""
    for a_l, low, high in ((3, 0.063, 0.787), (4, 0.043, 0.711)):
        one, other = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[-1.0, 0.0]]])
        for keys, expected in (([one] + [other] * (a_l - 1), high), ([other] + [one] * (a_l - 1), low)):
            assert attend(one[None], torch.cat(keys, dim=1))[0, 0, 0, 0].item() == pytest.approx(expected, abs=5e-4)


def test_an_embedding_is_a_unit_vector_of_a_quarter_of_the_batch():
    rows = torch.rand(2, 5, B, generator=tiny_nets.generator(1))
    out = Embedding(B, tiny_nets.generator(0))(1000 * rows)
    assert out.shape == (2, 5, B // 4)
    torch.testing.assert_close(out.norm(dim=-1), torch.ones(2, 5))


def test_a_single_teacher_tap_gets_all_attention():
    """T-003-2: eta = 1, and the loss is the mean squared error of all samples, steps and student taps."""
    spikes, activations = features()
    net = layers(teacher=TEACHER[:1])
    eta = attention(net, spikes, activations[:1])
    assert torch.equal(eta, torch.ones(T, B, 2, 1, dtype=torch.float64))
    total = 0.0
    for i, own in enumerate(spikes):
        regress: Any = net.regressors[i]
        mine, theirs = meet(own.flatten(0, 1), activations[0])
        guess = regress[0](mine).detach().unflatten(0, (T, B))
        total += sum(float((guess[t] - theirs).square().mean()) for t in range(T))
    assert value(net, spikes, activations[:1]).item() == pytest.approx(total / (T * 2), rel=1e-12)


def test_equal_features_and_regressors_that_change_nothing_have_no_loss():
    """T-003-3."""
    activations = [torch.rand(B, 3, 4, 4, generator=tiny_nets.generator(2)).double()]
    net = layers([(3, 4, 4)], [(3, 4, 4)])
    net.regressors[0] = nn.ModuleList([nn.Identity()])
    assert value(net, [activations[0].expand(T, -1, -1, -1, -1)], activations).item() == 0
    assert value(net, [activations[0].expand(T, -1, -1, -1, -1) + 0.5], activations).item() == pytest.approx(0.25)


def test_the_loss_is_a_mean_over_timesteps():
    """T-003-4: repeating the timesteps changes nothing."""
    spikes, activations = features()
    twice = [torch.cat([s, s]) for s in spikes]
    assert value(layers(), twice, activations).item() == pytest.approx(
        value(layers(), spikes, activations).item(), rel=1e-12
    )


def test_the_loss_is_a_mean_over_samples():
    """T-003-4: duplicating the batch changes nothing, at the attention the samples had."""
    spikes, activations = features()
    net = layers()
    eta = attention(net, spikes, activations)
    doubled = net.errors([torch.cat([s, s], dim=1) for s in spikes], [torch.cat([a, a]) for a in activations])
    alone = weighted_error(eta, net.errors(spikes, activations))
    assert weighted_error(torch.cat([eta, eta], dim=1), doubled).item() == pytest.approx(alone.item(), rel=1e-12)


def test_the_loss_is_a_mean_over_student_taps():
    """T-003-4: a tap given twice, with the same embedding and regressors, changes nothing."""
    spikes, activations = features()
    net = layers()
    once = value(net, spikes, activations).item()
    net.queries = nn.ModuleList([*net.queries, *net.queries])
    net.regressors = nn.ModuleList([*net.regressors, *net.regressors])
    assert value(net, spikes * 2, activations).item() == pytest.approx(once, rel=1e-12)


def test_the_order_of_the_timesteps_does_not_matter():
    """T-003-5: permuting time permutes the attention, and leaves the loss."""
    spikes, activations = features()
    net, order = layers(), torch.tensor([2, 0, 1])
    moved = [s[order] for s in spikes]
    eta = attention(net, spikes, activations)
    assert not torch.allclose(eta[order], eta)
    torch.testing.assert_close(attention(net, moved, activations), eta[order])
    torch.testing.assert_close(value(net, moved, activations), value(net, spikes, activations))


def test_similarity_sees_angles_and_lengths_only():
    """T-003-5: Gram matrices do not change when the flattened features are rotated; raw, they do when scaled."""
    x = torch.rand(T, B, 2, 3, 3, generator=tiny_nets.generator(4)).double()
    rotation, _ = torch.linalg.qr(torch.randn(18, 18, generator=tiny_nets.generator(5)).double())
    similar = step_similarity(x)
    torch.testing.assert_close(step_similarity((x.flatten(2) @ rotation).reshape(x.shape)), similar)
    torch.testing.assert_close(step_similarity(2 * x), 4 * similar)
    assert similar[1, 2, 3].item() == pytest.approx(float((x[1, 2] * x[1, 3]).sum()))


def test_the_student_learns_through_its_similarities_too():
    """T-003-6: with regressors that ignore the spikes, the attention still sends a gradient to them."""
    spikes, activations = features()
    net = layers()
    for parameter in net.regressors.parameters():
        nn.init.zeros_(parameter)
    live = [s.requires_grad_() for s in spikes]
    value(net, live, activations).backward()
    assert all(s.grad is not None and s.grad.any() for s in live)


@pytest.mark.parametrize(
    ("student", "teacher", "met"),
    [((8, 8), (4, 4), (4, 4)), ((4, 4), (4, 4), (4, 4)), ((4, 4), (8, 8), (4, 4)), ((6, 6), (1, 1), (1, 1))],
)
def test_maps_meet_at_the_smaller_size(student, teacher, met):
    """T-003-7: a larger student is max-pooled, a larger teacher is averaged, equal maps stay."""
    rng = tiny_nets.generator(6)
    own, goal = torch.rand(2, 3, *student, generator=rng), torch.rand(2, 5, *teacher, generator=rng)
    mine, theirs = meet(own, goal)
    assert (mine.shape, theirs.shape) == ((2, 3, *met), (2, 5, *met))
    if student > met:
        step = student[0] // met[0]
        assert mine[0, 0, 0, 0] == own[0, 0, :step, :step].max()
        assert theirs is goal
    elif teacher > met:
        assert theirs[0, 0, 0, 0].item() == pytest.approx(goal[0, 0, :2, :2].mean().item())
        assert mine is own
    else:
        assert mine is own
        assert theirs is goal


def test_errors_are_of_every_pair_whatever_its_shapes():
    """T-003-7: (T, B, s_L, a_L), a dense tap as a map of one pixel."""
    spikes, activations = features()
    assert as_maps(activations[2]).shape == (B, 7, 1, 1)
    errors = layers().errors(spikes, activations)
    assert errors.shape == (T, B, 2, 3)
    assert (errors > 0).all()


def test_equal_similarities_have_no_mismatch():
    """T-003-10: the STM score is 0 for identical Gram matrices, and the mean squared difference of all pairs else."""
    rng = tiny_nets.generator(7)
    x = torch.rand(B, 5, generator=rng).double()
    same = step_similarity(x.expand(T, -1, -1))
    assert stm_score([same, same], [gram(x)]) == 0
    ours, theirs = torch.rand(2, T, B, B, generator=rng), torch.rand(3, B, B, generator=rng)
    expected = sum(
        float((ours[i, t] - theirs[j]).square().mean()) for i in range(2) for t in range(T) for j in range(3)
    )
    assert float(stm_score(list(ours), list(theirs))) == pytest.approx(expected / (2 * T * 3), rel=1e-5)


def test_a_batch_too_small_to_embed_is_refused():
    """T-003-8."""
    with pytest.raises(BadInput, match=r"batch_size is 2.*at least 4"):
        layers(batch_size=2)


def test_autocast_leaves_similarities_and_attention_in_single_precision():
    rng = tiny_nets.generator(8)
    with torch.autocast("cpu", torch.bfloat16):
        ours = step_similarity(torch.ones(2, 4, 1001, dtype=torch.bfloat16))
        eta = layers().float().attention(list(torch.rand(2, T, B, B, generator=rng)), list(torch.rand(3, B, B)))
    assert torch.equal(ours, torch.full((2, 4, 4), 1001.0))  # bfloat16 has no 1001
    assert eta.dtype == torch.float32
