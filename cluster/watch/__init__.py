"""Watching a run from any terminal that sees its directory."""

from cluster.watch.commands import watch

__all__ = ["watch"]
