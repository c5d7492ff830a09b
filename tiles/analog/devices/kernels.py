"""The model of a device, as compiled functions that the update kernel inlines.

Its constants are a ``NamedTuple`` that all devices of an array share; what differs from
device to device lies in an array of parameters, one row per parameter. A device module writes two
scalar functions of them and registers both here; the type of the constants selects the functions
when the kernel is compiled, so the kernel is written once and still specialised.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from crossmesh.common.compiled import inlining

# Rows of the parameters that every device has; further rows are the device's own.
STEP_UP, STEP_DOWN, LOWER, UPPER = range(4)
# Rows of the scratch area of kernels: what models compute of a device when it is loaded, and what
# a device remembers.
PREPARED_UP, PREPARED_DOWN, HISTORY = 10, 11, 12


class Functions(NamedTuple):
    """The compiled functions of a device model, each for one device and scalar arguments.

    ``constants`` is the named tuple of ``Device.constants``; ``device`` is a float32
    array whose row ``r`` is parameter ``r`` of ``Device.sample``, for some devices of a word line;
    ``j`` is the column of this device in it; ``w`` is its normalised conductance, float32; ``up``
    is a bool. Results are float32, in units of normalised conductance; bounds are applied by the
    caller.

    Attributes:
        step: ``(constants, device, j, w, up) -> float``: mean change of device ``j`` by one pulse
            when its normalised conductance is ``w``; positive for ``up``, negative otherwise.
        noise: ``(constants, device, j, w, step, up) -> float``: standard deviation of that change.
        depends_on_state: Whether either depends on ``w``.
        remember: ``(constants, device, j, up) -> float``: what a device remembers after a pulse,
            given ``device[HISTORY, j]``; None if its conductance is all that it remembers.
        slope: ``(constants, device, j, w, step, up) -> float``: derivative of the mean change with
            respect to ``w``, given its value; several pulses then go together where step and
            noise change little. None if either has kinks in ``w``, or if a device remembers more
            than its conductance: pulses are then always taken one by one.
        prepare: ``(constants, device, j, up) -> float``: what steps in one direction need of a
            device, computed once when it is loaded, for ``device[PREPARED_UP, j]`` or
            ``device[PREPARED_DOWN, j]``; None if they need nothing but parameters. Divisions
            belong here: one costs as much as ten other operations.
    """

    step: Callable[..., Any]
    noise: Callable[..., Any]
    depends_on_state: bool
    remember: Callable[..., Any] | None = None
    slope: Callable[..., Any] | None = None
    prepare: Callable[..., Any] | None = None


def register_model(constants: Any, functions: Functions) -> None:
    """Select the functions of a model by the type of its constants.

    The type keeps them, so that they travel with it to other processes.

    Args:
        constants: The class of the named tuple that ``Device.constants`` returns.
        functions: The model, as functions that numba can compile.
    """
    constants.functions = functions


def specialised(kernel: Any, constants: Any) -> Any:
    """A kernel for a model, which may be of another package."""
    return inlining(kernel, _known(constants))


def _known(constants: Any) -> Functions:
    compiling = isinstance(constants, types.NamedTuple | types.NamedUniTuple)
    found: Functions = (constants.instance_class if compiling else type(constants)).functions
    return found


def pulse_step(constants: Any, device: Any, j: int, w: float, up: bool) -> float:
    """Mean change of device ``j`` by one pulse; see ``Functions.step``."""
    return _known(constants).step(constants, device, j, w, up)


def pulse_noise(constants: Any, device: Any, j: int, w: float, step: float, up: bool) -> float:
    """Standard deviation of the change of device ``j`` by one pulse; see ``Functions.noise``."""
    return _known(constants).noise(constants, device, j, w, step, up)


def depends_on_state(constants: Any) -> bool:
    """Whether a pulse's effect depends on the pulses before it."""
    return _known(constants).depends_on_state


def is_smooth(constants: Any) -> bool:
    """Whether several pulses may go together; see ``Functions.slope``."""
    return _known(constants).slope is not None


def pulse_slope(constants: Any, device: Any, j: int, w: float, step: float, up: bool) -> float:
    """Derivative of the mean change of device ``j`` by one pulse; see ``Functions.slope``."""
    slope = _known(constants).slope
    assert slope is not None
    return slope(constants, device, j, w, step, up)


def is_prepared(constants: Any) -> bool:
    """Whether something is computed when devices are loaded; see ``Functions.prepare``."""
    return _known(constants).prepare is not None


def prepared(constants: Any, device: Any, j: int, up: bool) -> float:
    """What steps in one direction need of device ``j``; see ``Functions.prepare``."""
    prepare = _known(constants).prepare
    assert prepare is not None
    return prepare(constants, device, j, up)


def has_history(constants: Any) -> bool:
    """Whether devices remember more of their pulses than their conductance."""
    return _known(constants).remember is not None


def remembered(constants: Any, device: Any, j: int, up: bool) -> float:
    """History of device ``j`` after a pulse; see ``Functions.remember``."""
    remember = _known(constants).remember
    assert remember is not None
    return remember(constants, device, j, up)


def noise_of_step(constants, device, j, w, step, up):
    """``Functions.noise`` of models whose constants have ``cycle_noise`` and ``multiplicative``.

    The standard deviation is ``cycle_noise`` times the size of the present step if
    ``multiplicative`` is 1, or of the step at ``w == 0`` in the same direction if it is 0.
    """
    step_up, step_down = device[STEP_UP, j], device[STEP_DOWN, j]  # a branch would stop vectors
    at_zero = step_up if step > np.float32(0) else step_down
    return constants.cycle_noise * (constants.multiplicative * (abs(step) - at_zero) + at_zero)


# numba wants the signatures of these to equal those of the functions that they return.
@overload(pulse_step, inline="always")
def _pulse_step(constants, device, j, w, up):
    return _known(constants).step


@overload(pulse_noise, inline="always")
def _pulse_noise(constants, device, j, w, step, up):
    return _known(constants).noise


@overload(depends_on_state)
def _depends_on_state(constants):
    if _known(constants).depends_on_state:
        return lambda constants: True
    return lambda constants: False


@overload(is_smooth)
def _is_smooth(constants):
    if _known(constants).slope is not None:
        return lambda constants: True
    return lambda constants: False


def _level(constants, device, j, w, step, up):
    return np.float32(0)


@overload(pulse_slope, inline="always")
def _pulse_slope(constants, device, j, w, step, up):
    return _known(constants).slope or _level


@overload(is_prepared)
def _is_prepared(constants):
    if _known(constants).prepare is not None:
        return lambda constants: True
    return lambda constants: False


def _unprepared(constants, device, j, up):
    return np.float32(0)


@overload(prepared, inline="always")
def _prepared(constants, device, j, up):
    return _known(constants).prepare or _unprepared


@overload(has_history)
def _has_history(constants):
    if _known(constants).remember is not None:
        return lambda constants: True
    return lambda constants: False


def _forgetful(constants, device, j, up):
    return device[HISTORY, j]


@overload(remembered, inline="always")
def _remembered(constants, device, j, up):
    return _known(constants).remember or _forgetful
