"""How fast the emulation is, as ratios taken in one run; ``make bench`` writes the table."""
