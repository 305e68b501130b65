"""Small networks in plain torch, trained on digits, and their ONNX files. Not a test."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from spikeport.models.datasets import load
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """Two convolutions and a shortcut: the identity, or a projection where the shape changes."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        projection = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.shortcut = nn.Identity() if stride == 1 and channels == out else projection

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(inner)) + self.shortcut(x))


class ResNet(nn.Module):
    """Stem, a block with an identity, one with a projection, global average pooling, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 12, 3, 1, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU())
        self.blocks = nn.Sequential(Block(12, 12, 1), Block(12, 24, 2))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.flatten(self.pool(self.blocks(self.stem(x))), 1))


class HardSwish(ResNet):
    """The same with an activation that no firing rate follows."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.flatten(self.pool(self.blocks(functional.hardswish(self.stem(x)))), 1))


class LeNet(nn.Sequential):
    """Convolution, max pool, convolution with ReLU6, average pool, a hidden dense layer, scores."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 12, 3, padding=1, bias=False),
            nn.BatchNorm2d(12),
            nn.ReLU6(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(48, 24),
            nn.ReLU(),
            nn.Linear(24, 10),
        )


def trained(net: type[nn.Module], epochs: int, *, mean: float = 0.0, std: float = 1.0) -> nn.Module:
    """A network after a few epochs on digits, about half a second each, fed with (pixels - mean) / std."""
    train, _ = load("digits")
    x, labels = (train.floats() - mean) / std, train.y
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = net()
        optimizer = torch.optim.SGD(made.parameters(), 0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=epochs * (len(x) // 64))
        for _ in range(epochs):
            for index in torch.randperm(len(x))[: len(x) // 64 * 64].split(64):
                optimizer.zero_grad()
                functional.cross_entropy(made(x[index]), labels[index]).backward()
                optimizer.step()
                schedule.step()
    return made.eval()


def export(net: nn.Module, path: Path, shape: tuple[int, ...] = (1, 8, 8), *, dynamo: bool = False) -> None:
    """Write a network to an ONNX file with torch's exporter: the old one, or the one built on torch.export."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both exporters announce changes of their own
        torch.onnx.export(
            net, (torch.zeros(1, *shape),), path, input_names=["image"], output_names=["scores"], dynamo=dynamo
        )
