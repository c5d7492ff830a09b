"""Benchmarks of the emulation, as ratios taken in one run; ``make bench`` writes the table."""
