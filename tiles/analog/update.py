"""Pulses of the update cycle: trains on word lines and bit lines, or a count for each device.

A train is one 32-bit word per line and example: bit t set means a pulse in slot t, the top bit is
the sign. Word line and bit line coincide where both words have a bit; the device moves up if their
signs agree.
"""

from typing import Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from crossmesh.common.compiled import apart, inlined, kernel, popcount, use_full_width
from crossmesh.common.frozen import Frozen
from crossmesh.common.random import of_example, philox

MAX_PULSES = 31
_SIGN = np.uint32(0x80000000)
BITS = np.uint32(0x7FFFFFFF)
_ONE = np.uint32(1)
_ZERO = np.uint32(0)
_INFINITE = np.int32(0x7F800000)  # the bits of infinity; those of NaN are above
_LINES = 16  # lines whose trains are drawn together


class UpdateConfig(Frozen):
    """Settings of the update cycle: how an outer product becomes pulses.

    Source: Gokmen & Vlasov 2016 (doi 10.3389/fnins.2016.00333) for stochastic trains, Gokmen 2017
    (doi 10.3389/fnins.2017.00538) for both kinds of management; defaults as in aihwkit.

    Attributes:
        trains: ``stochastic``: each line draws every bit with a probability proportional to its
            magnitude. ``deterministic``: each line has a pulse count, word lines in one burst,
            bit lines evenly spread, so that n and m pulses coincide round(n * m / length) times.
            ``counted``: without trains, each device gets the product of both probabilities times
            ``length`` pulses, rounded [DETERMINISTIC_IMPLICIT].
        length: Slots of a train, or at most so many under length management.
        update_management: Balance the probabilities of both sides by their largest magnitudes.
        length_management: Use no more slots than the largest product needs.
    """

    trains: Literal["stochastic", "deterministic", "counted"] = "stochastic"
    length: int = Field(MAX_PULSES, ge=1, le=MAX_PULSES)
    update_management: bool = True
    length_management: bool = True


class TrainSettings(NamedTuple):
    """``UpdateConfig`` for ``make_trains``, which takes the fields one by one.

    Attributes:
        is_stochastic: Whether trains are drawn, or deterministic.
        longest: Slots of a train at most.
        update_management: As in the config.
        length_management: As in the config.
    """

    is_stochastic: bool
    longest: int
    update_management: bool
    length_management: bool

    @classmethod
    def of(cls, config: UpdateConfig) -> Self:
        """Those of a config."""
        return cls(
            is_stochastic=config.trains == "stochastic",
            longest=config.length,
            update_management=config.update_management,
            length_management=config.length_management,
        )


@inlined
def _burst(count):
    return np.uint32((np.uint64(1) << np.uint64(count)) - np.uint64(1))


@inlined
def _spread(count, length):
    """``count`` pulses over ``length`` slots: the first n slots hold round(n * count / length)."""
    bits = _ZERO
    before = (2 * 0 * count + length) // (2 * length)
    for t in range(length):
        after = (2 * (t + 1) * count + length) // (2 * length)
        if after > before:
            bits = np.uint32(bits | (_ONE << np.uint32(t)))
        before = after
    return bits


@inlined
def _largest(values):
    """Largest magnitude; infinite if any value is not a number."""
    most = np.int32(0)  # bits of floats, in whose order NaN is the largest
    for i in range(values.shape[0]):
        most = max(most, np.int32(np.float32(values[i]).view(np.int32) & np.int32(0x7FFFFFFF)))
    return np.int32(min(most, _INFINITE)).view(np.float32)


@inlined
def _decide(bits, undecided, digits, word):
    """Compare one more binary digit of 31 uniform numbers with that of p: smaller sets the bit."""
    digit = np.uint32(np.int32(digits) >> np.int32(31))  # all ones or all zeros
    bits = np.uint32(bits | (undecided & ~word & digit))
    undecided = np.uint32(undecided & ~(word ^ digit))
    return bits, undecided, np.uint32(digits << _ONE)


@inlined
def _decide_four(bits, undecided, digits, line, example, block, k0, k1):
    a, b, c, d = philox(np.uint32(line), example, np.uint32(block), _ZERO, k0, k1)
    bits, undecided, digits = _decide(bits, undecided, digits, a)
    bits, undecided, digits = _decide(bits, undecided, digits, b)
    bits, undecided, digits = _decide(bits, undecided, digits, c)
    return _decide(bits, undecided, digits, d)


@apart
def _stochastic(out, values, scale, length, number, k0, k1, scratch):
    """Trains whose every slot holds a pulse with probability ``min(1, scale * abs(value))``.

    A slot is decided at the first digit where its uniform number differs from p, so the eight
    digits that a vector of lines goes through together leave one line in nine undecided; those go
    on alone. Lines at zero cost nothing; ``scratch`` is room for the others.
    """
    lines, digits, undecided, bits, rest = scratch
    example, k1 = of_example(number, k1)
    slots = _burst(length)
    n_driven = 0
    for i in range(values.shape[0]):
        out[i] = _ZERO
        lines[n_driven] = i
        n_driven += values[i] != np.float32(0)
    for j in range(n_driven):
        p = np.float64(scale) * abs(values[lines[j]]) * 4294967296.0
        digits[j] = np.uint32(np.uint64(min(p, 4294967295.0)))
    for first in range(0, n_driven, _LINES):
        for j in range(first, first + _LINES):
            b, u, d = _decide_four(_ZERO, slots, digits[j], lines[j], example, 0, k0, k1)
            bits[j], undecided[j], digits[j] = _decide_four(b, u, d, lines[j], example, 1, k0, k1)
    n_rest = 0
    for j in range(n_driven):
        rest[n_rest] = j
        n_rest += undecided[j] != _ZERO and digits[j] != _ZERO
    for n in range(n_rest):
        j = rest[n]
        b, u, d, block = bits[j], undecided[j], digits[j], 2
        while u and d:
            b, u, d = _decide_four(b, u, d, lines[j], example, block, k0, k1)
            block += 1
        bits[j] = b
    pulses = 0
    for j in range(n_driven):
        pulses += popcount(bits[j])
        sign = _SIGN if values[lines[j]] < 0 and bits[j] else _ZERO
        out[lines[j]] = np.uint32(bits[j] | sign)
    return pulses


