"""Two devices in differential, and the refresh that pairs of one-way devices need."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.random import Purpose
from crossmesh.tiles.analog.array import (
    FLOAT_BYTES,
    Array,
    Factor,
    State,
    device_bytes,
)
from crossmesh.tiles.analog.board_devices import array_of
from crossmesh.tiles.analog.cells.base import UnitCell
from crossmesh.tiles.analog.cells.refresh import Refresh
from crossmesh.tiles.analog.costs import CellCosts, TransferCosts
from crossmesh.tiles.analog.devices import AnyDevice, ConstantStep
from crossmesh.tiles.analog.devices.kernels import specialised
from crossmesh.tiles.analog.devices.unsupported import of_devices
from crossmesh.tiles.analog.pulser import Counts, Pulser, Site, Trains
from crossmesh.tiles.analog.readout import read_pair
from crossmesh.tiles.analog.wear import Wear
from crossmesh.tiles.analog.write_verify import rewrite_full

_NONE = np.zeros((0, 0), np.float32)


class Pair(UnitCell):
    """Two devices in differential: ``w = g_plus - g_minus``.

    Every coincidence moves both, in opposite directions, so a pair of devices that move both ways
    moves by twice a device's step and its asymmetry cancels on average. Of devices that move one
    way only, one of the pair answers to each direction.

    Attributes:
        device: Parameters of both devices.
        refresh: When saturated pairs are rewritten; None: never.
    """

    why_without: ClassVar[dict[str, str]] = of_devices("cell.device")

    kind: Literal["pair"] = "pair"
    device: AnyDevice = ConstantStep()
    refresh: Refresh | None = None

    @property
    def is_one_sided(self) -> bool:
        """Whether the devices hold conductances of one sign."""
        return self.device.limits[0] >= 0

    @property
    def granularity(self) -> float:
        """Change of a weight by one coincidence."""
        return self.device.granularity * (1 if self.device.moves_one_way else 2)

    @property
    def reach(self) -> float:
        """Largest weight that a typical cell holds in both directions."""
        lower, upper = self.device.limits
        return upper - lower if self.is_one_sided else 2 * min(upper, -lower)

    @property
    def devices(self) -> Sequence[Any]:
        """Those of its arrays."""
        return (self.device,)

    @property
    def n_arrays(self) -> int:
        """Plus and minus, and the references of either, if devices have some."""
        return 4 if self.device.has_references else 2

    @property
    def largest_conductance(self) -> float:
        """Largest conductance of a typical device or reference above the lower bound."""
        return self.device.largest_conductance

    @property
    def planes(self) -> Mapping[str, int]:
        """Plus and minus, which only a board holds together."""
        return {"pair": 2}

    @property
    def costs(self) -> CellCosts:
        """Twice those of a device alone; a refresh writes them."""
        costs = self.device.costs.times(2)
        if self.refresh is None:
            return costs
        return replace(costs.written(), pulses_per_write=self.refresh.pulses_until(self.device))

    def transfer_costs(self, site: Site) -> Sequence[TransferCosts]:
        """The checks of the refresh."""
        return () if self.refresh is None else [self.refresh.check_costs(self.device, site)]

    @property
    def cell_bytes(self) -> int:
        """Bytes that a crossbar keeps per cell: two devices, the weight, and its variance."""
        return 2 * device_bytes(self.device) + FLOAT_BYTES * (1 + any(self.device.read_noise))

    def crossbar(self, site: Site) -> "PairCrossbar":
        """A crossbar of such cells."""
        return PairCrossbar(self, site)


class PairCrossbar:
    """Two devices per cell.

    Args:
        cell: Parameters of the cells.
        site: Shape, random numbers and settings.
        first_part: Number of the plus devices among those of the whole unit cell.
        plane: Name of the pair among the planes of that cell.
    """

    def __init__(self, cell: Pair, site: Site, first_part: int = 0, plane: str = "pair") -> None:
        device = cell.device
        self._cell = cell
        self._plus, self._minus = (
            array_of(device, site, first_part + k, plane, k) for k in range(2)
        )
        self._pulser = Pulser(site, cell.granularity)
        self._rewrite_key = site.stream.key(Purpose.REWRITE)
        self._refresh_settings = cell.refresh and cell.refresh.settings(device)
        self._read_noise = self._plus.read_noise
        self._writes = 0  # of either device
        self.weights = np.zeros(site.shape, np.float32)
        self.variance = np.zeros(site.shape, np.float32) if any(self._read_noise) else None

    @property
    def ages(self) -> bool:
        """Whether cells change with time alone."""
        return self._plus.decays

    @property
    def pulses(self) -> int:
        """Pulses sent so far."""
        return self._pulser.pulses

    @property
    def wear(self) -> Mapping[str, Wear]:
        """Both devices share the lines."""
        return dict.fromkeys(("plus", "minus"), Wear(self.pulses, self._writes))

    def write(self, weights: Array) -> None:
        """Set both devices within their bounds, in equal shares or, one-sided, one of them."""
        plus, minus = self._shares(weights)
        self._plus.write(plus)
        self._minus.write(minus)
        self._read(self._everywhere)

    def pulse_to(self, weights: Array, example: int, max_pulses: int) -> None:
        """Write weights pulse by pulse, as well as that goes; ``example`` keys the noise."""
        plus, minus = self._shares(weights)
        self._plus.pulse_to(plus, example, max_pulses)
        self._minus.pulse_to(minus, example, max_pulses)
        self._writes += weights.size
        self._read(self._everywhere)

    def _shares(self, weights: Array) -> tuple[Array, Array]:
        """Conductances of plus and minus: one of them, if one-sided, or equal shares."""
        if self._cell.is_one_sided:
            floor = np.float32(self._cell.device.limits[0])
            return floor + np.maximum(weights, 0), floor + np.maximum(-weights, 0)
        half = weights * np.float32(0.5)
        return half, -half

    def update(self, x: Array, d: Array, rate: float, first_example: int) -> None:
        """Draw pulses, apply them, and refresh pairs that are full."""
        for pulses in self._pulser.draw(x, d, rate, first_example):
            self.pulse(pulses)

    def pulse(self, pulses: Trains | Counts) -> None:
        """Apply pulses, and refresh pairs that are full."""
        refresh = self._cell.refresh
        if refresh is None:
            self._pulse(pulses)
            self._read(self._everywhere if self._plus.decays else pulses.driven)
            return
        touched = pulses.driven
        for piece in pulses.pieces(refresh.every):
            self._pulse(piece)
            if piece.completes(refresh.every):
                all_may = self._plus.decays or refresh.every > 1
                lines = self._everywhere if all_may else piece.driven
                self._refresh(lines, piece.last_example)
                touched = touched | lines
        self._read(self._everywhere if self._plus.decays else touched)

    def _pulse(self, pulses: Trains | Counts) -> None:
        self._plus.pulse(pulses)
        self._minus.pulse(pulses.reversed())

    def pulse_counts(self, counts: NDArray[np.int16], rows: slice, example: int) -> None:
        """Send as many pulses as ``counts`` says, and refresh the pairs that they fill."""
        self.pulse_in_no_time(self._pulser.counted(counts, rows, example))

    def pulse_in_no_time(self, pulses: Counts) -> None:
        """Apply pulses without an example that goes by, and refresh the pairs that they fill."""
        self._plus.pulse_counts(pulses)
        self._minus.pulse_counts(pulses.reversed())
        touched = pulses.driven
        if self._cell.refresh:
            self._refresh(touched, pulses.first_example)
        self._read(touched)

    def product(self, x: Array, *, backward: bool) -> Array:
        """Product of ``(vectors, inputs)`` with the weights, made by a board."""
        plus, minus = (each.product(x, backward=backward) for each in (self._plus, self._minus))
        return plus - minus

    def arrays(self) -> list[tuple[Factor, Array]]:
        """Plus and minus, each before its references; conductances count from the lower bound."""
        lower = np.float32(self._cell.device.limits[0])
        arrays: list[tuple[Factor, Array]] = []
        for sign, devices in ((1.0, self._plus), (-1.0, self._minus)):
            arrays.append((sign, devices.seen + devices.reference - lower))
            if self._cell.device.has_references:
                arrays.append((-sign, devices.reference - lower))
        return arrays

    def state(self) -> State:
        """The conductances of both devices."""
        return {**self._plus.saved("_0"), **self._minus.saved("_1")}

    def load(self, state: State) -> None:
        """Take over saved conductances."""
        self._plus.load(state, "_0")
        self._minus.load(state, "_1")
        self._read(self._everywhere)

    @property
    def _everywhere(self) -> NDArray[np.bool_]:
        return np.ones(len(self.weights), np.bool_)

    def _refresh(self, touched: NDArray[np.bool_], example: int) -> None:
        plus, minus = self._plus, self._minus
        with plus.rewritten(), minus.rewritten():
            self._writes += specialised(rewrite_full, plus.constants)(
                plus.side, minus.side, plus.constants, self._refresh_settings,
                touched, example, self._rewrite_key,
            )  # fmt: skip

    def _read(self, rows: NDArray[np.bool_]) -> None:
        variance = _NONE if self.variance is None else self.variance
        plus, minus = self._plus.seen, self._minus.seen
        read_pair(self.weights, variance, plus, minus, *self._read_noise, rows)
