"""Calibration: scales and ranges of tiles for the weights and inputs that a network has."""
