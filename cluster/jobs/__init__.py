"""Following launches by their names, whatever kind of cluster they are on."""
