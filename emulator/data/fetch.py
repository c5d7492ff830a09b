"""Fetching a file over the network: checked, then put in place whole."""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.request import urlopen

TIMEOUT_S = 30
CHUNK_BYTES = 1 << 16


class FetchError(Exception):
    """No address gave the file."""


def fetch(urls: Sequence[str], sha256: str, path: Path) -> None:
    """Fetch a file from the first address that gives it.

    Args:
        urls: Addresses of the same file.
        sha256: The digest that it must have.
        path: Where it goes; the folder is made, and nothing is there until all is.

    Raises:
        FetchError: With what went wrong at each address.
    """
    failures = []
    for url in urls:
        try:
            _fetch_one(url, sha256, path)
        except (OSError, HTTPException, FetchError) as error:
            failures.append(f"{url}: {getattr(error, 'reason', error)}")
        else:
            return
    raise FetchError("; ".join(failures))


def _fetch_one(url: str, sha256: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    aside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            digest = _download(url, file)
        if digest != sha256:
            raise FetchError(f"sha256 must be {sha256}, got {digest}")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _download(url: str, file: IO[bytes]) -> str:
    """Copy what an address gives into a file; returns its digest."""
    from rich.console import Console  # takes a moment to import
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    digest = hashlib.sha256()
    with (
        urlopen(url, timeout=TIMEOUT_S) as response,
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
    ):
        length = response.headers.get("Content-Length")
        task = progress.add_task(url.rsplit("/", 1)[-1], total=int(length) if length else None)
        while chunk := response.read(CHUNK_BYTES):
            file.write(chunk)
            digest.update(chunk)
            progress.advance(task, len(chunk))
    return digest.hexdigest()
