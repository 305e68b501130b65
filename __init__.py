"""Spikeport: from a trained network to a Loihi-class neuromorphic chip."""

__version__ = "0.1.0"
