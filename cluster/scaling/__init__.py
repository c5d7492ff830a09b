"""Scaling with the number of actors: measurement, cost model, projection."""
