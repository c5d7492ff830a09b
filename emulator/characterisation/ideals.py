"""Devices with one of their properties made ideal."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from crossmesh.tiles.analog.cells import Cell
from crossmesh.tiles.analog.devices import ConstantStep, ExpStep, JumpTable, LinearStep
from crossmesh.tiles.analog.devices.base import Device
from crossmesh.tiles.analog.devices.jump_table import StepTable
from crossmesh.tiles.analog.devices.step import StepDevice

_WIDE = 10.0  # ranges that bounds are moved away to
_FINE = 0.1  # of a step, where there are ten times as many states
_SPREADS = ("device_noise", "asymmetry_device_noise", "upper_device_noise", "lower_device_noise",
            "gamma_device_noise")  # fmt: skip


def _set(device: Device, **fields: Any) -> Device:
    """The device with those of the fields that it has."""
    tree = device.model_dump()
    return type(device).model_validate(tree | {n: v for n, v in fields.items() if n in tree})


def _quiet(device: Device) -> Device:
    return _set(device, cycle_noise=0.0)


def _alike(device: Device) -> Device:
    quiet = _set(device, **dict.fromkeys(_SPREADS, 0.0))
    if isinstance(quiet, JumpTable):
        return _set(quiet, tables=[_mean(quiet)])
    return quiet


def _mean(device: JumpTable) -> dict[str, Any]:
    """The table that is the mean of all."""
    return {name: np.mean([getattr(table, name) for table in device.tables], axis=0).tolist()
            for name in StepTable.model_fields}  # fmt: skip


def _balanced(device: Device) -> Device:
    """Up and down steps equal at ``w == 0``."""
    if isinstance(device, ExpStep):
        return _balanced_laws(device)
    if not isinstance(device, JumpTable):
        return _set(device, asymmetry=0.0)
    tables = []
    for table in device.tables:
        rise, fall = table.change(0.0, up=True), -table.change(0.0, up=False)
        mean, tree = (rise + fall) / 2, table.model_dump()
        for way, step in (("up", rise), ("down", fall)):
            factor = mean / step if step > 0 else 1.0
            tree |= {
                name: (factor * np.array(tree[name])).tolist() for name in (way, f"{way}_noise")
            }
        tables.append(tree)
    return _set(device, tables=tables)


def _balanced_laws(device: ExpStep) -> Device:
    """The asymmetry that makes up for the difference of two laws; the mean step stays."""
    laws = _laws_at_zero(device)
    scale = float((laws * _weakened(device)).mean() / laws.min()) if laws.min() > 0 else 1.0
    return _set(device, asymmetry=_asymmetry(*laws), step=min(scale * device.step, 1.0))


def _laws_at_zero(device: ExpStep) -> NDArray[np.float64]:
    """Up and down step at ``w == 0`` in units of ``step``, without asymmetry."""
    z = np.array([device.gamma_up * device.b, -device.gamma_down * device.b])
    steps = 1 - np.array([device.a_up, device.a_down]) * np.exp(np.clip(z, -80, 80))
    return np.asarray(np.maximum(steps, 0))


def _weakened(device: StepDevice) -> NDArray[np.float64]:
    """What asymmetry leaves of up and down steps."""
    return np.array([1 + min(device.asymmetry, 0), 1 - max(device.asymmetry, 0)])


def _asymmetry(rise: float, fall: float) -> float:
    """The asymmetry that takes the stronger of two steps down to the weaker."""
    return min(1 - min(rise, fall) / max(rise, fall), 0.999) * (1 if fall > rise else -1)


def _linear(device: Device) -> Device:
    """Steps everywhere as at ``w == 0``."""
    if isinstance(device, JumpTable):
        return _set(device, tables=[_flat(table) for table in device.tables])
    if not isinstance(device, StepDevice) or isinstance(device, ConstantStep):
        return device
    fields = device.model_dump() | {"symmetry_referenced": False, "zero_shift_pulses": 0}
    if isinstance(device, ExpStep):
        steps = _laws_at_zero(device) * _weakened(device)
        fields["step"] = min(device.step * float(steps.max()), 1.0)
        fields["asymmetry"] = _asymmetry(*steps[::-1])  # of steps that are alike but for it
    return ConstantStep.model_validate(
        {n: v for n, v in fields.items() if n in ConstantStep.model_fields and n != "kind"}
    )


def _flat(table: StepTable) -> dict[str, Any]:
    tree, n = table.model_dump(), len(table.up)
    points = np.linspace(table.lower, table.upper, n)
    for name in ("up", "up_noise", "down", "down_noise"):
        tree[name] = [float(np.interp(0.0, points, tree[name]))] * n
    return tree


def _unbounded(device: Device) -> Device:
    """Bounds far away; of a law that they are part of, with its steps as at ``w == 0``."""
    if isinstance(device, LinearStep):
        names = ("upper", "lower", "gamma_up", "gamma_down")
        return _set(device, **{name: _WIDE * getattr(device, name) for name in names})
    if isinstance(device, JumpTable):
        flat = [_flat(table) for table in device.tables]
        ends = [{end: _WIDE * table[end] for end in ("lower", "upper")} for table in flat]
        return _set(device, tables=[table | end for table, end in zip(flat, ends, strict=True)])
    linear = _linear(device)
    if not isinstance(linear, StepDevice):
        return device
    return _set(linear, upper=_WIDE * linear.upper, lower=_WIDE * linear.lower)


def _finer(device: Device) -> Device:
    if not isinstance(device, JumpTable):
        step = getattr(device, "step", None)
        return device if step is None else _set(device, step=_FINE * step)
    scaled = ("up", "up_noise", "down", "down_noise")
    return _set(device, tables=[
        table.model_dump() | {name: (_FINE * np.array(getattr(table, name))).tolist()
                              for name in scaled}
        for table in device.tables
    ])  # fmt: skip


def _as_noisy(device: Device, ideal: Device) -> Device:
    """The ideal device with the write noise of the other, whose unit is the step."""
    if ideal.write_deviation in (0, device.write_deviation):
        return ideal
    scale = device.write_deviation / ideal.write_deviation
    return _set(ideal, write_noise=scale * ideal.model_dump()["write_noise"])


PROPERTIES: dict[str, Callable[[Device], Device]] = {
    "no cycle noise": _quiet,
    "no write noise": lambda device: _set(device, write_noise=0.0),
    "no read noise": lambda device: _set(device, read_noise_siemens=0.0, read_noise_slope=0.0),
    "devices alike": _alike,
    "up and down steps balanced": _balanced,
    "steps alike at every conductance": _linear,
    "no bounds": _unbounded,
    "ten times as many states": _finer,
    "no loss with time": lambda device: _set(device, retention=None),
    "no stuck devices": lambda device: _set(device, stuck=None),
    "exact references": lambda device: _set(device, reference_mean=0.0, reference_noise=0.0),
}


def idealised(cell: Cell) -> dict[str, dict[str, Any]]:
    """Cells with one property of their devices ideal, as sections of a config.

    What a cell has no trace of is left out.
    """
    whole = cell.model_dump(mode="json")
    cells = {name: _changed(cell, ideal).model_dump(mode="json")
             for name, ideal in PROPERTIES.items()}  # fmt: skip
    return {name: tree for name, tree in cells.items() if tree != whole}


def _changed(part: Any, ideal: Callable[[Device], Device]) -> Any:
    """The same with its devices changed, wherever they are in it."""
    if isinstance(part, Device):
        return _as_noisy(part, ideal(part))
    if not isinstance(part, BaseModel):
        return part
    fields = {name: _changed(getattr(part, name), ideal) for name in type(part).model_fields}
    return part.model_copy(update=fields)
