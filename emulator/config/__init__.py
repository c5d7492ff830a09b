"""The config of a run: frozen objects that validate themselves, read from YAML."""
