"""A toy chain run as a program, so that a test can kill it: toy_run.py FOLDER. Not a test.

`fit` trains two epochs' worth of nothing much with momentum, saving each epoch; `copy` copies its weights file by file.
Both are slow on purpose, so that there is something to interrupt.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from spikeport.pipeline.checkpoint import module_state, optimizer_state, restore_module, restore_optimizer
from spikeport.pipeline.files import read_tensors, write_tensors
from spikeport.pipeline.progress import Progress
from spikeport.pipeline.recipe import parse
from spikeport.pipeline.runs import open_run
from spikeport.pipeline.stage import Stage, StageContext
from torch import nn

EPOCHS = 6
PAUSE_S = 0.05


def fit(context: StageContext) -> dict:
    net = nn.Linear(4, 3)
    restore_module(net, {"weight": torch.ones(3, 4), "bias": torch.zeros(3)})
    sgd = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    first, saved = 0, context.checkpoint.load()
    if saved is not None:
        first, tensors, state = saved
        restore_module(net, tensors, "net.")
        restore_optimizer(sgd, tensors, state, "sgd.")
    for epoch in range(first, EPOCHS):
        x = torch.rand(8, 4, generator=torch.Generator().manual_seed(epoch))
        loss = net(x).square().mean()
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        context.log({"epoch": epoch, "loss": loss.item()})
        tensors, state = optimizer_state(sgd, "sgd.")
        context.checkpoint.save(epoch + 1, {**module_state(net, "net."), **tensors}, state)
        time.sleep(PAUSE_S)
    write_tensors(context.folder / "weights.safetensors", module_state(net))
    # Of the weights, not of a last loss: a run killed after its last checkpoint has no epoch left.
    return {"norm": net.weight.detach().norm().item()}


def copy(context: StageContext) -> dict:
    tensors = read_tensors(context.inputs["fit"] / "weights.safetensors")
    for name, tensor in tensors.items():
        write_tensors(context.folder / f"{name}.safetensors", {name: tensor * 2})
        time.sleep(PAUSE_S)
    return {"names": sorted(tensors)}


STAGES = (
    Stage(name="fit", needs=(), reads=("seed", "train"), version=1, run=fit),
    Stage(name="copy", needs=("fit",), reads=(), version=1, run=copy),
)

if __name__ == "__main__":
    recipe, folder = parse({"name": "toy"}), Path(sys.argv[1])
    with open_run(recipe, folder, STAGES, progress=Progress(quiet=True), data_identity=lambda _: "none") as run:
        for stage in STAGES:
            run.finish(stage.name)
