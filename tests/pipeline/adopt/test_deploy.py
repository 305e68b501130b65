"""Somebody's NIR or ONNX file to a `.net`, from the command line: what is written, said and refused."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import nir
import numpy as np
import onnx
import pytest
import torch
import typer
from onnx import helper, numpy_helper
from spikeport import hw, sim
from spikeport.export import lava, netx
from spikeport.pipeline import cli_deploy
from typer.testing import CliRunner

T, INPUTS, HIDDEN, CLASSES = 8, 12, 16, 4


def command(*words: object) -> Any:
    """`spikeport deploy ...`, stderr apart."""
    app = typer.Typer()
    cli_deploy.register(app)
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Two layers of leaky neurons as snnTorch writes them: beta 0.9, threshold 1."""
    rng = np.random.default_rng(0)

    def lif(n: int) -> nir.LIF:
        full = lambda value: np.full(n, value, np.float32)  # noqa: E731
        return nir.LIF(full(1e-3), full(10.0), full(0.0), full(1.0), full(0.0))

    def affine(rows: int, columns: int) -> nir.Affine:
        return nir.Affine(rng.normal(0.1, 0.4, (rows, columns)).astype("f4"), rng.normal(0, 0.05, rows).astype("f4"))

    nodes = {
        "input": nir.Input({"input": np.array([INPUTS])}),
        "fc1": affine(HIDDEN, INPUTS),
        "lif1": lif(HIDDEN),
        "fc2": affine(CLASSES, HIDDEN),
        "lif2": lif(CLASSES),
        "output": nir.Output({"output": np.array([CLASSES])}),
    }
    names = list(nodes)
    path = tmp_path / "model.nir"
    nir.write(path, nir.NIRGraph(nodes=nodes, edges=list(itertools.pairwise(names))))
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Spikes over time, with labels."""
    rng = np.random.default_rng(1)
    x = (rng.random((T, 60, INPUTS)) < 0.4).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=rng.integers(0, CLASSES, 60))
    return tmp_path / "data.npz"


def test_a_nir_file_becomes_a_net_file_and_a_report(model: Path, data: Path, tmp_path: Path) -> None:
    done = command(model, "--calib", data, "--samples", 20, "--out", tmp_path / "out", "--lava-samples", 0)
    assert done.exit_code == 0, done.output
    network = netx.read(tmp_path / "out" / "model.net")
    document = json.loads((tmp_path / "out" / "deploy.json").read_text())
    assert document["net"]["fingerprint"] == network.fingerprint()
    assert (document["n_steps"], document["data"]["calibration"]) == (T, 20)
    assert document["assumed"][0].startswith("read as snntorch writes it")
    assert [row["name"] for row in document["quantization"]["populations"]] == ["lif1", "lif2"]
    assert all(row["agreement"] > 0.97 for row in document["quantization"]["populations"])
    test = document["test"]
    assert (test["on"], test["n"], test["overflows"]) == ("other samples", 40, 0)
    assert test["alike"]["accuracy"] > 0.9
    assert test["integer"]["ci95"][0] <= test["integer"]["accuracy"] <= test["integer"]["ci95"][1]
    assert document["verification"] == {"skipped": "not asked for"}
    text = (tmp_path / "out" / "deploy.md").read_text()
    for words in (
        "## Assumed",
        "late-subtract",
        "| lif1 |",
        "v_decay 0.1 becomes 410 of 4096",
        "Accuracy of the original",
    ):
        assert words in text
    assert "agreement" in done.stdout


def test_the_accuracy_reported_is_the_files(model: Path, data: Path, tmp_path: Path) -> None:
    command(model, "--calib", data, "--samples", 20, "--out", tmp_path / "out", "--lava-samples", 0)
    network = netx.read(tmp_path / "out" / "model.net")
    with np.load(data) as arrays:
        x, y = torch.from_numpy(arrays["x"][:, 20:]).to(torch.int32), torch.from_numpy(arrays["y"][20:])
    hits = int((sim.run(network, x).predictions == y).sum())
    document = json.loads((tmp_path / "out" / "deploy.json").read_text())
    assert document["test"]["integer"]["correct"] == hits


@pytest.mark.oracle
@pytest.mark.skipif(not lava.available(), reason="real Lava is not installed")
def test_real_lava_runs_the_file_alike(model: Path, data: Path, tmp_path: Path) -> None:
    done = command(model, "--calib", data, "--samples", 20, "--out", tmp_path / "out", "--lava-samples", 2)
    assert done.exit_code == 0, done.output
    verdict = json.loads((tmp_path / "out" / "deploy.json").read_text())["verification"]
    assert (verdict["mismatches"], verdict["layers_built"], verdict["samples"]) == (0, 2, 2)


def test_subtraction_is_refused_with_every_place_and_can_be_accepted(model: Path, data: Path, tmp_path: Path) -> None:
    words = (
        model,
        "--calib",
        data,
        "--out",
        tmp_path / "out",
        "--lava-samples",
        0,
        "--original-reset",
        "late-subtract",
    )
    done = command(*words)
    assert done.exit_code == 2
    assert done.stderr.count("resets to 0") == 2
    assert "--reset hard" in done.stderr
    assert not (tmp_path / "out").exists()
    done = command(*words, "--reset", "hard")
    assert done.exit_code == 0, done.output
    assert "as the caller accepted" in (tmp_path / "out" / "deploy.md").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--calib", "nowhere.npz"), "there is no file nowhere.npz"),
        (("--calib", "digit"), "give the name of a data set"),
        (("--calib", "digits"), "has images of (1, 8, 8), the network takes (12,)"),
        (("--calib", "DATA", "--steps", "3"), "last 8 timesteps, --steps says 3"),
        (("--calib", "DATA", "--chip", "loihi3"), "unknown chip 'loihi3'"),
        (("--calib", "DATA", "--framework", "snntorc"), "did you mean 'snntorch'"),
        (("--calib", "DATA", "--dt", "-1"), "give the timestep in seconds"),
    ],
)
def test_wrong_requests_end_in_one_message_and_exit_code_2(
    model: Path, data: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    given = [str(data) if word == "DATA" else word for word in words]
    done = command(model, *given, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert message in done.stderr.replace("\n", " ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"z": np.ones((4, INPUTS))}, "expected `x`"),
        ({"x": np.ones((4, 5))}, "the network takes (B, 12)"),
        ({"x": np.ones((4, INPUTS)), "y": np.ones(3, int)}, "one integer label per sample"),
        ({"x": np.full((4, INPUTS), np.inf)}, "NaN or infinity"),
        ({"x": np.ones((4, INPUTS))}, "give --steps"),
    ],
)
def test_wrong_data_are_named(model: Path, tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)  # pyright: ignore
    done = command(model, "--calib", tmp_path / "bad.npz", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert message in done.stderr.replace("\n", " ")


def test_a_file_that_is_no_archive_is_not_unpickled(model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    done = command(model, "--calib", tmp_path / "objects.npy", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "not a readable .npy or .npz file" in done.stderr


def test_other_kinds_of_files_are_refused(tmp_path: Path) -> None:
    done = command(tmp_path / "net.pt", "--calib", "digits")
    assert done.exit_code == 2
    assert "takes .nir and .onnx files" in done.stderr


def test_an_onnx_classifier_is_converted_and_deployed(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    weights = {
        "w1": rng.normal(0, 0.25, (24, 64)), "b1": np.zeros(24), "w2": rng.normal(0, 0.3, (10, 24)), "b2": np.zeros(10)
    }  # fmt: skip
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "w1", "b1"], ["h"], name="fc1", transB=1),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["y"], name="fc2", transB=1),
    ]
    tensors = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    ends = [
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)]
        for name, shape in (("x", ["n", 1, 8, 8]), ("y", ["n", 10]))
    ]
    graph = helper.make_graph(nodes, "mlp", *ends, tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "mlp.onnx")
    done = command(
        tmp_path / "mlp.onnx", "--calib", "digits", "--steps", 16, "--out", tmp_path / "out", "--lava-samples", 0,
        "--test", 100,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    network = netx.read(tmp_path / "out" / "mlp.net")
    assert network.n_steps == 16
    document = json.loads((tmp_path / "out" / "deploy.json").read_text())
    assert document["test"]["n"] == 100
    assert document["test"]["alike"]["accuracy"] > 0.5, "random weights and 16 timesteps"
    hw.check(network, hw.CHIPS["loihi2"])


def test_sums_that_leave_the_accumulator_on_other_samples_are_counted_and_end_with_1(tmp_path: Path) -> None:
    """300 equal weights: three spikes at a time are calibrated on, all 300 at once come later."""
    many = 300
    nodes = {
        "input": nir.Input({"input": np.array([many])}),
        "fc": nir.Affine(np.full((2, many), 0.5, "f4") * np.array([[1], [-1]], "f4"), np.zeros(2, "f4")),
        "lif": nir.LIF(*(np.full(2, value, "f4") for value in (1e-3, 10.0, 0.0, 1.0, 0.0))),
        "output": nir.Output({"output": np.array([2])}),
    }
    nir.write(tmp_path / "model.nir", nir.NIRGraph(nodes=nodes, edges=list(itertools.pairwise(nodes))))
    x = np.zeros((4, 12, many), np.float32)
    x[:, :10, :3] = 1
    x[:, 10:] = 1
    np.save(tmp_path / "x.npy", x)
    words = (tmp_path / "model.nir", "--calib", tmp_path / "x.npy", "--samples", 10, "--out", tmp_path / "out")
    done = command(*words, "--lava-samples", 0)
    document = json.loads((tmp_path / "out" / "deploy.json").read_text())
    assert document["calibrated"] == ["lif"]
    assert document["test"]["overflows"] == 2 * 2 * 4  # neurons x samples x timesteps
    assert "16 synaptic sums left their accumulators" in done.stdout
    assert done.exit_code == 1
