"""Bits that this machine type has given before: results must be the same on different days."""

import json
from pathlib import Path

import llvmlite
import llvmlite.binding
import numba
import numpy as np
from threadpoolctl import threadpool_info

PINNED = Path(__file__).with_name("pinned.json")


def machine_type() -> str:
    """What law 1 promises the same bits for: processor, BLAS build and compiler."""
    blas = next(part for part in threadpool_info() if part["user_api"] == "blas")
    return (
        f"{llvmlite.binding.get_host_cpu_name()}, {blas['internal_api']} {blas['version']} "
        f"{blas['architecture']}, numpy {np.__version__}, numba {numba.__version__}"
    )


def pinned() -> dict[str, str] | None:
    """Digests by cell and schedule, or None for a machine type not seen before."""
    known: dict[str, dict[str, str]] = json.loads(PINNED.read_text("utf-8"))
    return known.get(machine_type())
