"""Bits and times of a tile's converters."""

from crossmesh.emulator.config.chip import Chip
from crossmesh.tiles.analog.tile_config import TileConfig

_MOST_BITS = 24  # of a converter


def converter_bits(name: str, tile: TileConfig, chip: Chip) -> int:
    """Bits of a tile's converters, ``dac`` or ``adc``; exact ones are as wide as an activation."""
    known = {"dac": tile.read.dac, "adc": tile.read.adc}.get(name)
    return known.bits if known else min(chip.activation_bits, _MOST_BITS)


def conversion_s(tile: TileConfig, chip: Chip) -> float:
    """Seconds of a conversion of a tile's ADCs."""
    given = chip.phases.conversion_s
    return chip.adc.conversion_s(converter_bits("adc", tile, chip)) if given is None else given


def charges(tile: TileConfig, chip: Chip) -> float:
    """Times that a line is charged for an input, in the mean."""
    return chip.dac.charges(converter_bits("dac", tile, chip))


def integrations(tile: TileConfig, chip: Chip) -> int:
    """Integrations of an input, after each of which the ADCs convert."""
    return chip.dac.integrations(converter_bits("dac", tile, chip))


def drive_s(tile: TileConfig, chip: Chip) -> float:
    """Seconds from a digital vector to integrated currents."""
    before = 0.0 if _drives_within(chip) else _dac_s(tile, chip)
    return before + integrations_s(tile, chip)


def integrations_s(tile: TileConfig, chip: Chip) -> float:
    """Seconds for which a product's currents are integrated, all its integrations together."""
    drive = _dac_s(tile, chip) if _drives_within(chip) else 0.0
    return integrations(tile, chip) * max(chip.phases.integration_s, drive)


def _drives_within(chip: Chip) -> bool:
    """Whether the length of what drives a line is the number, so that both pass together."""
    return chip.dac.is_within_integration and chip.phases.dac_s is None


def _dac_s(tile: TileConfig, chip: Chip) -> float:
    given = chip.phases.dac_s
    return chip.dac.drive_s(converter_bits("dac", tile, chip)) if given is None else given
