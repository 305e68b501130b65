"""Still images beside events: the same class always, every image of it alike, and none that is held out."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeport.hw import BadInput
from spikeport.models.datasets import Clips, Images
from spikeport.pipeline.data import without_twins
from spikeport.pipeline.refine.pairing import StillPool, as_clip

from .. import tiny_nets


def numbered(y: list[int]) -> Images:
    """Image i is filled with i, so that a drawn one can be told."""
    x = torch.arange(len(y), dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()
    return Images(x=x, y=torch.tensor(y))


def drawn_indices(pool: StillPool, y: torch.Tensor, seed: int) -> torch.Tensor:
    images, _ = pool.draw(y, tiny_nets.generator(seed))
    return (images[:, 0, 0, 0] * 255).round().long()


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=30),
    st.lists(st.integers(0, 3), max_size=12),
    st.integers(0, 10**6),
)
def test_a_still_image_has_the_class_of_its_events(asked, more, seed):
    """T-004-8: for every pair, whatever the order of the images and the sizes of the classes."""
    have = [3, 0, 2, 1, *more]
    y = torch.tensor(asked)
    images, labels = StillPool(numbered(have), 4).draw(y, tiny_nets.generator(seed))
    assert torch.equal(labels, y)
    assert [have[round(float(image[0, 0, 0]) * 255)] for image in images] == asked


def test_every_image_of_a_class_is_drawn_as_often():
    """T-004-8: 4 standard deviations of a binomial share; the first and the last of each class among them."""
    pool, n = StillPool(numbered([1, 0, 1, 0, 0, 1, 1]), 2), 4000
    for label, members in ((0, [1, 3, 4]), (1, [0, 2, 5, 6])):
        found = torch.bincount(drawn_indices(pool, torch.full((n,), label), label), minlength=7) / n
        share = 1 / len(members)
        assert found.nonzero().flatten().tolist() == members
        assert float((found[members] - share).abs().max()) < 4 * (share * (1 - share) / n) ** 0.5


def test_the_draw_is_that_of_its_generator():
    pool, y = StillPool(numbered([0, 1] * 10), 2), torch.tensor([0, 1, 1, 0] * 5)
    first, second, other = (drawn_indices(pool, y, seed) for seed in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_no_draw_shows_an_image_whose_recording_is_held_out():
    """T-004-7: ten images a class, of which the last is recorded for the test set; the first nine are all drawn.

    A pool of the first 90 % whose random range is one too long would show the tenth.
    """
    ids = np.array([f"{label}/{i}" for label in range(3) for i in range(10)])
    y = torch.arange(3).repeat_interleave(10)
    x = torch.arange(30, dtype=torch.uint8).reshape(-1, 1, 1, 1)
    images = Images(x=x, y=y, ids=ids)
    held_out = ids[9::10]
    recordings = Clips(x=torch.zeros(3, 1, 2, 4, 4, dtype=torch.uint8), y=torch.arange(3), levels=1, ids=held_out)
    kept = without_twins(images, recordings.ids)
    shown = drawn_indices(StillPool(kept, 3), torch.arange(3).repeat(400), 0).unique().tolist()
    assert shown == [i for i in range(30) if i % 10 != 9]
    assert set(ids[shown]).isdisjoint(held_out)
    leaking = drawn_indices(StillPool(images, 3), torch.arange(3).repeat(400), 0).unique().tolist()
    assert len(leaking) == 30  # the test can fail


def test_a_class_without_an_image_is_named():
    with pytest.raises(BadInput, match=r"data\.stills: of class 1, 3 there is no still image among 3"):
        StillPool(numbered([0, 2, 4]), 5)


def test_brightness_is_the_value_of_hsv_at_every_step_and_for_both_polarities():
    image = torch.rand(2, 3, 4, 4, generator=tiny_nets.generator(0))
    clip = as_clip(image, 5, (2, 4, 4))
    assert clip.shape == (5, 2, 2, 4, 4)
    for row in range(4):
        for column in range(4):
            red, green, blue = image[1, :, row, column].tolist()
            value = colorsys.rgb_to_hsv(red, green, blue)[2]
            assert clip[:, 1, :, row, column].flatten().tolist() == [value] * 10


def test_a_grey_image_stays_as_it_is():
    image = torch.rand(2, 1, 4, 4, generator=tiny_nets.generator(0))
    assert torch.equal(as_clip(image, 1, (2, 4, 4))[0], image.expand(2, 2, 4, 4))


def test_an_image_is_resized_to_the_frames():
    """Antialiased: a quarter of the size still has what lies between the pixels nearest to the new ones."""
    stripes = torch.tensor([1.0, 0, 0, 1, 1, 0, 0, 1]).expand(1, 1, 8, 8)
    clip = as_clip(stripes, 1, (2, 2, 2))
    assert clip.shape == (1, 1, 2, 2, 2)
    torch.testing.assert_close(clip, torch.full_like(clip, 0.5), rtol=0, atol=0.1)
    assert as_clip(torch.rand(1, 3, 5, 7), 2, (2, 6, 6)).shape == (2, 1, 2, 6, 6)
