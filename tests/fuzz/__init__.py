"""Mutated inputs through the real command: what it may say of them, and what it may take."""
