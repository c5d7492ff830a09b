"""Real arrays of devices behind a line: the protocol, its client and its server."""
