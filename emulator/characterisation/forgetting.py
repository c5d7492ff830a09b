"""Loss of conductance with time, from tables of times and conductances.

Each trace, a device at a level, is fitted by all models; that of the least Akaike criterion over
all traces comes first. Devices of a crossbar lose conductance exponentially (``Retention``), so its
time constant is what a device file gets; the exponent of a drift is reported beside it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.characterisation.conductances import in_siemens
from crossmesh.emulator.characterisation.names import read_name
from crossmesh.emulator.characterisation.series import FileOptions, named, series_of
from crossmesh.emulator.characterisation.sheets import Sheet, listed, read_sheet

Array = NDArray[np.float64]

_FEWEST = 3  # readings of a trace
_SCALES = np.logspace(-3, 4, 281)  # time constants that are tried, in longest times
_KEEPS = 300.0  # longest times from which on nothing is seen to be lost
_LEAST = 1e-12


class RetentionTrace(NamedTuple):
    """Readings of a device at a level: ``(readings,)`` seconds, and conductances over the first."""

    name: str
    times_s: Array
    values: Array


class Model(NamedTuple):
    """A model of loss.

    Attributes:
        formula: As it is shown.
        columns: Functions of time over the longest, for a time constant, that it is a sum of.
        has_scale: Whether it has a time constant.
        is_log: Whether the logarithm of the conductance is the sum.
    """

    formula: str
    columns: Callable[[Array, float], Sequence[Array]]
    has_scale: bool
    is_log: bool


MODELS: dict[str, Model] = {
    "none": Model("G = G0", lambda t, s: [0 * t + 1], False, False),
    "exponential": Model("G = G0 exp(-t/tau)", lambda t, s: [np.exp(-t / s)], True, False),
    "relaxation": Model("G = G1 + (G0 - G1) exp(-t/tau)",
                        lambda t, s: [np.exp(-t / s), 0 * t + 1], True, False),
    "drift": Model("G = G0 (t/t0)^-nu", lambda t, s: [0 * t + 1, -np.log(t)], False, True),
    "logarithmic": Model("G = G0 - b ln(t/t0)", lambda t, s: [0 * t + 1, -np.log(t)], False, False),
}  # fmt: skip


class RetentionFit(NamedTuple):
    """Models of loss, fitted.

    Attributes:
        rows: One per model, the best first: ``model``, ``formula``, ``residual``, ``aic``.
        traces: How many traces there are.
        longest_s: Longest time.
        tau_s: Mean time constant of exponential loss; None: nothing is seen to be lost.
        tau_spread: Its spread between traces, relative, at most 1.
        nu: Mean exponent of a drift.
        nu_spread: Its standard deviation between traces.
    """

    rows: list[dict[str, Any]]
    traces: int
    longest_s: float
    tau_s: float | None
    tau_spread: float
    nu: float
    nu_spread: float

    @property
    def section(self) -> dict[str, float] | None:
        """Section ``retention`` of a device."""
        if self.tau_s is None:
            return None
        return {"time_s": float(f"{self.tau_s:.4g}"), "device_noise": round(self.tau_spread, 4)}


def is_retention(path: Path) -> bool:
    """Whether a file is a table of times and readings, without pulses."""
    sheet = read_sheet(path)
    roles = {read_name(name).role for name in sheet.names}
    pulsed = {"pulse", "direction", "pulse_voltage"} & roles
    return "time" in roles and not pulsed and not any(read_name(n).direction for n in sheet.names)


def read_traces(path: Path, asked: FileOptions) -> list[RetentionTrace]:
    """Read a table of times and conductances, resistances or currents.

    Raises:
        ConfigError: With one line that names the file, the place in it, the rule and the value.
    """
    sheet = read_sheet(path)
    roles = [read_name(name).role for name in sheet.names]
    if "time" not in roles:
        raise ConfigError(f"{path} must have a column of times, such as Time (s), "
                          f"got {listed(sheet.names)}")  # fmt: skip
    times = _seconds(sheet, roles.index("time"))
    columns = list(asked.columns)
    if "level" in roles:  # devices at several levels are told apart as cycles are
        columns.append(f"cycle={sheet.names[roles.index('level')]}")
    asked = asked._replace(columns=columns)
    traces = []
    for part in in_siemens(sheet, named(sheet, asked), series_of(sheet, asked), asked):
        t, g = times[part.rows], part.values
        kept = (t > 0) & np.isfinite(g)
        name = f"{part.device} {part.cycle}".strip()
        if kept.sum() < _FEWEST or not g[kept].all():
            rule = f"must have at least {_FEWEST} readings above 0 at times after 0"
            raise ConfigError(
                f"{path} {rule} for each device and level, got {kept.sum()} for {name}"
            )
        order = np.argsort(t[kept], kind="stable")
        values = g[kept][order]
        traces.append(RetentionTrace(name, t[kept][order], values / values[0]))
    return traces


def _seconds(sheet: Sheet, k: int) -> Array:
    """Times in seconds; of dates and times of day, those since the first."""
    unit, cells = read_name(sheet.names[k]).unit, sheet.columns[k]
    stamps = [_stamp(cell) for cell in cells]
    if all(stamp is not None for stamp in stamps):
        seconds = np.array([stamp.timestamp() for stamp in stamps if stamp])
        return np.asarray(seconds - seconds.min())
    scale = unit.scale if unit is not None and unit.base == "s" else 1.0
    return scale * sheet.numbers(cells, sheet.names[k])


def _stamp(cell: object) -> datetime | None:
    if isinstance(cell, datetime):
        return cell
    try:
        return datetime.fromisoformat(str(cell).strip()) if not _is_plain(cell) else None
    except ValueError:
        return None


def _is_plain(cell: object) -> bool:
    return not isinstance(cell, str) or not any(mark in cell for mark in ("-", ":")) or "e-" in cell


def fit_retention(traces: Sequence[RetentionTrace]) -> RetentionFit:
    """Fit all models."""
    fits = {name: [_fit(model, trace) for trace in traces] for name, model in MODELS.items()}
    rows: list[dict[str, Any]] = []
    for name, model in MODELS.items():
        aic = sum(fit.aic for fit in fits[name])
        residual = float(np.sqrt(np.mean([fit.variance for fit in fits[name]])))
        rows.append({"model": name, "formula": model.formula, "residual": residual, "aic": aic})
    rows.sort(key=lambda row: row["aic"])
    rows = [{**row, "aic": row["aic"] - rows[0]["aic"]} for row in rows]
    best = rows[0]["model"]
    law = best if MODELS[best].has_scale else "exponential"
    scales = np.array([fit.scale for fit in fits[law]])
    lost = best != "none" and bool(np.median(scales) < _KEEPS)
    taus = scales * [trace.times_s[-1] for trace in traces]
    tau = float(np.exp(np.log(taus).mean()))
    nus = np.array([fit.coefficients[1] for fit in fits["drift"]])
    spread = float(min(np.log(taus).std(ddof=1), 1.0)) if len(traces) > 1 else 0.0
    nu_spread = float(nus.std(ddof=1)) if len(nus) > 1 else 0.0
    longest = max(float(trace.times_s[-1]) for trace in traces)
    return RetentionFit(rows, len(traces), longest, tau if lost else None, spread,
                        float(nus.mean()), nu_spread)  # fmt: skip


class _Fitted(NamedTuple):
    """A model of a trace: its time constant over the longest time, and how far readings lie."""

    scale: float
    coefficients: Array
    variance: float
    aic: float


def _fit(model: Model, trace: RetentionTrace) -> _Fitted:
    t = trace.times_s / trace.times_s[-1]
    wanted = np.log(np.abs(trace.values)) if model.is_log else trace.values
    best: _Fitted | None = None
    for scale in _SCALES if model.has_scale else (1.0,):
        columns = np.stack(model.columns(t, scale), axis=1)
        coefficients: Array = np.linalg.lstsq(columns, wanted, rcond=None)[0].astype(float)
        fitted = columns @ coefficients
        variance = float(
            np.mean((trace.values - (np.exp(fitted) if model.is_log else fitted)) ** 2)
        )
        if best is None or variance < best.variance:
            n, k = len(t), columns.shape[1] + model.has_scale + 1
            small = 2 * k * (k + 1) / max(n - k - 1, 0.5)  # of few readings
            aic = n * np.log(variance + _LEAST) + 2 * k + small
            best = _Fitted(scale, coefficients, variance, aic)
    assert best is not None
    return best
