"""Clips beside images: time before the batch, binary spikes, one picture of each, and names that go along."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spikeport.hw import BadInput
from spikeport.models.datasets import Clips, Images, Samples, decode_payload, fingerprint, split

N, T, C, H, W = 5, 3, 2, 4, 6


def clips(levels=1, n=N, seed=0, ids=None):
    rng = torch.Generator().manual_seed(seed)
    x = torch.randint(levels + 1, (n, T, C, H, W), generator=rng).to(torch.uint8)
    return Clips(x=x, y=torch.arange(n), levels=levels, ids=ids)


def names(n=N, first=0):
    return np.array([f"scene/{number}" for number in range(first, first + n)])


INDICES = [slice(None), slice(1, 4), torch.tensor([4, 0, 0]), torch.tensor([True, False, True, True, False])]


@pytest.mark.parametrize("index", INDICES, ids=["all", "slice", "numbers", "mask"])
@pytest.mark.parametrize("levels", [1, 7])
def test_a_batch_of_clips_has_time_before_the_samples(index, levels):
    """floats[t, b] is frame t of the b-th chosen clip, divided by the levels."""
    samples = clips(levels)
    chosen = torch.arange(N)[index].tolist()
    values, floats = samples.values(index), samples.floats(index)
    assert values.shape == floats.shape == (T, len(chosen), C, H, W)
    assert floats.dtype == torch.float32
    for t in range(T):
        for b, number in enumerate(chosen):
            assert torch.equal(values[t, b], samples.x[number, t])
            assert torch.equal(floats[t, b], samples.x[number, t].to(torch.float32) / levels)


@pytest.mark.parametrize("index", INDICES, ids=["all", "slice", "numbers", "mask"])
def test_a_batch_of_images_is_as_it_is_stored(index):
    images = Images(x=clips(255).x[:, 0], y=torch.arange(N))
    assert torch.equal(images.values(index), images.x[index])
    assert torch.equal(images.stills(index), images.floats(index))


def test_of_a_clip_the_picture_is_the_mean_over_time():
    """How often a pixel spikes, of T; of counts, their mean share of the levels."""
    for levels in (1, 7):
        samples = clips(levels)
        mean = samples.x.numpy().mean(axis=1) / levels
        assert np.allclose(samples.stills().numpy(), mean, atol=1e-6)
        assert np.allclose(samples.stills(torch.tensor([3])).numpy(), mean[[3]], atol=1e-6)


@given(levels=st.integers(2, 255), bits=st.integers(1, 16), seed=st.integers(0, 100))
def test_the_payload_of_clips_is_that_of_their_frames(levels, bits, seed):
    """Frame by frame what images of the same numbers have, with time in front."""
    samples = clips(levels, seed=seed)
    payload = samples.payload(bits=bits)
    for t in range(T):
        assert torch.equal(payload[t], Images(x=samples.x[:, t], y=samples.y, levels=levels).payload(bits=bits))


def test_a_binary_spike_is_one_with_and_without_a_payload():
    samples = clips(1)
    assert samples.binary
    assert torch.equal(samples.payload(bits=0), samples.values(slice(None)).to(torch.int32))
    for bits in (1, 8):
        assert torch.equal(decode_payload(samples.payload(bits=bits), bits), samples.floats())


def test_counts_cannot_go_without_a_payload():
    assert not clips(2).binary
    with pytest.raises(BadInput, match="payload: 0 bits"):
        clips(2).payload(bits=0)


def test_clips_know_their_shape_and_their_steps():
    samples = clips()
    assert (samples.shape, samples.n_steps, len(samples)) == ((C, H, W), T, N)


@pytest.mark.parametrize("kind", [Images, Clips])
def test_names_go_along_with_their_samples(kind):
    x = clips().x if kind is Clips else clips().x[:, 0]
    samples: Samples = kind(x=x, y=torch.arange(N), ids=names())
    for index in INDICES:
        part = samples.subset(index)
        assert part.ids is not None
        assert part.ids.tolist() == [f"scene/{label}" for label in part.y.tolist()]
    for part in split(samples, 2, seed=4):
        assert part.ids is not None
        assert part.ids.tolist() == [f"scene/{label}" for label in part.y.tolist()]
    assert samples.to("cpu").ids is samples.ids
    assert kind(x=x, y=torch.arange(N)).subset(slice(2)).ids is None


def test_joined_clips_come_one_after_the_other_with_their_names():
    first, second = clips(n=2, ids=names(2)), clips(n=3, seed=1, ids=names(3, 2))
    both = first.joined(second)
    assert torch.equal(both.x[:2], first.x)
    assert torch.equal(both.x[2:], second.x)
    assert both.y.tolist() == [0, 1, 0, 1, 2]
    assert both.ids is not None
    assert both.ids.tolist() == names(5).tolist()


@pytest.mark.parametrize(("one", "other"), [(names(2), None), (None, names(2)), (None, None)])
def test_joined_clips_have_names_only_if_both_have(one, other):
    """Half a list of names would look as if the other half showed no scene at all."""
    assert clips(n=2, ids=one).joined(clips(n=2, ids=other)).ids is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(2, 1, 1, 1, dtype=torch.uint8)}, r"clips: x is .*give uint8 of shape \(N, T, C, H, W\)"),
        ({"x": torch.zeros(2, 1, 1, 1, 1)}, "clips: x is torch.float32"),
        ({"x": torch.full((2, 1, 1, 1, 1), 2, dtype=torch.uint8)}, "clips: x reaches 2, above levels = 1"),
        ({"y": torch.zeros(3, dtype=torch.int64)}, r"clips: y is .* give int64 \(2,\), one per sample"),
        ({"ids": names(3)}, r"clips: ids has shape \(3,\); give \(2,\), one per sample"),
    ],
)
def test_clips_refuse_what_is_no_set_of_clips(change, message):
    good = {"x": torch.zeros(2, 1, 1, 1, 1, dtype=torch.uint8), "y": torch.zeros(2, dtype=torch.int64), "levels": 1}
    Clips(**good)
    with pytest.raises(BadInput, match=message):
        Clips(**(good | change))


def test_images_with_a_name_too_few_are_refused():
    with pytest.raises(BadInput, match=r"images: ids has shape \(4,\); give \(5,\)"):
        Images(x=clips().x[:, 0], y=torch.arange(N), ids=names(4))


def test_the_fingerprint_tells_clips_from_other_orders_and_levels():
    a = clips(1)
    others = [a.subset(torch.arange(N - 1, -1, -1)), clips(1, seed=1), Clips(x=a.x, y=a.y, levels=2)]
    others.append(Clips(x=a.x.transpose(1, 2).contiguous(), y=a.y))  # polarity for time
    assert len({fingerprint(samples) for samples in [a, *others]}) == 1 + len(others)
    assert fingerprint(a) == fingerprint(clips(1, ids=names()))  # a name is not what a network learns
