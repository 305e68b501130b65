"""What the networks of a run do on validation samples: spikes of one, and how alike ANN and spiking networks are."""
