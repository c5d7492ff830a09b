"""Folders that all nodes of a cluster must see: whether they can be written, and where they lie."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import typer

_ROOM_BYTES = 256 << 20
# File systems that several machines see; fuse's are named after their program.
_SHARED = ("nfs", "lustre", "gpfs", "ceph", "beegfs", "glusterfs", "cifs", "smb", "9p", "afs",
           "pvfs2", "orangefs", "panfs", "pan_fs", "virtiofs", "wekafs", "fuse.", "vboxsf",
           "gfs2", "ocfs2", "daos", "prl_fs")  # fmt: skip


def misses(field: str, folder: Path) -> Iterator[str]:
    """Why a folder cannot be written here, a line each; a note if no other machine may see it."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if (
        not there.is_dir()
        or not os.access(there, os.W_OK | os.X_OK)
        or file_system(there) == "proc"
    ):
        yield f"{field} must be a folder that can be made, got {folder} (in {there})"
        return
    free = shutil.disk_usage(there).free
    if free < _ROOM_BYTES:
        yield (
            f"{field} must have {_ROOM_BYTES >> 20} MiB of room, got {free >> 20} MiB in {there}"
        )
    if not (kind := file_system(there)).startswith(_SHARED):
        typer.echo(
            f"note: {field} {folder} is on {kind}, which other machines may not see; all nodes "
            "must",
            err=True,
        )


def file_system(path: Path) -> str:
    """Type of the file system that a folder is on."""
    best, kind = "", "an unknown file system"
    for line in Path("/proc/mounts").read_text("utf-8").splitlines():
        _, place, name, *_ = line.split()
        place = place.encode().decode("unicode_escape")  # as blanks are written there
        if len(place) >= len(best) and path.resolve().is_relative_to(place):
            best, kind = place, name
    return kind
