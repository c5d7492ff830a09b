"""Shared by all layers: frozen configs, kernels, random numbers, storage, errors, interrupts."""
