"""Spike activation maps as a picture: where the ANN finds its evidence, and where the student's spikes are.

A row is an image: itself, the ANN's class activation map of the class it answers (`refine/activation_maps.py`), the
student's spikes of all timesteps, and those of single timesteps, at the last stage that has more than one position. The
ANN's map and the sum of spikes go from 0 to their own largest value; the timesteps of an image share one scale.
Source of the maps: CKDSNN and SASTC, AAAI 2026 and 2025.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from ..hw import BadInput
from ..models import Architecture, GraphNet
from .refine.activation_maps import class_map, mean_readout, spike_map

STEPS_SHOWN = 8
"""Timesteps in a picture, at most: the first, the last, and others evenly between."""
_CELL_IN = 1.05
_SETTINGS: Any = {"font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 8}


@dataclass(frozen=True, kw_only=True, eq=False)
class ActivationMaps:
    """Maps of B images at the unit `unit`, of height h and width w.

    images: (B, C, H, W) in [0, 1]. labels, ann_answers, snn_answers: classes (B,). ann: (B, h, w), not negative; kind:
    what it is, CAM or Grad-CAM. spikes: summed over channels, of each timestep, (T, B, h, w).
    """

    unit: str
    kind: str
    images: Tensor
    labels: Tensor
    ann_answers: Tensor
    snn_answers: Tensor
    ann: Tensor
    spikes: Tensor


def map_unit(architecture: Architecture) -> str:
    """The last stage with more than one position. Raises BadInput if there is none."""
    shapes = architecture.shapes()
    wide = [name for name in architecture.stages if len(shapes[name]) == 3 and shapes[name][1:] != (1, 1)]
    if not wide:
        raise BadInput(
            f"{architecture.name}: none of its stages {', '.join(architecture.stages)} has more than one position, so "
            "there is no map to draw; use a network with convolutions"
        )
    return wide[-1]


@torch.no_grad()
def activation_maps(student: GraphNet, teacher: GraphNet, images: Tensor, labels: Tensor) -> ActivationMaps:
    """Maps of a spiking student and of its ANN, both in evaluation mode. images: (B, C, H, W), labels: (B,).

    Raises BadInput for networks without a stage that is a map.
    """
    unit, own = map_unit(teacher.architecture), map_unit(student.architecture)
    logits, activations = teacher(images, (unit,))
    sequence, spikes = student(images, (own,))
    answers = logits.argmax(dim=-1)
    return ActivationMaps(
        unit=own,
        kind="Grad-CAM" if mean_readout(teacher, unit) is None else "CAM",
        images=images.cpu(),
        labels=labels.cpu(),
        ann_answers=answers.cpu(),
        snn_answers=sequence.mean(dim=0).argmax(dim=-1).cpu(),
        ann=class_map(teacher, unit, activations[unit], answers).cpu(),
        spikes=torch.stack([spike_map(step, 1) for step in spikes[own]]).cpu(),
    )


def picture(maps: ActivationMaps) -> bytes:
    """The maps as a PNG file. Equal maps give equal bytes, whenever they are drawn."""
    steps = shown_steps(len(maps.spikes))
    titles = ["image", f"ANN, {maps.kind}", "SNN, all spikes", *(f"step {t + 1}" for t in steps)]
    rows, columns = len(maps.images), len(titles)
    left, top = 0.7, 0.55  # room for text, in cells
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(_CELL_IN * (left + columns), _CELL_IN * (top + rows)))
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.axis("off")
        axes.text(columns / 2, 0.2 - top, f"activation maps at {maps.unit}", ha="center", fontsize=9, parse_math=False)
        for column, title in enumerate(titles):
            axes.text(column + 0.5, -0.05, title, ha="center")
        for row in range(rows):
            _draw_row(axes, maps, row, steps)
        axes.set(xlim=(-left, columns), ylim=(rows, -top), aspect="auto")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()


def shown_steps(n_steps: int) -> list[int]:
    """Which timesteps a picture shows, from 0."""
    if n_steps <= STEPS_SHOWN:
        return list(range(n_steps))
    return [round(i * (n_steps - 1) / (STEPS_SHOWN - 1)) for i in range(STEPS_SHOWN)]


def _draw_row(axes: Axes, maps: ActivationMaps, row: int, steps: Sequence[int]) -> None:
    """One image: itself, the ANN's map, all spikes, spikes of single steps."""
    label, ann, snn = (int(classes[row]) for classes in (maps.labels, maps.ann_answers, maps.snn_answers))
    axes.text(-0.05, row + 0.5, f"class {label}\nANN {ann}\nSNN {snn}", ha="right", va="center", fontsize=7)
    image = maps.images[row]
    shown = image.permute(1, 2, 0) if len(image) == 3 else image.mean(dim=0)
    _draw_cell(axes, shown, row, 0, top=1, colours="gray")
    total, single = maps.spikes[:, row].sum(dim=0), maps.spikes[:, row]
    _draw_cell(axes, maps.ann[row], row, 1, top=float(maps.ann[row].max()))
    _draw_cell(axes, total, row, 2, top=float(total.max()))
    for column, step in enumerate(steps, start=3):
        _draw_cell(axes, single[step], row, column, top=float(single.max()))


def _draw_cell(axes: Axes, values: Tensor, row: int, column: int, *, top: float, colours: str = "viridis") -> None:
    """Values (h, w), or (h, w, 3) in [0, 1], in the middle of a cell; from 0 (dark) to `top` (bright), 0 all dark."""
    high, wide = (0.94 * n / max(values.shape[:2]) for n in values.shape[:2])
    x, y = column + (1 - wide) / 2, row + (1 - high) / 2
    top = top if top > 0 else 1
    place = (x, x + wide, y + high, y)
    axes.imshow(values.numpy(), cmap=colours, vmin=0, vmax=top, interpolation="nearest", extent=place)
