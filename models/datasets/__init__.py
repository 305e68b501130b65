"""Data sets, one file each; importing this package registers them all."""

import sys

from ...hw import import_siblings
from .images import Clips, Images, Samples, batches, decode_payload, fingerprint, split
from .spec import DATASETS, ROOT_VARIABLE, Dataset, load, load_recordings

import_siblings(sys.modules[__name__])

__all__ = [
    "DATASETS",
    "ROOT_VARIABLE",
    "Clips",
    "Dataset",
    "Images",
    "Samples",
    "batches",
    "decode_payload",
    "fingerprint",
    "load",
    "load_recordings",
    "split",
]
