"""Recipes: what is read, and how what is wrong is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from spikeport.hw import BadInput
from spikeport.pipeline import chain
from spikeport.pipeline.recipe import load, options_as, parse
from spikeport.pipeline.sections import Recipe

ALL = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
RECIPES = [path for path in ALL if not path.stem.startswith("compare-")]  # those are read by `pipeline.compare.spec`


@pytest.fixture
def written(tmp_path):
    def write(text: str, *overrides: str) -> Recipe:
        path = tmp_path / "small.yaml"
        path.write_text(text)
        return load(path, overrides)

    return write


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_every_recipe_of_the_repository_loads_and_names_what_exists(path):
    recipe = load(path)
    chain.check(recipe)
    assert recipe.name == path.stem


def test_there_are_recipes_to_test():
    assert {"digits", "cifar10", "cifar10-resnet18"} <= {path.stem for path in RECIPES}


def test_a_recipe_without_a_name_takes_the_files(written):
    assert written("seed: 3").name == "small"


def test_an_unknown_key_is_named_with_its_path_and_the_nearest_known_one(written):
    with pytest.raises(BadInput, match=r"train\.augment\.crp: unknown key; did you mean 'crop'\? known: crop, cutout"):
        written("train: {augment: {crp: 4}}")


def test_an_unknown_section_is_named_with_the_nearest_known_one(written):
    with pytest.raises(BadInput, match=r"refin: unknown key; did you mean 'refine'"):
        written("refin: {T: 2}")


def test_a_section_without_settings_says_so(written):
    with pytest.raises(BadInput, match=r"report\.file: unknown key; this section has no settings"):
        written("report: {file: a.net}")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("refine.T=0", r"refine\.T is 0; .*greater than or equal to 1"),
        ("refine.T=2.5", r"refine\.T is 2\.5; .*integer"),
        ("refine.v_decay=4097", r"refine\.v_decay is 4097; .*4096"),
        ("train.epochs=-1", r"train\.epochs is -1; .*greater than or equal to 0"),
        ("train.epochs=true", r"train\.epochs is True; .*integer"),
        ("train.lr=0", r"train\.lr is 0; .*greater than 0"),
        ("train.lr=.nan", r"train\.lr is nan; .*finite"),
        ("train.warmup_epochs=99", r"warmup_epochs 99 is more than epochs 30"),
        ("data.validation=0", r"data\.validation is 0; .*greater than or equal to 1"),
        ("quantize.payload_bits=0", r"quantize\.payload_bits is 0; "),
        ("convert.percentile=100.5", r"convert\.percentile is 100\.5; .*100"),
        ("verify.samples=0", r"verify\.samples is 0"),
        ("device=tpu", r"device is 'tpu'; .*'cpu', 'cuda' or 'auto'"),
        ("name=a/b", r"name is 'a/b'"),
        ("train=3", r"train is 3; it is a section"),
        ("train.optimizer=adam", r"train\.optimizer is 'adam'; .*'sgd' or 'adamw'"),
    ],
)
def test_a_wrong_value_is_refused_with_path_value_and_limit(written, setting, message):
    with pytest.raises(BadInput, match=message):
        written("", setting)


def test_a_key_given_twice_is_refused_with_its_line(written):
    with pytest.raises(BadInput, match=r"line 3 key 'T' is given twice"):
        written("refine:\n  T: 2\n  T: 4\n")


def test_a_missing_file_is_refused_and_its_neighbours_are_named(tmp_path):
    (tmp_path / "digits.yaml").write_text("")
    with pytest.raises(BadInput, match=r"no such file; there is: .*digits\.yaml"):
        load(tmp_path / "digit.yaml")


@pytest.mark.parametrize("text", ["a: [", "- 1", "just words", "1: 2", "!!python/object/apply:os.getcwd []"])
def test_a_file_that_is_no_mapping_of_settings_is_refused(written, text):
    with pytest.raises(BadInput, match=r"recipe .*small\.yaml"):
        written(text)


def test_overrides_win_over_the_file_and_are_read_as_yaml(written):
    recipe = written(
        "train: {lr: 0.1, augment: {flip: false}}", "train.lr=1e-3", "train.augment.flip=true", "threads=2"
    )
    assert (recipe.train.lr, recipe.train.augment.flip, recipe.threads) == (0.001, True, 2)


@pytest.mark.parametrize("override", ["refine.T", "=2", "refine..T=2", ".T=2"])
def test_an_override_that_is_no_assignment_is_refused(written, override):
    with pytest.raises(BadInput, match=r"write it as section\.key=value"):
        written("", override)


def test_an_override_changes_one_of_the_sections_that_share_an_alias(written):
    recipe = written("train: &same {epochs: 5, batch_size: 8}\nquantize: *same", "quantize.epochs=2")
    assert (recipe.train.epochs, recipe.quantize.epochs, recipe.quantize.batch_size) == (5, 2, 8)


def test_an_override_below_a_value_is_refused(written):
    with pytest.raises(BadInput, match=r"train\.lr is 0\.1, not a section"):
        written("train: {lr: 0.1}", "train.lr.x=1")


def test_numbers_in_scientific_notation_are_numbers(written):
    assert written("train: {lr: 1e-3, weight_decay: 5E-4}").train.weight_decay == 5e-4


def test_a_recipe_cannot_be_changed(written):
    with pytest.raises(ValidationError, match="frozen"):
        written("").train.lr = 1.0


@given(seed=st.integers(0, 2**31), steps=st.integers(1, 64), lr=st.floats(1e-6, 1), crop=st.integers(0, 8))
def test_a_recipe_read_back_from_its_canonical_text_is_the_same(seed, steps, lr, crop):
    recipe = parse({"name": "a", "seed": seed, "refine": {"T": steps}, "train": {"lr": lr, "augment": {"crop": crop}}})
    assert Recipe.model_validate_json(recipe.canonical()) == recipe


def test_the_identity_follows_the_training_and_nothing_else(written):
    base = written("")
    same = ("energy.first_layer=once", "refine.T=2", "data.root=/elsewhere", "device=auto", "threads=1")
    other = ("seed=1", "train.lr=0.2", "data.validation=100", "model.architecture=vgg_strided", "name=b")
    assert {written("", change).identity() for change in same} == {base.identity()}
    assert len({base.identity(), *(written("", change).identity() for change in other)}) == len(other) + 1


def test_a_recipe_names_an_architecture_unless_it_names_a_file(written):
    assert written("").model.architecture == "digits_conv"
    assert written("model: {architecture: null}").model.architecture == "digits_conv"
    recipe = written("model: {file: net.onnx, mean: [0, 0.5], std: [1, 0.25]}")
    assert recipe.model.architecture is None
    assert (recipe.model.file, recipe.model.mean, recipe.model.std) == (Path("net.onnx"), [0, 0.5], [1, 0.25])


def test_a_network_from_a_file_is_not_trained_unless_asked(written):
    assert written("model: {file: net.onnx}").train.epochs == 0
    assert written("model: {file: net.onnx}\ntrain: {lr: 0.1}").train.epochs == 0
    assert written("model: {file: net.onnx}\ntrain: {epochs: 3}").train.epochs == 3
    assert written("").train.epochs == 30


def test_a_recipe_with_a_file_read_back_is_the_same(written):
    recipe = written("model: {file: net.onnx, std: [0.5]}", "train.epochs=2")
    assert Recipe.model_validate_json(recipe.canonical()) == recipe
    assert parse(recipe.model_dump(mode="json")) == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{file: a.onnx, architecture: digits_conv}",
            "architecture digits_conv and file a.onnx are both given; keep one",
        ),
        ("{mean: [0.5]}", "mean and std belong to a file"),
        ("{architecture: digits_conv, std: [0.5]}", "mean and std belong to a file"),
        ("{file: a.onnx, std: [0]}", r"model\.std\.0 is 0; .*greater than 0"),
        ("{file: a.onnx, mean: []}", r"model\.mean is \[\]; .*at least 1 item"),
        ("{file: 3}", r"model\.file is 3"),
    ],
)
def test_a_model_that_is_not_one_network_is_refused(written, text, message):
    with pytest.raises(BadInput, match=message):
        written(f"model: {text}")


def test_a_named_architecture_has_the_identity_it_always_had(written):
    """Runs trained before recipes could name files are found again."""
    assert written("").sections(("model", "seed")) == {"model": {"architecture": "digits_conv"}, "seed": 0}


EVENTS = "data: {name: nmnist, frames: {T: 6}}\n"
STILLS = """\
data: {name: nmnist, frames: {T: 6}, stills: {name: mnist}}
refine: {start: scratch}
"""


@pytest.mark.parametrize("refine", ["", "refine: {lr: 0.1}", "refine: {T: 6}"])
def test_a_frame_is_a_timestep(written, refine):
    recipe = written(EVENTS + refine)
    assert recipe.data.frames is not None
    assert recipe.data.frames.T == recipe.refine.T == 6


def test_an_override_of_the_frames_takes_the_timesteps_along(written):
    assert written(EVENTS, "data.frames.T=3").refine.T == 3


@pytest.mark.parametrize("text", ["refine: {T: 4}", "refine: {T: 12}"])
def test_another_number_of_timesteps_than_of_frames_is_refused(written, text):
    with pytest.raises(BadInput, match=r"refine\.T is (4|12), but data\.frames\.T is 6, and a frame is a timestep"):
        written(EVENTS + text)


@pytest.mark.parametrize("section", ["saccades: {}", "folds: {of: 3}", "stills: {name: mnist}"])
def test_what_belongs_to_events_is_refused_without_frames(written, section):
    name = section.split(":")[0]
    with pytest.raises(BadInput, match=rf"data: {name} is given without frames; .*give frames too"):
        written(f"data: {{{section}}}")
    start = "refine: {start: scratch}"  # which an ANN of still images asks for
    assert getattr(written(f"data: {{frames: {{T: 2}}, {section}}}\n{start}").data, name) is not None


@pytest.mark.parametrize("start", ["converted", "half_bias", "compensated", "teacher"])
def test_an_ann_of_still_images_is_no_start_for_a_network_of_events(written, start):
    assert written(STILLS).refine.start == "scratch"
    with pytest.raises(BadInput, match=rf"refine\.start is {start}, but the ANN learns from data\.stills"):
        written(STILLS, f"refine.start={start}")


def test_an_ann_of_still_images_is_no_teacher_for_the_integers(written):
    assert written(STILLS).quantize.teacher is None
    assert written(STILLS, "quantize.teacher=refined").quantize.teacher == "refined"
    with pytest.raises(BadInput, match=r"quantize\.teacher is ann, but the ANN learns from data\.stills; use refined"):
        written(STILLS, "quantize.teacher=ann")


def test_an_architecture_of_the_anns_own_needs_still_images(written):
    assert written(STILLS, "train.architecture=resnet18").train.architecture == "resnet18"
    for text in ("", EVENTS):
        with pytest.raises(BadInput, match=r"train\.architecture is of an ANN that learns from data\.stills"):
            written(text, "train.architecture=resnet18")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.frames.T=0", r"data\.frames\.T is 0; .*greater than or equal to 1"),
        ("data.frames.levels=256", r"data\.frames\.levels is 256; .*255"),
        ("data.frames.by=frame", r"data\.frames\.by is 'frame'; .*'time' or 'count'"),
        ("data.frames.fit=stretch", r"data\.frames\.fit is 'stretch'; .*'crop' or 'scale'"),
        ("data.frames={}", r"data\.frames\.T: is missing; give it a value"),
        ("data.frames.TT=4", r"data\.frames\.TT: unknown key; did you mean 'T'"),
        ("data.saccades={threshold: 0}", r"data\.saccades\.threshold is 0; .*0.01"),
        ("data.folds={of: 1}", r"data\.folds\.of is 1; .*greater than or equal to 2"),
        ("data.folds={of: 3, test: 3}", r"data\.folds: test is 3, but the folds are 0\.\.2"),
        ("data.stills={limit: 3}", r"data\.stills\.name: is missing; give it a value"),
        ("data.stills={name: mnist, validation: 0}", r"data\.stills\.validation is 0; .*greater than or equal to 1"),
        ("train.sampling=weighted", r"train\.sampling is 'weighted'; .*'shuffled' or 'balanced'"),
        ("refine.augment.roll=-1", r"refine\.augment\.roll is -1; .*greater than or equal to 0"),
        ("refine.optimizer=adam", r"refine\.optimizer is 'adam'; .*'sgd' or 'adamw'"),
        ("quantize.teacher=snn", r"quantize\.teacher is 'snn'; .*'ann' or 'refined'"),
    ],
)
def test_a_wrong_value_of_events_is_refused_with_path_value_and_limit(written, setting, message):
    with pytest.raises(BadInput, match=message):
        written(EVENTS, setting)


def test_the_demo_keeps_its_identity():
    """The folder of its run is named by it: a change here would make every run of before a stranger."""
    recipe = load(Path(__file__).parents[2] / "recipes" / "digits.yaml")
    assert recipe.identity().startswith("e843e332")


def test_a_field_at_its_first_value_is_no_part_of_what_a_run_depends_on(written):
    """What existed before fields were added, section by section."""
    sections = written("").sections(("data", "train", "refine", "quantize"))
    shared = {"epochs", "batch_size", "lr", "momentum", "weight_decay", "augment", "precision"}
    assert set(sections["data"]) == {"name", "validation", "train_limit", "test_limit"}
    assert set(sections["train"]) == shared | {"optimizer", "schedule", "label_smoothing", "warmup_epochs"}
    method = {"method", "engine", "grad_scale", "seed", "teacher", "options", "grad_clip", "start"}
    neurons = {"profile", "last_activation", "T", "v_decay"}
    assert set(sections["refine"]) == shared | method | neurons
    assert set(sections["quantize"]) == shared | {"chip", "payload_bits", "relays", "grad_clip"}
    for section in ("train", "refine", "quantize"):
        assert set(sections[section]["augment"]) == {"crop", "flip", "cutout"}


@pytest.mark.parametrize(
    ("section", "setting", "value"),
    [
        ("data", "frames.by", "count"),
        ("data", "saccades", "{}"),
        ("data", "folds", "{of: 3}"),
        ("data", "folds", "{of: 3, test: 1}"),
        ("data", "stills", "{name: mnist, limit: 7}"),
        ("train", "sampling", "balanced"),
        ("train", "augment.roll", "2"),
        ("train", "architecture", "resnet18"),
        ("refine", "sampling", "balanced"),
        ("refine", "augment.roll", "2"),
        ("refine", "optimizer", "adamw"),
        ("refine", "warmup_epochs", "2"),
        ("quantize", "sampling", "balanced"),
        ("quantize", "augment.roll", "2"),
        ("quantize", "teacher", "refined"),
    ],
)
def test_a_field_at_another_value_is(written, section, setting, value):
    before = written(STILLS).sections((section,))
    assert written(STILLS, f"{section}.{setting}={value}").sections((section,)) != before


def test_where_the_still_images_are_is_no_part_of_it(written):
    names = ("name", "seed", "data", "model", "train")
    here, there = (written(STILLS, f"data.stills.root={place}").sections(names) for place in ("/here", "/there"))
    assert here == there == written(STILLS).sections(names)


def test_a_recipe_of_events_read_back_is_the_same(written):
    recipe = written(STILLS, "data.folds={of: 3, test: 1}", "data.stills.root=/there", "data.frames.until_us=300000")
    assert Recipe.model_validate_json(recipe.canonical()) == recipe
    assert parse(recipe.model_dump(mode="json")) == recipe


def onnx_file(path: Path, weight: float, external: bool = False) -> None:
    """One Gemm without meaning, its weight inside the file or in `<name>.data` beside it."""
    values = onnx.numpy_helper.from_array(np.full((4, 4), weight, np.float32), "w")
    node = onnx.helper.make_node("Gemm", ["x", "w"], ["y"])
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 4]) for name in "xy"]
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", ends[:1], ends[1:], [values]))
    extra = {"save_as_external_data": True, "location": f"{path.name}.data", "size_threshold": 0} if external else {}
    onnx.save(model, path, **extra)


@pytest.mark.parametrize("external", [False, True])
def test_the_identity_of_a_file_is_its_content_and_not_its_place(written, tmp_path, external):
    paths = [tmp_path / folder / "net.onnx" for folder in ("a", "b", "c")]
    for path, weight in zip(paths, (1.0, 1.0, 2.0), strict=True):
        path.parent.mkdir()
        onnx_file(path, weight, external)
    first, copy, other = (written("", f"model.file={path}") for path in paths)
    assert first.identity() == copy.identity() != other.identity()
    assert first.identity() != written("", f"model.file={paths[0]}", "model.std=[0.5]").identity()
    if external:  # the files themselves are alike
        assert paths[0].read_bytes() == paths[2].read_bytes()


def test_a_file_that_is_not_there_is_refused_before_anything_runs(written, tmp_path):
    with pytest.raises(BadInput, match=r"net\.onnx: no such file"):
        chain.check(written("", f"model.file={tmp_path / 'net.onnx'}"))
    onnx_file(tmp_path / "net.onnx", 1.0, external=True)
    chain.check(written("", f"model.file={tmp_path / 'net.onnx'}"))
    (tmp_path / "net.onnx.data").unlink()
    with pytest.raises(BadInput, match=r"cannot be read \(No such file or directory: .*net\.onnx\.data"):
        chain.check(written("", f"model.file={tmp_path / 'net.onnx'}"))


def test_data_outside_the_files_folder_are_never_opened(written, tmp_path):
    onnx_file(tmp_path / "net.onnx", 1.0, external=True)
    model = onnx.load(tmp_path / "net.onnx", load_external_data=False)
    model.graph.initializer[0].external_data[0].value = "../elsewhere"
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BadInput, match=r"data file '\.\./elsewhere' lies outside its folder"):
        chain.check(written("", f"model.file={tmp_path / 'net.onnx'}"))


def test_a_file_of_another_kind_is_refused(written, tmp_path):
    with pytest.raises(BadInput, match=r"net\.nir: is no \.onnx file; a network that spikes already goes to"):
        chain.check(written("", f"model.file={tmp_path / 'net.nir'}"))


@dataclass(frozen=True, kw_only=True)
class Options:
    tau: float = 2.0
    weights: tuple[float, ...] = ()


def test_method_options_become_the_methods_dataclass():
    assert options_as(Options, {"tau": 4, "weights": [1, 2]}, "refine.options") == Options(tau=4.0, weights=(1.0, 2.0))


def test_an_unknown_method_option_is_named_with_the_nearest_known_one():
    with pytest.raises(BadInput, match=r"refine\.options\.tua: unknown key; did you mean 'tau'"):
        options_as(Options, {"tua": 4}, "refine.options")


def test_a_wrong_method_option_is_named_with_its_value():
    with pytest.raises(BadInput, match=r"refine\.options: tau is 'warm'; .*number"):
        options_as(Options, {"tau": "warm"}, "refine.options")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.name=digit", "unknown data set 'digit': did you mean 'digits'"),
        ("model.architecture=vgg", "unknown architecture 'vgg'"),
        ("refine.profile=loih", "unknown .*profile.* 'loih': did you mean 'loihi'"),
        ("refine.method=cka", "unknown refinement method 'cka'"),
        ("quantize.chip=loihi3", "unknown chip 'loihi3': did you mean 'loihi"),
        ("refine.options.tua=1", "unknown key; did you mean 'tau'"),
    ],
)
def test_a_name_nothing_is_registered_under_is_refused_before_anything_runs(written, setting, message):
    with pytest.raises(BadInput, match=message):
        chain.check(written("", setting))
