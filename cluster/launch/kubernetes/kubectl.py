"""kubectl: the one way in which this package speaks with Kubernetes."""

import json
import re
import subprocess
from typing import Any

from crossmesh.cluster.launch.kubernetes.pods import KubernetesPods
from crossmesh.common.errors import RunError

_MOST_S = 30.0  # for an answer; the API server's own limits are shorter
_LOG = re.compile(r"[IWEF]\d{4} ")  # what its libraries note in passing
_ASKED_S = 10  # for one request


def options(pods: KubernetesPods) -> list[str]:
    """Options of every call: where, and as whom."""
    context = [] if pods.context is None else [f"--context={pods.context}"]
    return [*context, f"--namespace={pods.namespace}"]


class Refused(RunError):  # noqa: N818  because it names the answer
    """kubectl, or the API server through it, said no: its message is the reason in one line."""

    @property
    def is_missing(self) -> bool:
        """Whether the object is not there."""
        return "(NotFound)" in str(self)

    @property
    def is_forbidden(self) -> bool:
        """Whether this user may not ask."""
        return "(Forbidden)" in str(self)


class Kubectl:
    """kubectl in a cluster's context and namespace.

    Args:
        pods: The cluster.
    """

    def __init__(self, pods: KubernetesPods) -> None:
        self._base = ["kubectl", *options(pods)]

    def command(self, *words: str) -> list[str]:
        """A call, for what runs longer than an answer takes."""
        return [*self._base, *words]

    def said(self, *words: str, given: str | None = None, most_s: float = _MOST_S) -> str:
        """What a call says.

        Raises:
            Refused: If it fails.
        """
        command = [*self._base, f"--request-timeout={_ASKED_S}s", *words]
        try:
            done = subprocess.run(
                command, input=given, capture_output=True, text=True, timeout=most_s, check=False
            )
        except subprocess.TimeoutExpired:
            raise Refused(f"kubectl {words[0]} gave no answer in {most_s:g} s") from None
        except OSError as error:
            raise Refused(f"kubectl cannot be run: {error.strerror}") from None
        if done.returncode:
            reason = _reason(done.stderr) or f"kubectl {words[0]} ended with {done.returncode}"
            raise Refused(reason)
        return done.stdout

    def found(self, *words: str) -> dict[str, Any] | None:
        """An object, or a list of objects; None: not there.

        Raises:
            Refused: If it cannot be had for another reason.
        """
        try:
            answer = json.loads(self.said("get", *words, "-o", "json"))
        except Refused as no:
            if no.is_missing:
                return None
            raise
        return dict(answer)

    def items(self, *words: str) -> list[dict[str, Any]]:
        """The objects of a list."""
        return list((self.found(*words) or {}).get("items", []))


def _reason(text: str) -> str:
    """The last line, which says what is wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _LOG.match(line)]
    last = lines[-1] if lines else ""
    return last.removeprefix("error: ").partition("; if you choose to ignore")[0]
