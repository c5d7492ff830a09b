"""Where it runs: Ray start-up, placement, cluster configs, launching, scaling measurements."""
