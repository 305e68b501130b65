"""ANN to spiking network: what is known of the error, and the published ways to make it small."""
