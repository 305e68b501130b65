"""The borders: networks to and from files, and real Lava to check them against."""

from . import lava, netx, relays

__all__ = ["lava", "netx", "relays"]
