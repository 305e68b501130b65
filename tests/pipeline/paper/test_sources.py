"""Every number and method has a BibTeX entry; every citation one, and no entry is idle."""

from __future__ import annotations

import re

import pytest
from spikeport.hw import BadInput
from spikeport.hw.placement import RULES
from spikeport.models.datasets import DATASETS
from spikeport.pipeline.paper import bibtex
from spikeport.pipeline.paper.methods_networks import CONVERSION
from spikeport.pipeline.paper.sources import SOURCES, UNPUBLISHED, Source, keys_in, named_in
from spikeport.pipeline.refine import METHODS
from spikeport.sim import CONVENTIONS
from spikeport.sim.baselines import multiply_by
from spikeport.sim.conventions.keras_spiking import DEVICES
from spikeport.sim.references import REFERENCES
from spikeport.sim.timings import TIMINGS

TEXTS = {
    **{f"{name}: {term.count}": term.cost.source for name, c in CONVENTIONS.items() for term in c.terms()},
    **{f"device {name}": device.synop.source for name, device in DEVICES.items()},
    **{f"times of {timings.title}: {event}": time.source for timings in TIMINGS for event, time in timings.rows()},
    **{name: constant.source for name, constant in REFERENCES.items()},
    **{f"method {name}": method.source for name, method in METHODS.items()},
    **{f"data set {name}": dataset.source for name, dataset in DATASETS.items()},
    **{f"placement {name}": rule.title for name, rule in RULES.items()},
    **{f"conversion {name}": source for name, (_, source) in CONVERSION.items()},
    "matched bits": multiply_by(3).source,
}


@pytest.mark.parametrize("what", TEXTS)
def test_every_source_text_names_an_entry_or_is_known_to_be_without_one(what):
    assert bool(named_in(TEXTS[what])) != (TEXTS[what] in UNPUBLISHED)


def test_a_text_without_an_entry_is_refused_with_the_way_out():
    with pytest.raises(BadInput, match=r"'a rumour' has no BibTeX entry; add one.*sources.py"):
        named_in("a rumour")


def test_what_is_without_an_entry_is_still_used():
    assert set(TEXTS.values()) >= set(UNPUBLISHED)


def test_an_entry_is_found_by_whole_words_in_any_case():
    assert "yan2024" not in keys_in("Akopyan et al. 2015")
    assert keys_in("yan ET AL. on break-even") == ("yan2024",)


@pytest.mark.parametrize("key", SOURCES)
def test_an_entry_has_what_its_kind_needs(key):
    source = SOURCES[key]
    place = {"article": "journal", "inproceedings": "booktitle", "techreport": "institution"}.get(source.kind)
    assert place is None or place in source.fields
    assert re.fullmatch(r"[a-z0-9]+", key)  # \cite takes it as it is
    assert all(source.fields.values())
    assert all(keys_in(name) for name in source.covers)


def test_the_keys_are_distinct_and_so_are_the_words():
    words = [name for source in SOURCES.values() for name in source.covers]
    assert len(words) == len(set(words))
    assert all(key == source.key for key, source in SOURCES.items())


def test_every_citation_has_an_entry_and_no_entry_is_idle(texts):
    cited = {
        key for text in texts.values() for group in re.findall(r"\\cite\{(.*?)\}", text) for key in group.split(",")
    }
    assert cited == set(re.findall(r"^@\w+\{(\w+),$", texts["references.bib"], re.MULTILINE))
    assert {"horowitz2014", "alpaydin1998", "cka2026", "lava", "dampfhoffer2023", "frady2020"} <= cited


def test_an_entry_keeps_capitals_pages_and_special_characters(monkeypatch):
    fields = {"author": "{A & B} and others", "title": "100 % of SNNs", "pages": "1--9"}
    monkeypatch.setitem(SOURCES, "x", Source(key="x", kind="article", fields=fields, covers=("x",)))
    assert bibtex.bibliography(["x"]) == (
        "@article{x,\n  author = {{A \\& B} and others},\n  title = {{100 \\% of SNNs}},\n  pages = {1--9}\n}\n"
    )
