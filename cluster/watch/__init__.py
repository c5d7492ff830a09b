"""Watching a run from any terminal that sees its directory."""

from crossmesh.cluster.watch.commands import watch

__all__ = ["watch"]
