"""Compare files: what they hold, and what is refused before anything is computed."""

from __future__ import annotations

from pathlib import Path

import pytest
from spikeport.hw import BadInput
from spikeport.pipeline.compare.spec import Comparison, checked, load
from spikeport.pipeline.recipe import parse

RECIPES = Path(__file__).resolve().parents[3] / "recipes"


def values(**changes) -> dict:
    return {
        "name": "tiny",
        "base": {"seed": 7, "threads": 1, "refine": {"epochs": 3, "lr": 0.5}},
        "methods": [
            {"label": "kd", "method": "kd"},
            {"label": "soft-kd", "method": "kd", "options": {"tau": 8.0}, "lr": 0.25, "start": "converted"},
        ],
        "T": [2, 4],
        "seeds": [0, 1],
        "reference": "kd",
    } | changes


def comparison(**changes) -> Comparison:
    return checked(values(**changes), "compare f.yaml")


def test_a_cell_is_the_base_recipe_with_a_method_a_t_and_a_seed():
    made = comparison()
    cell = made.recipe(made.methods[1], 4, 1)
    expected = {
        "epochs": 3,
        "lr": 0.25,
        "method": "kd",
        "options": {"tau": 8.0},
        "start": "converted",
        "T": 4,
        "seed": 1,
    }
    assert cell == parse({"name": "tiny", "seed": 7, "threads": 1, "refine": expected})


def test_all_cells_share_the_teachers_identity():
    made = comparison()
    cells = [made.recipe(entry, t, seed) for entry in made.methods for t in made.T for seed in made.seeds]
    assert len({cell.canonical() for cell in cells}) == 8
    assert {cell.identity() for cell in cells} == {made.base.identity()}


def test_the_whole_comparison_is_plain_values_that_read_back_the_same(tmp_path):
    made = comparison()
    kept = made.values()
    for name in ("method", "options", "T", "seed"):
        kept["base"]["refine"].pop(name)
    assert checked(kept, "again") == made


def test_a_file_without_a_name_takes_its_own(tmp_path):
    path = tmp_path / "compare-mine.yaml"
    path.write_text("base: {}\nmethods: [{label: a, method: none}]\nT: [1]\nseeds: [0]\nreference: a\n")
    assert load(path).name == "mine"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metods": []}, r"compare f.yaml: metods: unknown key; did you mean 'methods'\?"),
        ({"methods": [{"label": "a", "method": "kd", "optons": {}}]},
         r"methods.0: optons: unknown key; did you mean 'options'"),
        ({"methods": [{"label": "a", "method": "kdd"}], "reference": "a"},
         r"a: unknown refinement method 'kdd': did you mean 'kd'"),
        ({"methods": [{"label": "a", "method": "kd", "options": {"taw": 1.0}}], "reference": "a"},
         r"a: refine.options.taw: unknown key; did you mean 'tau'"),
        ({"methods": [{"label": "a", "method": "kd", "engine": "btt"}], "reference": "a"}, r"a: unknown engine 'btt'"),
        ({"methods": [{"label": "a", "method": "kd", "start": "warm"}], "reference": "a"}, r"refine.start is 'warm'"),
        ({"methods": [{"label": "a b", "method": "kd"}]}, r"methods.0: label is 'a b'"),
        ({"methods": [{"label": "a", "method": "kd"}] * 2}, r"methods names a more than once; give each once"),
        ({"methods": []}, r"methods is \[\]"),
        ({"T": [2, 0]}, r"T"),
        ({"T": [2, 2]}, r"T names 2 more than once"),
        ({"seeds": [1, 1]}, r"seeds names 1 more than once"),
        ({"seeds": "all"}, r"seeds is 'all'"),
        ({"reference": "kkd"}, r"reference 'kkd' is no label of methods; did you mean 'kd'\?"),
        ({"base": {"refine": {"T": 4}}}, r"base.refine.T is 4, but `T` decides it; leave it out"),
        ({"base": {"refine": {"method": "kd"}}}, r"base.refine.method is 'kd', but `methods` decides it"),
        ({"base": {"trian": {}}}, r"base: trian: unknown key; did you mean 'train'"),
        ({"base": {"data": {"name": "digitz"}}}, r"unknown data set 'digitz': did you mean 'digits'"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_its_place(changes, message):
    with pytest.raises(BadInput, match=message):
        comparison(**changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", r"holds a list; a compare file is a mapping"),
        ("name: a\nname: b\n", r"key 'name' is given twice"),
        ("a: [", r"compare .*f.yaml: line"),
    ],
)
def test_a_file_that_is_no_compare_file_is_refused(tmp_path, text, message):
    path = tmp_path / "f.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match=message):
        load(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"nowhere.yaml: cannot be read as text"):
        load(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("path", sorted(RECIPES.glob("compare-*.yaml")), ids=lambda p: p.name)
def test_the_compare_files_of_the_repository_are_valid(path):
    found = load(path)
    assert path.name == f"compare-{found.name}.yaml"
    frames = found.base.data.frames
    if frames is None:
        assert {2, 4} <= set(found.T)
    else:
        assert found.T == (frames.T,)
