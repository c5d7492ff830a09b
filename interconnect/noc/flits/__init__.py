"""Flit level: routers with virtual channels and credits, cycle by cycle."""
