"""A launch on Kubernetes after it was handed over: how it stands, its log, its end, its run."""

import re
import subprocess
import tarfile
import time
from dataclasses import astuple
from pathlib import Path
from typing import IO, Any, cast

import typer

from crossmesh.cluster.launch.files import yaml_text
from crossmesh.cluster.launch.kubernetes.job import HEAD, SUBMITTER, fetching_pod
from crossmesh.cluster.launch.kubernetes.kubectl import Kubectl, Refused
from crossmesh.cluster.launch.kubernetes.pods import KubernetesPods
from crossmesh.cluster.launch.launched import JobState, Kind, Launched
from crossmesh.common.errors import RunError
from crossmesh.common.private_folders import make_private

# What is remembered: of pods, of a job that was deleted by us, and how it had ended by then.
_CLUSTER, _CANCELLED, _ENDED = "cluster", "cancelled", "ended"
ASK_S = 2.0  # between two questions to the API server
_READY_S = 300  # longest wait for a pod that only copies
_SHORT_S = 20.0  # for small files
_SEEN = ("config.yaml", "live.json", "summary.json")  # what tells how a run stands
_KINDS: dict[str, Kind] = {  # by jobDeploymentStatus
    "": "starting", "Initializing": "starting", "Waiting": "starting", "Retrying": "starting",
    "Suspending": "queued", "Suspended": "queued", "Scheduled": "queued",
    "Running": "running", "Complete": "done", "Failed": "failed", "ValidationFailed": "failed",
}  # fmt: skip
_CODE = re.compile(r"failed with exit code (\d+)")


def state(pods: KubernetesPods, launched: Launched) -> JobState:
    """What the RayJob says, and what its pods wait for."""
    kubectl = Kubectl(pods)
    job = kubectl.found("rayjob", launched.name)
    if job is None:
        return _gone(kubectl, launched)
    status = job.get("status", {})
    kind = _KINDS.get(status.get("jobDeploymentStatus", ""), "running")
    if "deletionTimestamp" in job["metadata"]:
        return JobState("running", "its state is being saved")
    if kind == "done":
        is_stopped = status.get("jobStatus") == "STOPPED"
        return JobState("cancelled", exit_code=130) if is_stopped else JobState("done", "", 0)
    if kind == "failed":
        return _failed(status)
    if kind == "running" and status.get("jobStatus") != "RUNNING":
        kind = "starting"
    detail = _retried(status)
    if kind == "queued":
        detail = "the job is suspended, as Kueue does until there is room"
    elif kind == "starting":
        detail = _awaited(kubectl, status) or detail
    return JobState(kind, detail)


def follow(pods: KubernetesPods, launched: Launched, *, to_end: bool) -> None:
    """Print what was kept of the log, and what the pods say that follow the training."""
    if launched.log.is_file():
        typer.echo(launched.log.read_text("utf-8", "replace"), nl=False)
    kubectl = Kubectl(pods)
    written: dict[str, int] = {}
    while True:
        is_over = not to_end or state(pods, launched).is_over
        for pod in _submitters(kubectl, launched):
            name = pod["metadata"]["name"]
            is_running = pod["status"].get("phase") == "Running"
            if is_running or pod["status"].get("phase") in {"Succeeded", "Failed"}:
                flags = ["--follow"] if is_running and not is_over else []
                written[name] = _print_log(kubectl, name, flags, written.get(name, 0))
        if is_over:
            return
        time.sleep(ASK_S)


def cancel(pods: KubernetesPods, launched: Launched) -> None:
    """Keep the log, and delete the job: its operator and its pods see to an orderly end.

    Of a job that has ended, how it ended is kept too.

    Raises:
        RunError: If there is no job.
    """
    kubectl, before = Kubectl(pods), state(pods, launched)
    job = kubectl.found("rayjob", launched.name)
    if job is None:
        raise RunError(f"{launched.name} cannot be asked to end: the cluster has no such RayJob")
    with launched.log.open("a", encoding="utf-8") as log:
        for pod in _submitters(kubectl, launched):
            try:
                log.write(kubectl.said("logs", pod["metadata"]["name"], f"--container={SUBMITTER}"))
            except Refused:  # it has said nothing yet
                continue
    cluster = job.get("status", {}).get("rayClusterName", "")
    ended = astuple(before) if before.is_over else None
    launched.remember(**{_CANCELLED: True, _CLUSTER: cluster, _ENDED: ended}, kept=False)
    kubectl.said("delete", "rayjob", launched.name, "--wait=false")


def fetch(pods: KubernetesPods, launched: Launched, to: Path) -> None:
    """Copy the run directory out of the claim, through the head or a pod made for it.

    Raises:
        RunError: If it is not there, or cannot be copied.
    """
    if pods.claim is None:
        raise RunError(f"{launched.name} has no claim, so its run directory ended with its head")
    kubectl = Kubectl(pods)
    if (head := _head(kubectl, launched)) is not None:
        _copy(kubectl, head, launched.run_dir, to)
        return
    copier = f"{launched.name}-fetch"
    pod = fetching_pod(pods, copier)
    try:
        kubectl.said("create", "-f", "-", given=yaml_text(pod))
        kubectl.said("wait", "--for=condition=Ready", f"pod/{copier}", f"--timeout={_READY_S}s",
                     most_s=_READY_S + 10.0)  # fmt: skip
        _copy(kubectl, copier, launched.run_dir, to)
    finally:
        kubectl.said("delete", "pod", copier, "--ignore-not-found", "--wait=false")


