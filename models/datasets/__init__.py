"""Data sets, one file each; importing this package registers them all."""

import sys

from ...hw import import_siblings
from .images import Images, batches, decode_payload, fingerprint, split
from .spec import DATASETS, ROOT_VARIABLE, Dataset, load

import_siblings(sys.modules[__name__])

__all__ = [
    "DATASETS",
    "ROOT_VARIABLE",
    "Dataset",
    "Images",
    "batches",
    "decode_payload",
    "fingerprint",
    "load",
    "split",
]
