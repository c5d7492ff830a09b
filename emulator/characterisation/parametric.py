"""Devices by laws of a few parameters: which law the data ask for, and what it says of them."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.characterisation.laws import (
    LAWS,
    LawFit,
    criterion,
    fit_law,
    of_table,
    shares,
)
from crossmesh.emulator.characterisation.response import Response
from crossmesh.tiles.analog.devices import JumpTable

Array = NDArray[np.float64]
Pair = tuple[Response, Response]

TABLE, AUTO = "table", "auto"
KINDS = ("constant_step", "soft_bounds")  # laws that are kinds of devices themselves


def check_law(law: str) -> None:
    """Refuse what is no law.

    Raises:
        ConfigError: With the names that are.
    """
    if law not in {TABLE, AUTO, *LAWS}:
        raise ConfigError(f"--law must be {', '.join((TABLE, AUTO, *LAWS))}, got {law}")


class LawRow(NamedTuple):
    """How well a law describes a measurement.

    Attributes:
        law: Its name.
        formula: The step at ``x``, where it has a formula.
        parameters: For each device and direction, where it starts among them; effective of a table.
        residual: Root mean square of readings about the mean responses, as a share of the range.
        bic: Bayes' information criterion, less that of the best.
    """

    law: str
    formula: str
    parameters: float
    residual: float
    bic: float


class LawChoice(NamedTuple):
    """Responses by a law.

    Attributes:
        law: The law.
        responses: Mean responses and steps, up and down.
        rows: All laws, the best first.
        fits: Of the law, up and down; None for the table.
    """

    law: str
    responses: Pair
    rows: list[LawRow]
    fits: tuple[LawFit, LawFit] | None


def described(responses: Pair, readings: tuple[Array, Array], law: str) -> LawChoice:
    """Fit all laws, and take one.

    Args:
        responses: Up and down, by the table.
        readings: ``(devices, cycles, pulses)`` each.
        law: Name of the one to take; ``auto`` for that of the least criterion.
    """
    parts = [
        shares(read, response, up=up)
        for read, response, up in zip(readings, responses, (True, False), strict=True)
    ]
    fits = {name: tuple(fit_law(name, x, counts) for x, _, counts in parts) for name in LAWS}
    rows = [_row(TABLE, "", parts, [mean for _, mean, _ in parts],
                 [of_table(r, up=up) for r, up in zip(responses, (True, False), strict=True)],
                 [r.freedom for r in responses])]  # fmt: skip
    for name, pair in fits.items():
        freedom = [np.full(len(fit.parameters), fit.parameters.shape[1]) for fit in pair]
        rows.append(_row(name, LAWS[name].formula, parts, [fit.mean for fit in pair],
                         [fit.steps for fit in pair], freedom))  # fmt: skip
    rows.sort(key=lambda row: row.bic)
    rows = [row._replace(bic=row.bic - rows[0].bic) for row in rows]
    taken = rows[0].law if law == AUTO else law
    if taken == TABLE:
        return LawChoice(taken, responses, rows, None)
    up, down = fits[taken]
    by_law = _response(up, responses[0], up=True), _response(down, responses[1], up=False)
    return LawChoice(taken, by_law, rows, (up, down))


def _row(name: str, formula: str, parts: Any, means: Any, steps: Any, freedom: Any) -> LawRow:
    squares = n = bic = 0.0
    for (x, _, counts), mean, step, k in zip(parts, means, steps, freedom, strict=True):
        squares += float((np.where(counts > 0, x - mean, 0.0) ** 2).sum())
        n += float((counts > 0).sum())
        bic += criterion(step, x, counts, k)
    parameters = float(np.mean([k.mean() for k in freedom]))
    return LawRow(name, formula, parameters, float(np.sqrt(squares / n)), bic)


def _response(fit: LawFit, table: Response, *, up: bool) -> Response:
    """A law as a response with steps at the knots of the table."""
    low, width = table.knots[:, :1], np.ptp(table.knots, axis=1)[:, None]
    along = np.broadcast_to(np.linspace(0, 1, table.knots.shape[1]), table.knots.shape)
    steps = width * np.maximum(fit.steps(along), 0)
    mean = fit.mean if up else 1 - fit.mean
    freedom = np.full(len(low), float(fit.parameters.shape[1]))
    return Response(low + width * np.clip(mean, 0, 1), table.knots,
                    steps if up else -steps[:, ::-1], freedom)  # fmt: skip


def native(description: LawChoice, device: JumpTable) -> dict[str, Any] | None:
    """The device as a kind of its own, where the law is one.

    Args:
        description: The law.
        device: The table of the same law, whose range, noises and spread count.

    Returns:
        Fields of the kind; None if the law is none.
    """
    if description.law not in KINDS or description.fits is None:
        return None
    sides = []
    for fit, response, up in zip(
        description.fits, description.responses, (True, False), strict=True
    ):
        low, width = response.knots[:, 0], np.ptp(response.knots, axis=1)
        middle = (device.offset - low) / width  # where w is 0, as a share of the range
        at = middle if up else 1 - middle
        step = np.maximum(fit.steps(at[:, None])[:, 0], 0) * width / device.scale
        bound = fit.parameters[:, 2] if description.law == "soft_bounds" else np.ones(len(low))
        place = low + width * (bound if up else 1 - bound)
        sides.append((step, (place - device.offset) / device.scale))
    (rise, upper), (fall, lower) = sides
    step = float(max(rise.mean(), fall.mean()))
    weaker = float(min(rise.mean(), fall.mean())) / step
    noise = np.array([[t.up_noise, t.down_noise] for t in device.tables])
    fields: dict[str, Any] = {
        "kind": description.law,
        "step": step,
        "device_noise": float(np.hypot(_spread((rise + fall) / 2), device.device_noise)),
        "cycle_noise": float(np.sqrt((noise**2).mean())) / step,
        "asymmetry": (1 - weaker) * (1 if fall.mean() < rise.mean() else -1),
        "asymmetry_device_noise": _spread((rise - fall) / 2, step),
        "upper": float(upper.mean()),
        "upper_device_noise": _spread(upper),
        "lower": float(lower.mean()),
        "lower_device_noise": _spread(lower),
    }
    return {name: value if isinstance(value, str) else float(f"{value:.5g}")
            for name, value in fields.items()}  # fmt: skip


def _spread(values: Array, mean: float | None = None) -> float:
    if len(values) < 2:
        return 0.0
    return float(values.std(ddof=1) / abs(values.mean() if mean is None else mean))
