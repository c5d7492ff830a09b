"""Slurm: a training as a batch job."""
