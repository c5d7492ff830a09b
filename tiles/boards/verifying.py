"""Write and verify: devices of a board that can only pulse are brought to a conductance."""

import numpy as np

from crossmesh.tiles.boards.hardware import Array, Hardware, Lines

_SHARE = 0.5  # of the missing steps that are sent at once


def set_by_pulses(
    hardware: Hardware, rows: Lines, cols: Lines, siemens: Array, tolerance: float, pulses: int
) -> None:
    """Read, pulse towards the target, and read again, word line by word line.

    Half of the pulses that are missing by the step seen last are sent at once, at least one.

    Args:
        hardware: The board.
        rows: ``(n,)`` word line of each device.
        cols: ``(n,)`` its bit line.
        siemens: ``(n,)`` target of each.
        tolerance: Error that is good enough; 0: half a step, as far as it is known.
        pulses: Pulses of a device at most.
    """
    for row in np.unique(rows):
        here = np.flatnonzero(rows == row)
        _set_line(hardware, row, cols[here], siemens[here], tolerance, pulses)


def _set_line(
    hardware: Hardware, row: np.uint16, cols: Lines, wanted: Array, tolerance: float, pulses: int
) -> None:
    def read() -> Array:
        return hardware.read(np.array([row], np.uint16), cols).reshape(-1)

    seen = read()
    step = np.zeros(len(cols), np.float32)  # mean change of the pulses sent last
    sent = np.zeros(len(cols), np.int64)
    while True:
        missing = wanted - seen
        good = np.maximum(np.float32(tolerance), np.abs(step) / 2)
        open_ = (np.abs(missing) > good) & (sent < pulses)
        if not open_.any():
            return
        steps = np.abs(missing) / np.where(step == 0, np.inf, np.abs(step))
        count = np.clip(np.floor(_SHARE * steps), 1, pulses - sent).astype(np.int16)
        count = np.where(missing > 0, count, -count)[open_]
        rows = np.full(len(count), row, np.uint16)
        hardware.pulse(rows, cols[open_], count, 0.0, 0.0)
        sent[open_] += np.abs(count)
        before, seen = seen, read()
        step[open_] = ((seen - before)[open_] / count).astype(np.float32)
