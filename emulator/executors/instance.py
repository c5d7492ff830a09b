"""The Ray instance that actors live in: a private one, or a cluster that runs already."""

import contextlib
import logging
import os
import re
import secrets
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ray

from crossmesh.common.errors import ConfigError, RunLost
from crossmesh.common.supervision import interrupts
from crossmesh.common.supervision.reports import made, vital, within
from crossmesh.common.version import VERSION
from crossmesh.emulator.config.engine import Engine
from crossmesh.emulator.executors.private import Enclosure
from crossmesh.emulator.executors.ray_internals import (
    few_processes,
    process_ids,
    silence_worker_messages,
)
from crossmesh.emulator.executors.reach import alive_nodes, check_reachable, muted
from crossmesh.tiles.runtime.actor import Spot

_VERSIONS = re.compile(r"Ray: (\S+)\s+Python: (\S+)")  # in what Ray says of a mismatch
START_S = 120.0  # longest wait for Ray, whose start on a busy machine has taken 50 s
# By workers, while this process does other things. Nothing of ours: it might be another copy, since
# Ray tells them only with an actor where this process imports from.
PRELOADED = ["numba", "pydantic", "zmq"]
SHUTDOWN_S = 10.0  # longest wait for its end
_enclosure: Enclosure | None = None  # of the instance of this process, as there is one at most
_LAW = "engine.address must be host:port of a running Ray cluster, or auto"


def connect(engine: Engine, object_store_bytes: int, n_workers: int | None = None) -> bool:
    """Connect this process to the cluster at an address, or start an instance of its own.

    Args:
        engine: Its address, ``host:port`` or ``auto``; None for an instance of its own, unless this
            process is connected already. And how the code reaches other nodes.
        object_store_bytes: Memory for objects of an instance of its own.
        n_workers: Actors that an instance of its own will soon be asked for, whose processes start
            with it; by default one for each CPU.

    Returns:
        Whether the connection is new, so that ``disconnect`` is due.

    Raises:
        ConfigError: If the address cannot be used, or there is no folder for an instance.
        RunError: If no instance can be started.
    """
    address = engine.address
    if address is not None and address != "auto":
        check_reachable(address, _LAW)
        alive_nodes(address, _LAW)
    if ray.is_initialized():
        _check_connected(address)
        return False
    options: dict[str, Any] = {"address": address}
    if engine.code == "shipped":
        options["runtime_env"] = {"py_modules": [str(Path(__file__).parents[2])]}
    vital([])  # from here on the end of this process may be Ray's doing
    is_lean = address is None and engine.code != "shipped"  # which takes an agent
    with few_processes(n_workers) if is_lean else contextlib.nullcontext():
        _begin(address, options, object_store_bytes)
    silence_worker_messages()  # they are reported as errors of ours
    if address is None:
        vital(_daemons())
    return True


def _begin(address: str | None, options: dict[str, Any], object_store_bytes: int) -> None:
    """Have Ray connect or start, and leave nothing behind if that fails."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        with interrupts.deferred(), within(START_S, "the start of Ray"), muted():
            if address is None:
                options |= _enclosed(object_store_bytes)
            ray.init(
                **options,
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
                namespace=f"crossmesh-{secrets.token_hex(4)}",
            )
            interrupts.reinstall()
    except ConfigError:  # there is no folder for it
        raise
    except Exception as error:  # Ray raises plain ones as well
        disconnect()
        raise _refused(address, error) from None
    except BaseException:
        disconnect()
        raise


def _enclosed(object_store_bytes: int) -> dict[str, Any]:
    """Options of an instance that no other user can use, whose files lie in a private folder."""
    global _enclosure
    _enclosure = Enclosure()
    made(_enclosure.temporary.parent)
    return {
        "address": "local",
        "num_cpus": os.cpu_count(),
        "object_store_memory": object_store_bytes,
        "_temp_dir": str(_enclosure.temporary),
        "_system_config": {"preload_python_modules": PRELOADED},
    }


def _daemons() -> list[int]:
    """Ids of the raylet and the GCS of an instance of our own, without which it is lost."""
    return process_ids(("raylet", "gcs_server"))


def check_version(spots: Iterable[Spot | None]) -> None:
    """Refuse nodes that have another version of crossmesh installed than this one.

    Raises:
        ConfigError: If there are such.
    """
    for spot in spots:
        if spot is not None and spot.version != VERSION:
            raise ConfigError(
                f"crossmesh must be {VERSION} on all nodes, as here, got {spot.version} on "
                f"{spot.ip}; install it there, or set engine.code=shipped"
            )


def different_arithmetic(spots: Iterable[Spot | None]) -> str:
    """A remark if nodes differ in processor or BLAS, since bits are promised for one type."""
    where: dict[str, set[str]] = {}
    for spot in spots:
        if spot is not None:
            where.setdefault(spot.arithmetic, set()).add(spot.ip)
    if len(where) < 2:
        return ""
    kinds = "; ".join(f"{what} on {', '.join(sorted(ips))}" for what, ips in sorted(where.items()))
    return (
        "nodes differ in processor or BLAS, so the last bits of results may depend on which node "
        f"holds which tile: {kinds}"
    )


def disconnect() -> None:
    """Leave the cluster, or end the instance of this process and remove its files.

    Without an answer of a raylet that is frozen, Ray waits for ever, deaf to signals. So a thread
    waits in place of this one, and what is left of an instance is ended with this process.
    """
    global _enclosure
    vital([])
    leaving = threading.Thread(target=ray.shutdown, daemon=True)
    try:
        leaving.start()
        leaving.join(SHUTDOWN_S)
    finally:
        if _enclosure is not None:
            _enclosure.close()
            _enclosure = None


def _refused(address: str | None, error: Exception) -> Exception:
    reason = first_line(error)
    if address is None:
        return RunLost(f"Ray could not be started: {reason.partition('. ')[0]}")
    if versions := _VERSIONS.findall(str(error)):
        (theirs, their_python), (ours, our_python) = versions
        return ConfigError(
            f"engine.address must be that of a cluster with Ray {ours} and Python {our_python}, as "
            f"here, got {address} with Ray {theirs} and Python {their_python}"
        )
    return ConfigError(
        f"{_LAW}, got {address} ({reason}); check that both sides run the same Ray and Python, and "
        "that this machine is a node of the cluster"
    )


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _check_connected(address: str | None) -> None:
    """Refuse to run elsewhere than asked because this process has joined another cluster."""
    connected = ray.get_runtime_context().gcs_address
    if address not in (None, "auto", connected):
        raise ConfigError(
            f"engine.address must be {connected}, the cluster that this process is connected to, "
            f"got {address}"
        )
