"""What a Kubernetes cluster lacks for a launch: asked of its API server, which changes nothing."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from crossmesh.cluster.launch.files import yaml_text
from crossmesh.cluster.launch.kubernetes.job import (
    head_template,
    submitter_template,
    worker_template,
)
from crossmesh.cluster.launch.kubernetes.kubectl import Kubectl, Refused
from crossmesh.cluster.launch.kubernetes.pods import KubernetesPods

_OLDEST_KUBECTL = (1, 25)  # which has the server refuse unknown fields
_NEEDED = {  # verbs by resource and group
    ("rayjobs", "ray.io"): ("create", "get", "delete"),
    ("configmaps", ""): ("create", "patch", "delete"),
    ("pods", ""): ("get", "list", "create", "delete"),  # the last two to fetch a run
    ("pods/log", ""): ("get",),
    ("pods/exec", ""): ("create",),
}
_ASKED = ("verb", "resource", "subresource")
_ANSWER = (
    "jsonpath={.status.allowed} "
    + " ".join(f"{{.spec.resourceAttributes.{field}}}" for field in _ASKED)
    + '{"\\n"}'
)
_SINCE = {"authOptions": "1.5.1", "secretName": "1.6"}  # of KubeRay
_WHERE = re.compile(r"^(Error from server.*?: )?error when creating \"STDIN\": ")
_UNKNOWN = re.compile(r'unknown field "(?:[^"]*\.)?(\w+)"')
_QUEUE = "kueue.x-k8s.io/queue-name"
_UNITS = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
          "P": 1e15, "E": 1e18, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50,
          "Ei": 2**60}  # fmt: skip


def misses(pods: KubernetesPods, manifest: str, name: str) -> Iterator[str]:
    """What is missing, a line each.

    Args:
        pods: The cluster.
        manifest: What would be created.
        name: Of the launch.
    """
    kubectl = Kubectl(pods)
    try:
        yield from _unusable(kubectl, pods)
        refused = list(_not_allowed(kubectl, pods))
        yield from refused
        yield from _absent(kubectl, pods)
        yield from _over_quota(kubectl, pods)
        if not refused:
            yield from _not_admitted(kubectl, pods, manifest, name)
    except _Hopeless as no:
        yield str(no)
    except Refused as no:
        yield f"the API server must answer, got {no}"


class _Hopeless(Exception):  # noqa: N818  because it ends the questions, as an answer
    """Nothing else needs to be asked: a line."""


def _unusable(kubectl: Kubectl, pods: KubernetesPods) -> Iterator[str]:
    version = json.loads(kubectl.said("version", "--client", "-o", "json"))["clientVersion"]
    number = tuple(int(re.sub(r"\D.*", "", version[part])) for part in ("major", "minor"))
    if number < _OLDEST_KUBECTL:
        raise _Hopeless(f"kubectl must be 1.25 or newer, got {version['gitVersion']}")
    try:
        kubectl.said("get", "--raw", "/version")
    except Refused as no:
        where = "kubectl's current context" if pods.context is None else f"context {pods.context}"
        raise _Hopeless(f"{where} must reach a cluster, got {no}") from None
    try:
        if kubectl.found("namespace", pods.namespace) is None:
            raise _Hopeless(f"namespace must be one of the cluster, got {pods.namespace}")
    except Refused as no:
        if not no.is_forbidden:
            raise
    yield from ()


def _not_allowed(kubectl: Kubectl, pods: KubernetesPods) -> Iterator[str]:
    """Rights that this user lacks, all asked at once."""
    reviews = []
    for (resource, group), verbs in _NEEDED.items():
        plain, _, sub = resource.partition("/")
        for verb in verbs:
            wanted = {"namespace": pods.namespace, "verb": verb, "group": group,
                      "resource": plain, "subresource": sub}  # fmt: skip
            spec = {"resourceAttributes": wanted}
            reviews.append({"apiVersion": "authorization.k8s.io/v1",
                            "kind": "SelfSubjectAccessReview", "spec": spec})  # fmt: skip
    questions = {"apiVersion": "v1", "kind": "List", "items": reviews}
    answers = kubectl.said("create", "-f", "-", "-o", _ANSWER, given=json.dumps(questions))
    lacking: dict[str, list[str]] = {}
    for answer in answers.splitlines():
        is_allowed, verb, resource = answer.split(" ", 2)
        if is_allowed != "true":
            lacking.setdefault(resource.strip().replace(" ", "/"), []).append(verb)
    for resource, forbidden in lacking.items():
        yield (
            f"namespace must be one where you may {', '.join(forbidden)} {resource}, "
            f"got {pods.namespace}"
        )


def _absent(kubectl: Kubectl, pods: KubernetesPods) -> Iterator[str]:
    """What the file names and the namespace does not have; what may not be seen is left out."""
    for field, kind, name in _named(pods):
        try:
            found = kubectl.found(kind, name)
        except Refused:
            continue
        if found is None:
            yield f"{field} must be in namespace {pods.namespace}, got {name}"
        elif kind == "persistentvolumeclaim":
            modes = found["spec"].get("accessModes", [])
            if pods.nodes > 1 and "ReadWriteMany" not in modes:
                yield f"{field} must admit ReadWriteMany, got {name} with {', '.join(modes)}"
        elif field == "secret" and "auth_token" not in found.get("data", {}):
            yield f"secret must have a key auth_token, got {name} without"


def _named(pods: KubernetesPods) -> Iterator[tuple[str, str, str]]:
    """Fields, and kind and name of the objects that they name."""
    if pods.claim is not None:
        yield "claim.name", "persistentvolumeclaim", pods.claim.name
    if pods.secret is not None:
        yield "secret", "secret", pods.secret
    if pods.service_account is not None:
        yield "service_account", "serviceaccount", pods.service_account
    secrets = pods.pod.get("imagePullSecrets", ())
    for entry in secrets if isinstance(secrets, tuple) else ():
        if isinstance(entry, Mapping) and "name" in entry:
            yield "pod.imagePullSecrets", "secret", str(entry["name"])
    if queue := pods.job.get("labels", {}).get(_QUEUE):
        yield f"job.labels.{_QUEUE}", "localqueues.kueue.x-k8s.io", str(queue)


def _over_quota(kubectl: Kubectl, pods: KubernetesPods) -> Iterator[str]:
    needed = {"pods": pods.nodes + 1.0}
    for prefix in ("", "requests.", "limits."):
        needed[f"{prefix}cpu"] = float(pods.nodes * pods.cpus_per_node)
        needed[f"{prefix}memory"] = pods.nodes * _amount(pods.memory)
    try:
        quotas = kubectl.items("resourcequota")
    except Refused:
        return
    for quota in quotas:
        if quota["spec"].get("scopes") or quota["spec"].get("scopeSelector"):
            continue  # it may not be about these pods
        status = quota.get("status", {})
        for resource, most in status.get("hard", {}).items():
            used = status.get("used", {}).get(resource, "0")
            if resource in needed and needed[resource] > _amount(most) - _amount(used):
                yield (
                    f"nodes must fit the quota {quota['metadata']['name']}, whose {resource} is "
                    f"{most} with {used} in use, got {pods.nodes} of {pods.cpus_per_node} CPUs "
                    f"and {pods.memory}"
                )


def _not_admitted(
    kubectl: Kubectl, pods: KubernetesPods, manifest: str, name: str
) -> Iterator[str]:
    """What the API server would say to the manifest, and to the pods that come of it."""
    documents = list(yaml.safe_load_all(manifest))
    templates = [("head", head_template(pods, name)), ("submitter", submitter_template(pods))]
    if pods.nodes > 1:
        templates.append(("worker", worker_template(pods, name)))
    documents += [_pod(pods, f"{name}-{which}", template) for which, template in templates]
    said = set()
    for document in documents:
        try:
            kubectl.said("create", "--dry-run=server", "--validate=strict", "-f", "-",
                         given=yaml_text(document))  # fmt: skip
        except Refused as no:
            reason = _WHERE.sub("", str(no)).replace(document["metadata"]["name"], name)
            line = _in_our_words(pods, document["kind"], reason)
            if line not in said:
                yield line
            said.add(line)
            if document["kind"] == "RayJob":
                return


def _pod(pods: KubernetesPods, name: str, template: dict[str, Any]) -> dict[str, Any]:
    metadata = {**template.get("metadata", {}), "name": name, "namespace": pods.namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def _in_our_words(pods: KubernetesPods, kind: str, reason: str) -> str:
    if "no matches for kind" in reason:
        return "the cluster must have the KubeRay operator, 1.5.1 or newer, got none"
    if (unknown := _UNKNOWN.search(reason)) is not None:
        field = unknown[1]
        if since := _SINCE.get(field):
            return f"the KubeRay operator must be {since} or newer, got one without {field}"
        for section in ("pod", "container", "job"):
            if _mentions(getattr(pods, section), field):
                return f"{section} must have fields that the cluster knows, got {field}"
    return f"the cluster must admit the {kind}, got {reason}"


def _mentions(tree: Any, field: str) -> bool:
    """Whether a mapping somewhere in it has the field."""
    if isinstance(tree, Mapping):
        return field in tree or any(_mentions(value, field) for value in tree.values())
    return isinstance(tree, tuple) and any(_mentions(value, field) for value in tree)


def _amount(quantity: str) -> float:
    """A quantity of Kubernetes as a number.

    >>> _amount("1500m"), _amount("2Gi"), _amount("12e6"), _amount("1E")
    (1.5, 2147483648.0, 12000000.0, 1e+18)
    """
    number, unit = re.fullmatch(r"([0-9.]+(?:[eE][0-9+-]+)?)(\w*)", quantity).groups()  # type: ignore[union-attr]
    return float(number) * _UNITS[unit]
