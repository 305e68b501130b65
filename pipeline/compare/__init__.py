"""The bake-off: refinement methods x T x seeds, under one teacher and one budget (`spikeport compare`)."""
