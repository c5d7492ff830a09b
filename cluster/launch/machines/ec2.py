"""What Amazon EC2 is asked beside ``ray up``: what is there before, what is left after."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from crossmesh.common.errors import ConfigError, RunError

# Canonical's account and the names of its images of Ubuntu 24.04, whose Python is 3.12:
# documentation.ubuntu.com/aws/aws-how-to/instances/find-ubuntu-images
_OWNER = "099720109477"
_IMAGES = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{kind}-server-*"
_KINDS = {"x86_64": "amd64", "arm64": "arm64"}  # by the architecture of an instance type
_CLUSTER_TAG = "tag:ray-cluster-name"
_ALIVE = ["pending", "running", "stopping", "stopped"]
_REMOVE_S = 300  # longest wait for machines to be on their way out
_QUIET_S = 6  # so long no new one must appear: ray up may have asked for one before it was ended
_POLL_S = 1.0
_WAIT = {"connect_timeout": 5, "read_timeout": 20, "retries": {"max_attempts": 2}}


def client(region: str) -> Any:
    """What talks to EC2 in a region."""
    from boto3.session import Session
    from botocore.config import Config

    return Session(region_name=region).client("ec2", config=Config(**_WAIT))


def misses(region: str, instance_type: str, image: str | None) -> Iterator[str]:
    """What stands in the way: credentials, region, instance type, image."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
    from botocore.parsers import ResponseParserError

    try:
        ec2 = client(region)
        if not _found(ec2.describe_instance_types, "InstanceTypes", [instance_type]):
            yield f"instance_type must be one that {region} has, got {instance_type}"
        elif image is None:
            newest_image(ec2, region, instance_type)
        if image is not None and not _found(ec2.describe_images, "Images", [image]):
            yield f"machine_image must be one that {region} has, got {image}"
    except ConfigError as error:
        yield str(error)
    except NoCredentialsError:
        yield (
            "credentials of AWS must be there: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "AWS_PROFILE, or ~/.aws/credentials, got none"
        )
    except (BotoCoreError, ClientError, ResponseParserError) as error:
        yield _refusal(region, error)


def newest_image(ec2: Any, region: str, instance_type: str) -> str:
    """Canonical's newest image of Ubuntu 24.04 for an instance type.

    Raises:
        ConfigError: If the region has none.
    """
    (kind,) = ec2.describe_instance_types(InstanceTypes=[instance_type])["InstanceTypes"]
    known = [_KINDS[a] for a in kind["ProcessorInfo"]["SupportedArchitectures"] if a in _KINDS]
    names = [_IMAGES.format(kind=kind) for kind in known]
    filters = [{"Name": "name", "Values": names}, {"Name": "state", "Values": ["available"]}]
    images = ec2.describe_images(Owners=[_OWNER], Filters=filters)["Images"] if names else []
    if not images:
        raise ConfigError(
            f"machine_image must be given in {region}, which has no Ubuntu 24.04 for "
            f"{instance_type}"
        )
    newest: str = max(images, key=lambda image: image["CreationDate"])["ImageId"]
    return newest


def remove(region: str, name: str, wait: Callable[[], None]) -> None:
    """Terminate every instance of a launch, the head first, and see that no other appears.

    Raises:
        RunError: If some cannot be, or remain.
    """
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    deadline = time.monotonic() + _REMOVE_S
    quiet_s = time.monotonic() + _QUIET_S
    left: list[str] = []
    try:
        ec2 = client(region)
        while time.monotonic() < quiet_s:
            wait()
            left = instances(ec2, name)
            if left:
                ec2.terminate_instances(InstanceIds=left)
                quiet_s = time.monotonic() + _QUIET_S
            if left and time.monotonic() > deadline:
                raise RunError(f"{len(left)} machines of {name} are still there: {', '.join(left)}")
            time.sleep(_POLL_S)
    except (BotoCoreError, ClientError, ResponseParserError) as error:
        raise RunError(
            f"machines of {name} may still be there: {_refusal(region, error)}"
        ) from None


def instances(ec2: Any, name: str) -> list[str]:
    """Instances of a launch that cost money, the head first."""
    filters = [{"Name": _CLUSTER_TAG, "Values": [name]},
               {"Name": "instance-state-name", "Values": _ALIVE}]  # fmt: skip
    pages = ec2.get_paginator("describe_instances").paginate(Filters=filters)
    found = [
        each for page in pages for group in page["Reservations"] for each in group["Instances"]
    ]
    kinds = {each["InstanceId"]: tag["Value"] for each in found for tag in each["Tags"]
             if tag["Key"] == "ray-node-type"}  # fmt: skip
    return sorted(kinds, key=lambda instance: kinds[instance] != "head")


def _found(describe: Callable[..., Any], what: str, names: list[str]) -> bool:
    """Whether a region has something by its name, which AWS refuses if it has not."""
    from botocore.exceptions import ClientError

    asked = {"InstanceTypes": "InstanceTypes", "Images": "ImageIds"}[what]
    try:
        return bool(describe(**{asked: names})[what])
    except ClientError as error:
        if error.response["Error"]["Code"].startswith(("InvalidInstanceType", "InvalidAMIID")):
            return False
        raise


def _refusal(region: str, error: Exception) -> str:
    """Why AWS does not answer, or refuses."""
    response = getattr(error, "response", None)
    reason = response["Error"]["Message"] if response else str(error)
    return f"region must be one where AWS accepts the credentials, got {region} ({reason})"
