from collections.abc import Iterator
from pathlib import Path

import pytest
from spikeport.sim.report import schema
from spikeport.sim.report.values import Value

DOCS = Path(__file__).parents[3] / "docs" / "report.md"


def models(base: type[Value] = Value) -> Iterator[type[Value]]:
    for model in base.__subclasses__():
        yield model
        yield from models(model)


@pytest.mark.parametrize("model", list(models()), ids=lambda model: model.__name__)
def test_every_key_of_the_schema_is_documented(model: type[Value]):
    text = DOCS.read_text(encoding="utf-8")
    assert [key for key in model.model_fields if f"`{key}`" not in text] == []


def test_the_documented_version_is_the_one_in_use():
    assert f"## Schema, version {schema.SCHEMA_VERSION}\n" in DOCS.read_text(encoding="utf-8")
