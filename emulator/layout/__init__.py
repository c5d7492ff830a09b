"""Mapping reports: the layers of a network on the tiles of a chip, as a table and a plot."""
