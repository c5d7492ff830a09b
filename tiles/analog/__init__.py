"""The analog part of a tile: devices, unit cells, arrays, reads, updates."""
