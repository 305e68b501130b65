"""A recipe's data: folds, still images beside recordings, and that nothing tested was ever learned from (T-004-7)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spikeport.hw import BadInput
from spikeport.models.datasets import DATASETS, Clips, Dataset, Images, Samples
from spikeport.models.events import cache
from spikeport.models.events.frames import Frames
from spikeport.models.events.recording import Recording, Recordings
from spikeport.models.events.saccades import SYNTHETIC
from spikeport.pipeline.data import (
    StillSplits,
    fold,
    load_data,
    load_splits,
    load_stills,
    notices_of_events,
    notices_of_stills,
    require_same_classes,
    shape_of,
    without_twins,
)
from spikeport.pipeline.data_section import Folds
from spikeport.pipeline.recipe import parse
from spikeport.pipeline.sections import Recipe

CLASSES = (30, 17, 14)
"""Training images of each class of `scenes`; it has 4 test images of each beside."""
RECORDED = ((22, 12, 5), (5, 3, 2))
"""Of each class, how many of them `scenes_dvs` recorded for training, and then how many for its test set."""


def scenes() -> tuple[Images, Images]:
    """(train, test), class by class; an image's two pixels are its class and its number in the class."""
    parts = []
    for part, counts in (("train", CLASSES), ("test", (4, 4, 4))):
        pairs = [(label, number) for label, count in enumerate(counts) for number in range(count)]
        x = torch.tensor(pairs, dtype=torch.uint8).reshape(-1, 1, 1, 2)
        names = np.array([f"scenes/{part}/{label}/{number}" for label, number in pairs])
        parts.append(Images(x=x, y=torch.tensor([label for label, _ in pairs]), ids=names))
    return parts[0], parts[1]


def recorded(part: int, named: bool = True) -> Recordings:
    """Recordings of `scenes`' training images, class by class, none of them twice.

    Events: as many as the image's pixels say, so that a frame of counts is the image again.
    """
    images = scenes()[0]
    chosen = []
    for label, counts in enumerate(zip(*RECORDED, strict=True)):
        of_class = (images.y == label).nonzero().flatten()
        chosen.append(of_class[: counts[0]] if part == 0 else of_class[counts[0] : sum(counts)])
    shown = images.subset(torch.cat(chosen))

    def read(index: int) -> Recording:
        pixels = np.repeat([0, 1], shown.x[index].flatten().tolist())
        x = np.concatenate([pixels, [0]])  # one event more, so that none is empty
        zeros = np.zeros_like(x)
        return Recording(x=x, y=zeros, t=np.arange(len(x)), p=zeros, width=2, height=1, where=f"scene {index}")

    return Recordings(
        name="scenes_dvs", labels=shown.y.numpy(), ids=shown.ids if named else None, key=f"scenes {part}", read=read
    )


def counted(recordings: Recordings, frames: Frames) -> Clips:
    """What `cache.clips` makes, as plainly as can be and without a disk: every event in the first frame."""
    x = np.zeros((len(recordings), frames.T, 2, 1, 2), np.uint8)
    for number in range(len(recordings)):
        recording = recordings.read(number)
        np.add.at(x, (number, 0, recording.p, recording.y, recording.x), 1)
    return Clips(x=torch.from_numpy(x), y=torch.from_numpy(recordings.labels), levels=255, ids=recordings.ids)


@pytest.fixture(scope="module", autouse=True)
def fake_sets() -> Iterator[None]:
    """`scenes`, `scenes_dvs`, the same recordings without names, and images of another number of classes."""
    shared = {"licence": "none", "source": "here", "files": (), "n_train": 61, "n_test": 12}
    images = {"shape": (1, 1, 2), **shared}
    events = {"shape": (2, 1, 2), "n_classes": 3, **shared}
    made = [
        Dataset(name="scenes", n_classes=3, load=lambda _: scenes(), **images),
        Dataset(name="more_classes", n_classes=4, load=lambda _: scenes(), **images),
        Dataset(name="scenes_dvs", recordings=lambda _: (recorded(0), recorded(1)), **events),
        Dataset(name="unnamed_dvs", recordings=lambda _: (recorded(0, False), recorded(1, False)), **events),
        Dataset(name="half_named_dvs", recordings=lambda _: (recorded(0), recorded(1, False)), **events),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DATASETS, "_items", {**dict(DATASETS), **{dataset.name: dataset for dataset in made}})
        patch.setattr(cache, "clips", counted)
        yield


