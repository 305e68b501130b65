"""BKDSNN: channels blurred out at random, restored by a block of the method's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from spikeport.hw import BadInput
from spikeport.models import ENGINES, PROFILES, GraphNet
from spikeport.models.zoo.resnet import resnet
from spikeport.pipeline.folding import fold_batchnorm
from spikeport.pipeline.refine import Pair
from spikeport.pipeline.refine.bkdsnn import BkdsnnConfig, Restoration, bkdsnn
from spikeport.pipeline.refine.kdsnn import weighted_soft_labels
from torch import Tensor
from torch.nn import functional

from .. import tiny_nets


def pair(teacher: GraphNet | None = None, **given_: Any) -> tuple[Pair, Tensor, Tensor]:
    """(pair, images, labels) on the residual network, whose last stage is (6, 4, 4)."""
    own, student = tiny_nets.converted(tiny_nets.residual(), PROFILES["loihi"], 2, 0)
    x = tiny_nets.images(own.architecture, 12)
    taught = (own if teacher is None else teacher).requires_grad_(False)
    return Pair(student=student, teacher=taught, calibration=[x], batch_size=12, **given_), x, torch.arange(12) % 3


def block(drop: float, source: int = 4, target: int = 4) -> Restoration:
    return Restoration(source, target, drop, tiny_nets.generator(0))


def test_whole_channels_of_single_samples_are_blurred_out():
    """The mask is 0 or 1, one for each sample and channel, 0 with the probability `drop`."""
    restoration = block(0.3)
    seen: list[Tensor] = []
    restoration.restore.register_forward_pre_hook(lambda _, given_: seen.append(given_[0]))
    restoration(torch.ones(2000, 4, 2, 2), tiny_nets.generator(1))
    mask = seen[0]
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(mask, mask[:, :, :1, :1].expand_as(mask))
    share = float((mask[:, :, 0, 0] == 0).float().mean())
    assert share == pytest.approx(0.3, abs=5 * (0.3 * 0.7 / 8000) ** 0.5)
    assert len(mask[:, :, 0, 0].unique(dim=0)) == 2**4  # every combination: no channel depends on another


def test_the_mask_is_the_moments_and_evaluation_has_none():
    given_, x, y = pair()
    method = bkdsnn(given_, BkdsnnConfig(drop=0.5))
    blurred = [method.loss(x, y, tiny_nets.moment(seed=seed))[2]["layers"].item() for seed in (1, 1, 2)]
    assert blurred[0] == blurred[1] != blurred[2]
    method.eval()
    clear = [method.loss(x, y, tiny_nets.moment(seed=seed))[2]["layers"].item() for seed in (1, 2)]
    assert clear[0] == clear[1]
    whole = bkdsnn(given_, BkdsnnConfig(drop=0.0))
    assert whole.loss(x, y, tiny_nets.moment())[2]["layers"].item() == clear[0]


def test_the_loss_is_cross_entropy_the_logits_and_the_restored_features():
    given_, x, y = pair()
    method = bkdsnn(given_, BkdsnnConfig(alpha=0.01, logits=0.5))
    loss, _, parts = method.loss(x, y, tiny_nets.moment(seed=5))
    with torch.no_grad():
        (sequence, spikes), (target, activations) = given_.student(x, ["stage2.1b"]), given_.teacher(x, ["stage2.1b"])
        restored = method.translator(spikes["stage2.1b"].mean(0), tiny_nets.generator(5))
    squares = float((restored - activations["stage2.1b"]).square().sum()) / 12
    task = float(functional.cross_entropy(sequence.mean(0), y))
    soft = float(weighted_soft_labels(sequence.mean(0), target, y, 2.0))
    assert [parts[n].item() for n in ("task", "logits", "layers")] == pytest.approx([task, soft, squares], rel=1e-5)
    assert loss.item() == pytest.approx(task + 0.5 * soft + 0.01 * squares, rel=1e-5)


def test_the_block_is_two_convolutions_and_a_relu():
    """conv2(relu(conv1(x))) with zero biases: it doubles with its input."""
    restoration = block(0.15).eval()
    x = torch.rand(3, 4, 5, 5, generator=tiny_nets.generator(2))
    first, second = restoration.restore[0], restoration.restore[2]
    expected = second(first(x).relu())
    got = restoration(x, tiny_nets.generator(0))
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(restoration(2 * x, tiny_nets.generator(0)), 2 * got)
    assert sum(p.numel() for p in restoration.parameters()) == 2 * (4 * 4 * 9 + 4)


def test_other_channels_are_aligned_before_they_are_blurred():
    wide = resnet((2, 8, 8), 3, name="wide", stem=4, widths=(4, 8), blocks=(1, 1))
    given_, x, y = pair(fold_batchnorm(tiny_nets.ann(wide, 5)), seed=3)
    method = bkdsnn(given_, BkdsnnConfig(alpha=1.0))
    shapes = {name: tuple(p.shape) for name, p in method.named_parameters()}
    assert shapes == {
        "translator.align.map.weight": (8, 6, 1, 1),
        "translator.align.map.bias": (8,),
        "translator.restore.0.weight": (8, 8, 3, 3),
        "translator.restore.0.bias": (8,),
        "translator.restore.2.weight": (8, 8, 3, 3),
        "translator.restore.2.bias": (8,),
    }
    method.loss(x, y, tiny_nets.moment())[0].backward()
    assert all(p.grad is not None and p.grad.any() for p in method.parameters())


def test_its_weights_come_from_the_pairs_seed_alone():
    first = bkdsnn(pair(seed=3)[0], BkdsnnConfig()).state_dict()
    torch.manual_seed(99)
    same, other = (bkdsnn(pair(seed=seed)[0], BkdsnnConfig()).state_dict() for seed in (3, 4))
    weights = [name for name in first if name.endswith("weight")]
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in weights)


def test_the_block_learns_to_restore_a_fixed_feature():
    """Trained beside nothing else, it brings the feature term down."""
    given_, x, y = pair()
    method = bkdsnn(given_, BkdsnnConfig())
    optimizer = torch.optim.Adam(method.parameters(), lr=0.01)
    values = []
    for step in range(40):
        layers = method.loss(x, y, tiny_nets.moment(seed=step))[2]["layers"]
        optimizer.zero_grad()
        layers.backward()
        optimizer.step()
        values.append(layers.item())
    assert values[-1] < 0.5 * values[0]


@pytest.mark.parametrize("engine", ENGINES)
def test_it_trains_the_student_on_every_engine(engine):
    given_, x, y = pair(engine=ENGINES[engine])
    bkdsnn(given_, BkdsnnConfig()).loss(x, y, tiny_nets.moment())[2]["layers"].backward()
    slopes = [p.grad for name, p in given_.student.named_parameters() if "readout" not in name]
    assert all(s is not None and torch.isfinite(s).all() for s in slopes)
    assert any(s is not None and s.any() for s in slopes)


@pytest.mark.parametrize(("options", "message"), [({"drop": 1.0}, "drop is 1.0"), ({"tau": -1.0}, "bkdsnn: alpha")])
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(BadInput, match=message):
        BkdsnnConfig(**options)
