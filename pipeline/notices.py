"""Nothing silent: one line per layer that a stage folded, approximated, clipped or rounded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from ..hw import Source
from ..models import ConvWire, GraphNet, IdentityWire, LinearWire, Synapses
from ..models.integer import IntegerNode
from .data_section import Frames
from .scales import Scales


def notice(layer: str, what: str, why: str, way_out: str) -> dict[str, str]:
    """One entry of the report's list of notices."""
    return {"layer": layer, "what": what, "why": why, "way_out": way_out}


def of_conversion(ann: GraphNet, scales: Mapping[str, float], norm: str) -> list[dict[str, str]]:
    """What conversion did to each layer of the ANN. norm: what the thresholds are, after "threshold from the"."""
    rows = []
    for node in ann.walk():
        name = node.unit.name
        if any(isinstance(s, Synapses) and isinstance(s.norm, nn.BatchNorm2d) for s in node.synapses):
            rows.append(
                notice(
                    name, "batch norm folded into the weights", "the chip has no batch norm", "none needed: it is exact"
                )
            )
        if node.unit.pool is not None:
            rows.append(
                notice(
                    name,
                    "max pooling of activations became an OR of spikes",
                    "a spike has no size to compare; a window fires when any of its neurons does",
                    "refinement adapts to it; an average pool or a strided convolution converts without error",
                )
            )
        elif name in scales:
            rows.append(
                notice(
                    name,
                    f"activations above {scales[name]:.4g} are clipped to one spike per timestep",
                    f"threshold from the {norm}",
                    "convert.norm: max, or a higher convert.percentile",
                )
            )
        if any(isinstance(wire, IdentityWire) for wire in node.unit.wires):
            rows.append(
                notice(
                    name,
                    "identity shortcut became a weighted one",
                    "source and target have different thresholds",
                    "none needed: it is exact before quantization",
                )
            )
    return rows


def of_frames(frames: Frames) -> dict[str, str]:
    """What the frames of a recording leave out of it."""
    return notice(
        "input",
        f"of a pixel's events of one polarity, at most {frames.levels} count in a frame",
        "a spike is there or not" if frames.levels == 1 else "data.frames.levels",
        "a larger data.frames.T, or a higher data.frames.levels, which takes spikes with a payload",
    )


def of_quantization(net: GraphNet, scales: Scales, levels: int, *, trained: bool = True) -> list[dict[str, Any]]:
    """What the chip's grid did to the input and to each layer. trained: whether the network was trained on it since."""
    adapted = (
        "the training in integers has already adapted to it"
        if trained
        else "train in integers: a recipe with model.file"
    )
    top = Source(payload_bits=scales.payload_bits).max_payload
    rows = []
    if top < levels:
        rows.append(
            notice(
                "input",
                f"pixels of {levels} levels are rounded to payloads of {scales.payload_bits} bits (0..{top})",
                "with more bits a synaptic sum could overflow, or the weights would lose more than a bit",
                "quantize.payload_bits sets them by hand",
            )
        )
    for node in net.walk():
        if node.unit.pool is not None:
            continue
        assert isinstance(node, IntegerNode)
        name, limit = node.unit.name, scales.limited_by[node.unit.name]
        rows.append(
            notice(
                name,
                f"weights rounded to even integers in -254..254, threshold {node.scale}, its scale set by the {limit}",
                "8-bit mixed-sign weights",
                adapted,
            )
        )
        for wire in node.unit.wires:
            if isinstance(wire, LinearWire) and wire.mean:
                why = "the chip has no pooling; the division is in the scale"
                rows.append(notice(name, "spatial mean folded into a dense layer", why, "none needed: it is exact"))
            elif isinstance(wire, ConvWire) and wire.window.kernel == (1, 1) and len(node.unit.wires) > 1:
                why = "its sum enters the neuron of the block's output"
                rows.append(notice(name, "projection shortcut summed as a current", why, "none needed: it is exact"))
    return rows
