"""Kubernetes: a RayJob for the KubeRay operator, which runs it on its own from then on."""

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from crossmesh.cluster.launch import scripts
from crossmesh.cluster.launch.config import PACKAGE
from crossmesh.cluster.launch.files import SCRIPT, File, LaunchPlan, yaml_text
from crossmesh.cluster.launch.kubernetes import following
from crossmesh.cluster.launch.kubernetes.job import (
    MOUNTED,
    config_map,
    ray_job,
    scripts_of,
    without_binaries,
)
from crossmesh.cluster.launch.kubernetes.kubectl import options
from crossmesh.cluster.launch.kubernetes.pods import KubernetesPods
from crossmesh.cluster.launch.kubernetes.preflight import misses
from crossmesh.cluster.launch.kubernetes.sections import check_section
from crossmesh.cluster.launch.launched import JobState, Launched
from crossmesh.cluster.launch.order import Order
from crossmesh.common.errors import ConfigError, is_secret
from crossmesh.common.hints import command

MANIFEST = "rayjob.yaml"
_CODE = "code.tar.xz"
_MOST_BYTES = 1_040_000  # of a ConfigMap, whose limit is 1 MiB


class KubernetesCluster(KubernetesPods):
    """Pods of Kubernetes, made by the KubeRay operator (1.5.1 or newer) as a RayJob."""

    ask_s: ClassVar[float] = following.ASK_S
    kind: Literal["kubernetes"] = "kubernetes"

    @model_validator(mode="after")
    def _sections_leave_out_what_is_set(self) -> Self:
        for name in ("pod", "container", "job"):
            check_section(name, getattr(self, name))
        ray_job(self, "any")
        return self

    def run_directory(self, order: Order, folder: Path) -> str:
        """What cluster or options say, which must be in the claim."""
        run_dir = order.run_dir or ""
        try:
            self.check_shared("--run-dir", run_dir)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        return run_dir

    def plan(self, order: Order, folder: Path) -> LaunchPlan:
        """The manifest, and the script that hands it to Kubernetes.

        Raises:
            ConfigError: If what the pods need is too large for a ConfigMap.
        """
        name = order.name
        files, job = self._documents(order, folder)
        script = _LAUNCH.format(name=name, options=scripts.quoted(options(self)))
        kubectl = scripts.quoted(["kubectl", *options(self)])
        end = f"{kubectl} delete rayjob {name}"
        return LaunchPlan(
            folder=folder,
            files=(
                File(
                    MANIFEST,
                    _HEADER + _yaml(files, job),
                    shown=_HEADER + _yaml(without_binaries(files), job),
                ),
                File("launch.sh", script, SCRIPT),
            ),
            script="launch.sh",
            tools=("kubectl",),
            after=_AFTER.format(name=name, kubectl=kubectl, end=end),
            end=command("cancel", order.name),
        )

    def manifest(self, order: Order, folder: Path) -> str:
        """The ConfigMap and the RayJob as YAML; errors as in ``plan``."""
        return _yaml(*self._documents(order, folder))

    def _documents(self, order: Order, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        """The ConfigMap and the RayJob.

        Raises:
            ConfigError: If what the pods need is too large for a ConfigMap, or pods cannot be kept.
        """
        if order.keep and self.job.get("suspend"):  # which KubeRay refuses
            raise ConfigError("--keep must be left out with job.suspend, got both")
        run_dir = self.run_directory(order, folder)
        is_shipped = self.code == "shipped"
        prologue = _UNPACKING if is_shipped else ()
        train = scripts.training_script(order, run_dir, '"${RAY_ADDRESS:-auto}"', prologue)
        generated = [
            # By whole paths: the pods read the config through links, whose folder is not this one.
            *scripts.config_files(order, there=MOUNTED),
            File("train.sh", train),
            *(File(name, text) for name, text in scripts_of(self.grace_s).items()),
        ]
        code = {_CODE: _packed_code()} if is_shipped else {}
        n_code = sum(map(len, code.values()))
        self._check_size(order, n_code + sum(file.n_bytes for file in generated))
        files = {file.name: file.read() for file in generated} | code
        return (
            config_map(self, order.name, files),
            ray_job(self, order.name, files, keep=order.keep),
        )

    def _check_size(self, order: Order, n_bytes: int) -> None:
        """Refuse what does not fit a ConfigMap."""
        if n_bytes <= _MOST_BYTES:
            return
        carried = [part.field for part in order.carried]
        code = ["the code that is shipped"] if self.code == "shipped" else []
        what = " and ".join(["CONFIG", *carried, *code])
        where = "claim.path" if self.claim is None else f"claim.path ({self.claim.path})"
        hint = f" (a file in {where} stays there)" if carried else ""
        rule = f"fit a ConfigMap ({_MOST_BYTES} bytes){hint}"
        raise ConfigError(f"{what} must {rule}, got {n_bytes} bytes")

    def _without_secrets(self) -> Self:
        shown = super()._without_secrets()
        env = tuple(
            {**entry, "value": "***"} if is_secret(str(entry.get("name"))) and "value" in entry
            else entry
            for entry in self.container.get("env", ())
        )  # fmt: skip
        container = {**self.container, "env": env} if env else self.container
        return shown.model_copy(update={"container": container})

    def launch(self, order: Order, launched: Launched) -> int:
        """Hand the job over."""
        launched.remember(kept=order.keep)
        return super().launch(order, launched)

    def preflight(self, order: Order, folder: Path) -> Iterable[str]:
        """What the cluster lacks, as far as this user may see it."""
        missing = tuple(super().preflight(order, folder))
        yield from missing or misses(self, self.manifest(order, folder), order.name)

    def state(self, launched: Launched) -> JobState:
        """What the RayJob says."""
        return following.state(self, launched)

    def follow(self, launched: Launched, *, to_end: bool) -> None:
        """The log of the pod that follows the training, with ``to_end`` until that has ended."""
        following.follow(self, launched, to_end=to_end)

    def is_kept(self, launched: Launched) -> bool:
        """Kubernetes keeps the job, and with ``--keep`` its pods, until it is deleted."""
        return not following.is_deleted(launched)

    def cancel(self, launched: Launched) -> None:
        """Delete the RayJob, and with it all that belongs to it; its log is kept."""
        following.cancel(self, launched)

    def fetch(self, launched: Launched, to: Path) -> None:
        """Copy the run directory out of the claim, through a pod that has it."""
        following.fetch(self, launched, to)

    def glance(self, launched: Launched) -> Path | None:
        """Copies of the run's small files, from the head."""
        return following.glance(self, launched)


def _yaml(*documents: dict[str, Any]) -> str:
    return "---\n".join(map(yaml_text, documents))


def _packed_code() -> bytes:
    """This copy of crossmesh; links of a checkout are followed.

    Without the shipped networks: one that the config names travels with it. Nor do suites for the
    tests of others.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz", dereference=True) as archive:
        archive.add(PACKAGE, "crossmesh", filter=_needed)
    return packed.getvalue()


def _needed(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    path = Path(entry.name)
    is_network = path.parent.name == "shipped" and path.suffix == ".onnx"
    if is_network or path.name in {"__pycache__", "testing"}:
        return None
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


# From here to the tile actors, Ray ships it.
_UNPACKING = (
    "code=$(mktemp -d)",
    f'python3 -m tarfile -e "$here/{_CODE}" "$code"',
    'export PYTHONPATH="$code${PYTHONPATH:+:$PYTHONPATH}"',
)

_LAUNCH = """\
#!/usr/bin/env bash
# Hands the job to Kubernetes, which runs it on its own from then on. The ConfigMap belongs to the
# RayJob: whoever deletes that, deletes both.
set -eE
cd "$(dirname "${{BASH_SOURCE[0]}}")"
k() {{ kubectl {options} "$@"; }}
undo() {{ k delete --ignore-not-found --wait=false rayjob/{name} configmap/{name}; exit "$1"; }}
trap 'undo 1' ERR
trap 'undo 130' INT TERM HUP
k create -f rayjob.yaml
uid=$(k get rayjob {name} -o 'jsonpath={{.metadata.uid}}')
owner='"apiVersion": "ray.io/v1", "kind": "RayJob", "name": "{name}", "uid": "'$uid'"'
k patch configmap {name} --type=merge -p '{{"metadata": {{"ownerReferences": [{{'"$owner"'}}]}}}}'
"""

_HEADER = """\
# For kubectl create, with the KubeRay operator in the cluster: 1.5.1 or newer, and 1.6 or newer if
# authOptions names a secret. Without one, the operator makes a token for each cluster of pods and
# hands it to all of them; it stands in no file.
"""

_AFTER = """\
Inspect:  {kubectl} get rayjob {name};  {kubectl} logs -f job/{name}
Stop it, saving its state:   {end}"""
