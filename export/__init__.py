"""The borders: networks to and from files, and real Lava to check them against."""

from . import lava, netx

__all__ = ["lava", "netx"]
