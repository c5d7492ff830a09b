"""The refresh that pairs of one-way devices need."""

import math
from typing import Self

from pydantic import Field, model_validator

from crossmesh.common.frozen import Frozen
from crossmesh.tiles.analog.costs import TransferCosts
from crossmesh.tiles.analog.devices import Device
from crossmesh.tiles.analog.devices.limits import Count, Pulses
from crossmesh.tiles.analog.pulser import Site
from crossmesh.tiles.analog.write_verify import RefreshSettings


class Refresh(Frozen):
    """Resetting saturated pairs and rewriting their difference.

    Devices that move one way only fill up. Where one of a pair has passed ``saturation`` while
    the difference is below ``difference``, both in parts of the device's range, both devices are
    reset and the difference is rewritten into one of them, pulse by pulse, until half a step or
    less is missing. Source: Nandakumar et al. 2018 (doi 10.1063/1.5042408), with 0.75 and 0.19.
    aihwkit's ``OneSidedUnitCell`` (arXiv 2104.02184) asks for the ``smaller`` device instead.

    Attributes:
        every: Examples, or vectors where an example has several, between two checks; only pairs
            pulsed since are looked at.
        saturation: Part of the range from which a device counts as full.
        difference: Pairs whose weight is beyond this part of the range are left as they are; null:
            none are.
        smaller: Pairs whose smaller device is not above this part of the range are left as they are
            [refresh_lower_thres].
        max_pulses: Pulses of a rewrite at most.
        reset: Conductance after a reset, above the lower bound, normalised.
        reset_noise: Spread of that conductance from reset to reset, absolute.
        exact: Whether the difference is written as it is, as if by pulses of any size.
    """

    every: Count = 1
    saturation: float = Field(0.75, gt=0, le=1)
    difference: float | None = Field(0.25, gt=0, le=1)
    smaller: float = Field(0.0, ge=0, lt=1)
    max_pulses: Pulses = 31
    reset: float = Field(0.01, ge=0, le=1e6)
    reset_noise: float = Field(0.0, ge=0, le=1e6)
    exact: bool = False

    def settings(self, device: Device) -> RefreshSettings:
        """The same for devices whose range is known."""
        lower, upper = device.limits
        return RefreshSettings(
            saturation=lower + self.saturation * (upper - lower),
            difference=math.inf if self.difference is None else self.difference * (upper - lower),
            reset=self.reset,
            reset_noise=self.reset_noise,
            fresh_history=device.fresh_history,
            max_pulses=self.max_pulses,
            smaller=lower + self.smaller * (upper - lower) if self.smaller else -math.inf,
            is_exact=self.exact,
        )

    @model_validator(mode="after")
    def _there_is_room(self) -> Self:
        if self.difference is not None and self.difference >= self.saturation:
            raise ValueError(
                f"difference must be below saturation ({self.saturation}), got {self.difference}"
            )
        return self

    def pulses_until(self, device: Device) -> float:
        """Pulses until a pair is refreshed, of which each device takes every other.

        They are counted at the step in the middle of the range; 0: nobody knows, since devices
        that move both ways need not fill up.
        """
        if not device.moves_one_way:
            return 0.0
        lower, upper = device.limits
        return 2 * self.saturation * (upper - lower) / device.granularity

    def check_costs(self, device: Device, site: Site) -> TransferCosts:
        """A check reads both devices of a line, one after the other, and compares."""
        return TransferCosts(
            lines=site.shape[0] / self.every,
            only_pulsed=self.every == 1,
            reads=(device.costs,) * 2,
            operations=3,  # their difference, and two comparisons
        )
