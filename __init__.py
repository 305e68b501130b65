"""Spikeport: from a trained network to a Loihi-class neuromorphic chip.

`Network` is what the chip runs. `spikeport.export.netx` reads and writes it, `spikeport.sim` runs and prices it, and
`spikeport.pipeline` makes one from a recipe.
"""

from .hw import CHIPS, Network, SpikeportError, check, same

__version__ = "0.1.0"

__all__ = ["CHIPS", "Network", "SpikeportError", "__version__", "check", "same"]
