"""Runs a `.net` file in real Lava. Executed by the Lava environment's own Python; never imported by Spikeport."""
