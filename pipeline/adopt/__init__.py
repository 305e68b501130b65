"""Other people's networks: from a float graph of operations to one the pipeline can train, quantize and export."""
