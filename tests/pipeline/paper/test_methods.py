"""The methods paragraphs: they state what report and recipe hold, cite it, and say what is missing."""

from __future__ import annotations

import pytest
from spikeport.models.datasets import DATASETS
from spikeport.pipeline.paper.methods import methods
from spikeport.pipeline.paper.methods_networks import CONVERSION, STARTS
from spikeport.pipeline.paper.statement import Paragraph, Statement, latex
from spikeport.pipeline.recipe import parse as parse_recipe
from spikeport.pipeline.refine import METHODS
from spikeport.pipeline.sections import Convert, Refine
from spikeport.sim.report import parse

from .conftest import without


def said(values, **recipe) -> dict[str, list[Statement]]:
    paragraphs = methods(parse(values), parse_recipe({"name": "digits", **recipe}))
    return {p.title: [*p.listed, *p.statements] for p in paragraphs}


def words(statements: list[Statement]) -> str:
    return " ".join(statement.text for statement in statements)


def test_the_data_are_named_with_their_sizes_licence_and_source(values):
    (first, *_) = said(values)["Data"]
    assert "1,149 training, 288 validation and 360 test samples; licence: BSD-3-Clause" in first.text
    assert first.cites == ("alpaydin1998",)


def test_settings_of_the_data_are_said_only_where_they_are_set(values):
    data = {"name": "digits", "train_limit": 100, "label_noise": 0.25}
    text = words(said(values, data=data)["Data"])
    assert "Of the training samples at most 100" in text
    assert "25.00 % of the training labels" in text
    assert "Fold" not in text
    bare = words(said(values)["Data"])
    assert not [word for word in ("at most", "labels", "Recordings", "still images") if word in bare]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_named_and_cited_or_said_to_be_of_no_paper(values, method):
    statements = said(values, refine={"method": method})["Refinement"]
    assert f"refined by {method} ({METHODS[method].summary})" in statements[0].text
    assert bool(statements[0].cites) != ("without a method from a paper" in words(statements))


def test_training_is_told_with_its_numbers(values):
    text = words(
        said(values, refine={"epochs": 7, "batch_size": 5, "lr": 0.25, "augment": {"cutout": 3}})["Refinement"]
    )
    assert "7 epochs of SGD (momentum 0.9), batches of 5, learning rate 0.25 on a cosine schedule" in text
    assert "augmentation: cutout of 3 pixels" in text
    assert any("devries2017" in s.cites for s in said(values, refine={"augment": {"cutout": 3}})["Refinement"])


def test_a_step_without_epochs_says_that_nothing_was_trained(values):
    assert "No training took place" in words(said(values, quantize={"epochs": 0})["Deployed network"])


def test_the_tables_of_words_name_every_choice_of_a_recipe():
    def choices(section, field):
        return set(section.model_fields[field].annotation.__args__)

    assert set(CONVERSION) == choices(Convert, "norm")
    assert set(STARTS) == choices(Refine, "start")


def test_every_convention_is_listed_with_its_scope_and_its_constants_sources(values):
    listed = said(values)["Energy"]
    assert [s.text for s in listed[:2]] == ["excluded: memory.", "excluded: static power."]
    assert listed[0].cites == ("horowitz2014",)
    assert listed[1].cites == ()  # a convention that is not registered here


def test_without_bills_the_scope_of_the_report_stands_for_them(values):
    values["conventions"], values["conflicts"] = [], []
    first = said(values)["Energy"][0]
    assert first.text.startswith("arithmetic of synaptic operations only")
    assert first.cites == ("horowitz2014",)


def test_nothing_is_said_of_what_the_report_does_not_hold(values):
    whole = said(values)
    bare = said(without(values))
    assert {"Baselines", "Spread and sensitivity", "Placement"} <= whole.keys()
    assert not {"Baselines", "Spread and sensitivity", "Placement"} & bare.keys()
    assert "NeuroBench" not in words(bare["Counting"])


@pytest.mark.parametrize(
    ("key", "gap"),
    [
        ("events", "Events of single timesteps were not kept."),
        ("spread", "no interval and no worst sample is given"),
        ("sensitivity", "The sensitivity to constants and choices was not measured."),
        ("baselines", "No ANN in 8 bits or in matched bits was measured."),
        ("break_even", "The break-even spike rate was not measured."),
    ],
)
def test_what_was_not_measured_is_said(values, key, gap):
    assert gap not in words(said(values)["Not measured"])
    assert gap in words(said(without(values, key))["Not measured"])


def test_one_seed_and_no_chip_are_always_said(values):
    text = words(said(values)["Not measured"])
    assert "one run with seed 7" in text
    assert "The energy of a chip was not measured" in text


def test_the_placement_names_rule_messages_time_and_both_static_energies(values):
    text = words(said(values)["Placement"])
    assert "On loihi1 the network takes 6 cores on 1 chip, counted by a published compiler" in text
    assert "2,210.5 messages" in text
    assert "48.8 µs" in text
    assert "static 238.6 nJ for the cores in use, 5.095 µJ for whole chips" in text
    assert "hops are not known" in text  # loihi2
    assert "does not fit tiny" in text


def test_lava_says_how_many_values_were_compared(values):
    assert "1,053,696 integers compared, 0 mismatches" in words(said(values)["Check against Lava"])


def test_no_source_of_a_data_set_is_missing(values):
    for name in DATASETS:
        frames = {} if DATASETS[name].load else {"frames": {"T": 4}}
        statements = said(values, data={"name": name, **frames})["Data"]
        assert statements[0].cites, name


def test_a_citation_stands_before_the_full_stop_and_text_is_escaped():
    text = latex([Paragraph("A & B", (Statement("50 % of it.", ("a", "b")), Statement("No source.")))])
    assert text == "\\paragraph{A \\& B}\n50 \\% of it~\\cite{a,b}.\nNo source.\n"


def test_what_is_listed_stands_in_a_list_before_the_rest():
    text = latex([Paragraph("T", (Statement("After."),), listed=(Statement("One."), Statement("Two.")))])
    assert text == "\\paragraph{T}\n\\begin{itemize}\n\\item One.\n\\item Two.\n\\end{itemize}\nAfter.\n"
