"""The command line: what it says, and with which exit code."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from spikeport.hw import BadInput, SpikeportError
from spikeport.models import ARCHITECTURES
from spikeport.models.datasets import DATASETS
from spikeport.pipeline import chain, cli
from spikeport.pipeline.refine import METHODS
from spikeport.pipeline.sections import Recipe
from spikeport.pipeline.stage import Stage
from typer.testing import CliRunner

AGREES = {
    "samples": 2,
    "layers_written": 3,
    "layers_built": 3,
    "values": 90,
    "mismatches": 0,
    "first_mismatch": None,
}
REPORT = {
    "waterfall": [{"step": "ann", "accuracy": 0.975, "n": 40, "ci95": [0.8712, 0.9956]}],
    "skipped": {"lava": "not installed"},
    "lava": None,
}


class Toys:
    """A stand-in chain: every stage writes a file; what `verify` found and which stage fails can be set."""

    def __init__(self):
        self.verdict = dict(AGREES)
        self.fails: dict[str, BaseException] = {}

    def run(self, context):
        if context.name in self.fails:
            raise self.fails[context.name]
        name = "report.json" if context.name == "report" else "out.json"
        (context.folder / name).write_text(json.dumps(REPORT))
        context.progress.say(f"inside {context.name}")
        return self.verdict if context.name == "verify" else {}

    def stages(self):
        names, sections = list(chain.MODULES), set(Recipe.model_fields)  # not every stage has settings
        return tuple(
            Stage(name=n, needs=tuple(names[:i][-1:]), reads=("seed", *({n} & sections)), version=1, run=self.run)
            for i, n in enumerate(names)
        )


@pytest.fixture
def toys(monkeypatch):
    made = Toys()
    monkeypatch.setattr(chain, "stages", made.stages)
    return made


@pytest.fixture
def spikeport(tmp_path, monkeypatch):
    """Run the program with some arguments; gives (exit code, stdout, stderr) with each line whole."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    (tmp_path / "a.yaml").write_text("seed: 1\n")

    def call(*arguments):
        result = CliRunner().invoke(cli.app, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    return call


def test_the_commands_know_all_stages_in_order():
    assert [stage.value for stage in cli.StageName] == list(chain.MODULES)


def test_every_stage_and_every_tool_is_a_command(spikeport):
    code, out, _ = spikeport("--help")
    assert code == 0
    tools = ("run", "inspect", "diff", "record", "deploy", "methods", "chips", "datasets", "models")
    assert [name for name in (*chain.MODULES, *tools) if not re.search(rf"^│ {name} ", out, re.MULTILINE)] == []


def test_a_run_goes_through_all_stages_and_shows_the_waterfall(toys, spikeport):
    code, out, err = spikeport("run", "a.yaml")
    assert code == 0
    assert re.findall(r"^(\w+): started", err, re.MULTILINE) == list(chain.MODULES)
    assert "97.50%" in out
    assert "87.12% to 99.56%" in out
    assert "not installed" in out
    assert re.search(r"report: runs/a-[0-9a-f]{8}/report/report\.html", out)


def test_a_second_run_reuses_everything(toys, spikeport):
    spikeport("run", "a.yaml")
    code, _, err = spikeport("run", "a.yaml")
    assert code == 0
    assert err.count("nothing changed, reused") == len(chain.MODULES)


def test_a_run_stops_after_the_stage_asked_for(toys, spikeport, tmp_path):
    assert spikeport("run", "a.yaml", "--until", "convert", "--out", "elsewhere")[0] == 0
    (folder,) = (tmp_path / "elsewhere").iterdir()
    assert sorted(p.name for p in folder.iterdir() if p.is_dir()) == ["convert", "train"]


def test_settings_may_follow_one_set_or_stand_alone(toys, spikeport, tmp_path):
    assert spikeport("run", "a.yaml", "--set", "refine.T=2", "quantize.epochs=1", "--until", "train")[0] == 0
    (folder,) = (tmp_path / "runs").iterdir()
    recipe = json.loads((folder / "run.json").read_text())["recipe"]
    assert (recipe["refine"]["T"], recipe["quantize"]["epochs"], recipe["seed"]) == (2, 1, 1)


def test_quiet_shows_stage_lines_alone(toys, spikeport):
    _, _, loud = spikeport("run", "a.yaml", "--until", "train")
    _, _, quiet = spikeport("run", "a.yaml", "--until", "train", "--quiet", "--set", "seed=2")
    assert "inside train" in loud
    assert "inside train" not in quiet
    assert "train: started" in quiet


def test_one_stage_runs_alone_when_its_input_is_finished(toys, spikeport):
    spikeport("run", "a.yaml", "--until", "train")
    code, _, err = spikeport("convert", "a.yaml")
    assert code == 0
    assert "convert: done" in err
    assert "train:" not in err


def test_one_stage_without_its_input_names_the_command_that_makes_it(toys, spikeport):
    code, _, err = spikeport("refine", "a.yaml")
    assert code == 2
    assert "its input convert is missing" in err
    assert "spikeport convert RECIPE" in err


@pytest.mark.parametrize("error", [BadInput("conv3: too wide [8]; make it narrower"), SpikeportError("diverged")])
def test_an_error_is_one_message_on_stderr_and_exit_code_2(toys, spikeport, error):
    toys.fails["train"] = error
    code, out, err = spikeport("run", "a.yaml")
    assert code == 2
    assert f"spikeport: {error}" in err
    assert "Traceback" not in err + out


def test_an_unknown_key_is_an_error_that_names_the_nearest(toys, spikeport):
    code, _, err = spikeport("run", "a.yaml", "--set", "refine.Tt=2")
    assert code == 2
    assert "refine.Tt: unknown key; did you mean 'T'?" in err


def test_nothing_is_written_for_a_wrong_recipe(toys, spikeport, tmp_path):
    assert spikeport("run", "a.yaml", "--set", "quantize.chip=loihi9")[0] == 2
    assert not (tmp_path / "runs").exists()


def test_an_interrupt_says_how_to_continue(toys, spikeport):
    toys.fails["train"] = KeyboardInterrupt()
    code, _, err = spikeport("run", "a.yaml")
    assert code == 130
    assert "give the same command again to continue" in err


def test_a_run_ends_with_1_if_lava_disagrees(toys, spikeport):
    toys.verdict |= {"mismatches": 4, "first_mismatch": "sample 0, timestep 1, layer conv1"}
    assert spikeport("run", "a.yaml")[0] == 1


def test_verify_prints_the_verdict(toys, spikeport):
    spikeport("run", "a.yaml", "--until", "export", "--set", "seed=3")
    spikeport("run", "a.yaml", "--until", "simulate", "--set", "seed=3")
    code, out, _ = spikeport("verify", "a.yaml", "--set", "seed=3")
    assert code == 0
    assert "lava: 2 samples, 3 of 3 layers built, 0 mismatches in 90 values" in out


@pytest.mark.parametrize("change", [{"mismatches": 1, "first_mismatch": "sample 0"}, {"layers_built": 2}])
def test_verify_ends_with_1_if_lava_disagrees(toys, spikeport, change):
    toys.verdict |= change
    spikeport("run", "a.yaml", "--until", "simulate")
    assert spikeport("verify", "a.yaml")[0] == 1


def test_verify_of_a_skipped_comparison_claims_no_number(toys, spikeport):
    toys.verdict = {"skipped": "real Lava is not installed"}
    spikeport("run", "a.yaml", "--until", "simulate")
    code, out, _ = spikeport("verify", "a.yaml")
    assert code == 0
    assert "lava: not run: real Lava is not installed" in out
    assert "0 mismatches" not in out


def test_verify_of_a_file_outside_a_run_asks_for_its_data(spikeport, tmp_path):
    (tmp_path / "x.net").write_bytes(b"")
    code, _, err = spikeport("verify", "x.net")
    assert code == 2
    assert "name its data with --data digits" in err


def test_verify_of_a_file_takes_no_recipe_settings(spikeport):
    code, _, err = spikeport("verify", "x.net", "--set", "refine.T=2")
    assert code == 2
    assert "give the recipe" in err


@pytest.mark.parametrize(
    ("command", "names"),
    [("methods", METHODS), ("chips", ("loihi1", "loihi2")), ("datasets", DATASETS), ("models", ARCHITECTURES)],
)
def test_a_list_names_everything_registered(spikeport, command, names):
    code, out, _ = spikeport(command)
    assert code == 0
    assert all(name in out for name in names)


def test_the_program_runs_as_a_module_and_its_help_does_not_import_torch():
    code = "import sys; sys.argv = ['spikeport', '--help']\nfrom spikeport.pipeline.cli import main\n"
    code += "try: main()\nexcept SystemExit: pass\nassert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "quantize" in done.stdout
    helped = subprocess.run(
        [sys.executable, "-m", "spikeport", "--help"], capture_output=True, check=False, timeout=120
    )
    assert helped.returncode == 0
