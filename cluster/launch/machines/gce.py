"""What Compute Engine is asked beside ``ray up``: what is there before, what is left after."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from crossmesh.common.errors import RunError

_REMOVE_S = 300  # longest wait for machines to be on their way out
_QUIET_S = 6  # so long no new one must appear: ray up may have asked for one before it was ended
_POLL_S = 2.0
_GOING = {"STOPPING", "TERMINATED", "SUSPENDED"}  # of one whose deletion was asked for
_RULES = {404: "one that is there", 403: "one that these credentials may use"}


def compute() -> Any:
    """What talks to Compute Engine."""
    from googleapiclient.discovery import build

    return build("compute", "v1", cache_discovery=False)


def misses(project: str, zone: str, machine_type: str, image: str) -> Iterator[str]:
    """What stands in the way: credentials, project, zone, machine type, image."""
    from google.auth.exceptions import GoogleAuthError
    from googleapiclient.errors import HttpError
    from httplib2 import HttpLib2Error

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
            "source_image": (image, lambda: _image(gce, project, image)),
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
    except (HttpLib2Error, OSError) as error:
        yield f"Compute Engine must answer, got: {error}"


def remove(project: str, zone: str, name: str, wait: Callable[[], None]) -> None:
    """Delete every instance of a launch, and see that no other appears.

    One that was taken away is stopped, not deleted, so that its disk costs money.

    Raises:
        RunError: If some cannot be, or remain.
    """
    from google.auth.exceptions import GoogleAuthError
    from googleapiclient.errors import HttpError
    from httplib2 import HttpLib2Error

    asked: set[str] = set()
    refusal = "no reason given"
    deadline = time.monotonic() + _REMOVE_S
    quiet_s = time.monotonic() + _QUIET_S
    left: list[str] = []
    try:
        gce = compute()
        while left or time.monotonic() < quiet_s:
            wait()
            found = instances(gce, project, zone, name)
            left = [each for each in found if each not in asked or found[each] not in _GOING]
            for instance in left:
                try:
                    gce.instances().delete(project=project, zone=zone, instance=instance).execute()
                    asked.add(instance)
                except HttpError as error:  # gone meanwhile; or asked again, after the others
                    refusal = str(error)
                quiet_s = time.monotonic() + _QUIET_S
            if left and time.monotonic() > deadline:
                raise RunError(
                    f"{len(left)} machines of {name} are still there: {', '.join(left)} ({refusal})"
                )
            time.sleep(_POLL_S)
    except (GoogleAuthError, HttpError, HttpLib2Error, OSError) as error:
        raise RunError(f"machines of {name} may still be there: {error}") from None


def instances(gce: Any, project: str, zone: str, name: str) -> dict[str, str]:
    """All instances of a launch, and in which state each is."""
    found: dict[str, str] = {}
    asked = gce.instances().list(
        project=project, zone=zone, filter=f"labels.ray-cluster-name={name}"
    )
    while asked is not None:
        page = asked.execute()
        found |= {each["name"]: each["status"] for each in page.get("items", ())}
        asked = gce.instances().list_next(asked, page)
    return found


def _image(gce: Any, project: str, image: str) -> Any:
    """The request for an image, or for the newest of a family; by default of the same project."""
    words = image.split("/")
    if "projects" in words:
        project = words[words.index("projects") + 1]
    last = words[-1]
    if words[-2] == "family":
        return gce.images().getFromFamily(project=project, family=last)
    return gce.images().get(project=project, image=last)
