"""Machines that are reached over ssh: one's own, and those that clouds make."""
