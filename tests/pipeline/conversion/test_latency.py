"""Accuracy after each timestep, in a bounded memory, and the timestep at which a network has arrived."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spikeport.models.datasets import Images
from spikeport.pipeline.conversion.latency import first_step, hits_by_step, images_at_once
from spikeport.pipeline.convert import classify_steps
from spikeport.pipeline.training import correct

from .. import tiny_nets

CPU = torch.device("cpu")


def image_set(count: int) -> Images:
    rng = tiny_nets.generator(4)
    x = torch.randint(0, 256, (count, 2, 6, 6), dtype=torch.uint8, generator=rng)
    return Images(x=x, y=torch.randint(0, 3, (count,), generator=rng))


@pytest.mark.parametrize("at_once", [1, 7, 30, 100])
def test_after_each_step_the_largest_sum_so_far_is_the_answer(at_once):
    images = image_set(30)

    def logits(x: torch.Tensor) -> torch.Tensor:
        """(8 steps, N, 3 classes), off the pixels."""
        return x.flatten(1)[:, :24].unflatten(1, (8, 3)).transpose(0, 1)

    expected = []
    for t in range(1, 9):
        answers = [int(logits(images.floats(slice(i, i + 1)))[:t].sum(0).argmax()) for i in range(30)]
        expected.append(sum(answer == int(label) for answer, label in zip(answers, images.y, strict=True)))
    assert hits_by_step(logits, images, 8, CPU, at_once) == expected
    assert len(set(expected)) > 3


def test_a_network_is_judged_as_everywhere():
    _, net = tiny_nets.converted(tiny_nets.chain(), n_steps=9)
    images = image_set(30)
    expected = [correct(row, images) for row in classify_steps(net, images, CPU)]
    assert hits_by_step(lambda x: net(x)[0], images, 9, CPU, 8) == expected
    assert 0 < expected[-1] < 30


def test_no_gradient_is_kept():
    images, kept = image_set(4), []

    def logits(x):
        kept.append(torch.is_grad_enabled())
        return torch.zeros(2, len(x), 3)

    hits_by_step(logits, images, 2, CPU, 3)
    assert kept == [False, False]


def test_longer_samples_are_run_fewer_at_a_time():
    """2^26 spikes of the widest population, 2 x 6 x 6 in, 4 x 6 x 6 behind it."""
    _, net = tiny_nets.converted(tiny_nets.chain())
    assert images_at_once(net, 4) == 2**26 // (4 * 144)
    assert images_at_once(net, 10**9) == 1


def test_t95_is_the_first_step_within_five_percent_of_the_last():
    assert first_step([10, 94, 95, 90, 100]) == 3
    assert first_step([100, 5, 100]) == 1
    assert first_step([10, 20], share=0.5) == 1
    assert first_step([5, 3, 0]) is None


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20), st.floats(0.01, 1))
def test_no_earlier_step_had_arrived(hits, share):
    first = first_step(hits, share)
    if hits[-1] == 0:
        assert first is None
        return
    assert first is not None
    assert hits[first - 1] >= share * hits[-1]
    assert all(count < share * hits[-1] for count in hits[: first - 1])
