"""Arrays of devices, one device per crosspoint."""

import contextlib
from collections.abc import Iterator
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.random import CHUNK, Purpose, Stream
from crossmesh.tiles.analog.coincidences import apply_trains
from crossmesh.tiles.analog.counted import apply_counts
from crossmesh.tiles.analog.devices.kernels import LOWER, UPPER, is_smooth, specialised
from crossmesh.tiles.analog.element import Decay, Element
from crossmesh.tiles.analog.parameters import Parameters, level_bytes
from crossmesh.tiles.analog.pulser import Counts, Site, Trains
from crossmesh.tiles.analog.readout import redraw, redraw_counted
from crossmesh.tiles.analog.windowed import apply_windows
from crossmesh.tiles.analog.write_verify import PairSide, Reset, pulse_to

Array = NDArray[np.float32]
State = dict[str, NDArray[np.generic]]
Factor = float | Array  # of an array of conductances in a weight; one, or ``(rows, 1)``
_NONE = np.zeros((0, 0), np.float32)
FLOAT_BYTES = 4
_MANY_STEPS = 64  # from bound to bound, where pulses of several examples may well go together


def state_digest(state: State) -> bytes:
    """sha256 of a state: names, shapes and bits."""
    digest = sha256()
    for name, array in sorted(state.items()):
        digest.update(f"{name}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()


def _ends(lower: Array, upper: Array) -> Array:
    """``(rows, cols)`` where conductances that are lost lead, or ``(1, 1)``: one end for all."""
    ends = np.clip(0, lower, upper).astype(np.float32)
    of_free = ends[lower < upper]
    if len(of_free) and np.ptp(of_free):
        return ends
    return of_free[:1].reshape(-1, 1).copy() if len(of_free) else np.zeros((1, 1), np.float32)


class _Decay:
    """Exponential loss of conductance with time, applied every few examples.

    The loss over the examples between is exact; a read within them sees at most 1 % of a time
    constant, or 32 examples, too little of it.

    Args:
        retention: Time constant, and its spread.
        site: Shape, random numbers and settings.
        part: Which of the cell's devices these are.
        bounds: ``(rows, cols)`` lower and upper bound of each device; one that is stuck, whose
            bounds are equal, loses nothing.
    """

    def __init__(
        self, retention: Decay, site: Site, part: int, bounds: tuple[Array, Array]
    ) -> None:
        stuck = bounds[0] == bounds[1]
        self._end = _ends(*bounds)
        examples = retention.time_s / site.example_s
        self.every = int(min(max(examples / 100, 1), 32))
        spread = np.ones((1, 1), np.float32)  # of all devices, where they are alike
        if retention.device_noise or stuck.any():
            normal = site.stream.normal(Purpose.RETENTION, site.shape, part=part)
            spread = np.abs(1 + np.float32(retention.device_noise) * normal)
        with np.errstate(divide="ignore"):  # a time constant of 0 keeps nothing
            self._factor = np.exp(-np.float32(self.every / examples) / spread)
        if stuck.any():
            self._factor[stuck] = 1

    def change(self, state: Array) -> Array:
        """Change of ``state`` by ``every`` examples."""
        return (state - self._end) * (self._factor - 1)


def device_bytes(device: Element) -> int:
    """Bytes that a ``DeviceArray`` keeps per device.

    A few devices are compared to find which parameters differ; where some devices may be stuck,
    steps and bounds always do.
    """
    few = device.sample((1, CHUNK), Stream(seed=0, owner=0), 0)
    varying = np.ptp(few, axis=(1, 2)) > 0
    if device.may_be_stuck:
        varying[:4] |= few[:4].any(axis=(1, 2))  # steps that are not 0 anyway
        varying[[LOWER, UPPER]] = True
    n_varying = int(np.count_nonzero(varying))
    decay = device.decay
    floats = [
        True,  # the state
        device.has_history,
        device.has_references,
        device.has_references or device.write_deviation > 0,  # what is seen beside the state
        decay is not None and (decay.device_noise > 0 or device.may_be_stuck),
        decay is not None and _ends(few[LOWER], few[UPPER]).size > 1,
    ]
    return FLOAT_BYTES * sum(floats) + level_bytes(n_varying)


class DeviceArray:
    """Devices of one kind, one per crosspoint.

    Args:
        device: Parameters of the devices.
        site: Shape, random numbers and settings.
        part: Which of the cell's devices these are.

    Attributes:
        constants: Constants of the model, for kernels.
        parameters: Parameters of the devices; only those that differ are kept per device.
        state: ``(rows, cols)`` normalised conductance, which pulses move.
        history: ``(rows, cols)`` what else a device remembers of its pulses, or ``(0, 0)``.
        side: These three, as a refresh takes them of one side of pairs.
        seen: ``(rows, cols)`` what a read sees of the state: the same array, or the state
            against each device's reference, with write noise.
        has_windows: Whether pulses of several examples may go together; see ``windows``.
    """

    def __init__(self, device: Element, site: Site, part: int = 0) -> None:
        stream, shape = site.stream, site.shape
        values = device.sample(shape, stream, part)
        self.constants = device.constants()
        self._apply = specialised(apply_trains, self.constants)
        self._apply_windows = specialised(apply_windows, self.constants)
        self._apply_counts = specialised(apply_counts, self.constants)
        lower, upper = device.limits
        has_many_steps = upper - lower >= _MANY_STEPS * device.granularity
        self.has_windows = is_smooth(self.constants) and has_many_steps and device.has_cycle_noise
        self.parameters = Parameters.packed(values)
        self.state = np.zeros(shape, np.float32)
        self.history = np.zeros(shape, np.float32) if device.has_history else _NONE
        self.side = PairSide(self.state, self.history, self.parameters)
        self._device = device
        self._part = part
        self._stream = stream
        self._noise_key = stream.key(Purpose.CYCLE_NOISE, part)
        self._counted_key = stream.key(Purpose.COUNTED_PULSES, part)
        self._write_key = stream.key(Purpose.WRITE_NOISE, part)
        self._rewrite_key = stream.key(Purpose.REWRITE, 1 + part)
        self._write_noise = device.write_deviation
        reference = device.references(values, stream, part)
        if reference is not None and device.calibration:
            reference = reference + self._found_points() - device.symmetry_points(values)
        self._reference = _NONE if reference is None else reference
        self._sees_all = not self._write_noise and reference is None
        self.seen = self.state if self._sees_all else np.zeros(shape, np.float32)
        bounds = values[LOWER], values[UPPER]
        self._decay = _Decay(device.decay, site, part, bounds) if device.decay else None

    def _found_points(self) -> Array:
        """``(rows, cols)`` where pulses up and down in turn have led fresh devices."""
        lower, upper = self.parameters.values(LOWER), self.parameters.values(UPPER)
        state = np.clip(np.zeros_like(self.state), lower, upper)
        history = self.history.copy()
        key = self._stream.key(Purpose.CALIBRATION, self._part)
        turns = [np.full(state.shape, sign, np.int16) for sign in (1, -1)]
        for n in range(self._device.calibration):
            self._apply_counts(
                state, history, self.parameters, self.constants, turns[n % 2], 0, n, key
            )
        return state

    def write(self, values: Array) -> None:
        """Set the devices so that ``values`` would be seen without noise, within their bounds."""
        lower, upper = self.parameters.values(LOWER), self.parameters.values(UPPER)
        wanted = values + self._reference if self._reference.size else values
        np.clip(wanted, lower, upper, out=self.state)
        if self.history.size:
            self.history[:] = self._device.history_at(self.state)
        if not self._sees_all:
            self.seen[:] = self.state - self._reference if self._reference.size else self.state
            normal = self._stream.normal(
                Purpose.WRITE_NOISE, self.state.shape, draw=1, part=self._part
            )
            self.seen += self._write_noise * normal

    def pulse(self, pulses: Trains | Counts) -> None:
        """Move every device once per pulse that it gets, and let it decay where it does."""
        if self._decay is None:
            self._move(pulses)
            return
        for piece in pulses.pieces(self._decay.every):
            self._move(piece)
            if piece.completes(self._decay.every):
                change = self._decay.change(self.state)
                self.state += change
                if not self._sees_all:
                    self.seen += change

    def _move(self, pulses: Trains | Counts) -> None:
        if isinstance(pulses, Counts):
            self.pulse_counts(pulses)
        else:
            self._pulse_trains(pulses)

    def _pulse_trains(self, trains: Trains) -> None:
        is_window = self.has_windows and len(trains.rows) > 1
        apply = self._apply_windows if is_window else self._apply
        apply(
            self.state, self.history, self.parameters, self.constants, trains.rows, trains.columns,
            trains.first_example, self._noise_key,
        )  # fmt: skip
        if not self._sees_all:
            redraw(
                self.seen, self.state, self._reference, self._write_noise, trains.rows,
                trains.columns, trains.first_example, self._write_key,
            )  # fmt: skip

    def pulse_counts(self, pulses: Counts) -> None:
        """Move every device by its own number of pulses, in no time."""
        counts, row, _, example = pulses
        self._apply_counts(
            self.state, self.history, self.parameters, self.constants, counts, row, example,
            self._counted_key,
        )  # fmt: skip
        if not self._sees_all:
            redraw_counted(
                self.seen, self.state, self._reference, self._write_noise, counts, row, example,
                self._write_key,
            )  # fmt: skip

    def pulse_to(self, values: Array, example: int, max_pulses: int) -> None:
        """Write the devices pulse by pulse, until half a step or less is missing.

        Devices that move one way only are reset first.
        """
        reset = Reset(self._device.moves_one_way, self._device.fresh_history)
        wanted = values + self._reference if self._reference.size else values
        with self.rewritten():
            specialised(pulse_to, self.constants)(
                wanted, self.state, self.history, self.parameters, self.constants, reset,
                max_pulses, example, self._rewrite_key,
            )  # fmt: skip

    @contextlib.contextmanager
    def rewritten(self) -> Iterator[None]:
        """Direct writes to the state are made within this, so that reads see it."""
        before = self.state if self._sees_all else self.state.copy()
        yield
        if not self._sees_all:
            self.seen += self.state - before

    @property
    def reference(self) -> Array:
        """``(rows, cols)`` conductance that each device is read against, or ``(1, 1)`` zero."""
        return self._reference if self._reference.size else np.zeros((1, 1), np.float32)

    @property
    def read_noise(self) -> tuple[float, float]:
        """Standard deviation from read to read at conductance 0, and its slope over conductance."""
        return self._device.read_noise

    @property
    def decays(self) -> bool:
        """Whether devices change without being pulsed."""
        return self._decay is not None

    def product(self, x: Array, *, backward: bool) -> Array:
        """Product of ``(vectors, inputs)`` with what a read sees."""
        return x @ (self.seen.T if backward else self.seen)

    def saved(self, suffix: str = "") -> State:
        """Arrays that change in training, by name."""
        state: State = {f"conductance{suffix}": self.state}
        if self.history.size:
            state[f"history{suffix}"] = self.history
        if not self._sees_all:
            state[f"seen{suffix}"] = self.seen
        return state

    def load(self, state: State, suffix: str = "") -> None:
        """Take over a saved state."""
        for name, array in self.saved(suffix).items():
            array[:] = state[name]


def reference_error(device: Element, site: Site) -> float:
    """How far the references of such devices are from their symmetry points.

    Args:
        device: Devices whose references are to stand there.
        site: Shape and random numbers of an array of them.

    Returns:
        Root of the mean square, normalised.
    """
    points = device.symmetry_points(device.sample(site.shape, site.stream, 0))
    return float(np.sqrt(np.mean(np.square(DeviceArray(device, site).reference - points))))
