"""Still images beside event clips: one of the same class for every clip, and the clip that a student is shown of it.

Class and not instance is what pairs them: which image of the class is drawn anew every time. Of an image the student
sees its brightness V = max(R, G, B), the third channel of HSV, as a current that is the same at every step and for both
polarities. Source: He et al., AAAI 2024, arXiv 2303.13077, and its public code.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ...hw import BadInput, Shape
from ...models.datasets import Images


class StillPool:
    """Still images by class, 0..n_classes-1. Raises BadInput for a class of which there is none."""

    def __init__(self, images: Images, n_classes: int) -> None:
        self._images = images
        self._order = torch.argsort(images.y, stable=True)
        self._counts = torch.bincount(images.y, minlength=n_classes)
        missing = (self._counts[:n_classes] == 0).nonzero().flatten().tolist()
        if missing:
            raise BadInput(
                f"data.stills: of class {', '.join(map(str, missing))} there is no still image among {len(images)}, so "
                "its events have no partner; raise data.stills.limit, or take another data set"
            )
        self._first = self._counts.cumsum(0) - self._counts

    def draw(self, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """One image for each label of y (B,), every image of the class equally likely.

        Returns (images float32 (B, C, H, W) in [0, 1], their labels), on the CPU.
        """
        labels = y.cpu()
        places = torch.rand(len(labels), generator=generator, dtype=torch.float64) * self._counts[labels]
        index = self._order[self._first[labels] + places.long()]
        return self._images.floats(index), self._images.y[index]


def as_clip(images: Tensor, n_steps: int, shape: Shape) -> Tensor:
    """What a student of events is shown of images (B, C, H, W): float (T, B, *shape), one frame held over the sample.

    The largest of an image's channels, resized (bilinear, antialiased) to `shape`'s rows and columns.
    """
    channels, *size = shape
    value = functional.interpolate(images.amax(dim=1, keepdim=True), size, mode="bilinear", antialias=True)
    return value.expand(n_steps, len(images), channels, *size)
