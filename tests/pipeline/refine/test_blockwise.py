"""Block-wise replacement: hybrids of student and teacher, what trains through them, and what stays frozen."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from spikeport.hw import BadInput
from spikeport.models import (
    ENGINES,
    INPUT,
    PROFILES,
    Architecture,
    ConvWire,
    GraphNet,
    IdentityWire,
    LinearWire,
    Unit,
    as_spiking,
    build_ann,
)
from spikeport.pipeline.losses import kd_kl
from spikeport.pipeline.recipe import options_as
from spikeport.pipeline.refine import Pair
from spikeport.pipeline.refine.blockwise import Blockwise, BlockwiseConfig, chosen_branches, cosine
from spikeport.pipeline.refine.projection import ProjectionKind
from spikeport.pipeline.refine.stage import add_half_bias_
from torch import Tensor, nn
from torch.nn import functional

from .. import tiny_nets
from .pairs import trained_teacher

STAGES = ("stage1.1b", "stage2.1b", "stage3.1b")
LABELS = torch.arange(12) % 3


def three_stages() -> Architecture:
    return tiny_nets.resnet((2, 8, 8), 3, name="three", stem=4, widths=(4, 6, 8), blocks=(1, 1, 1))


def networks(architecture: Architecture | None = None, n_steps: int = 4) -> tuple[GraphNet, GraphNet, Tensor]:
    """(student, teacher, 12 images)."""
    architecture = architecture or three_stages()
    teacher, student = tiny_nets.converted(architecture, PROFILES["loihi"], n_steps, thresholds=0.3)
    return student, teacher.requires_grad_(False), tiny_nets.images(architecture, 12)


def built(student: Any, teacher: GraphNet, x: Tensor, engine: str = "bptt", **options: Any) -> Blockwise:
    given = Pair(student=student, teacher=teacher, calibration=x.split(6), engine=ENGINES[engine])
    return Blockwise(given, BlockwiseConfig(**options))


class Analog(nn.Module):
    """An ANN in a student's place: at every timestep each unit gives its activation, so rates are activations."""

    def __init__(self, net: GraphNet) -> None:
        super().__init__()
        self.net, self.architecture, self.n_steps = net, net.architecture, 2

    def forward(self, x: Tensor, taps: Collection[str] = ()) -> tuple[Tensor, dict[str, Tensor]]:
        logits, activations = self.net(x, taps)
        return logits.expand(2, *logits.shape), {name: a.expand(2, *a.shape) for name, a in activations.items()}


@pytest.mark.parametrize("projection", get_args(ProjectionKind))
@pytest.mark.parametrize("make", [three_stages, tiny_nets.chain])
def test_with_the_teachers_own_blocks_every_hybrid_is_the_teacher(make, projection):
    """T-001-7: S-blocks replaced by A-blocks and C_k as it starts, the identity: y^M_k = y^A in evaluation mode."""
    _, teacher, x = networks(make())
    stages = teacher.architecture.stages
    method = built(Analog(teacher), teacher, x, branches=stages, projection=projection).eval()
    logits, activations = teacher(x, stages)
    assert [row["scale"] for row in method.report()["branches"]] == [1] * len(stages)
    hybrids = method.hybrids(method.project(activations))
    assert tuple(hybrids) == stages
    for name, got in hybrids.items():
        torch.testing.assert_close(got, logits, atol=1e-4, rtol=0, msg=name)


def test_a_frozen_tail_lets_gradients_through_and_keeps_its_bits():
    """T-001-8: no gradient in the teacher, its batch norms unmoved, but C_k and the student's stem get theirs."""
    student, _, x = networks()
    teacher = tiny_nets.ann(three_stages()).requires_grad_(False)  # batch norms not folded: buffers to keep
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    method = built(student, teacher, x).train()
    for name in method.branches:
        rates = method.pair.ask_student(x, method.branches).rates
        projected = method.project(rates)[name]
        method.zero_grad()
        student.zero_grad()
        functional.cross_entropy(method.hybrids({name: projected})[name], LABELS).backward()
        index = method.branches.index(name)
        assert all(p.grad is not None and p.grad.any() for p in method.projections[index].parameters()), name
        assert all(p.grad is not None and p.grad.any() for p in student.node("stem").parameters()), name
        assert all(p.grad is None for p in student.node("readout").parameters()), name
    assert all(p.grad is None for p in teacher.parameters())
    assert any("running_mean" in key for key in before)
    assert all(torch.equal(value, teacher.state_dict()[key]) for key, value in before.items())


