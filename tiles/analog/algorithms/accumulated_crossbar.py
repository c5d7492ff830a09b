"""A crossbar whose updates add up in digital memory first."""
# ruff: noqa: D102  because AccumulatedCell says what each member of Accumulated is

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.random import Purpose
from crossmesh.tiles.analog.algorithms.accumulating import add_and_count
from crossmesh.tiles.analog.algorithms.line_access import LinesWriter, let_pass
from crossmesh.tiles.analog.algorithms.lines import lines_of, pieces
from crossmesh.tiles.analog.array import Array, Factor, State
from crossmesh.tiles.analog.pulser import Site
from crossmesh.tiles.analog.wear import Wear, wear_of


class Accumulated(Protocol):
    """What a crossbar asks of its cell; every member is as in ``AccumulatedCell``."""

    @property
    def algorithm(self) -> Any: ...

    @property
    def below(self) -> Any: ...

    @property
    def batch(self) -> int: ...


class Lit(NamedTuple):
    """Lines of a tile that are written.

    Attributes:
        rows: ``(rows,)`` whether a word line is.
        columns: ``(cols,)`` 1 where a bit line is, and 0.
    """

    rows: NDArray[np.bool_]
    columns: Array


class AccumulatedCrossbar:
    """A crossbar whose updates add up in digital memory first.

    Args:
        cell: Parameters of the cells.
        site: Shape, random numbers and settings.
    """

    def __init__(self, cell: Accumulated, site: Site) -> None:
        algorithm = cell.algorithm
        self._settings = algorithm
        update = algorithm.write or site.update
        self._below = cell.below.crossbar(site._replace(update=update))
        self._of_outputs = algorithm.line == "bit"
        self._lines = lines_of(
            algorithm.line_settings(cell.batch), site.shape, site.vectors, site.first, site.whole
        )
        self._granularity = algorithm.granularity or cell.below.granularity
        self._writer = algorithm.write and LinesWriter(
            self._below, cell.below.granularity, site._replace(update=update), self._lines,
            of_outputs=self._of_outputs,
        )  # fmt: skip
        self._cuts = self._lines  # an optimiser steps also when lines of other tiles are due
        if algorithm.optimizer is not None:
            self._cuts = replace(self._lines, first=0, own=self._lines.total)
        self._stream = site.stream
        self._shape = site.shape
        rows, columns = site.shape
        self._all = Lit(np.ones(rows, np.bool_), np.ones(columns, np.float32))
        self._none = Lit(np.zeros(rows, np.bool_), np.zeros(columns, np.float32))
        self._accumulator = np.zeros(site.shape, np.float32)
        self._counts = np.zeros(site.shape, np.int16)
        self._moments: dict[str, Array] = {}
        if algorithm.optimizer is not None:
            names = ("gradient", *algorithm.optimizer.moments)
            self._moments = {name: np.zeros(site.shape, np.float32) for name in names}
        self._steps = np.zeros(1, np.int64)
        self.weights = self._below.weights
        self.variance = self._below.variance

    @property
    def ages(self) -> bool:
        """Whether the cells change with time alone."""
        return self._below.ages

    @property
    def pulses(self) -> int:
        """Pulses sent so far."""
        return self._below.pulses

    @property
    def wear(self) -> Mapping[str, Wear]:
        """Those of the cells."""
        return wear_of(self._below)

    def write(self, weights: Array) -> None:
        """Write the cells, and clear what has added up."""
        self._below.write(weights)
        self._accumulator[:] = 0
        for moment in self._moments.values():
            moment[:] = 0
        self._steps[:] = 0

    def update(self, x: Array, d: Array, rate: float, first_example: int) -> None:
        """Add outer products up; write lines when they are due.

        Raises:
            ValueError: A value is not finite, which whole pulses would hide.
        """
        if not (np.isfinite(x).all() and np.isfinite(d).all() and np.isfinite(rate)):
            raise ValueError(
                "inputs, errors and rate of an update must be finite, got infinity or NaN; "
                "a smaller training.learning_rate may help"
            )
        x = self._rounded(x, self._settings.input_bins, first_example, 0)
        d = self._rounded(d, self._settings.error_bins, first_example, 1)
        for start, stop in pieces(first_example, len(x), self._cuts):
            turn = self._lines.first_turn(first_example + stop)
            due = self._due(first_example + stop) if turn is not None else self._none
            let_pass(self._below, self._shape, first_example + start, stop - start)
            if self._moments:
                self._gather(x[start:stop], d[start:stop], rate, is_due=turn is not None)
                if turn is not None:
                    self._add(np.zeros_like(x[0]), d[0], 0.0, due, turn)
            else:
                before = slice(start, stop - 1)
                if stop - start > 1:
                    self._accumulator += np.float32(rate) * (x[before].T @ d[before])
                self._add(x[stop - 1], d[stop - 1], rate, due, turn or 0)

    def pulse_counts(self, counts: NDArray[np.int16], rows: slice, example: int) -> None:
        """Send the cells so many pulses."""
        self._below.pulse_counts(counts, rows, example)

    def _gather(self, x: Array, d: Array, rate: float, *, is_due: bool) -> None:
        """Add to the gradient; when lines are due, let the optimiser step with it."""
        gradient = self._moments["gradient"]
        gradient += x.T @ d
        if is_due:
            optimizer = self._settings.optimizer
            assert optimizer is not None
            self._steps += 1
            number = int(self._steps[0])
            optimizer.move(self._accumulator, -gradient, rate, self._moments, number)
            gradient[:] = 0

    def _due(self, count: int) -> Lit:
        """The lines of the tile that are due when ``count`` vectors have been applied."""
        if self._lines.reads == self._lines.total:
            return self._all
        due = Lit(self._all.rows.copy(), self._all.columns.copy())
        side = due[self._of_outputs]
        side[:] = 0
        side[[turn.line for turn in self._lines.due(count)]] = 1
        return due

    def _add(self, x: Array, d: Array, rate: float, due: Lit, turn: int) -> None:
        """Add one more outer product, and write the lines that are due."""
        longest = self._settings.longest
        any_pulses = add_and_count(
            self._accumulator, x, d, rate, self._granularity, longest, *due, self._counts
        )
        if any_pulses and self._writer:
            self._writer.by_trains(turn, self._counts, self._granularity)
        elif any_pulses:
            self._below.pulse_counts(self._counts, slice(0, self._shape[0]), turn)

    def _rounded(self, values: Array, bins: int, first_example: int, side: int) -> Array:
        """Vectors on levels between their largest magnitudes."""
        if not bins:
            return values
        half = np.float32(bins // 2)
        width = np.abs(values).max(axis=1, keepdims=True) / half
        width[width == 0] = 1
        steps = values / width
        if self._settings.rounding == "stochastic":
            for e, step in enumerate(steps):
                shape = (1, len(step))
                number = first_example + e
                step += self._stream.uniform(Purpose.ROUNDING, shape, draw=number, part=side)[0]
            steps = np.floor(steps)
        else:
            steps = np.trunc(steps + np.copysign(np.float32(0.5), steps))
        rounded: Array = np.clip(steps, -half, half) * width
        return rounded

    def product(self, x: Array, *, backward: bool) -> Array:
        """Product of ``(vectors, inputs)`` with the weights, made by a board."""
        made: Any = self._below  # of a cell that can lie on one
        return np.asarray(made.product(x, backward=backward), np.float32)

    def arrays(self) -> list[tuple[Factor, Array]]:
        """Those of the cells."""
        return self._below.arrays()

    def state(self) -> State:
        """State of the cells, and what has added up."""
        below = {f"below_{name}": value for name, value in self._below.state().items()}
        return {**below, "accumulator": self._accumulator, **self._moments, "steps": self._steps}

    def load(self, state: State) -> None:
        """Take over a saved state."""
        self._below.load({name: state[f"below_{name}"] for name in self._below.state()})
        self._accumulator[:] = state["accumulator"]
        for name, moment in self._moments.items():
            moment[:] = state[name]
        self._steps[:] = state["steps"]
