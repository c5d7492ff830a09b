"""What a run leaves: its directory, checkpoints, history and result."""