def pieces(method: Blockwise, x: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """(student logits, teacher logits, logits of each hybrid)."""
    with torch.no_grad():
        got = method.pair.ask_student(x, method.branches)
        hybrids = method.hybrids(method.project(got.rates))
        return got.logits, method.pair.teacher(x)[0], list(hybrids.values())


@pytest.mark.parametrize("hybrid_ce", [True, False])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_the_loss_is_cross_entropy_and_logits_on_every_output(alpha, hybrid_ce):
    """T-001-9: alpha = 0 leaves the cross-entropies alone; branches weigh 1 / n each."""
    student, teacher, x = networks()
    method = built(student, teacher, x, alpha=alpha, hybrid_ce=hybrid_ce).eval()
    mine, target, hybrids = pieces(method, x)
    assert len(hybrids) == 2
    expected = (1 - alpha) * functional.cross_entropy(mine, LABELS) + alpha * kd_kl(mine, target, 1.0)
    for logits in hybrids:
        labels = functional.cross_entropy(logits, LABELS) * hybrid_ce
        expected = expected + ((1 - alpha) * labels + alpha * kd_kl(logits, target, 1.0)) / 2
    loss, logits, parts = method.loss(x, LABELS, tiny_nets.moment())
    torch.testing.assert_close(loss.detach(), expected)
    torch.testing.assert_close(logits.detach(), mine)
    total = (1 - alpha) * parts["task"] + alpha * parts["logits"] + parts["hybrids"]
    torch.testing.assert_close(loss, total)


def test_outputs_equal_to_the_teachers_have_no_logit_term():
    """T-001-9: y^S = y^A and hybrids that are the teacher."""
    _, teacher, x = networks()
    loss, _, parts = built(Analog(teacher), teacher, x, alpha=1.0).eval().loss(x, LABELS, tiny_nets.moment())
    assert loss.item() == pytest.approx(0, abs=1e-5)
    assert parts["task"].item() > 0.1
    assert [parts[f"cosine_{name}"].item() for name in STAGES[:2]] == pytest.approx([1, 1])


def test_branches_weigh_what_beta_says():
    student, teacher, x = networks()
    values = {}
    for beta in (0.0, 0.5, 1.0, None):
        values[beta] = built(student, teacher, x, beta=beta).eval().loss(x, LABELS, tiny_nets.moment())[0].item()
    assert values[None] == values[0.5]  # two branches
    assert values[1.0] - values[0.0] == pytest.approx(2 * (values[0.5] - values[0.0]), rel=1e-5)


@pytest.mark.parametrize(
    ("stages", "branches", "expected"),
    [
        (("a", "b", "c", "d"), None, ("a", "b", "c")),
        (("a", "b", "c", "d", "e"), None, ("a", "b", "c")),
        (("a", "b", "c"), None, ("a", "b")),
        (("a",), None, ("a",)),
        (("a", "b", "c", "d"), (), ()),
        (("a", "b", "c", "d"), (3, 0), ("a", "d")),
        (("a", "b", "c", "d"), ("d", 1), ("b", "d")),
    ],
)
def test_branches_are_any_subset_of_the_stages(stages, branches, expected):
    """By default the first three, or all but the last."""
    assert chosen_branches(stages, branches) == expected


@pytest.mark.parametrize(
    ("branches", "message"),
    [
        ((4,), r"no stage 4 to branch from; there is: 0 a, 1 b"),
        ((-1,), r"no stage -1"),
        (("c",), r"no stage 'c' to branch from; there is: 0 a, 1 b"),
        ((0, "a"), r"the stage a is named twice"),
    ],
)
def test_an_unknown_or_repeated_branch_is_refused(branches, message):
    with pytest.raises(BadInput, match=message):
        chosen_branches(("a", "b"), branches)


@pytest.mark.parametrize("branches", [(), (0,), (2,), (0, 1, 2)])
@pytest.mark.parametrize("engine", ENGINES)
def test_every_subset_trains_the_student_on_every_engine(engine, branches):
    student, teacher, x = networks()
    method = built(student, teacher, x, engine, branches=branches)
    method.start_epoch(1)
    loss, _, parts = method.loss(x, LABELS, tiny_nets.moment())
    loss.backward()
    trained = [*student.parameters(), *method.parameters()]
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in trained)
    assert {name for name in parts if name.startswith("cosine_")} == {f"cosine_{STAGES[k]}" for k in branches}
    assert all(0 < parts[f"cosine_{STAGES[k]}"].item() <= 1 for k in branches)