def recipe(seed: int = 0, stills: dict[str, Any] | None = None, **data: Any) -> Recipe:
    given_data = {"name": "scenes_dvs", "validation": 5, "frames": {"T": 2, "levels": 255}, **data}
    given_data["stills"] = {"name": "scenes", "validation": 3, **(stills or {})}
    return parse({"name": "a", "seed": seed, "data": given_data, "refine": {"start": "scratch"}})


def ids_of(*parts: Samples) -> set[str]:
    names = [name for part in parts for name in ([] if part.ids is None else part.ids.tolist())]
    assert len(set(names)) == len(names)  # no scene twice
    return set(names)


def held_out(chosen: Recipe) -> set[str]:
    """The scenes of the validation and of the whole test set, by way of the splits themselves."""
    data = chosen.data.model_dump()
    whole = parse({**chosen.model_dump(mode="json"), "data": {**data, "test_limit": None}})
    splits = load_splits(whole)
    return ids_of(splits.validation, splits.test)


@st.composite
def divisions(draw: st.DrawFn) -> Recipe:
    """Recipes over the fake sets: the published test set or a fold, any seeds, limits and validation sizes."""
    of = draw(st.one_of(st.none(), st.integers(2, 6)))
    folds = None if of is None else {"of": of, "test": draw(st.integers(0, of - 1)), "seed": draw(st.integers(0, 99))}
    return recipe(
        draw(st.integers(0, 2**20)),
        stills={"validation": draw(st.integers(1, 4))},
        validation=draw(st.integers(1, 8)),
        folds=folds,
        test_limit=draw(st.one_of(st.none(), st.integers(1, 5))),
        train_limit=draw(st.one_of(st.none(), st.integers(1, 12))),
    )


@given(divisions())
def test_no_image_that_is_learned_from_is_shown_by_a_held_out_recording(chosen):
    """T-004-7: for any division, limit and seed; the whole test set counts, whatever test_limit is."""
    stills = load_stills(chosen)
    learned = ids_of(stills.train, stills.validation)
    tested = held_out(chosen)
    assert tested
    assert not learned & tested


@given(divisions())
def test_no_other_image_is_left_out(chosen):
    stills = load_stills(chosen)
    everything = ids_of(scenes()[0])
    assert ids_of(stills.train, stills.validation) == everything - held_out(chosen)
    assert stills.twins == len(everything & held_out(chosen))


@given(divisions())
def test_no_recording_that_is_learned_from_shows_a_held_out_scene(chosen):
    splits = load_splits(chosen)
    assert not ids_of(splits.train) & held_out(chosen)


def test_the_first_test_scene_of_every_class_is_not_in_the_pool_and_the_last_training_scene_is():
    """T-004-7: a pool of the first n images of a class, its last index included, would hold the first that is tested.

    All but one recording of training are kept, so at most that one of the last scenes could be validated on.
    """
    for seed in range(5):
        stills = load_stills(recipe(seed, validation=1))
        pool = ids_of(stills.train, stills.validation)
        validated = ids_of(load_splits(recipe(seed, validation=1)).validation)
        for label, count in enumerate(RECORDED[0]):
            assert f"scenes/train/{label}/{count}" not in pool
            last = f"scenes/train/{label}/{count - 1}"
            assert (last in pool) == (last not in validated)


def test_a_twin_is_told_by_its_name_and_not_by_its_place():
    images = scenes()[0]
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    tested = np.array(["scenes/train/1/3", "scenes/train/0/0", "elsewhere/7"])
    kept = without_twins(images.subset(order), tested)
    assert kept.ids is not None
    assert images.ids is not None
    assert kept.ids.tolist() == [name for name in images.ids[order.numpy()] if name not in tested]


