"""The analog part: devices, unit cells, periphery, update, the tile, and the hosts of tiles."""
