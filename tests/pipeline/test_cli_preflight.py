"""`spikeport preflight` on a module somebody wrote."""

import json

import pytest
from spikeport.pipeline.cli import app
from typer.testing import CliRunner

SOURCE = """
from torch import nn


class Good(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.fc = nn.Linear(2 * 6 * 6, 3)

    def forward(self, x):
        return self.fc(self.conv(x).relu().flatten(1))


class Bad(Good):
    def forward(self, x):
        return self.fc(self.conv(x).sigmoid().flatten(1))


def number():
    return 7
"""


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "nets.py"
    path.write_text(SOURCE)
    return path


def preflight(*arguments):
    return CliRunner().invoke(app, ["preflight", *map(str, arguments)])


def test_a_network_that_survives_ends_with_0(source):
    result = preflight(f"{source}:Good", "--shape", "1,8,8")
    assert result.exit_code == 0, result.output


def test_an_operation_without_a_rule_is_named_with_its_line_and_ends_with_1(source):
    result = preflight(f"{source}:Bad", "--shape", "1x8x8", "--json")
    assert result.exit_code == 1
    line = next(n for n, text in enumerate(SOURCE.splitlines(), start=1) if "sigmoid" in text)
    findings = json.loads(result.stdout)["findings"]
    refused = [found for found in findings if found["severity"] == "refused"]
    assert len(refused) == 1
    assert "sigmoid" in refused[0]["where"]
    assert f"nets.py:{line}" in refused[0]["where"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Good", (), "a module does not say what it reads"),
        ("Good", ("--shape", "1,8"), "--shape '1,8' is not a shape"),
        ("number", ("--shape", "1,8,8"), "number of"),
        ("Better", ("--shape", "1,8,8"), "has no 'Better' to call; it has Bad, Good, number"),
    ],
)
def test_a_wrong_request_ends_with_2(source, name, options, message):
    result = preflight(f"{source}:{name}", *options)
    assert result.exit_code == 2
    assert message in result.stderr
