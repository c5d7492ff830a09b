"""Callbacks: what a program does while a network trains."""
