"""The chain from a trained network to a verified file: recipes, stages, runs and the command line."""
