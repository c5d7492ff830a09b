"""The read path: what lies between a digital vector and the digital result of a product.

In this order, each part optional: clip the vector to the input range, scale it by its largest
magnitude (noise management), DAC, input noise, the product, weight-read noise, output noise, ADC,
halve the input and repeat on saturation (bound management), scale back. Behind the input range all
values are normalised: inputs to the DAC's range, conductances to the device's, outputs to their
product. Rules and defaults as in aihwkit's ``IOParameters`` (Gokmen 2017, doi
10.3389/fnins.2017.00538, for both kinds of management). What is not finite is NaN at the end,
whatever converters lie between, so that it shows in the loss.
"""

import threading
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from crossmesh.common.compiled import inlined, kernel, use_full_width
from crossmesh.common.frozen import Frozen
from crossmesh.common.random import CHUNK, fill_normals

_NONE: NDArray[np.float32] = np.zeros((0, 0), np.float32)
_SMALLEST = np.finfo(np.float32).tiny  # below it, one over a number may be infinite
_INFINITE = np.int32(0x7F800000)  # the bits of infinity; those of NaN are above


class Converter(Frozen):
    """A DAC or ADC: ``2**bits - 2`` steps of equal size from ``-range`` to ``range``.

    Attributes:
        bits: Resolution of the converter, its sign among them.
        range: Largest magnitude, in normalised units; beyond it the converter saturates.
    """

    bits: int = Field(ge=2, le=24)
    range: float = Field(gt=0)

    @property
    def step(self) -> float:
        """Size of one step."""
        return 2 * self.range / (2**self.bits - 2)


class ReadConfig(Frozen):
    """The periphery of the forward and backward cycles.

    Defaults are those of aihwkit's ``IOParameters`` (arXiv 2104.02184), whose names are given in
    brackets.

    Attributes:
        noise_management: ``abs_max`` divides each vector by its largest magnitude before the DAC
            and multiplies the result by it [noise_management].
        bound_management: ``iterative`` halves the input of a forward read and repeats it while
            any output reaches the ADC's range. Backward reads saturate [bound_management].
        input_range: Largest input of a forward read, in units of the network, or null for none.
            Larger ones are clipped to it, and where there is no noise management every vector is
            divided by it before the DAC; ``crossmesh calibrate`` finds it [input_range].
        dac: Input converter, or null for none: 7 bits to 1 [inp_res, inp_bound].
        adc: Output converter, or null for none: 9 bits to 12 [out_res, out_bound].
        input_noise: Standard deviation added to every driven line [inp_noise].
        weight_noise: Standard deviation of each conductance from read to read; enters as noise of
            an output in proportion to the norm of the input [w_noise].
        output_noise: Standard deviation added to every output before the ADC [out_noise].
        wire_resistance: Resistance of a wire's segment between two crosspoints times the
            conductance of full scale; 1 ohm and 25 uS make 2.5e-5. See ``tiles/analog/ir_drop.py``.
        wire_model: Model of the wires: ``exact`` solves for the voltages of every crosspoint;
            ``first_order`` takes the currents without wires; ``auto`` is the first order where it
            errs by at most 2 % of what the wires take off, and exact elsewhere.
        max_input_reduction: Bound management stops beyond this reduction of the input
            [max_bm_factor], or where the DAC would be left with two bits [max_bm_res].
    """

    noise_management: Literal["none", "abs_max"] = "abs_max"
    bound_management: Literal["none", "iterative"] = "iterative"
    input_range: float | None = Field(None, gt=0)
    dac: Converter | None = Converter(bits=7, range=1.0)
    adc: Converter | None = Converter(bits=9, range=12.0)
    input_noise: float = Field(0.0, ge=0)
    weight_noise: float = Field(0.0, ge=0)
    output_noise: float = Field(0.06, ge=0)
    wire_resistance: float = Field(0.0, ge=0, le=1)
    wire_model: Literal["auto", "first_order", "exact"] = "auto"
    max_input_reduction: float = Field(1000.0, ge=1)

    @property
    def is_ideal(self) -> bool:
        """Whether the read path changes nothing."""
        noise = self.input_noise or self.weight_noise or self.output_noise
        is_bare = self.dac is None and self.adc is None and self.input_range is None
        return is_bare and not noise

    @property
    def largest_reduction(self) -> float:
        """Reductions above this are not tried: the DAC would be left with less than two bits."""
        if self.dac is None:
            return self.max_input_reduction
        return min(self.max_input_reduction, 0.25 * self.dac.range / self.dac.step)


