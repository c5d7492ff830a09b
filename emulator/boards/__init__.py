"""Boards of devices: simulated ones, and what is done with those that somebody owns."""
