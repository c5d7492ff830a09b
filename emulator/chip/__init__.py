"""The chip: how long, how much energy and how much area a run would take on it."""
