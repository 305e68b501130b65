"""Stages, recipes, refinement methods and the command line: the chain from training to the report."""
