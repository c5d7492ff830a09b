"""Between tiles: the simulated network on chip, the channels of tile hosts, and schedules."""
