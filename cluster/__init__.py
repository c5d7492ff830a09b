"""Running on clusters: launching, watching runs, and scaling measurements."""
