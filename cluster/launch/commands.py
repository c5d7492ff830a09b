"""The command that launches a training on a cluster."""

import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from crossmesh.cluster.launch import existing, kubernetes, machines, slurm
from crossmesh.cluster.launch.config_machines import AwsCluster, GcpCluster, OnPremisesCluster
from crossmesh.cluster.launch.config_queues import KubernetesCluster, SlurmCluster
from crossmesh.cluster.launch.config_ray import ExistingCluster, LocalCluster
from crossmesh.cluster.launch.files import LaunchPlan
from crossmesh.cluster.launch.kinds import AnyCluster
from crossmesh.cluster.launch.loading import load_cluster
from crossmesh.cluster.launch.local import LocalNodes
from crossmesh.cluster.launch.order import Order
from crossmesh.common.errors import ConfigError, is_secret, masked
from crossmesh.common.frozen import FrozenDict
from crossmesh.common.supervision import interrupts, reports
from crossmesh.emulator.cli.main import app

# Settings of typer that pass options behind CONFIG on to the training.
PASSING_ON: dict[str, Any] = {"ignore_unknown_options": True, "allow_extra_args": True}
_POLL_S = 0.2  # between two looks at whether a script has ended
_SDKS = {"aws": "boto3", "gcp": "googleapiclient"}  # by which Ray makes machines


def launch(
    context: typer.Context,
    cluster: Annotated[
        str, typer.Argument(metavar="CLUSTER", help="A YAML file, or a shipped cluster's name.")
    ],
    config: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG [TRAIN OPTIONS]",
            help="Config to train, followed by options of crossmesh train.",
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done without doing it.")
    ] = False,
    files: Annotated[
        Path | None,
        typer.Option(help="Folder for the generated files; by default launched/CLUSTER-RUN."),
    ] = None,
) -> None:
    """Train on a cluster: nodes on this machine, a running one, machines by ssh, clouds, queues.

    Examples: [bold]crossmesh launch local digits --epochs 3[/bold], or
    [bold]crossmesh launch mine.yaml mnist-2018 --seed 1 --dry-run[/bold]. With --dry-run and
    --files, the generated files are written but nothing is started.
    """
    chosen = load_cluster(cluster)
    order = Order(chosen, config, tuple(context.args))
    order.config  # noqa: B018  so that a mistake in it is reported before anything starts
    if isinstance(chosen, LocalCluster | ExistingCluster):
        code = _train_from_here(chosen, order, dry_run=dry_run)
    else:
        code = _start_elsewhere(chosen, order, files, dry_run=dry_run)
    if code:
        raise typer.Exit(code)


def _train_from_here(
    cluster: LocalCluster | ExistingCluster, order: Order, *, dry_run: bool
) -> int:
    if dry_run:
        typer.echo(_described(cluster, order))
        return 0
    if isinstance(cluster, ExistingCluster):
        existing.check(cluster)
        os.environ.update(cluster.variables)
        return _train(order, cluster.address, {})
    nodes = LocalNodes(
        cluster.nodes,
        cpus_per_node=cluster.cpus_per_node,
        object_store_bytes=cluster.object_store_bytes,
        variables=cluster.variables,
        token=cluster.token,
        port=cluster.port,
        timeout_s=cluster.timeout_s,
    )
    if not order.given["quiet"]:
        typer.echo(f"starting {cluster.nodes} Ray nodes on this machine", err=True)
    with nodes:
        return _train(order, nodes.address, {**cluster.variables, **nodes.environment})


def _train(order: Order, address: str, environment: Mapping[str, str]) -> int:
    """Train in this process, so that signals, progress and errors are those of the training."""
    for name in ("RAY_ADDRESS", *(("RAY_AUTH_TOKEN",) if environment else ())):
        os.environ.pop(name, None)  # which would count instead
    os.environ.update(environment)
    return app(order.arguments(address), standalone_mode=False) or 0


def _described(cluster: LocalCluster | ExistingCluster, order: Order) -> str:
    if isinstance(cluster, ExistingCluster):
        address, what = cluster.address, f"on the cluster at {cluster.address}"
    else:
        address = "HOST:PORT"
        what = f"on {cluster.nodes} Ray nodes of this machine, {cluster.cpus_per_node} CPUs each"
    command = shlex.join(["crossmesh", *order.arguments(address)])
    return f"Would train {what}:\n{command}"


def _start_elsewhere(
    cluster: AnyCluster, order: Order, files: Path | None, *, dry_run: bool
) -> int:
    if order.is_resumed:
        raise ConfigError(
            f"CONFIG must be a config, got the run directory {order.source}; with the config, "
            "an existing run directory is resumed"
        )
    folder = files or Path("launched") / f"{cluster.name}-{order.config.name}"
    if dry_run and files is None:
        _plan(_without_secrets(cluster), order, folder.absolute()).show()
        return 0
    plan = _plan(cluster, order, folder.absolute())
    plan.write()
    if dry_run:
        typer.echo(f"written to {folder}; start with: {plan.start}\n{plan.after}")
        return 0
    _check_tools(cluster, plan)
    reports.way_on(f"stop what may still be running with: {plan.end}")
    try:
        return _run(plan)
    finally:  # also when interrupted
        typer.echo(plan.after, err=True)


def _without_secrets(cluster: AnyCluster) -> AnyCluster:
    """A cluster as it may be shown: masked here, for in the files a value may be quoted."""
    shown = {
        name: "***" if is_secret(name) else masked(value)
        for name, value in cluster.variables.items()
    }
    return cluster.model_copy(update={"variables": FrozenDict(shown)})


def _plan(cluster: AnyCluster, order: Order, folder: Path) -> LaunchPlan:
    match cluster:
        case OnPremisesCluster() | AwsCluster() | GcpCluster():
            return machines.plan(cluster, order, folder)
        case KubernetesCluster():
            return kubernetes.plan(cluster, order, folder)
        case SlurmCluster():
            return slurm.plan(cluster, order, folder)
    raise AssertionError(cluster.kind)


def _check_tools(cluster: AnyCluster, plan: LaunchPlan) -> None:
    for tool in plan.tools:
        if shutil.which(tool, path=_path()) is None:
            raise ConfigError(
                f"launching on {cluster.kind} requires the program {tool}, which is not on PATH; "
                f"the files are in {plan.folder}"
            )
    sdk = _SDKS.get(cluster.kind)
    if sdk is not None and importlib.util.find_spec(sdk) is None:
        raise ConfigError(
            f"launching on {cluster.kind} requires the Python package {sdk}; the files are "
            f"in {plan.folder}"
        )


def _path() -> str:
    """Where programs are found: Ray's lies beside this Python."""
    beside = str(Path(sys.executable).parent)
    return os.pathsep.join([beside, os.environ.get("PATH", os.defpath)])


def _run(plan: LaunchPlan) -> int:
    """Run the script to its end, which gives back what it took; a signal is passed on to it."""
    with interrupts.deferred():
        command = ["bash", str(plan.folder / plan.script)]
        reports.share_terminal()  # ssh asks there
        script = subprocess.Popen(command, env={**os.environ, "PATH": _path()}, stderr=sys.stderr)
        is_told = False
        while script.poll() is None:
            if interrupts.requested() and not is_told:
                script.send_signal(signal.SIGTERM)
                is_told = True
            reports.renew()  # machines cost money until it has given them back
            time.sleep(_POLL_S)
        return script.returncode
