from pathlib import Path

import pytest
from pydantic import BaseModel
from spikeport.sim.report import schema

DOCS = Path(__file__).parents[3] / "docs" / "report.md"
MODELS = [m for m in vars(schema).values() if isinstance(m, type) and issubclass(m, BaseModel) and m.model_fields]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_of_the_schema_is_documented(model: type[BaseModel]):
    text = DOCS.read_text(encoding="utf-8")
    assert [key for key in model.model_fields if f"`{key}`" not in text] == []


def test_the_documented_version_is_the_one_in_use():
    assert f"## Schema, version {schema.SCHEMA_VERSION}\n" in DOCS.read_text(encoding="utf-8")
