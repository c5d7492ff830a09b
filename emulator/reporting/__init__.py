"""Reports on runs: one page, a comparison, a list, a picture."""
