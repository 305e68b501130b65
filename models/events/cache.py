"""Frames of a set of recordings, kept on disk once they were made."""

from __future__ import annotations

from ..datasets.images import Clips
from .frames import Frames
from .recording import Recordings


def clips(recordings: Recordings, frames: Frames) -> Clips:
    """The frames of all recordings, from the cache or made now and kept there.

    Raises BadInput for a damaged recording; nothing is kept then.
    """
    raise NotImplementedError
