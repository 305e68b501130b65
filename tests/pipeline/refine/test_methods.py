"""What every refinement method promises: a loss that trains the student, and leaves the teacher as it was."""

from __future__ import annotations

import pytest
import torch
from spikeport.hw import BadInput
from spikeport.models import ENGINES, PROFILES, GraphNet
from spikeport.models.datasets import Images
from spikeport.pipeline.recipe import options_as, parse
from spikeport.pipeline.refine import METHODS, Pair, check_method
from spikeport.pipeline.refine.method import Distiller, spikes_per_neuron
from torch import Tensor
from torch.nn import functional

from .. import tiny_nets


def pair(n_steps: int = 2) -> tuple[Pair, Tensor, Tensor]:
    """(pair, images, labels) on the residual network; the images are its still images, too."""
    teacher, student = tiny_nets.converted(tiny_nets.residual(), PROFILES["loihi"], n_steps, 0)
    x = tiny_nets.images(teacher.architecture, 12)
    y = torch.arange(12) % 3
    stills = Images(x=(255 * x).to(torch.uint8), y=y)
    frozen = teacher.requires_grad_(False)
    return Pair(student=student, teacher=frozen, calibration=[x], batch_size=12, stills=stills), x, y


def inputs(name: str, x: Tensor, n_steps: int = 2) -> Tensor:
    """What the student of a method sees: the images, or clips in the place of events."""
    return x.expand(n_steps, *x.shape) if METHODS[name].asks == "stills" else x


def built(name: str, given: Pair) -> Distiller:
    return METHODS[name].build(given, options_as(METHODS[name].config, {}, "refine.options"))


def state(net: GraphNet) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_gives_a_loss_that_trains_the_student_alone(name):
    """(loss, mean logits, scalars); gradients reach the student, the teacher gets none and keeps its bits."""
    given, x, y = pair()
    before = state(given.teacher)
    method = built(name, given)
    method.start_epoch(1)
    x = inputs(name, x)
    loss, logits, parts = method.loss(x, y, tiny_nets.moment())
    loss.backward()
    with torch.no_grad():
        torch.testing.assert_close(logits, given.student(x)[0].mean(0))
    assert all(part.ndim == 0 for part in parts.values())
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in given.student.parameters())
    assert all(p.grad is None for p in given.teacher.parameters())
    assert all(torch.equal(value, given.teacher.state_dict()[key]) for key, value in before.items())
    assert isinstance(method.report(), dict)


@pytest.mark.parametrize("name", METHODS)
def test_the_same_moment_gives_the_same_loss(name):
    given, x, y = pair()
    values = [built(name, given).loss(inputs(name, x), y, tiny_nets.moment(seed=3))[0].item() for _ in range(2)]
    assert values[0] == values[1]


@pytest.mark.parametrize("name", METHODS)
def test_neither_student_nor_teacher_is_part_of_a_method(name):
    given, _, _ = pair()
    own = {id(p) for p in built(name, given).parameters()}
    assert not own & {id(p) for net in (given.student, given.teacher) for p in net.parameters()}


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if not method.steps])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_method_without_steps_works_on_every_engine(name, engine):
    assert check_method(parse({"name": "a", "refine": {"method": name, "engine": engine}})) is None


def test_fine_tuning_alone_is_cross_entropy_of_the_mean_logits():
    given, x, y = pair()
    loss, _, _ = built("none", given).loss(x, y, tiny_nets.moment())
    with torch.no_grad():
        expected = functional.cross_entropy(given.student(x)[0].mean(0), y)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_spikes_are_counted_per_neuron_and_sample():
    rates = {"a": torch.ones(2, 3), "b": torch.zeros(2, 5)}
    assert spikes_per_neuron(rates, 4).item() == 4 * 2 * 3 / (2 * 3 + 2 * 5)


def test_an_unknown_engine_is_refused_with_the_known_ones():
    with pytest.raises(BadInput, match="bptt"):
        check_method(parse({"name": "a", "refine": {"engine": "btpt"}}))
