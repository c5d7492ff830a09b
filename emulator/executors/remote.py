"""A task on a node of a cluster that sees nothing of the folder where its results belong.

It is done in a process of its own, so this module imports little: each process of Ray that waits
for such a task has it in memory.
"""

import json
import os
import select
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np  # noqa: F401  because ``arithmetic`` names the BLAS that is loaded

from crossmesh.common.private_folders import PrivateFolder
from crossmesh.common.version import VERSION
from crossmesh.emulator.executors.child_process import ENDS, child_process, silent_end
from crossmesh.tiles.runtime.processor import arithmetic

RUN = "run"  # run directory, in the folder of a task
_LOOK_S = 0.5  # between two looks at whether the task is cancelled
_REPORT_S = 1.0  # between two reports of progress


class TaskHost(NamedTuple):
    """The first that a task reports: where it runs.

    Attributes:
        name: Name of the machine.
        version: Version of crossmesh there.
        arithmetic: Processor and BLAS there.
    """

    name: str
    version: str
    arithmetic: str


class TaskResult(NamedTuple):
    """The last that a task reports: what it left.

    Attributes:
        end: ``result`` or ``error``, and its value.
        files: Bytes of every file of the run directory, by path.
        log: What the process said besides.
    """

    end: tuple[str, Any]
    files: dict[str, bytes]
    log: str


def do_remotely(
    module: str, line: str, brought: dict[str, bytes]
) -> Iterator[TaskHost | tuple[str, Any] | TaskResult]:
    """Do a task in a process of its own, in a folder that is removed afterwards.

    Args:
        module: Module that its process runs.
        line: The task, a line of JSON; its log does not count, nor the folder of a run.
        brought: Files that it needs, by path from the folder in which it is done.

    Yields:
        Where it runs, kind and value of each message of its process, and what it left.
    """
    yield TaskHost(socket.gethostname(), VERSION, arithmetic())
    place = PrivateFolder()
    try:
        yield from _done_in(place.path, module, json.loads(line), brought)
    finally:
        place.remove()


def _done_in(
    place: Path, module: str, task: dict[str, Any], brought: Mapping[str, bytes]
) -> Iterator[tuple[str, Any] | TaskResult]:
    """Do a task in a folder."""
    folder, log = place / RUN, place / "log"
    task["log"] = str(log)
    if task["kind"] == "run":
        task["folder"] = str(folder)
    write_files(brought, place)
    end: tuple[str, Any] | None = None
    with log.open("wb") as errors, child_process(module, errors, folder=place) as process:
        try:
            for kind, value in _messages(process, json.dumps(task)):
                if kind in ENDS:
                    end = kind, value
                else:
                    yield kind, value
        finally:
            process.kill()  # if it is still at work, the task is cancelled
    said = log.read_text("utf-8", errors="replace")
    end = end or ("error", silent_end(process.returncode, said))
    yield TaskResult(end, files_in(folder), said)


def files_in(folder: Path) -> dict[str, bytes]:
    """Bytes of every file of a folder, by path."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def write_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Write files by their paths from a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _messages(process: "subprocess.Popen[bytes]", line: str) -> Iterator[tuple[str, Any]]:
    """Messages of a process that does one task; of its progress the newest now and then."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line.encode() + b"\n\n")
    process.stdin.flush()  # it stays open, as its end ends the process
    output, rest, reported_s = process.stdout.fileno(), b"", 0.0
    while True:
        if not select.select([output], [], [], _LOOK_S)[0]:
            continue
        received = os.read(output, 1 << 16)
        if not received:
            return
        *lines, rest = (rest + received).split(b"\n")
        for message in lines:
            ((kind, value),) = json.loads(message).items()
            if kind == "examples":
                if time.monotonic() - reported_s < _REPORT_S:
                    continue
                reported_s = time.monotonic()
            yield kind, value
