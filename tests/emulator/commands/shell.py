"""The command ``crossmesh`` as it is typed, in this process, whose kernels are warm already.

``cluster.cli:main`` does the work of a command in a child of its own, so that a parent has the
last word. That parent ends all that is below its process, so here is only what the child does;
some tests beside start the command itself.
"""

import contextlib
import io
import json
import math
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossmesh.cluster.commands import run
from crossmesh.common.supervision import interrupts


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a command came to."""

    command: str
    code: int
    out: str
    err: str

    @property
    def answer(self) -> Any:
        """What it printed as JSON, in which every number must be finite."""
        return json.loads(self.out, parse_constant=self._refuse)

    def _refuse(self, constant: str) -> None:
        raise AssertionError(f"{constant} in what this printed: {self.command}")


def crossmesh(*arguments: object, folder: Path | str | None = None) -> Said:
    """Run a command to its end, whatever that is."""
    words = [str(argument) for argument in arguments]
    out, err = io.StringIO(), io.StringIO()
    argv, sys.argv = sys.argv, ["crossmesh", *words]
    place = contextlib.chdir(folder) if folder else contextlib.nullcontext()
    try:
        with _as_before(), place, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            interrupts.install()
            code = run()
    finally:
        sys.argv = argv
    return Said(
        command=shlex.join(["crossmesh", *words]), code=code, out=out.getvalue(), err=err.getvalue()
    )


@contextlib.contextmanager
def _as_before() -> Iterator[None]:
    """Leave signals and variables as they were: the process is not the command's own."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    variables = dict(os.environ)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.environ.clear()
        os.environ.update(variables)


def done(*arguments: object, folder: Path | str | None = None) -> Said:
    """Run a command that must succeed."""
    said = crossmesh(*arguments, folder=folder)
    assert said.code == 0, f"{said.command}\n{said.err}"
    assert "Traceback" not in said.err
    return said


def refused(*arguments: object, folder: Path | str | None = None) -> str:
    """Run a command that must be refused; returns its one line."""
    said = crossmesh(*arguments, folder=folder)
    assert said.code == 2, f"{said.command}\n{said.err}"
    assert said.err.startswith("error: ")
    assert len(said.err.splitlines()) == 1
    return said.err.strip()


RUN_KEYS = {
    "schema", "name", "seed", "config_digest", "state_digest", "examples_trained", "epochs",
    "train_loss", "test_loss", "test_accuracy", "baseline_test_accuracy", "emulation", "chip",
}  # fmt: skip
EMULATION_KEYS = {
    "engine", "nodes", "actors", "tiles", "wall_s", "start_s", "examples_per_s", "recoveries",
}  # fmt: skip
CHIP_KEYS = {
    "schedule", "interval_s", "latency_s", "examples_per_s", "bound_by", "energy_j_per_example",
    "area_mm2", "ops_per_example", "ops_per_s_per_w", "ops_per_s_per_mm2", "mean_tile_busy",
    "max_link_load", "time_model", "time_model_reason",
}  # fmt: skip
BITS = ("state_digest", "train_loss", "test_loss", "test_accuracy", "examples_trained")


def checked(summary: dict[str, Any], *, has_classes: bool | None) -> dict[str, Any]:
    """A summary, as section 7 of the design has it."""
    assert summary.keys() >= RUN_KEYS
    assert summary["emulation"].keys() >= EMULATION_KEYS
    checked_chip(summary["chip"])
    assert math.isfinite(summary["train_loss"])
    assert math.isfinite(summary["test_loss"])
    if has_classes is not None:
        assert (summary["test_accuracy"] is not None) == has_classes
    if summary["test_accuracy"] is not None:
        assert 0 <= summary["test_accuracy"] <= 1
    return summary


def checked_chip(chip: dict[str, Any]) -> dict[str, Any]:
    """What is known of a chip: times, energies and areas above nothing."""
    assert chip.keys() >= CHIP_KEYS
    for name in ("interval_s", "latency_s", "energy_j_per_example", "area_mm2"):
        assert chip[name] > 0
    return chip
