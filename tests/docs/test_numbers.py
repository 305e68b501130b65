"""docs/numbers.md says what the code says."""

import dataclasses
import re
from pathlib import Path

import pytest
from spikeport.hw import CHIPS, NEVER_FIRES, BadInput, arithmetic
from spikeport.models.datasets import DATASETS
from spikeport.sim import CONVENTIONS, Choices, numbers
from spikeport.sim.references import STATIC_POWER
from spikeport.sim.timings import TIMINGS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "numbers.md").read_text(encoding="utf-8")


def rows(heading):
    """The cells of every table row below `heading` (a first cell), down to the end of that table."""
    lines = TEXT.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    table = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return lines[start], table


@pytest.mark.parametrize("name", CHIPS)
def test_every_range_of_every_chip_is_in_the_table(name):
    header, table = rows("field")
    column = [cell.strip() for cell in header.strip("|").split("|")].index(name)
    documented = {row[0].strip("`"): int(row[column]) for row in table}
    ranges = {
        key: value for key, value in dataclasses.asdict(CHIPS[name]).items() if key not in ("name", "sources", "cores")
    }
    assert documented == ranges


def test_the_generated_tables_are_what_the_code_generates():
    assert numbers.rewrite(TEXT) == TEXT, f"run the command in {numbers.BEGIN}"


def test_a_document_without_its_marks_is_refused():
    with pytest.raises(BadInput, match="restore the marks"):
        numbers.rewrite(TEXT.replace(numbers.END, ""))


def test_every_time_and_every_static_power_is_in_a_table_with_its_source():
    times = [time for source in TIMINGS for _, time in source.rows()]
    powers = [power for pair in STATIC_POWER.values() for power in pair]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines() if line[:1] == "|"]
    for constant in times + powers:
        value = f"{constant.value:.6g} {constant.unit}"
        row = [value, constant.kind, constant.scope, constant.process, constant.source]
        assert row in [cell[1:] for cell in cells], value


def test_every_convention_and_every_choice_is_in_the_text():
    for name in CONVENTIONS:
        assert f"**`{name}`**" in TEXT
    documented = {row[0].split(":")[0].strip("`") for row in rows("choice")[1] if row[0].startswith("`")}
    assert documented == {field.name for field in dataclasses.fields(Choices)}


def test_the_arithmetic_of_the_neuron_is_in_the_table():
    _, table = rows("quantity")
    documented = {row[2].strip("`"): row[1] for row in table}
    assert documented["DECAY_ONE"].startswith(f"{arithmetic.DECAY_ONE} ")
    assert documented["STATE_SHIFT"] == str(arithmetic.STATE_SHIFT)
    assert documented["STATE_LIMIT"].endswith(f" {arithmetic.STATE_LIMIT}")
    assert documented["NEVER_FIRES"].startswith(f"{NEVER_FIRES} ")


@pytest.mark.parametrize("name", DATASETS)
def test_the_sizes_of_every_data_set_are_given(name):
    spec = DATASETS[name]
    first = f"| {name.replace('_', '')} |"
    line = next(line for line in TEXT.splitlines() if line.lower().replace("-", "").startswith(first))
    assert str(spec.n_train) in line
    assert str(spec.n_test) in line


def test_files_named_in_the_documents_exist():
    for document in ("numbers.md", "glossary.md"):
        text = (ROOT / "docs" / document).read_text(encoding="utf-8")
        for path in re.findall(r"`((?:hw|models|pipeline|sim|export|tests)/[\w/.]+)`", text):
            assert (ROOT / path).exists(), f"docs/{document} names {path}"
