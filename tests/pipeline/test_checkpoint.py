"""Checkpoints: whole or not at all, and the same bits afterwards."""

from __future__ import annotations

import contextlib
import itertools

import pytest
import torch
from spikeport.hw import BadInput
from spikeport.pipeline.checkpoint import (
    Checkpoint,
    module_state,
    optimizer_state,
    restore_module,
    restore_optimizer,
)
from spikeport.pipeline.files import read_tensors, write_bytes, write_tensors
from torch import nn

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-3, nesterov=True),
    "plain_sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, betas=(0.8, 0.95)),
}


def net_and_optimizer(kind: str, seed: int = 0) -> tuple[nn.Module, torch.optim.Optimizer]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3 * 36, 4))
    weights = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    return net, OPTIMIZERS[kind]([{"params": weights}, {"params": others, "weight_decay": 0.0}])


def train_epoch(net: nn.Module, optimizer: torch.optim.Optimizer, epoch: int) -> None:
    generator = torch.Generator().manual_seed(epoch)
    for _ in range(3):
        loss = net(torch.rand(5, 1, 8, 8, generator=generator)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def same_tensors(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(a[k].dtype == b[k].dtype and torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_training_continued_from_a_checkpoint_ends_with_the_bits_of_an_unbroken_one(tmp_path, kind):
    net, optimizer = net_and_optimizer(kind)
    for epoch in range(4):
        if epoch == 2:
            tensors, scalars = optimizer_state(optimizer, "optimizer.")
            Checkpoint(tmp_path, "k").save(2, {**module_state(net, "net."), **tensors}, {"optimizer": scalars})
        train_epoch(net, optimizer, epoch)

    again, fresh = net_and_optimizer(kind, seed=9)
    assert not same_tensors(module_state(again), module_state(net))
    loaded = Checkpoint(tmp_path, "k").load()
    assert loaded is not None
    step, tensors, state = loaded
    restore_module(again, tensors, "net.")
    restore_optimizer(fresh, tensors, state["optimizer"], "optimizer.")
    for epoch in range(step, 4):
        train_epoch(again, fresh, epoch)

    assert same_tensors(module_state(again), module_state(net))
    assert same_tensors(optimizer_state(fresh)[0], optimizer_state(optimizer)[0])
    assert fresh.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]


def test_nothing_saved_is_nothing_loaded(tmp_path):
    assert Checkpoint(tmp_path, "k").load() is None


def test_a_checkpoint_of_another_key_is_not_loaded(tmp_path):
    Checkpoint(tmp_path, "one").save(1, {"w": torch.ones(2)}, {})
    assert Checkpoint(tmp_path, "two").load() is None
    assert Checkpoint(tmp_path, "one").load() is not None


def test_only_the_last_state_is_kept(tmp_path):
    checkpoint = Checkpoint(tmp_path, "k")
    for step in (1, 2, 2, 3):
        checkpoint.save(step, {"w": torch.full((2,), float(step))}, {"seen": step})
    loaded = checkpoint.load()
    assert loaded is not None
    assert loaded[0] == 3
    assert torch.equal(loaded[1]["w"], torch.tensor([3.0, 3.0]))
    assert loaded[2] == {"seen": 3}
    assert len(list(tmp_path.glob("step-*"))) == 1


def test_saving_the_same_step_again_replaces_it(tmp_path):
    checkpoint = Checkpoint(tmp_path, "k")
    for value in (1.0, 2.0, 3.0):
        checkpoint.save(7, {"w": torch.tensor(value)}, {})
    loaded = checkpoint.load()
    assert loaded is not None
    assert loaded[1]["w"] == 3.0


class Killed(Exception):
    """Stands for the process ending between two calls of the operating system."""


@pytest.mark.parametrize("calls", range(1, 9))
def test_a_kill_at_any_file_operation_leaves_the_old_state_or_the_new(tmp_path, monkeypatch, calls):
    import os
    import pathlib

    checkpoint = Checkpoint(tmp_path, "k")
    checkpoint.save(1, {"w": torch.tensor(1.0)}, {"value": 1})
    count = itertools.count(1)

    def dies(original):
        def call(*args, **kwargs):
            if next(count) >= calls:
                raise Killed
            return original(*args, **kwargs)

        return call

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", dies(os.replace))
        patched.setattr(os, "fsync", dies(os.fsync))
        patched.setattr(pathlib.Path, "unlink", dies(pathlib.Path.unlink))
        with contextlib.suppress(Killed):
            checkpoint.save(2, {"w": torch.tensor(2.0)}, {"value": 2})
    loaded = Checkpoint(tmp_path, "k").load()
    assert loaded is not None
    step, tensors, state = loaded
    assert step in (1, 2)
    assert tensors["w"] == step
    assert state == {"value": step}
    checkpoint.save(3, {"w": torch.tensor(3.0)}, {"value": 3})
    after = checkpoint.load()
    assert after is not None
    assert after[0] == 3


def test_loading_cuts_the_log_back_to_the_saved_epoch(tmp_path):
    log = tmp_path / "metrics.jsonl"
    checkpoint = Checkpoint(tmp_path / "c", "k", log)
    log.write_text('{"epoch": 1}\n')
    checkpoint.save(1, {}, {})
    log.write_text('{"epoch": 1}\n{"epoch": 2}\n')
    checkpoint.load()
    assert log.read_text() == '{"epoch": 1}\n'


def test_damaged_tensors_are_refused_with_the_way_out(tmp_path):
    folder = tmp_path / "train.partial" / "checkpoint"
    Checkpoint(folder, "k").save(1, {"w": torch.ones(8)}, {})
    (stored,) = folder.glob("step-*")
    stored.write_bytes(stored.read_bytes()[:-1])
    with pytest.raises(BadInput, match=r"not the file that was saved; delete .*train\.partial"):
        Checkpoint(folder, "k").load()


def test_a_damaged_pointer_is_refused_with_the_way_out(tmp_path):
    folder = tmp_path / "train.partial" / "checkpoint"
    Checkpoint(folder, "k").save(1, {}, {})
    (folder / "checkpoint.json").write_text("{")
    with pytest.raises(BadInput, match=r"cannot be read as JSON .*; delete .*train\.partial"):
        Checkpoint(folder, "k").load()


def test_state_that_does_not_fit_the_module_is_refused():
    net, _ = net_and_optimizer("sgd")
    with pytest.raises(BadInput, match="do not fit Linear"):
        restore_module(nn.Linear(2, 2), module_state(net))


def test_state_of_another_optimizer_is_refused():
    _, optimizer = net_and_optimizer("sgd")
    tensors, state = optimizer_state(optimizer)
    with pytest.raises(BadInput, match="does not fit SGD"):
        restore_optimizer(torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=1), tensors, state)


def test_a_truncated_weight_file_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    write_tensors(path, {"w": torch.arange(8.0)})
    assert torch.equal(read_tensors(path)["w"], torch.arange(8.0))
    write_bytes(path, path.read_bytes()[:20])
    with pytest.raises(BadInput, match="not a whole safetensors file"):
        read_tensors(path)


def test_a_pickle_is_not_loaded_as_weights(tmp_path):
    path = tmp_path / "w.safetensors"
    torch.save({"w": torch.ones(2)}, path)
    with pytest.raises(BadInput, match="not a whole safetensors file"):
        read_tensors(path)
