"""CKD in the training loop: it learns, continues where it was killed, and leaves nothing of its own behind."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from spikeport.models import GraphNet
from spikeport.models.zoo.vgg import vgg
from spikeport.pipeline.artefacts import save_net
from spikeport.pipeline.convert import classify
from spikeport.pipeline.files import read_tensors
from spikeport.pipeline.recipe import parse
from spikeport.pipeline.refine.ckd import CrossModal
from spikeport.pipeline.stage import LOG, StageContext
from spikeport.pipeline.training import Task, correct, fit
from torch import Tensor

from .. import stages
from . import pairs
from .ckd_pairs import CLASSES, T, built, clips, pair, stills

CPU = torch.device("cpu")
HELD_OUT = clips(30, seed=9)


def context(folder: Path, **refine: Any) -> StageContext:
    settings = {"method": "ckd", "T": T, "epochs": 3, "batch_size": 16, "lr": 0.05, "start": "scratch", **refine}
    folder.mkdir(exist_ok=True)
    return stages.context(parse({"name": "toy", "refine": settings}), folder, "refine")


def trained(method: CrossModal, there: StageContext, **changes: Any) -> Mapping[str, Any]:
    student = method.pair.student
    return fit(
        Task(
            net=student,
            loss=method.loss,
            score=lambda samples: correct(classify(student, samples, CPU), samples),
            train=clips(48),
            validation=clips(24, seed=8),
            settings=there.recipe.refine,
            smallest_batch=method.smallest_batch,
            beside=method,
            start_epoch=method.start_epoch,
            **changes,
        ),
        there,
    )


def logged(there: StageContext) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (there.folder / LOG).read_text(encoding="utf-8").splitlines()]


def taught() -> CrossModal:
    """With a teacher that knows its still images."""
    pool = stills(24)
    teacher = pairs.trained_teacher(vgg((3, 12, 12), CLASSES, name="t", layers=(6, "A", 6)), pool.floats(), pool.y)
    return built(replace(pair(pool=pool), teacher=teacher))


def test_the_loss_falls_and_the_student_learns(tmp_path):
    """T-004-1: from no replaced clip to nearly all, and from a teacher heard to a silent one."""
    there = context(tmp_path / "run", epochs=8)
    method = taught()
    history = trained(method, there)
    rows = logged(there)
    assert rows[-1]["loss"] < 0.6 * rows[0]["loss"]
    assert rows[-1]["hybrid"] < 0.6 * rows[0]["hybrid"]
    assert [rows[0]["logits_weight"], rows[-1]["logits_weight"]] == [1, 0]
    assert rows[0]["replaced"] < 0.05
    assert rows[-1]["replaced"] > 0.7
    assert rows[-1]["cka_biased"] > rows[0]["cka_biased"]
    assert history["best"] > 0.8
    assert correct(classify(method.pair.student, HELD_OUT, CPU), HELD_OUT) > 0.7 * len(HELD_OUT)
    assert method.coefficients.tolist() != [1.0] * T


class Killed(Exception):
    """Stands for the end of the process."""


def killing(at: int) -> Callable[[], None]:
    steps = iter(range(1, 10**6))

    def after_step() -> None:
        if next(steps) == at:
            raise Killed

    return after_step


def state(method: CrossModal) -> dict[str, Tensor]:
    own = {f"own.{name}": value.clone() for name, value in method.state_dict().items()}
    return own | {name: value.clone() for name, value in method.pair.student.state_dict().items()}


@pytest.mark.parametrize("killed_at", [2, 4, 7])
def test_a_continued_training_ends_with_the_bits_of_an_unbroken_one(tmp_path, killed_at):
    """3 batches an epoch: killed within the first, after it, in the last; the second head and th_t go on, too."""
    whole = built()
    history = trained(whole, context(tmp_path / "whole"))
    with pytest.raises(Killed):
        trained(built(), context(tmp_path / "broken"), after_step=killing(killed_at))
    again = built()
    continued = trained(again, context(tmp_path / "broken"))
    assert continued == history
    expected, found = state(whole), state(again)
    assert expected.keys() == found.keys()
    assert {"own.coefficients", "own.still_head.synapses.0.weighted.weight"} < expected.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    fresh = state(built())
    assert not torch.equal(fresh["own.coefficients"], found["own.coefficients"])


def _unshown(method: CrossModal) -> None:
    """From here on, still images raise."""

    def refuse(*_: Any) -> None:
        raise AssertionError("still images are asked for")

    method.pool.draw = refuse  # pyright: ignore[reportAttributeAccessIssue]
    method.still_head.forward = refuse
    method.pair.teacher.register_forward_pre_hook(refuse)


def test_what_is_handed_on_answers_events_alone(tmp_path):
    """T-004-9: by its own read-out, without the second head, the coefficients, the still images or the teacher."""
    method = built()
    trained(method, context(tmp_path / "run", epochs=1))
    student = method.pair.student
    save_net(student, tmp_path)
    kept = read_tensors(tmp_path / "weights.safetensors")
    assert kept.keys() == student.state_dict().keys()
    assert not any("still_head" in name or "coefficients" in name for name in kept)
    twin: GraphNet = pair(seed=3).student
    twin.load_state_dict(kept)
    _unshown(method)
    answers = classify(student, HELD_OUT, CPU)
    assert torch.equal(classify(twin, HELD_OUT, CPU), answers)
    with torch.no_grad():
        sequence, taps = student.eval()(HELD_OUT.floats(), ["conv2"])
    assert torch.equal(answers, sequence.mean(dim=0).argmax(-1))
    read = student.walk()[-1].synapses[0]
    torch.testing.assert_close(read(taps["conv2"].flatten(0, 1)).unflatten(0, (T, len(HELD_OUT))), sequence)