class DriveSettings(NamedTuple):
    """What ``drive`` does to inputs, in normalised units; it takes the fields one by one.

    Attributes:
        is_managed: Whether each vector is divided by its largest magnitude.
        limit: Largest input, of which larger ones are clipped; infinite: there is none.
        step: Step of the DAC; 0: there is none.
        bound: Range of the DAC.
        input_noise: Standard deviation added to every line.
    """

    is_managed: bool
    limit: float
    step: float
    bound: float
    input_noise: float


class SenseSettings(NamedTuple):
    """What ``sense`` does to outputs, in normalised units; it takes the fields one by one.

    Attributes:
        step: Step of the ADC; 0: there is none.
        bound: Range of the ADC.
        output_noise: Standard deviation added to every line.
        weight_noise: Standard deviation of every conductance from read to read.
    """

    step: float
    bound: float
    output_noise: float
    weight_noise: float


@inlined
def _size(v):
    """Magnitude of a float32 as an integer of the same order, in which NaN is the largest."""
    return np.int32(np.float32(v).view(np.int32) & np.int32(0x7FFFFFFF))


@kernel
def drive(
    x: NDArray[np.float32],  # (examples, lines)
    driven: NDArray[np.float32],  # (examples, lines), written: what the lines are driven with
    scale: NDArray[np.float32],  # (examples,), written: what the outputs are multiplied by
    is_managed: bool,
    limit: float,  # of the inputs, infinite: none
    step: float,  # of the DAC; 0: there is none
    bound: float,  # of the DAC
    input_noise: float,
    first_example: int,
    key: NDArray[np.uint32],  # (2,) of the input noise
    repetition: int,  # under bound management, counted from 0: keys the noise
    reduction: float,  # of the input, in this repetition
) -> None:
    """Scale, convert and perturb input vectors; one that is not finite gets a scale of NaN."""
    use_full_width()
    inverse_step = np.float32(1 / step) if step > 0 else np.float32(0)
    step32, top, range32 = np.float32(step), np.float32(bound), np.float32(limit)
    noise = np.empty(CHUNK, np.float32)
    words = np.empty(CHUNK // 2, np.uint32)
    for e in range(x.shape[0]):
        most = np.int32(0)
        for i in range(x.shape[1]):
            most = max(most, _size(x[e, i]))
        alpha = np.float32(reduction)
        if most >= _INFINITE:
            alpha = np.float32(np.nan)
        elif is_managed:
            alpha = min(np.int32(most).view(np.float32), range32) * np.float32(reduction)
        elif limit < np.inf:
            alpha = range32 * np.float32(reduction)
        scale[e] = alpha
        factor = np.float32(1) / alpha if alpha >= _SMALLEST else np.float32(0)
        for i in range(x.shape[1]):
            v = min(max(x[e, i], -range32), range32) * factor
            if step > 0:
                v = np.rint(min(max(v, -top), top) * inverse_step) * step32
            driven[e, i] = v
        if input_noise > 0:
            for chunk in range((x.shape[1] + CHUNK - 1) // CHUNK):
                fill_normals(noise, words, chunk, repetition, first_example + e, 0, key[0], key[1])
                first = chunk * CHUNK
                for i in range(min(CHUNK, x.shape[1] - first)):
                    driven[e, first + i] += np.float32(input_noise) * noise[i]


@inlined
def _four_squares(driven, e):
    """Sums of squares of four rows, each in the order of its lines: one alone waits for itself."""
    last = driven.shape[0] - 1
    f, g, h = min(e + 1, last), min(e + 2, last), min(e + 3, last)
    a, b, c, d = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    for i in range(driven.shape[1]):
        a += driven[e, i] * driven[e, i]
        b += driven[f, i] * driven[f, i]
        c += driven[g, i] * driven[g, i]
        d += driven[h, i] * driven[h, i]
    return a, b, c, d


@kernel
def sense(
    y: NDArray[np.float32],  # (examples, lines) products; changed in place into results
    driven: NDArray[np.float32],  # (examples, input lines)
    scale: NDArray[np.float32],  # (examples,)
    step: float,  # of the ADC; 0: there is none
    bound: float,  # of the ADC
    output_noise: float,
    weight_noise: float,
    first_example: int,
    key: NDArray[np.uint32],  # (2,) of the output noise
    repetition: int,  # as of ``drive``
    scatter: NDArray[np.float32],  # (examples, lines) variance of the products; (0, 0): none
    saturated: NDArray[np.bool_],  # (examples,), written: whether any output reached the bound
) -> bool:
    """Perturb, convert and scale back output vectors; returns whether any example saturated.

    A converter would hide that a product is not finite: it becomes NaN.
    """
    use_full_width()
    inverse_step = np.float32(1 / step) if step > 0 else np.float32(0)
    step32, limit = np.float32(step), np.float32(bound)
    noise = np.empty(CHUNK, np.float32)
    words = np.empty(CHUNK // 2, np.uint32)
    squares = np.zeros(y.shape[0] + 3, np.float32)
    if weight_noise > 0:
        for e in range(0, y.shape[0], 4):
            squares[e], squares[e + 1], squares[e + 2], squares[e + 3] = _four_squares(driven, e)
    n = y.shape[1]
    any_saturated = False
    for e in range(y.shape[0]):
        deviation = np.float32(output_noise)
        if weight_noise > 0:
            of_weights = weight_noise * weight_noise * np.float64(squares[e])
            deviation = np.float32(np.sqrt(output_noise * output_noise + of_weights))
        if deviation > np.float32(0) or scatter.shape[0]:
            for chunk in range((n + CHUNK - 1) // CHUNK):
                fill_normals(noise, words, chunk, repetition, first_example + e, 0, key[0], key[1])
                first = chunk * CHUNK
                if scatter.shape[0]:
                    for j in range(min(CHUNK, n - first)):
                        variance = deviation * deviation + scatter[e, first + j]
                        y[e, first + j] += np.sqrt(variance) * noise[j]
                else:
                    for j in range(min(CHUNK, n - first)):
                        y[e, first + j] += deviation * noise[j]
        most = np.int32(0)
        factor = scale[e]
        for j in range(n):
            v = y[e, j]
            size = _size(v)
            most = max(most, size)
            if step > 0:
                v = min(max(np.rint(v * inverse_step) * step32, -limit), limit)
            y[e, j] = v * factor if size < _INFINITE else np.float32(np.nan)
        largest = np.int32(most).view(np.float32)
        saturated[e] = step > 0 and largest >= limit and most < _INFINITE
        any_saturated |= saturated[e]
    return any_saturated


_Scratch = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]


class _Scratches(threading.local):
    """Room for one read: tiles are read one after the other, so a thread needs it once."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int], _Scratch] = {}

    def room(self, n: int, lines: int) -> _Scratch:
        """Driven lines, scales and saturation flags: arrays that no result refers to."""
        if (n, lines) not in self._kept:
            self._kept[n, lines] = (
                np.empty((n, lines), np.float32),
                np.empty(n, np.float32),
                np.empty(n, np.bool_),
            )
        return self._kept[n, lines]


_SCRATCHES = _Scratches()


class Cells(NamedTuple):
    """The weights that a read sees, with their variance and the losses of the wires.

    Attributes:
        weights: ``(inputs, outputs)``.
        variance: ``(inputs, outputs)`` of the weights from read to read, or None.
        lost: ``(vectors, outputs)`` that wires take off the product of ``(vectors, inputs)``.
        measured: The product of ``(vectors, inputs)`` where a board makes it, or None.
    """

    weights: NDArray[np.float32]
    variance: NDArray[np.float32] | None = None
    lost: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None
    measured: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None

    def product(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Product of ``(vectors, inputs)`` with the weights, through DACs, wires and ADCs."""
        if self.measured is not None:
            return self.measured(x)
        y = x @ self.weights
        return y if self.lost is None else y - self.lost(x)


class Reader:
    """Reads one tile in one direction.

    Args:
        config: The periphery.
        forward: Whether word lines are driven: bound management and the input range are for that.

    Attributes:
        repeats: Reads so far that bound management has repeated, each as often as it did.
    """

    def __init__(self, config: ReadConfig, *, forward: bool) -> None:
        self.ideal = config.is_ideal
        self.repeats = 0
        self._largest_reduction = config.largest_reduction
        self._repeats = (
            forward and config.bound_management == "iterative" and self._largest_reduction >= 1
        )
        dac, adc = config.dac, config.adc
        self._drive = DriveSettings(
            is_managed=config.noise_management == "abs_max",
            limit=config.input_range if forward and config.input_range else np.inf,
            step=dac.step if dac else 0.0,
            bound=dac.range if dac else 0.0,
            input_noise=float(config.input_noise),
        )
        self._sense = SenseSettings(
            step=adc.step if adc else 0.0,
            bound=adc.range if adc else 0.0,
            output_noise=float(config.output_noise),
            weight_noise=float(config.weight_noise),
        )

    def product(
        self,
        x: NDArray[np.float32],
        cells: Cells,
        first_example: int,
        keys: NDArray[np.uint32],
    ) -> NDArray[np.float32]:
        """Drive ``cells`` with ``x`` and convert what comes out.

        Args:
            x: ``(examples, inputs)``.
            cells: Normalised weights; a transposed view is fine. Their variance enters as noise of
                the outputs, whose variance is that of a sum of independent fluctuations.
            first_example: Number of the first example, which keys the noise.
            keys: ``(2, 2)``: keys of input and output noise.

        Returns:
            ``(examples, outputs)``.
        """
        if self.ideal and cells.variance is None:
            return cells.product(x)
        y, saturated = self._once(x, cells, first_example, keys, 0, 1.0)
        if saturated is not None and self._repeats:
            for e in np.flatnonzero(saturated).tolist():
                y[e] = self._reduced(x[e : e + 1], cells, first_example + e, keys)
        return y

    def _once(
        self,
        x: NDArray[np.float32],
        cells: Cells,
        first_example: int,
        keys: NDArray[np.uint32],
        repetition: int,
        reduction: float,
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
        driven, scale, flags = _SCRATCHES.room(*x.shape)
        drive(x, driven, scale, *self._drive, first_example, keys[0], repetition, reduction)
        y = cells.product(driven)
        scatter = _NONE
        if cells.variance is not None:
            scatter = np.matmul(np.square(driven), cells.variance)
        any_saturated = sense(
            y, driven, scale, *self._sense, first_example, keys[1], repetition, scatter, flags
        )
        return y, flags if any_saturated else None

    def _reduced(
        self,
        x: NDArray[np.float32],
        cells: Cells,
        example: int,
        keys: NDArray[np.uint32],
    ) -> NDArray[np.float32]:
        """Repeat one saturated example, each time with half the input, until it fits."""
        reduction, repetition = 1.0, 0
        saturated: NDArray[np.bool_] | None = np.ones(1, np.bool_)
        while saturated is not None and reduction <= self._largest_reduction:
            reduction, repetition = 2 * reduction, repetition + 1
            y, saturated = self._once(x, cells, example, keys, repetition, reduction)
        self.repeats += repetition
        return y[0]
