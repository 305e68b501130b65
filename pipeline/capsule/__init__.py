"""Replay capsules: a run's network, samples and golden spikes in one zip, and the programs that confirm them."""
