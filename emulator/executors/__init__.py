"""Executors run a program; which one never changes a bit of the result."""