def glance(pods: KubernetesPods, launched: Launched) -> Path | None:
    """Bring copies of the small files that tell how a run stands; None: it has none yet."""
    kubectl = Kubectl(pods)
    seen = launched.folder / "seen"
    if (head := _head(kubectl, launched)) is None:
        (seen / "live.json").unlink(missing_ok=True)  # nothing renews it
        return None
    make_private(seen)
    for name in _SEEN:
        path = f"{launched.run_dir}/{name}"
        try:
            text = kubectl.said("exec", head, "-c", HEAD, "--", "cat", path, most_s=_SHORT_S)
        except Refused:
            (seen / name).unlink(missing_ok=True)
            continue
        (seen / name).write_text(text, "utf-8")
    return seen if (seen / "config.yaml").is_file() else None


def is_deleted(launched: Launched) -> bool:
    """Whether its job was deleted from here."""
    return bool(launched.remembered(_CANCELLED))


def _gone(kubectl: Kubectl, launched: Launched) -> JobState:
    """How a launch stands whose job is not there."""
    if (ended := launched.remembered(_ENDED)) is not None:
        return JobState(*ended)
    if is_deleted(launched):
        cluster = launched.remembered(_CLUSTER)
        if cluster and kubectl.items("pods", f"--selector=ray.io/cluster={cluster}"):
            return JobState("running", "its state is being saved")
        return JobState("cancelled", exit_code=130)
    if launched.exit_code is None:
        return JobState("starting", "the job has not been handed over yet")
    if launched.exit_code:
        return JobState("failed", "the job was never handed over", launched.exit_code)
    return JobState("lost", "somebody has deleted the RayJob")


def _failed(status: dict[str, Any]) -> JobState:
    message = str(status.get("message", ""))
    code = _CODE.search(message)
    lines = [line for line in message.splitlines() if line.strip()]
    detail = lines[-1] if code and len(lines) > 1 else (lines or [""])[0]
    return JobState(
        "failed", detail or str(status.get("reason", "")), int(code[1]) if code else None
    )


def _retried(status: dict[str, Any]) -> str:
    n_failed = status.get("failed") or 0
    return f"begun again after {n_failed} failed attempts" if n_failed else ""


def _awaited(kubectl: Kubectl, status: dict[str, Any]) -> str:
    """What keeps the pods from running, as far as they say."""
    if not status:
        return "the KubeRay operator has not seen the job yet"
    if not (cluster := status.get("rayClusterName")):
        return ""
    for pod in kubectl.items("pods", f"--selector=ray.io/cluster={cluster}"):
        said = pod.get("status", {})
        for condition in said.get("conditions", ()):
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                return f"{pod['metadata']['name']}: {condition.get('message', '')}"
        containers = (*said.get("initContainerStatuses", ()), *said.get("containerStatuses", ()))
        for container in containers:
            waiting = container.get("state", {}).get("waiting", {})
            if waiting.get("message"):
                reason = waiting.get("reason", "")
                return f"{pod['metadata']['name']}: {reason}: {waiting['message']}"
    return ""


def _submitters(kubectl: Kubectl, launched: Launched) -> list[dict[str, Any]]:
    """The pods that follow the training, the oldest first."""
    found = kubectl.items("pods", f"--selector=job-name={launched.name}")
    return sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))


def _head(kubectl: Kubectl, launched: Launched) -> str | None:
    """The head's pod, while it runs."""
    job = kubectl.found("rayjob", launched.name)
    cluster = (job or {}).get("status", {}).get("rayClusterName") or launched.remembered(_CLUSTER)
    if not cluster:
        return None
    selector = f"--selector=ray.io/cluster={cluster},ray.io/node-type=head"
    running = (
        pod for pod in kubectl.items("pods", selector) if pod["status"]["phase"] == "Running"
    )
    return next((str(pod["metadata"]["name"]) for pod in running), None)


def _print_log(kubectl: Kubectl, pod: str, flags: list[str], n_written: int) -> int:
    """Print a pod's log from a byte on; how many bytes have been printed of it now."""
    command = kubectl.command("logs", pod, f"--container={SUBMITTER}", *flags)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as reading:
        try:
            seen = 0
            for line in cast("IO[bytes]", reading.stdout):
                if seen >= n_written:
                    typer.echo(line.decode("utf-8", "replace"), nl=False)
                seen += len(line)
        finally:
            reading.terminate()
    return max(seen, n_written)


def _copy(kubectl: Kubectl, pod: str, source: str, to: Path) -> None:
    """Unpack a folder of a pod here; files that change meanwhile come as they were read."""
    make_private(to)
    command = kubectl.command("exec", pod, "-c", HEAD, "--", "tar", "-C", source, "-cf", "-", ".")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as packing:
        try:
            with tarfile.open(fileobj=packing.stdout, mode="r|") as archive:
                archive.extractall(to, filter="data")
            is_whole = True
        except tarfile.TarError:
            is_whole = False
        said = cast("IO[bytes]", packing.stderr).read().decode("utf-8", "replace").strip()
    if not is_whole:
        raise RunError(f"{source} cannot be copied out of {pod}: {said or 'it ended early'}")
