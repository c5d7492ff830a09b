"""What Compute Engine is asked beside ``ray up``: what is there before, what is left after."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from crossmesh.common.errors import RunError

_REMOVE_S = 300  # longest wait for machines to be on their way out
_QUIET_S = 6  # so long no new one must appear: ray up may have asked for one before it was ended
_POLL_S = 2.0
_GOING = {"STOPPING", "TERMINATED", "SUSPENDED"}
_RULES = {404: "one that is there", 403: "one that these credentials may use"}


def compute() -> Any:
    """What talks to Compute Engine."""
    from googleapiclient.discovery import build

    return build("compute", "v1", cache_discovery=False)


def misses(project: str, zone: str, machine_type: str, image: str) -> Iterator[str]:
    """What stands in the way: credentials, project, zone, machine type, image."""
    from google.auth.exceptions import GoogleAuthError
    from googleapiclient.errors import HttpError

    try:
        gce = compute()
        asked: dict[str, tuple[str, Any]] = {
            "project_id": (project, lambda: gce.projects().get(project=project)),
            "availability_zone": (zone, lambda: gce.zones().get(project=project, zone=zone)),
            "machine_type": (
                machine_type,
                lambda: gce.machineTypes().get(
                    project=project, zone=zone, machineType=machine_type
                ),
            ),
            "source_image": (image, lambda: _image(gce, image)),
        }
        for field, (value, ask) in asked.items():
            try:
                ask().execute()
            except HttpError as error:
                rule = _RULES.get(error.status_code, "one that Compute Engine accepts")
                yield f"{field} must be {rule}, got {value}"
    except GoogleAuthError as error:
        reason = str(error).partition(". ")[0]
        yield (
            "credentials of GCP must be there: GOOGLE_APPLICATION_CREDENTIALS, or those of gcloud "
            f"auth application-default login, got none ({reason})"
        )


def remove(project: str, zone: str, name: str, wait: Callable[[], None]) -> None:
    """Delete every instance of a launch, and see that no other appears.

    Raises:
        RunError: If some cannot be, or remain.
    """
    from google.auth.exceptions import GoogleAuthError
    from googleapiclient.errors import HttpError

    deadline = time.monotonic() + _REMOVE_S
    quiet_s = time.monotonic() + _QUIET_S
    try:
        gce = compute()
        while time.monotonic() < quiet_s:
            wait()
            left = instances(gce, project, zone, name)
            for instance in left:
                gce.instances().delete(project=project, zone=zone, instance=instance).execute()
                quiet_s = time.monotonic() + _QUIET_S
            if time.monotonic() > deadline:
                raise RunError(f"{len(left)} machines of {name} are still there: {', '.join(left)}")
            time.sleep(_POLL_S)
    except (GoogleAuthError, HttpError) as error:
        raise RunError(f"machines of {name} may still be there: {error}") from None


def instances(gce: Any, project: str, zone: str, name: str) -> list[str]:
    """Instances of a launch that cost money."""
    asked = gce.instances().list(
        project=project, zone=zone, filter=f"labels.ray-cluster-name={name}"
    )
    found = asked.execute().get("items", [])
    return [each["name"] for each in found if each["status"] not in _GOING]


def _image(gce: Any, image: str) -> Any:
    """The request for an image, or for the newest of a family."""
    words = image.split("/")
    project, last = words[words.index("projects") + 1], words[-1]
    if words[-2] == "family":
        return gce.images().getFromFamily(project=project, family=last)
    return gce.images().get(project=project, image=last)
