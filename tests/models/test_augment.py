import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spikeport.hw import BadInput
from spikeport.models.augment import Augment


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def numbered(count=4, channels=2, height=5, width=6):
    """Every pixel another number, none of them 0."""
    return torch.arange(1, count * channels * height * width + 1.0).reshape(count, channels, height, width)


def shifted(image, dy, dx):
    """image (C, H, W) moved so that out[y, x] = image[y + dy, x + dx], zero outside: by loops."""
    out = torch.zeros_like(image)
    _, height, width = image.shape
    for y in range(height):
        for x in range(width):
            if 0 <= y + dy < height and 0 <= x + dx < width:
                out[:, y, x] = image[:, y + dy, x + dx]
    return out


def clips(steps=3, **sizes):
    """Clips (T, B, C, H, W) whose frames hold different numbers; a picture's pixel in frame t is 1000 t more."""
    return torch.stack([numbered(**sizes) + 1000 * t for t in range(steps)])


def test_images_are_changed_as_they_always_were():
    """So that a run gives the same bits again: drawn when there was neither roll nor a clip."""
    out = Augment(crop=1, flip=True, cutout=1)(numbered(count=3, channels=1, height=3, width=4), generator(7))
    assert out[:, 0].tolist() == [
        [[0, 0, 0, 0], [0, 4, 3, 2], [0, 8, 7, 6]],
        [[16, 15, 14, 13], [20, 0, 18, 17], [24, 23, 22, 21]],
        [[0, 25, 26, 27], [0, 29, 0, 31], [0, 33, 34, 35]],
    ]


def test_nothing_to_do_gives_an_equal_copy():
    x = numbered()
    out = Augment()(x, generator())
    assert torch.equal(out, x)
    assert out.data_ptr() != x.data_ptr()


@given(pad=st.integers(1, 7), seed=st.integers(0, 1000))
def test_crop_shifts_each_image_by_at_most_the_padding(pad, seed):
    x = numbered()
    out = Augment(crop=pad)(x, generator(seed))
    offsets = range(-pad, pad + 1)
    for image, cropped in zip(x, out, strict=True):
        assert any(torch.equal(cropped, shifted(image, dy, dx)) for dy in offsets for dx in offsets)


def test_crop_reaches_every_offset_and_images_move_independently():
    x = numbered(count=1, channels=1, height=3, width=3).expand(500, 1, 3, 3)
    out = {tuple(image.flatten().tolist()) for image in Augment(crop=1)(x, generator())}
    expected = {tuple(shifted(x[0], dy, dx).flatten().tolist()) for dy in (-1, 0, 1) for dx in (-1, 0, 1)}
    assert out == expected  # 9 offsets; 500 draws miss one with probability 9 * (8/9)^500 < 1e-24


@given(seed=st.integers(0, 1000))
def test_flip_mirrors_an_image_or_leaves_it(seed):
    x = numbered()
    for image, out in zip(x, Augment(flip=True)(x, generator(seed)), strict=True):
        assert torch.equal(out, image) or torch.equal(out, image.flip(2))


def test_flip_mirrors_about_half_of_the_images():
    x = numbered(count=1).expand(2000, 2, 5, 6)
    out = Augment(flip=True)(x, generator())
    flipped = (out != x).flatten(1).any(dim=1).sum().item()
    assert abs(flipped - 1000) < 5 * (2000 * 0.25) ** 0.5  # five standard deviations of a fair coin


@given(side=st.integers(1, 9), seed=st.integers(0, 1000))
def test_cutout_erases_one_square_about_a_pixel_and_nothing_else(side, seed):
    x = numbered()
    out = Augment(cutout=side)(x, generator(seed))
    assert torch.equal(out[out != 0], x[out != 0])
    height, width = x.shape[2:]
    for erased in (out == 0).unbind():
        assert torch.equal(erased[0], erased[1])  # all channels alike
        squares = []
        for y in range(height):
            for column in range(width):
                square = torch.zeros(height, width, dtype=torch.bool)
                top, left = y - side // 2, column - side // 2
                square[max(top, 0) : top + side, max(left, 0) : left + side] = True
                squares.append(square)
        assert any(torch.equal(erased[0], square) for square in squares)


