"""The network a recipe names by a file, as the teacher of its data set."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

from ...export.floatgraph import Linear
from ...hw import BadInput, Shape
from ...models import GraphNet
from ..notices import notice
from ..sections import Model
from .content import content_hash
from .folded import Folded
from .normalise import with_raw_pixels
from .teacher import to_graphnet


def folded_of(model: Model, shape: Shape, n_classes: int) -> Folded:
    """The file of a recipe's `model`, folded, on the raw pixels of images of `shape`, (C, H, W).

    A network on vectors of C H W values reads the flattened image. Raises BadInput for a file of another kind, for an
    input or a number of classes that are not the data's, and what reading, folding and `with_raw_pixels` raise.
    """
    assert model.file is not None
    folded = _read(str(model.file), content_hash(model.file))
    if folded.source_shape == (math.prod(shape),) and _is_dense(folded):
        folded = replace(folded, source_shape=shape)
    if folded.source_shape != shape:
        raise BadInput(
            f"model.file {model.file}: takes an input of shape {folded.source_shape}, the data's images have {shape}; "
            "export it for that shape, or choose its data set"
        )
    outputs = folded.units[-1].shape[0]
    if outputs != n_classes:
        raise BadInput(f"model.file {model.file}: answers with {outputs} values, the data have {n_classes} classes")
    if model.mean or model.std:
        folded = with_raw_pixels(folded, model.mean or [0.0], model.std or [1.0])
    return folded


def teacher_of(model: Model, shape: Shape, n_classes: int) -> GraphNet:
    """The file's network as an ANN of the pipeline, in evaluation mode. Raises as `folded_of` and `to_graphnet`."""
    return to_graphnet(folded_of(model, shape, n_classes))


def of_import(folded: Folded) -> list[dict[str, str]]:
    """What folding did to the file's nodes, and what was assumed about them, as entries of a report."""
    rows = [
        notice(
            row.into,
            f"{row.node}: {row.what}",
            "populations are joined by one linear map, nothing stands between them",
            "none needed: it is exact" if row.exact else f"differs by up to {row.checked:.2g}; train in integers",
        )
        for row in folded.foldings
    ]
    return rows + [
        notice(folded.name, text, "the file leaves it open", "export it with that stated") for text in folded.assumed
    ]


@functools.lru_cache(maxsize=2)
def _read(path: str, content: str) -> Folded:
    """A file of this content, read and folded. Every stage of a run asks for it."""
    del content  # part of the key: a file that was written anew is read anew
    from ...export import onnx_read  # onnx is slow to import, needed here alone
    from .fold import fold

    return fold(onnx_read.read(path))


def _is_dense(folded: Folded) -> bool:
    """Whether matrices alone read the input."""
    edges = [edge for unit in folded.units for edge in unit.edges if edge.source == folded.source]
    return all(isinstance(edge.op, Linear) for edge in edges)
