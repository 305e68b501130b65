"""Neuron equations of the chip, one file each."""

from .cuba import NEVER_FIRES, Cuba, step

__all__ = ["NEVER_FIRES", "Cuba", "step"]
