"""Every registered data set, by its registry; the real files where this machine has them."""

import contextlib
import functools

import pytest
import torch
from spikeport.hw import BadInput
from spikeport.models.datasets import DATASETS, fingerprint, load, load_recordings
from spikeport.models.events.frames import Frames, to_frames

IMAGES = [name for name in DATASETS if DATASETS[name].recordings is None]
WITH_FILES = [name for name in DATASETS if DATASETS[name].files]


def load_any(name, root=None):
    return (load if name in IMAGES else load_recordings)(name, root)


@contextlib.contextmanager
def skipped_where_missing(root):
    """Skip where a folder of real data sets has nothing of this one; files that are there must be sound."""
    try:
        yield
    except BadInput as error:
        if f"is in {root}" not in str(error):
            raise
        pytest.skip(str(error))


@functools.cache
def load_once(name, root=None):
    return load(name, root)


def check_against_its_description(name, root=None):
    described = DATASETS[name]
    train, test = load_once(name, root)
    assert (len(train), len(test)) == (described.n_train, described.n_test)
    for part in (train, test):
        assert part.shape == described.shape
        assert set(part.y.tolist()) == set(range(described.n_classes))
        assert int(part.x.max()) == part.levels  # full contrast is in use
    return train, test


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_describes_itself(name):
    described = DATASETS[name]
    assert described.name == name
    assert described.licence
    assert described.source


@pytest.mark.parametrize("name", [name for name in DATASETS if not DATASETS[name].files])
def test_embedded_data_sets_are_as_described_and_need_no_root(name, no_root):
    check_against_its_description(name)


@pytest.mark.parametrize("name", WITH_FILES)
def test_without_a_root_the_error_says_what_to_put_where(name, no_root):
    with pytest.raises(BadInput, match="SPIKEPORT_DATA") as error:
        load_any(name)
    for files in DATASETS[name].files:
        assert files in str(error.value)


@pytest.mark.parametrize("name", WITH_FILES)
def test_an_empty_root_says_what_to_put_into_it(name, tmp_path):
    with pytest.raises(BadInput, match=str(tmp_path)) as error:
        load_any(name, tmp_path)
    for files in DATASETS[name].files:
        assert files in str(error.value)


@pytest.mark.parametrize("name", DATASETS)
def test_images_and_recordings_are_not_taken_for_one_another(name, tmp_path):
    with pytest.raises(BadInput, match="recordings of an event camera"):
        (load_recordings if name in IMAGES else load)(name, tmp_path)


def test_a_root_that_is_not_a_folder_is_refused(tmp_path):
    with pytest.raises(BadInput, match="nowhere is not a folder"):
        load("mnist", tmp_path / "nowhere")


def test_the_environment_names_the_root_and_an_argument_overrules_it(tmp_path, monkeypatch):
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    monkeypatch.setenv("SPIKEPORT_DATA", str(there))
    with pytest.raises(BadInput, match=str(there)):
        load("mnist")
    with pytest.raises(BadInput, match=str(here)):
        load("mnist", here)


def test_an_unknown_name_gets_the_nearest_known_one():
    with pytest.raises(BadInput, match="did you mean 'cifar10'"):
        load("cifar-10")


def test_digits_split_is_fixed():
    train, test = load("digits")
    # Pinned: another split would make published digits accuracies incomparable.
    assert fingerprint(test).startswith("81714802d72b")
    assert fingerprint(train).startswith("79b843406cd6")


def test_digits_are_the_bundled_ones_each_used_once():
    from sklearn.datasets import load_digits

    train, test = load("digits")
    assert train.levels == 16
    pixels = torch.cat([train.x, test.x]).reshape(-1, 64)
    bundled = torch.from_numpy(load_digits().data).to(torch.uint8)
    assert sorted(pixels.tolist()) == sorted(bundled.tolist())


@pytest.mark.parametrize("name", [name for name in WITH_FILES if name in IMAGES])
def test_real_images_are_as_described(name, real_root):
    with skipped_where_missing(real_root):
        check_against_its_description(name, real_root)


@pytest.mark.parametrize("name", [name for name in DATASETS if name not in IMAGES])
def test_real_recordings_are_as_described(name, real_root):
    described = DATASETS[name]
    with skipped_where_missing(real_root):
        parts = load_recordings(name, real_root)
    for part in parts:
        assert set(part.labels.tolist()) == set(range(described.n_classes))
        for index in (0, len(part) - 1):
            assert to_frames(part.read(index), Frames(T=3)).shape == (3, *described.shape)


def test_real_cifar10_has_equal_classes_and_upright_colour_images(real_root):
    train, test = load_once("cifar10", real_root)
    assert train.y.bincount().tolist() == [5000] * 10
    assert test.y.bincount().tolist() == [1000] * 10
    # The published per-channel means of the training set, x / 255: 0.4914, 0.4822, 0.4465.
    means = train.x.to(torch.float32).mean(dim=(0, 2, 3)) / 255
    assert means.tolist() == pytest.approx([0.4914, 0.4822, 0.4465], abs=5e-5)
    # First image of the official data_batch_1: a frog (class 6), first pixel 59, 62, 63.
    assert train.y[0] == 6
    assert train.x[0, :, 0, 0].tolist() == [59, 62, 63]
    # The first row runs to the right: 59, 43, 50 in the official file.
    assert train.x[0, 0, 0, :3].tolist() == [59, 43, 50]


def test_real_mnist_begins_as_published(real_root):
    train, test = load_once("mnist", real_root)
    assert train.y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert test.y[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    # The published mean of the training set, x / 255: 0.1307.
    assert train.floats().mean().item() == pytest.approx(0.1307, abs=5e-5)
