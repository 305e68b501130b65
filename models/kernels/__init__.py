"""Loops that numba compiles, for training on a CPU: each has a plain torch twin that it is tested against."""
