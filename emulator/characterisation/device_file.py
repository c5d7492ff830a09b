"""The file that a fitted device is written to, which a section of a config can extend."""

import hashlib
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from crossmesh.common.errors import ConfigError
from crossmesh.common.refusals import sentence
from crossmesh.common.version import VERSION
from crossmesh.emulator.characterisation.fit import Fit, warnings, write_noise
from crossmesh.tiles.analog.devices import JumpTable


def write_device(fit: Fit, found: dict[str, Any], source: Path, output: Path) -> None:
    """Write a device file.

    Args:
        fit: The fitted device.
        found: Its figures.
        source: The measurement.
        output: Path of the file.

    Raises:
        ConfigError: If no config could extend the file, or it cannot be written.
    """
    tree = fit.device.model_dump(mode="json")
    fields = {"kind": tree.pop("kind"), **tree}
    fields["write_noise"] = float(f"{write_noise(fit):.5g}")
    try:
        JumpTable.model_validate(fields)
    except ValidationError as error:
        raise ConfigError(f"{source}: {sentence(error, JumpTable)}") from None
    tables = fields.pop("tables")
    text = _comments(found, source)
    text += yaml.safe_dump(fields, sort_keys=False)
    text += yaml.safe_dump(
        {"tables": tables}, sort_keys=False, default_flow_style=None, width=10**9
    )
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--output {output} must be writable: {error.strerror}") from None


def _comments(found: dict[str, Any], source: Path) -> str:
    many = f"{found['devices']} devices" if found["devices"] > 1 else "one device"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    return (
        f"# Measured: {many}, {found['up_pulses']} up and {found['down_pulses']} down pulses\n"
        f"# source: {source.name} (sha256 {digest}...), fitted by crossmesh {VERSION}\n"
        f"# measured conductance = offset + scale * w; {found['states']:.0f} states\n"
        f"# additional noise of a reading or write: "
        f"{found['write_noise']:.3g} steps\n" + "".join(f"# {line}\n" for line in warnings(found))
    )