@pytest.mark.parametrize("name", ["unnamed_dvs", "half_named_dvs"])
def test_where_scenes_have_no_names_nothing_is_left_out_and_the_report_says_so(name):
    chosen = recipe(name=name)
    stills = load_stills(chosen)
    assert stills.twins is None
    assert len(stills.train) + len(stills.validation) == len(scenes()[0])
    (row,) = notices_of_stills(chosen, stills)
    assert row["layer"] == "data.stills"
    assert "none of the scenes images was left out" in row["what"]
    assert row["why"] == f"the recordings of {name} come without the names of their scenes"
    assert "upper bound" in row["way_out"]


def test_the_report_says_how_many_twins_were_left_out():
    chosen = recipe(validation=4)
    (row,) = notices_of_stills(chosen, load_stills(chosen))
    assert row["what"].startswith(f"{4 + sum(RECORDED[1])} of the scenes images were left out")


def test_a_recipe_without_stills_has_no_notice_of_them():
    chosen = parse({"name": "a"})
    train, test = scenes()
    assert notices_of_stills(chosen, StillSplits(train=train, validation=test, test=test, twins=None)) == []


def test_the_stills_are_split_by_the_recipes_seed_and_the_test_set_is_their_own():
    first, again, other = (load_stills(recipe(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.train.x, again.train.x)
    assert not torch.equal(first.train.x, other.train.x)
    assert len(first.validation) == 3
    assert torch.equal(first.test.x, scenes()[1].x)


def test_a_limit_keeps_so_many_stills():
    stills = load_stills(recipe(stills={"limit": 20}))
    whole = load_stills(recipe())
    assert stills.train.y.tolist() == whole.train.y.tolist()[:20]


def test_a_class_without_a_still_image_is_refused():
    """Of one training image, two of the three classes have none."""
    with pytest.raises(BadInput, match=r"data\.stills: its 1 training images show nothing of 2 classes, first of"):
        load_stills(recipe(stills={"limit": 1}))


def test_more_stills_than_there_are_beside_the_twins_are_refused():
    """61 images less the twins of 5 recordings for validation and of 10 in the test set."""
    with pytest.raises(BadInput, match=r"limit is 44, but 43 of 46 training images remain"):
        load_stills(recipe(stills={"limit": 44}))


def test_still_images_of_other_classes_are_refused():
    chosen = recipe(stills={"name": "more_classes"})
    for refuses in (lambda: load_stills(chosen), lambda: require_same_classes(chosen.data)):
        with pytest.raises(BadInput, match=r"data\.stills\.name: more_classes has 4 classes, but scenes_dvs has 3"):
            refuses()
    require_same_classes(recipe().data)
    require_same_classes(parse({"name": "a"}).data)


@given(y=st.lists(st.integers(0, 4), min_size=6, max_size=80), of=st.integers(2, 6), seed=st.integers(0, 1000))
def test_folds_share_out_the_samples_and_every_class(y, of, seed):
    """Each sample is in one fold; folds, and what they hold of a class, differ by one sample at most."""
    labels = torch.tensor(y)
    folds = torch.stack([fold(labels, Folds(of=of, test=test, seed=seed)) for test in range(of)])
    assert (folds.sum(0) == 1).all()
    for samples in (torch.ones_like(labels, dtype=torch.bool), *(labels == label for label in set(y))):
        sizes = (folds & samples).sum(1)
        assert sizes.max() - sizes.min() <= 1


def test_folds_are_decided_by_their_seed():
    y = torch.arange(100) % 3
    first, again, other = (fold(y, Folds(of=5, test=1, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_more_folds_than_samples_are_refused():
    with pytest.raises(BadInput, match="4 folds of 3 samples leave one empty; give fewer folds"):
        fold(torch.zeros(3, dtype=torch.int64), Folds(of=4, test=3))


@pytest.mark.parametrize("of", [2, 5])
def test_the_test_sets_of_all_folds_together_are_all_recordings_once(of):
    """Training and test set are divided anew: every recording is tested in one fold, with its label and its events."""
    tested, everything = [], ids_of(*(counted(recorded(part), Frames(T=2)) for part in (0, 1)))
    for test in range(of):
        chosen = recipe(validation=1, folds={"of": of, "test": test})
        splits = load_splits(chosen)
        assert ids_of(splits.train, splits.validation, splits.test) == everything
        for part in (splits.train, splits.validation, splits.test):
            assert part.ids is not None
            for x, y, name in zip(part.x, part.y.tolist(), part.ids.tolist(), strict=True):
                _, _, label, number = name.split("/")
                assert y == int(label)
                assert x[0, 0, 0].tolist() == [int(label) + 1, int(number)]
        tested += sorted(ids_of(splits.test))
    assert sorted(tested) == sorted(everything)


def test_without_folds_the_published_test_set_is_the_test_set():
    train, test = load_data(recipe().data)
    assert (len(train), len(test)) == tuple(map(sum, RECORDED))


def test_fewer_test_recordings_are_the_first_ones_and_more_are_refused():
    whole, few = load_splits(recipe()), load_splits(recipe(test_limit=4))
    assert torch.equal(few.test.x, whole.test.x[:4])
    with pytest.raises(BadInput, match=r"data\.test_limit is 11, but scenes_dvs has 10 test images"):
        load_splits(recipe(test_limit=11))


def test_recordings_are_not_simulated_again():
    with pytest.raises(BadInput, match=r"data\.saccades: scenes_dvs holds recordings of a camera; leave it out"):
        load_data(recipe(saccades={}).data)


def test_recordings_without_frames_are_refused():
    with pytest.raises(BadInput, match=r"scenes_dvs: holds recordings of an event camera, which need data\.frames"):
        load_data(parse({"name": "a", "data": {"name": "scenes_dvs"}}).data)


@pytest.mark.parametrize(("size", "shape"), [(None, (2, 28, 28)), (48, (2, 48, 48))])
def test_frames_have_two_polarities_and_their_own_size(size, shape):
    data = {"name": "mnist", "frames": {"T": 4, "size": size}}
    assert shape_of(parse({"name": "a", "data": data})) == shape
    assert shape_of(parse({"name": "a", "data": {"name": "mnist"}})) == (1, 28, 28)


def simulated(**data: Any) -> Recipe:
    return recipe(name="digits", stills={"name": "digits", "limit": 900}, validation=50, **data)


def test_recordings_simulated_from_images_leave_their_images_out_too(monkeypatch):
    """T-004-7: images and their simulated recordings are twins, in training, validation and test set."""
    monkeypatch.setattr(cache, "clips", lambda recordings, frames: blank(recordings, frames))
    chosen = simulated(test_limit=10, folds={"of": 4, "test": 1, "seed": 3})
    stills = load_stills(chosen)
    assert not ids_of(stills.train, stills.validation) & held_out(chosen)
    assert stills.twins is not None
    assert 50 < stills.twins < 500  # 50 for validation, and of a fold of 449 those that were training images


def blank(recordings: Recordings, frames: Frames) -> Clips:
    """Clips of which only labels and names count here."""
    x = torch.zeros(len(recordings), frames.T, 2, 1, 1, dtype=torch.uint8)
    return Clips(x=x, y=torch.from_numpy(recordings.labels), levels=frames.levels, ids=recordings.ids)


def test_images_without_names_are_told_by_their_place(monkeypatch):
    """So that recordings simulated from any image set have twins that are known."""
    monkeypatch.setattr(cache, "clips", blank)
    plain = Images(x=scenes()[0].x, y=scenes()[0].y)
    kept = DATASETS["scenes"]
    patched = Dataset(**{**vars(kept), "name": "plain", "load": lambda _: (plain, plain.subset(slice(12)))})
    monkeypatch.setitem(DATASETS._items, "plain", patched)
    chosen = recipe(name="plain", stills={"name": "plain"})
    stills = load_stills(chosen)
    assert stills.twins == 5  # the validation recordings; test images have other names
    assert not ids_of(stills.train, stills.validation) & held_out(chosen)
    assert "plain/test/00012" in held_out(chosen)


def test_the_report_says_that_events_are_synthetic_where_no_camera_made_them():
    (row,) = notices_of_events(simulated())
    assert row["what"] == SYNTHETIC
    assert row["layer"] == "input"
    assert notices_of_events(recipe()) == []
    assert notices_of_events(parse({"name": "a"})) == []