@torch.no_grad()
def test_projections_start_in_the_teachers_units_and_a_branch_is_near_the_teacher():
    """Rates are activations over a threshold: in the teacher's units the first hybrid is nearer to the teacher than the
    student is, and than it would be on the rates as they are."""
    student, teacher, x = networks()
    method = built(student, teacher, x).eval()
    mine, target, hybrids = pieces(method, x)
    _, spikes = student(x, STAGES)
    _, activations = teacher(x, STAGES)
    for row in method.report()["branches"]:
        rates, a = spikes[row["layer"]].mean(0), activations[row["layer"]]
        assert row["scale"] == pytest.approx(float((rates * a).sum() / rates.square().sum()), rel=1e-5)
    off = float((hybrids[0] - target).square().mean())
    assert off < 0.5 * float((mine - target).square().mean())
    unscaled, _ = teacher.tail(STAGES[0], spikes[STAGES[0]].mean(0))
    assert off < 0.5 * float((unscaled - target).square().mean())


def test_projections_start_from_the_student_that_training_gets():
    """What is added to the student after the method was made counts; later epochs change nothing."""
    student, teacher, x = networks()
    method = built(student, teacher, x)
    first = method.report()
    with torch.no_grad():
        for node in student.walk()[:-1]:
            next(p for name, p in node.named_parameters() if name.endswith("bias")).add_(0.1)
    method.start_epoch(2)
    assert method.report() == first
    method.start_epoch(1)
    assert method.report() == built(student, teacher, x).report() != first


def test_training_brings_a_fresh_student_nearer_to_the_teacher_at_every_branch():
    """The mechanism: in 25 steps the loss falls and every branch's cosine rises."""
    x = tiny_nets.images(three_stages(), 32, 11)
    y = torch.randint(3, (32,), generator=tiny_nets.generator(12))
    student = as_spiking(build_ann(three_stages(), tiny_nets.generator(50)), PROFILES["loihi"], 4).train()
    method = built(student, trained_teacher(three_stages(), x, y), x).train()
    optimizer = torch.optim.Adam([*student.parameters(), *method.parameters()], lr=0.01)
    history = []
    for _ in range(25):
        loss, _, parts = method.loss(x, y, tiny_nets.moment())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append({"loss": loss.item(), **{name: part.item() for name, part in parts.items()}})
    first, last = history[0], history[-1]
    assert last["loss"] < 0.6 * first["loss"]
    assert all(last[f"cosine_{name}"] > first[f"cosine_{name}"] + 0.05 for name in method.branches)


def test_a_continued_run_goes_on_bit_for_bit():
    """Two steps in one go, and one step, its states loaded into fresh objects, and another."""

    def step(method: Blockwise, student: GraphNet, epoch: int) -> float:
        method.start_epoch(epoch)
        optimizer = torch.optim.SGD([*student.parameters(), *method.parameters()], lr=0.05)
        loss, _, _ = method.loss(x, LABELS, tiny_nets.moment())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    student, teacher, x = networks()
    method = built(student, teacher, x)
    add_half_bias_(student)
    step(method, student, 1)
    saved = [{key: value.clone() for key, value in net.state_dict().items()} for net in (student, method)]
    again, _, _ = networks()
    continued = built(again, teacher, x)
    again.load_state_dict(saved[0])
    continued.load_state_dict(saved[1])
    assert step(continued, again, 2) == step(method, student, 2)
    assert continued.report() == method.report()


