"""Event cameras: recordings from files or simulated, and the frames that a network sees of them."""