@apart
def _deterministic(out, values, scale, length, spread):
    """Trains of ``round(length * min(1, scale * abs(value)))`` pulses, spread out or in a burst."""
    pulses = 0
    for i in range(values.shape[0]):
        count = int(np.rint(min(1.0, scale * abs(values[i])) * length))
        bits = _spread(count, length) if spread else _burst(count)
        out[i] = np.uint32(bits | _SIGN) if bits and values[i] < 0 else bits
        pulses += count
    return pulses


@inlined
def _drive(x_most, d_most, rate, granularity, longest, update_management, length_management):
    """Slots of an example's trains, and probability per unit of value on word and bit lines."""
    needed = np.float64(rate) * x_most * d_most / granularity
    if not (needed < np.inf and rate / granularity < np.inf):
        raise ValueError(
            "inputs, errors and rate of an update must be finite, got infinity or NaN; "
            "a smaller training.learning_rate may help"
        )
    length = longest
    if length_management:
        length = int(min(max(np.ceil(needed), 1.0), longest))
    scale = np.sqrt(rate / (granularity * length))
    balance = 1.0
    if update_management and needed > 0:
        balance = np.sqrt(np.float64(d_most) * max(1.0, needed / longest) ** -1.0 / x_most)
    return length, scale * balance, scale / balance


@kernel
def make_trains(
    x: NDArray[np.float32],  # (examples, rows) word-line values
    d: NDArray[np.float32],  # (examples, cols) bit-line values
    rate: float,  # learning rate per unit of normalised conductance
    granularity: float,  # change per pulse that the trains are scaled for
    is_stochastic: bool,
    longest: int,  # slots of a train
    update_management: bool,
    length_management: bool,
    first_example: int,
    keys: NDArray[np.uint32],  # (2, 2) keys of row and column trains
    row_trains: NDArray[np.uint32],  # (examples, rows), written
    column_trains: NDArray[np.uint32],  # (examples, cols padded to CHUNK), written
) -> int:
    """Draw the trains of every example: E[coincidences] * granularity = rate * x * d.

    Returns:
        Pulses in all trains.

    Raises:
        ValueError: A value is not finite, which pulses would hide.
    """
    use_full_width()
    pulses = 0
    room = max(x.shape[1], d.shape[1]) + _LINES
    scratch = (
        np.zeros(room, np.int32),
        np.zeros(room, np.uint32),
        np.zeros(room, np.uint32),
        np.zeros(room, np.uint32),
        np.zeros(room, np.int32),
    )
    for e in range(x.shape[0]):
        x_most, d_most = _largest(x[e]), _largest(d[e])
        length, x_scale, d_scale = _drive(
            x_most, d_most, rate, granularity, longest, update_management, length_management
        )
        if x_most == np.float32(0) or d_most == np.float32(0):
            row_trains[e] = _ZERO
            column_trains[e] = _ZERO
            continue
        example = first_example + e
        rows, cols = row_trains[e], column_trains[e, : d.shape[1]]
        if is_stochastic:
            pulses += _stochastic(
                rows, x[e], x_scale, length, example, keys[0, 0], keys[0, 1], scratch
            )
            pulses += _stochastic(
                cols, d[e], d_scale, length, example, keys[1, 0], keys[1, 1], scratch
            )
        else:
            pulses += _deterministic(rows, x[e], x_scale, length, False)
            pulses += _deterministic(cols, d[e], d_scale, length, True)
    return pulses


@kernel
def make_counts(
    x: NDArray[np.float32],  # (rows,) word-line values
    d: NDArray[np.float32],  # (cols,) bit-line values
    rate: float,  # as in make_trains, like the rest
    granularity: float,
    longest: int,
    update_management: bool,
    length_management: bool,
    counts: NDArray[np.int16],  # (rows, cols) signed pulses of each device, written
) -> int:
    """Count the pulses of one example without trains, half a pulse rounded away from zero.

    Returns:
        Pulses in all.

    Raises:
        ValueError: A value is not finite.
    """
    length, x_scale, d_scale = _drive(
        _largest(x), _largest(d), rate, granularity, longest, update_management, length_management
    )
    pulses = 0
    for i in range(x.shape[0]):
        row = length * min(1.0, x_scale * abs(x[i]))
        for j in range(d.shape[0]):
            n = int(row * min(1.0, d_scale * abs(d[j])) + 0.5)
            counts[i, j] = n if (x[i] < 0) == (d[j] < 0) else -n
            pulses += n
    return pulses


@inlined
def is_driven(row_trains, i):
    """Whether a word line has a pulse in any example."""
    pulses = _ZERO
    for e in range(row_trains.shape[0]):
        pulses |= row_trains[e, i]
    return pulses != _ZERO
