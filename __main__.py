"""`python -m spikeport`: the command line."""

from .pipeline.cli import main

main()
