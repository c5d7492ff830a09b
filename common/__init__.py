"""What all layers use: frozen configs, kernels, random numbers, storage, errors, interrupts."""
