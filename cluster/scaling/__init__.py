"""How throughput grows with the number of actors: measured, explained, projected."""
