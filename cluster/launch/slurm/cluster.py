"""Slurm: a batch job that starts Ray on its nodes by a job step, and trains on the first.

Options: slurm.schedmd.com/sbatch.html, slurm.schedmd.com/srun.html.
"""

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from crossmesh.cluster.launch import node_python, scripts, sessions, shared_folders
from crossmesh.cluster.launch.config import PACKAGE, Port, Text, Word
from crossmesh.cluster.launch.files import SCRIPT, File, LaunchPlan, lines
from crossmesh.cluster.launch.generated import GeneratedCluster
from crossmesh.cluster.launch.launched import JobState, Launched
from crossmesh.cluster.launch.order import Order
from crossmesh.cluster.launch.slurm import queue
from crossmesh.cluster.launch.slurm import scripts as slurm_scripts
from crossmesh.cluster.launch.slurm.options import SbatchOptions, Words, header
from crossmesh.cluster.launch.slurm.preflight import Wish, minutes, misses
from crossmesh.common.frozen import FrozenDict, Many
from crossmesh.common.hints import command
from crossmesh.common.homes import at_home

_WAIT_S = 300  # longest wait until Ray runs on all nodes


class SlurmCluster(GeneratedCluster):
    """Nodes that Slurm gives a batch job, which runs Ray on them while it trains.

    Attributes:
        storage: Needed here: a folder that all nodes share, or a URI.
        nodes: Number of nodes.
        cpus_per_node: CPUs of each.
        memory: Memory of each, as Slurm writes it; by default the partition's.
        time: Longest time, as Slurm writes it.
        partition: Slurm partition; by default Slurm's choice, as for the next three.
        account: Account that is charged.
        qos: Quality of service.
        constraint: Features that nodes must have.
        activate: Shell commands at the beginning of the job, as ``module load python``.
        requeue: Whether the job is queued again, and resumes, when its time is up or a node fails.
        warning_s: Seconds before the end of its time when the run is asked to save and end.
        exclusive: Whether the nodes are the job's alone.
        sbatch: More options of sbatch by their long names, as ``licenses: emulator:1``.
        port: Port on which the head listens; by default a free one, so that jobs share nodes.
    """

    ask_s: ClassVar[float] = 2.0  # one controller answers all users
    kind: Literal["slurm"] = "slurm"
    storage: Text
    nodes: int = Field(2, ge=1)
    cpus_per_node: int = Field(8, ge=1)
    memory: str | None = Field(None, pattern=r"^[1-9][0-9]*[KMGT]?$")
    time: str = Field("1-00:00:00", pattern=r"^([0-9]+-)?[0-9]{1,2}(:[0-9]{2}){0,2}$|^[0-9]+$")
    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    constraint: Words | None = None
    activate: Many[Text] = ()
    requeue: bool = True
    warning_s: int = Field(300, ge=60, le=65535)
    exclusive: bool = False
    sbatch: SbatchOptions = Field(default_factory=FrozenDict)
    port: Port | None = None

    @model_validator(mode="after")
    def _there_is_time_before_the_warning(self) -> Self:
        lasts = minutes(self.time)
        if lasts is not None and self.warning_s > lasts * 60:
            raise ValueError(f"warning_s must be at most time ({self.time}), got {self.warning_s}")
        return self

    @property
    def joining_s(self) -> float:
        """The training starts with the head, and waits for the other nodes."""
        return _WAIT_S

    def run_directory(self, order: Order, folder: Path) -> str:
        """Beside the files, unless cluster or options say where."""
        run_dir = folder / "run" if order.run_dir is None else at_home(order.run_dir)
        return str(run_dir.absolute())

    def plan(self, order: Order, folder: Path) -> LaunchPlan:
        """The batch script and what it needs beside it; the folder must be one that nodes share."""
        run_dir = self.run_directory(order, folder)
        train = scripts.training_script(order, run_dir, '"$1"', ['. "$here/env.sh"'])
        node = slurm_scripts.NODE.format(folder=scripts.PRIVATE_FOLDER)
        end = f"scancel --batch --signal=TERM --name={order.name}"
        return LaunchPlan(
            folder=folder,
            files=(
                File("job.sbatch", batch_script(self, order.name, folder), SCRIPT),
                File("launch.sh", _launch_script(self), SCRIPT),
                *scripts.config_files(order, "node/"),
                scripts.environment_file(self.variables, [*self.activate, *_code_path(self)]),
                File("node/address.py", slurm_scripts.ADDRESS),
                File("node/sessions.py", Path(sessions.__file__).read_text(encoding="utf-8")),
                File("node/node.sh", node, SCRIPT),
                File("node/train.sh", train, SCRIPT),
            ),
            script="launch.sh",
            tools=("sbatch", "scontrol", "scancel", "sinfo"),
            after=_AFTER.format(folder=shlex.quote(str(folder)), end=end),
            end=command("cancel", order.name),
            token="node/token",
        )

    def launch(self, order: Order, launched: Launched) -> int:
        """Submit the job; one that was submitted while a signal came leaves the queue again."""
        try:
            return super().launch(order, launched)
        except BaseException:
            if (number := _noted(launched.folder / "job")) is not None:
                with contextlib.suppress(queue.SlurmError):
                    queue.said("scancel", str(number))
            raise

    def preflight(self, order: Order, folder: Path) -> Iterator[str]:
        """Programs, then what Slurm has, what the nodes' Python has, and folders that all see."""
        missing = list(super().preflight(order, folder))
        yield from missing
        if missing:
            return
        script = batch_script(self, order.name, folder.absolute())
        yield from misses(self._wish, script)
        yield from node_python.misses(self.activate, is_shipped=self.code == "shipped")
        if {"\\", "\n"} & set(str(folder.absolute())):  # for which Slurm knows no spelling
            rule = "must be a path without backslashes and line breaks"
            yield f"--files {rule}, got {str(folder.absolute())!r}"
        yield from shared_folders.misses("--files", folder.absolute())
        if self.shared_folder is not None:
            yield from shared_folders.misses("storage", at_home(self.shared_folder).absolute())

    @property
    def _wish(self) -> Wish:
        return Wish(
            nodes=self.nodes,
            cpus_per_node=self.cpus_per_node,
            memory=self.memory,
            time=self.time,
            partition=self.partition,
            account=self.account,
            qos=self.qos,
        )

    def state(self, launched: Launched) -> JobState:
        """As Slurm sees the job, or as the job has noted its end."""
        number, code = _noted(launched.folder / "job"), _noted(launched.folder / "job.ended")
        if number is None:
            return super().state(launched)
        try:
            job = queue.job(str(number), launched.name)
        except queue.SlurmError:
            if code is None:
                raise
            job = None
        if job is not None and job.is_queued:
            return JobState("queued", job.detail)
        if job is not None and job.is_running:
            return JobState("starting" if self.glance(launched) is None else "running", job.detail)
        return _ended(number, code, job)

    def cancel(self, launched: Launched) -> None:
        """Have the job save its state and end; one that waits leaves the queue."""
        number = _noted(launched.folder / "job")
        if number is None:
            super().cancel(launched)
            return
        queue.said("scancel", "--state=PENDING", str(number))
        queue.said("scancel", "--batch", "--signal=TERM", "--state=RUNNING", str(number))