def test_it_trains_under_autocast():
    student, teacher, x = networks()
    method = built(student, teacher, x).train()
    exact = method.loss(x, LABELS, tiny_nets.moment())[0].item()
    with torch.autocast("cpu", torch.bfloat16):
        loss, _, parts = method.loss(x, LABELS, tiny_nets.moment())
    assert loss.dtype is torch.float32
    assert all(part.dtype is torch.float32 for part in parts.values())
    loss.backward()
    assert loss.item() == pytest.approx(exact, rel=0.1)


def test_the_cosine_is_of_samples_and_0_where_one_is_silent():
    a, b = torch.tensor([[3.0, 4.0], [1.0, 0.0], [0.0, 0.0]]), torch.tensor([[3.0, 4.0], [1.0, 1.0], [1.0, 0.0]])
    assert cosine(a, b).item() == pytest.approx((1 + 2**-0.5 + 0) / 3)


def test_a_teacher_that_could_change_is_refused():
    student, teacher, x = networks()
    with pytest.raises(BadInput, match="blockwise: the teacher three is in training mode"):
        built(student, teacher.train(), x)
    with pytest.raises(BadInput, match="it must not change"):
        built(student, teacher.eval().requires_grad_(True), x)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            tiny_nets.resnet((2, 8, 8), 3, name="wide", stem=4, widths=(8, 6, 8), blocks=(1, 1, 1)),
            r"gives stage1.1b the shape \(4, 8, 8\), but in the teacher wide that stage has the shape \(8, 8, 8\)",
        ),
        (tiny_nets.chain(), r"in the teacher chain that stage does not exist; .* student's architecture"),
        (replace(three_stages(), name="five", n_classes=5), r"3 classes apart and the teacher five 5"),
    ],
)
def test_a_teacher_whose_stages_do_not_fit_is_refused(other, message):
    student, _, x = networks()
    teacher = tiny_nets.ann(other).requires_grad_(False)
    with pytest.raises(BadInput, match=message):
        built(student, teacher, x)


def test_another_teacher_whose_stages_fit_is_taken():
    """Deeper within a stage, the same shapes after it."""
    student, _, x = networks()
    deeper = tiny_nets.resnet((2, 8, 8), 3, name="deeper", stem=4, widths=(4, 6, 8), blocks=(1, 1, 2))
    teacher = tiny_nets.ann(deeper).requires_grad_(False)
    method = built(student, teacher, x, branches=("stage1.1b", "stage2.1b"))
    assert torch.isfinite(method.loss(x, LABELS, tiny_nets.moment())[0])


def test_a_stage_that_a_later_unit_reads_past_is_refused():
    """Before training, with the places where a cut is possible."""
    units = (
        Unit(name="a", channels=4, wires=(ConvWire(source=INPUT),)),
        Unit(name="b", channels=4, wires=(ConvWire(source="a"),)),
        Unit(name="c", channels=4, wires=(ConvWire(source="b"), IdentityWire(source="a"))),
        Unit(name="readout", channels=3, wires=(LinearWire(source="c"),)),
    )
    made = Architecture(name="skip", input_shape=(2, 6, 6), n_classes=3, units=units, taps=("a", "b", "c"))
    student, teacher, x = networks(made)
    with pytest.raises(BadInput, match="skip: c reads a, past b"):
        built(student, teacher, x, branches=("b",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.5}, "alpha is 1.5; it is a share"),
        ({"tau": 0.0}, "tau 0.0 must be positive"),
        ({"beta": -1.0}, "beta -1.0 not negative"),
        ({"projection": "conv1"}, "unknown projection 'conv1'; did you mean 'conv1x1'"),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(BadInput, match=message):
        BlockwiseConfig(**options)


def test_a_recipe_names_branches_by_index_or_name():
    made = options_as(BlockwiseConfig, {"branches": [0, "stage2.1b"], "projection": "linear"}, "refine.options")
    assert made.branches == (0, "stage2.1b")
    with pytest.raises(BadInput, match=r"refine.options.*projection.* is 'conv5x5'"):
        options_as(BlockwiseConfig, {"projection": "conv5x5"}, "refine.options")