@given(
    crop=st.integers(0, 4),
    flip=st.booleans(),
    cutout=st.integers(0, 4),
    roll=st.integers(0, 4),
    seed=st.integers(0, 1000),
    count=st.integers(1, 5),
)
def test_pixels_are_only_rearranged_or_erased(crop, flip, cutout, roll, seed, count):
    x = numbered(count)
    out = Augment(crop=crop, flip=flip, cutout=cutout, roll=roll)(x, generator(seed))
    assert out.shape == x.shape
    assert out.dtype == x.dtype
    assert torch.equal(x, numbered(count))  # the batch itself is left alone
    for image, changed in zip(x, out, strict=True):
        kept = changed[changed != 0]
        assert len(kept.unique()) == len(kept)  # no pixel twice
        assert torch.isin(kept, image).all()  # none from another image


@given(roll=st.integers(1, 9), seed=st.integers(0, 1000))
def test_roll_moves_each_image_around_the_border_by_at_most_so_many_pixels(roll, seed):
    x = numbered()
    offsets = range(-roll, roll + 1)
    for image, rolled in zip(x, Augment(roll=roll)(x, generator(seed)), strict=True):
        assert any(torch.equal(rolled, image.roll((dy, dx), (1, 2))) for dy in offsets for dx in offsets)


def test_roll_reaches_every_offset_equally_and_images_move_independently():
    x = numbered(count=1, channels=1, height=5, width=7).expand(5000, 1, 5, 7)
    out = Augment(roll=1)(x, generator())
    shares = [
        (out == x[0].roll((dy, dx), (1, 2))).flatten(1).all(dim=1).double().mean().item()
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
    ]
    assert sum(shares) == pytest.approx(1)
    assert max(abs(share - 1 / 9) for share in shares) < 5 * (8 / 81 / 5000) ** 0.5  # five standard deviations


def test_an_image_is_cropped_before_it_is_rolled_and_mirrored_last():
    x = numbered(count=200, channels=1)
    out = Augment(crop=1, roll=1, flip=True)(x, generator())
    one = range(-1, 2)
    moved = [(dy, dx, ry, rx) for dy in one for dx in one for ry in one for rx in one]
    for image, changed in zip(x, out, strict=True):
        options = [shifted(image, dy, dx).roll((ry, rx), (1, 2)) for dy, dx, ry, rx in moved]
        assert any(torch.equal(changed, option) or torch.equal(changed, option.flip(2)) for option in options)


AUGMENTS = [
    Augment(crop=2),
    Augment(flip=True),
    Augment(cutout=3),
    Augment(roll=2),
    Augment(crop=2, flip=True, cutout=3, roll=2),
]


@pytest.mark.parametrize("augment", AUGMENTS)
@pytest.mark.parametrize("steps", [1, 4])
def test_every_frame_of_a_clip_is_changed_as_an_image_in_its_place_would_be(augment, steps):
    x = clips(steps, count=16)
    out = augment(x, generator(3))
    assert out.shape == x.shape
    for frame, changed in zip(x, out, strict=True):
        assert torch.equal(changed, augment(frame, generator(3)))


@pytest.mark.parametrize("augment", AUGMENTS)
def test_clips_of_a_batch_are_changed_independently(augment):
    x = clips(count=1).expand(3, 64, 2, 5, 6)
    out = augment(x, generator())
    assert any(not torch.equal(out[:, 0], out[:, other]) for other in range(1, 64))


@pytest.mark.parametrize("augment", [Augment(), *AUGMENTS])
def test_a_batch_of_clips_is_left_alone(augment):
    x = clips()
    out = augment(x, generator())
    assert torch.equal(x, clips())
    assert out.data_ptr() != x.data_ptr()


@pytest.mark.parametrize("augment", AUGMENTS)
def test_equal_seeds_give_equal_batches_and_other_seeds_do_not(augment):
    x = numbered(count=32)
    first = augment(x, generator(1))
    assert torch.equal(first, augment(x, generator(1)))
    assert not torch.equal(first, augment(x, generator(2)))


def test_the_generator_is_the_only_randomness_and_is_advanced():
    x, augment, own = numbered(count=32), Augment(crop=2, flip=True, cutout=3), generator(1)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, second = augment(x, own), augment(x, own)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(first, second)


def test_double_precision_stays_double():
    assert Augment(crop=1, flip=True, cutout=1)(numbered().double(), generator()).dtype == torch.float64


@pytest.mark.parametrize("field", ["crop", "cutout", "roll"])
def test_negative_sizes_are_refused(field):
    with pytest.raises(BadInput, match=f"{field} is -1"):
        Augment(**{field: -1})


def test_a_single_image_is_not_a_batch():
    with pytest.raises(BadInput, match=r"got \(3, 8, 8\)"):
        Augment(flip=True)(torch.zeros(3, 8, 8), generator())