def _ended(number: int, code: int | None, job: queue.SlurmJob | None) -> JobState:
    """How a job ended: by the exit code that it has noted, or else by what Slurm knows of it."""
    if job is None and code is None:
        return JobState("lost", f"Slurm knows job {number} no longer, which left no exit code")
    detail = f"job {number}" if job is None else f"job {number} is {job.detail}"
    if code is None and job is not None:
        is_cancelled, is_done, code = job.is_cancelled, job.is_done, job.exit_code
    else:
        is_cancelled, is_done = code == 130, code == 0
    if is_cancelled:
        return JobState("cancelled", detail, 130)
    return JobState("done" if is_done else "failed", detail, code)


def _noted(path: Path) -> int | None:
    """A number in a file of a launch, or None."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def batch_script(nodes: SlurmCluster, name: str, folder: Path) -> str:
    """The script for ``sbatch``."""
    settings = {
        "here": folder / "node",
        "nodes": nodes.nodes,
        "cpus": nodes.cpus_per_node,
        "port": nodes.port or "",
        "wait_s": _WAIT_S,
        "requeue": "yes" if nodes.requeue else "no",
    }
    return lines(
        "#!/usr/bin/env bash",
        header(_options(nodes, name, folder)),
        "",
        (f"{name}={shlex.quote(str(value))}" for name, value in settings.items()),
        slurm_scripts.JOB.rstrip(),
    )


def _launch_script(nodes: SlurmCluster) -> str:
    copy = ""
    if nodes.code == "shipped":  # links of a checkout are followed
        packages = PACKAGE
        copy = slurm_scripts.COPY.format(packages=shlex.quote(str(packages)))
    return slurm_scripts.LAUNCH.replace("@copy@\n", copy)


def _code_path(nodes: SlurmCluster) -> list[str]:
    is_shipped = nodes.code == "shipped"
    return ['export PYTHONPATH="$here/code${PYTHONPATH:+:$PYTHONPATH}"'] if is_shipped else []


def _options(nodes: SlurmCluster, name: str, folder: Path) -> dict[str, object]:
    return {
        "job-name": name,
        "nodes": nodes.nodes,
        "ntasks-per-node": 1,
        "cpus-per-task": nodes.cpus_per_node,
        "mem": nodes.memory,
        "time": nodes.time,
        "partition": nodes.partition,
        "account": nodes.account,
        "qos": nodes.qos,
        "constraint": nodes.constraint,
        "exclusive": nodes.exclusive,
        "requeue": nodes.requeue,
        "no-requeue": not nodes.requeue,
        "no-kill": True,  # the run recovers on the nodes that are left
        "signal": f"B:USR1@{nodes.warning_s}",
        "chdir": folder,
        "output": str(folder / "log").replace("%", "%%"),  # which begins a symbol there
        "open-mode": "append",
        **nodes.sbatch,
    }


_AFTER = """\
Inspect:  squeue --me;  tail -f {folder}/log
Stop it, saving its state:   {end}"""
