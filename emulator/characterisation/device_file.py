"""The file that a fitted device is written to, which a section of a config can extend."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from crossmesh.common.errors import ConfigError
from crossmesh.common.refusals import sentence
from crossmesh.common.version import VERSION
from crossmesh.emulator.characterisation.fit import Fit, warnings, write_noise
from crossmesh.emulator.characterisation.parametric import native
from crossmesh.emulator.characterisation.units import unit_of
from crossmesh.tiles.analog.devices import DEVICES, JumpTable


def write_device(
    fit: Fit,
    found: dict[str, Any],
    sources: Sequence[Path],
    output: Path,
    retention: dict[str, float] | None = None,
) -> None:
    """Write a device file.

    Args:
        fit: The fitted device.
        found: Its figures.
        sources: The files of the measurement.
        output: Path of the file.
        retention: Section of that name, if it was measured.

    Raises:
        ConfigError: If no config could extend the file, or it cannot be written.
    """
    fields = _fields(fit) | ({"retention": retention} if retention else {})
    if electrical := _electrical(fit.device):
        fields["electrical"] = electrical
    try:
        DEVICES[fields["kind"]].model_validate(fields)
    except ValidationError as error:
        raise ConfigError(f"{sources[0]}: {sentence(error, DEVICES[fields['kind']])}") from None
    tables = fields.pop("tables", None)
    text = _comments(found, sources)
    text += yaml.safe_dump(fields, sort_keys=False)
    if tables:
        text += yaml.safe_dump(
            {"tables": tables}, sort_keys=False, default_flow_style=None, width=10**9
        )
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--output {output} must be writable: {error.strerror}") from None


def _fields(fit: Fit) -> dict[str, Any]:
    """The device as a kind of its own if its law is one, otherwise as a table."""
    if (fields := native(fit.description, fit.device)) is None:
        tree = fit.device.model_dump(mode="json")
        fields = {"kind": tree.pop("kind"), **tree}
    per_step = fit.device.granularity / fields.get("step", fit.device.granularity)
    return {**fields, "write_noise": float(f"{write_noise(fit) * per_step:.5g}")}


def _electrical(device: JumpTable) -> dict[str, Any] | None:
    """What is known of the device at its terminals, if its unit is one of conductance."""
    unit = unit_of(device.unit)
    low, high = (device.offset + device.scale * end for end in device.limits)
    if unit is None or unit.base != "S" or low <= 0:
        return None
    siemens = {"off_siemens": unit.scale * low, "on_siemens": unit.scale * high}
    rounded = {name: float(f"{value:.4g}") for name, value in siemens.items()}
    return {**rounded, "source": "conductances measured; voltages, pulses and area assumed"}


def _comments(found: dict[str, Any], sources: Sequence[Path]) -> str:
    many = f"{found['devices']} devices" if found["devices"] > 1 else "one device"
    digests = (hashlib.sha256(source.read_bytes()).hexdigest()[:16] for source in sources)
    named = ", ".join(f"{source.name} (sha256 {digest}...)"
                      for source, digest in zip(sources, digests, strict=True))  # fmt: skip
    return (
        f"# Measured: {many}, {found['up_pulses']} up and {found['down_pulses']} down pulses\n"
        f"# source: {named}, fitted by crossmesh {VERSION}\n"
        f"# measured conductance = {found['offset']:.5g} + {found['scale']:.5g} * w"
        f"{' ' + found['unit'] if found['unit'] else ''}; {found['states']:.0f} states\n"
        f"# law of the steps: {found['law']}\n"
        f"# additional noise of a reading or write: "
        f"{found['write_noise']:.3g} steps\n" + "".join(f"# {line}\n" for line in warnings(found))
    )
