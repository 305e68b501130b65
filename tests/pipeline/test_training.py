"""The training loop: resumed equals unbroken, the best epoch is kept, rates follow formulas, divergence is told."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from spikeport.hw import SpikeportError
from spikeport.models.datasets import Clips, Images, Samples, batches
from spikeport.pipeline.checkpoint import Checkpoint
from spikeport.pipeline.progress import Progress
from spikeport.pipeline.recipe import parse
from spikeport.pipeline.sections import Train
from spikeport.pipeline.stage import LOG, StageContext
from spikeport.pipeline.training import Moment, Task, correct, fit, predict
from torch import Tensor, nn
from torch.nn import functional


def images(count: int, seed: int = 0) -> Images:
    """Bright on the left or on the right, with noise."""
    rng = torch.Generator().manual_seed(seed)
    y = torch.randint(2, (count,), generator=rng)
    x = torch.randint(0, 100, (count, 1, 4, 4), generator=rng)
    x[torch.arange(count), 0, :, 3 * y] += 100
    return Images(x=x.to(torch.uint8), y=y)


def context(folder: Path, *, seed: int = 0, key: str = "k", **train: Any) -> StageContext:
    out = folder / "out"
    out.mkdir(exist_ok=True)
    return StageContext(
        name="train",
        recipe=parse({"name": "toy", "seed": seed, "train": train}),
        folder=out,
        inputs={},
        results={},
        progress=Progress(quiet=True),
        checkpoint=Checkpoint(folder / "checkpoint", key, out / LOG),
    )


def convnet(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))


def task(net: nn.Module, settings: Train, **changes: Any) -> Task:
    """Classification of 37 images, which makes a short last batch."""

    def loss(x: Tensor, y: Tensor, moment: Moment) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        logits = net(x)
        return functional.cross_entropy(logits.float(), y), logits, {"half": logits.detach().mean() / 2}

    def score(split: Samples) -> int:
        net.eval()
        return correct(predict(net, split, torch.device("cpu")), split)

    given: dict[str, Any] = {
        "net": net,
        "loss": loss,
        "score": score,
        "train": images(37),
        "validation": images(20, 1),
        "settings": settings,
        "optimizer": settings.optimizer,
        "schedule": settings.schedule,
        "warmup_epochs": settings.warmup_epochs,
    }
    return Task(**given | changes)


def state(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class Killed(Exception):
    """Stands for the end of the process."""


def killing(at: int) -> Callable[[], None]:
    steps = iter(range(1, 10**6))

    def after_step() -> None:
        if next(steps) == at:
            raise Killed

    return after_step


@pytest.mark.parametrize(("optimizer", "sampling"), [("sgd", "shuffled"), ("adamw", "shuffled"), ("sgd", "balanced")])
@pytest.mark.parametrize("killed_at", [2, 5, 13, 20])
def test_a_killed_and_continued_training_ends_with_the_bits_of_an_unbroken_one(
    tmp_path, optimizer, sampling, killed_at
):
    """5 batches of 8 an epoch, 4 epochs: killed within the first, at its end, and later; weights, log and result."""
    fields = {"epochs": 4, "batch_size": 8, "lr": 0.02, "optimizer": optimizer, "warmup_epochs": 1}
    fields |= {"sampling": sampling, "augment": {"crop": 1, "flip": True, "roll": 1}}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()

    net = convnet()
    there = context(whole, **fields)
    result = fit(task(net, there.recipe.train), there)

    first = convnet()
    here = context(broken, **fields)
    with pytest.raises(Killed):
        fit(task(first, here.recipe.train, after_step=killing(killed_at)), here)
    again = convnet()
    here = context(broken, **fields)
    assert fit(task(again, here.recipe.train), here) == result

    assert same(state(again), state(net))
    assert (broken / "out" / LOG).read_bytes() == (whole / "out" / LOG).read_bytes()
    assert len((whole / "out" / LOG).read_text().splitlines()) == 4


def test_the_seed_decides_the_run(tmp_path):
    ends = []
    for number, seed in enumerate((3, 3, 4)):
        folder = tmp_path / str(number)
        folder.mkdir()
        net = convnet()
        there = context(folder, seed=seed, epochs=2, batch_size=8, lr=0.05, augment={"crop": 1})
        fit(task(net, there.recipe.train), there)
        ends.append(state(net))
    assert same(ends[0], ends[1])
    assert not same(ends[0], ends[2])


@pytest.mark.parametrize("sampling", ["shuffled", "balanced"])
def test_it_learns(tmp_path, sampling):
    net = convnet()
    there = context(tmp_path, epochs=8, batch_size=8, lr=0.1, sampling=sampling)
    result = fit(task(net, there.recipe.train), there)
    assert result["best"] == 1
    assert result["epochs"] == 8


@pytest.mark.parametrize(
    ("scores", "best"), [([5, 7, 9, 8], 2), ([5, 7, 7, 6], 2), ([9, 7, 8, 9], 3), ([9, 7, 8, 8], 0), ([1, 2, 3, 4], 3)]
)
def test_the_best_validation_epoch_is_kept_and_of_equals_the_last(tmp_path, scores, best):
    """Scores of the start and of three epochs of 5 steps; the weights are those after the best one."""
    net = convnet()
    moments, given = [state(net)], iter(scores)
    steps = iter(range(1, 100))

    def after_step() -> None:
        if next(steps) % 5 == 0:
            moments.append(state(net))

    there = context(tmp_path, epochs=3, batch_size=8, lr=0.05)
    result = fit(task(net, there.recipe.train, score=lambda _: next(given), after_step=after_step), there)
    fractions = [score / 20 for score in scores]
    assert result == {
        "epochs": 3,
        "best_epoch": best,
        "best": fractions[best],
        "last": fractions[-1],
        "start": fractions[0],
    }
    assert same(state(net), moments[best])
    assert not any(same(moments[best], other) for epoch, other in enumerate(moments) if epoch != best)


def test_no_epochs_leave_the_network_as_it_was(tmp_path):
    net = convnet()
    before = state(net)
    there = context(tmp_path, epochs=0)
    assert fit(task(net, there.recipe.train), there)["best_epoch"] == 0
    assert same(state(net), before)


class Line(nn.Module):
    """One number whose gradient is `slope`: each step moves it by the learning rate times the (clipped) slope."""

    def __init__(self, slope: float = 1.0) -> None:
        super().__init__()
        self.slope = slope
        self.w = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def loss(self, x: Tensor, y: Tensor, moment: Moment) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        return self.slope * self.w, torch.zeros(len(x), 2), {"size": torch.tensor(float(len(x)))}


def steps_of(folder: Path, net: Line, settings: dict[str, Any], **changes: Any) -> list[float]:
    """How far each optimizer step went; 10 images in batches of 4, 3 steps an epoch."""
    places = [0.0]
    there = context(folder, batch_size=4, momentum=0.0, **settings)
    chosen = task(
        net,
        there.recipe.train,
        loss=net.loss,
        score=lambda _: 0,
        train=images(10),
        after_step=lambda: places.append(-net.w.item()),
        **changes,
    )
    fit(chosen, there)
    return [after - before for before, after in pairwise(places)]


@pytest.mark.parametrize("warmup", [0, 2])
def test_cosine_warms_up_linearly_and_falls_by_half_a_cosine(tmp_path, warmup):
    rates = steps_of(tmp_path, Line(), {"epochs": 5, "lr": 0.3, "warmup_epochs": warmup})
    warm = 3 * warmup
    up = [0.3 * (k + 1) / warm for k in range(warm)]
    down = [0.3 * (1 + math.cos(math.pi * k / (15 - warm))) / 2 for k in range(15 - warm)]
    assert rates == pytest.approx(up + down, rel=1e-9)
    assert max(rates) == pytest.approx(0.3)


def test_onecycle_climbs_for_three_tenths_and_falls_to_zero(tmp_path):
    """30 steps: 9 up from a 25th of the peak, then half a cosine over 21."""
    rates = steps_of(tmp_path, Line(), {"epochs": 10, "lr": 0.2, "schedule": "onecycle"})
    up = [0.2 * (0.04 + 0.96 * (k + 1) / 9) for k in range(9)]
    down = [0.2 * (1 + math.cos(math.pi * k / 21)) / 2 for k in range(21)]
    assert rates == pytest.approx(up + down, rel=1e-9)
    assert rates[8] == pytest.approx(0.2)
    assert rates[-1] < 0.01 * 0.2


def test_a_continued_schedule_goes_on_where_it_was(tmp_path):
    fields = {"epochs": 4, "lr": 0.3, "warmup_epochs": 1}
    (tmp_path / "whole").mkdir()
    (tmp_path / "broken").mkdir()
    whole = steps_of(tmp_path / "whole", Line(), fields)
    net = Line()
    there = context(tmp_path / "broken", batch_size=4, momentum=0.0, **fields)
    line = {"loss": net.loss, "score": lambda _: 0, "train": images(10)}
    with pytest.raises(Killed):
        fit(task(net, there.recipe.train, **line, after_step=killing(8)), there)  # the second step of epoch 3
    rest = Line()
    continued = steps_of(tmp_path / "broken", rest, fields)
    assert continued[1:] == pytest.approx(whole[7:], rel=1e-9)  # the first also holds the way to the checkpoint
    assert sum(continued) == pytest.approx(sum(whole))


def test_gradients_are_clipped_to_their_norm(tmp_path):
    clipped = steps_of(tmp_path, Line(slope=100.0), {"epochs": 1, "lr": 0.1}, grad_clip=0.5)
    assert clipped[0] == pytest.approx(0.1 * 0.5, rel=1e-5)


def test_logged_values_are_means_over_images(tmp_path):
    """Batches of 4, 4 and 2: the mean size seen by an image is (16 + 16 + 4) / 10."""
    steps_of(tmp_path, Line(), {"epochs": 2, "lr": 0.1})
    lines = [json.loads(line) for line in (tmp_path / "out" / LOG).read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert all(line["size"] == pytest.approx(3.6) for line in lines)
    assert set(lines[0]) == {"epoch", "validation", "loss", "accuracy", "size"}


@pytest.mark.parametrize(("smallest", "steps"), [(1, 10), (2, 9)])
def test_a_last_batch_smaller_than_the_loss_allows_is_left_out(tmp_path, smallest, steps):
    seen = []
    made = context(tmp_path, epochs=1, batch_size=4, lr=0.01)  # 37 images: nine batches of 4 and one of 1
    fit(task(convnet(), made.recipe.train, smallest_batch=smallest, after_step=lambda: seen.append(1)), made)
    assert len(seen) == steps


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_weights_decay_and_biases_do_not(tmp_path, optimizer):
    """Without a gradient one step at the peak rate takes lr x decay of every weight of two and more axes."""
    net = nn.Linear(3, 2)
    before = state(net)
    there = context(tmp_path, epochs=1, batch_size=37, lr=0.1, momentum=0.0, weight_decay=0.5, optimizer=optimizer)

    def loss(x: Tensor, y: Tensor, moment: Moment) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        return 0 * (net.weight.sum() + net.bias.sum()), torch.zeros(len(x), 2), {}

    scores = iter([0, 1])
    fit(task(net, there.recipe.train, loss=loss, score=lambda _: next(scores)), there)
    torch.testing.assert_close(net.weight.detach(), before["weight"] * (1 - 0.1 * 0.5))
    assert torch.equal(net.bias, before["bias"])


def numbered(y: list[int]) -> Images:
    """One-pixel images, whose value is their number."""
    return Images(x=torch.arange(len(y), dtype=torch.uint8)[:, None, None, None], y=torch.tensor(y))


def seen(folder: Path, samples: Samples, seed: int = 0, **settings: Any) -> list[list[Tensor]]:
    """The batches x of every epoch, as the loss saw them."""
    folder.mkdir(exist_ok=True)
    epochs: list[list[Tensor]] = []
    net = Line()

    def loss(x: Tensor, y: Tensor, moment: Moment) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        assert len(y) == x.shape[samples.x.ndim - 4]
        epochs[-1].append(x)
        return net.w * 1.0, torch.zeros(len(y), 2), {}

    def start_epoch(_: int) -> None:
        epochs.append([])

    there = context(folder, seed=seed, lr=0.1, **settings)
    fit(task(net, there.recipe.train, loss=loss, score=lambda _: 0, train=samples, start_epoch=start_epoch), there)
    return epochs


def numbers(epochs: list[list[Tensor]]) -> list[list[int]]:
    """Of images of `numbered`, which were seen in each epoch."""
    return [(torch.cat(epoch).flatten() * 255).round().int().tolist() for epoch in epochs]


def test_shuffled_shows_every_sample_once_in_the_order_it_always_had(tmp_path):
    """The order of epoch e is the permutation of seed x 2^22 + e x 2^6 + 1: runs of before are found again."""
    epochs = numbers(seen(tmp_path, numbered([0] * 30 + [1] * 7), seed=5, epochs=3, batch_size=8))
    for epoch, order in enumerate(epochs, 1):
        generator = torch.Generator().manual_seed(5 * 2**22 + epoch * 2**6 + 1)
        assert order == torch.cat(list(batches(37, 8, generator))).tolist()


def test_balanced_draws_as_many_samples_and_every_class_as_often(tmp_path):
    """Of 30, 6 and 1 samples in classes 0, 1 and 3: 200 epochs of 37 draws, a third from each, any sample of it."""
    y = [0] * 30 + [1] * 6 + [3]
    epochs = numbers(seen(tmp_path, numbered(y), epochs=200, batch_size=8, sampling="balanced"))
    assert {len(epoch) for epoch in epochs} == {37}
    drawn = torch.tensor(list(chain.from_iterable(epochs))).bincount(minlength=37)
    n = 200 * 37
    for sample, count in enumerate(drawn.tolist()):
        share = 1 / 3 / y.count(y[sample])
        assert abs(count - n * share) < 5 * (n * share * (1 - share)) ** 0.5, sample


def test_balanced_draws_are_those_of_the_seed_and_the_epoch(tmp_path):
    fields = {"epochs": 4, "batch_size": 8, "sampling": "balanced"}
    samples = numbered([0] * 30 + [1] * 7)
    first, again, other = (
        numbers(seen(tmp_path / name, samples, seed, **fields)) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))
    assert all(a != b for a, b in pairwise(first))


def test_balanced_batches_are_of_the_size_of_shuffled_ones(tmp_path):
    sizes = [
        [len(x) for x in seen(tmp_path / name, images(37), epochs=1, batch_size=8, sampling=name)[0]]
        for name in ("shuffled", "balanced")
    ]
    assert sizes == [[8, 8, 8, 8, 5]] * 2


def clips(count: int, seed: int = 0) -> Clips:
    """3 equal frames of `images`, of which a pixel spikes or not."""
    still = images(count, seed)
    return Clips(x=(still.x > 90).to(torch.uint8)[:, None].expand(-1, 3, -1, -1, -1), y=still.y, levels=1)


def test_a_batch_of_clips_has_time_first_and_its_frames_are_augmented_alike(tmp_path):
    epochs = seen(tmp_path, clips(37), epochs=2, batch_size=8, augment={"crop": 1, "flip": True, "roll": 2})
    shapes = [tuple(x.shape) for x in chain.from_iterable(epochs)]
    assert shapes == [*[(3, 8, 1, 4, 4)] * 4, (3, 5, 1, 4, 4)] * 2
    for x in chain.from_iterable(epochs):
        assert torch.equal(x, x[:1].expand_as(x))
    plain = seen(tmp_path / "plain", clips(37), epochs=2, batch_size=8)
    assert not torch.equal(epochs[0][0], plain[0][0])


class OverTime(nn.Module):
    """A network of images that is shown every frame of a clip, (T, B, C, H, W), and adds up what it says."""

    def __init__(self) -> None:
        super().__init__()
        self.frame = convnet()

    def forward(self, x: Tensor) -> Tensor:
        return self.frame(x.flatten(0, 1)).unflatten(0, x.shape[:2]).sum(0)


def test_clips_are_learned_and_logged_by_the_sample(tmp_path):
    """What is logged is of B samples, whatever T."""
    net = OverTime()
    there = context(tmp_path, epochs=8, batch_size=8, lr=0.1, sampling="balanced")
    result = fit(task(net, there.recipe.train, train=clips(37), validation=clips(20, 1)), there)
    assert result["best"] == 1
    split = clips(23, 2)
    whole = predict(net.eval(), split, torch.device("cpu"))
    assert whole.shape == (23,)
    assert torch.equal(whole, predict(net, split, torch.device("cpu"), size=4))
    lines = [json.loads(line) for line in (tmp_path / "out" / LOG).read_text().splitlines()]
    assert all(round(line["accuracy"] * 37, 3).is_integer() for line in lines)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_divergence_is_told_with_its_place_and_the_way_out(tmp_path, value):
    net = Line()
    calls = iter(range(100))

    def loss(x: Tensor, y: Tensor, moment: Moment) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        return net.w * (value if next(calls) == 4 else 1.0), torch.zeros(len(x), 2), {}

    there = context(tmp_path, epochs=3, batch_size=4, lr=0.25)
    with pytest.raises(
        SpikeportError, match=r"the loss is -?(nan|inf) at epoch 2, batch 1; lower lr \(now 0.25\) or set"
    ):
        fit(task(net, there.recipe.train, loss=loss, score=lambda _: 0, train=images(10)), there)


def test_a_diverging_network_is_told(tmp_path):
    net = convnet()
    there = context(tmp_path, epochs=20, batch_size=8, lr=1e30)
    with pytest.raises(SpikeportError, match="training diverged"):
        fit(task(net, there.recipe.train), there)


@pytest.mark.parametrize(("precision", "automatic"), [("fp32", False), ("bf16", True)])
def test_precision_decides_whether_the_loss_runs_under_autocast(tmp_path, precision, automatic):
    net, seen = Line(), []

    def loss(x: Tensor, y: Tensor, moment: Moment) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        seen.append(torch.is_autocast_enabled("cpu"))
        return net.loss(x, y, moment)

    there = context(tmp_path, epochs=1, batch_size=37, lr=0.1, precision=precision)
    fit(task(net, there.recipe.train, loss=loss, score=lambda _: 0), there)
    assert seen == [automatic]


def test_predictions_do_not_depend_on_the_batch():
    net, split = convnet().eval(), images(23)
    cpu = torch.device("cpu")
    whole = predict(net, split, cpu)
    assert torch.equal(whole, predict(net, split, cpu, size=4))
    assert whole.dtype == torch.int64
    assert correct(whole, split) == sum(int(a == b) for a, b in zip(whole, split.y, strict=True))
