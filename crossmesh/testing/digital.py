"""Suites for functions of digital units, for those with parameters, and for losses."""

import copy
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.random import Stream
from crossmesh.tiles.digital import Call, Function, Learned, Loss

Array = NDArray[np.float32]

_H = np.float32(1e-2)  # of finite differences in float32


class FunctionTests:
    """Rules of what digital units compute.

    Needs ``function``, and the shapes of its inputs and output unless it takes one input and keeps
    its shape. Inputs are evenly spaced values in random order, so none is near another or 0, where
    a maximum or a rectifier has no derivative.

    Attributes:
        function: The function.
        shapes: Shapes of its inputs: ``(examples * positions, features)``.
        output: Shape of its output; by default that of its first input.
        tolerance: Of derivatives, which are compared with finite differences in float32.
        tokens: Size of the vocabulary, if inputs are the numbers of tokens.
    """

    function: ClassVar[Function]
    shapes: ClassVar[Sequence[tuple[int, int]]] = ((4, 6),)
    output: ClassVar[tuple[int, int] | None] = None
    tolerance: ClassVar[float] = 2e-2
    tokens: ClassVar[int] = 0

    def call(self) -> Call:
        """What the function knows besides its inputs."""
        return Call(first_example=7, seed=11)

    def value(self, inputs: Sequence[Array], call: Call) -> Array:
        """The function of some inputs."""
        out = np.full(self.output or self.shapes[0], np.nan, np.float32)
        self.function.forward(inputs, out, call)
        return out

    def inputs(self) -> list[Array]:
        """Inputs drawn at random."""
        draw = np.random.default_rng(0)
        if self.tokens:
            return [
                draw.integers(0, self.tokens, shape).astype(np.float32) for shape in self.shapes
            ]
        return [_spaced(draw, shape) for shape in self.shapes]

    def errors(self, seed: int = 1) -> Array:
        """Errors at the output."""
        shape = self.output or self.shapes[0]
        return np.random.default_rng(seed).normal(size=shape).astype(np.float32)

    def given(self, inputs: Sequence[Array], y: Array) -> tuple[Sequence[Array], Array | None]:
        """Inputs and output for the backward pass: none where the function reads none."""
        needs = self.function
        return inputs if needs.needs_inputs else [], y if needs.needs_output else None

    def test_every_element_is_written_also_of_a_view(self) -> None:
        """An output may be some columns of a larger array; the bits are the same, and repeat."""
        inputs, call = self.inputs(), self.call()
        whole, view = self.value(inputs, call), _view(self.errors())
        self.function.forward(inputs, view, call)

        assert np.isfinite(whole).all(), "forward must write a finite number to every element"
        np.testing.assert_array_equal(view, whole, "forward must fill views with the same")
        np.testing.assert_array_equal(self.value(inputs, call), whole, "forward must repeat itself")

    def test_views_do_not_matter_to_the_backward_pass(self) -> None:
        """Errors and outputs may be some columns of larger arrays as well."""
        if not self.function.passes_errors:
            return
        inputs, call, d = self.inputs(), self.call(), self.errors()
        y = self.value(inputs, call)
        for index in range(len(inputs)):
            whole, of_views = (
                self.function.backward(error, index, *self.given(inputs, output), call)
                for error, output in ((d, y), (_view(d), _view(y)))
            )
            np.testing.assert_array_equal(of_views, whole, "backward must do the same with views")

    def test_its_description_is_true(self) -> None:
        """Values are within the limits that bound converters, and work is above 0."""
        y = self.value(self.inputs(), self.call())
        lowest, highest = self.function.limits

        assert y.min() >= lowest, f"values must be within limits ({lowest}, {highest})"
        assert y.max() <= highest, f"values must be within limits ({lowest}, {highest})"
        assert self.function.work >= 0, "work must be at least 0"

    def test_nothing_that_is_given_is_changed(self) -> None:
        """Inputs, output and errors belong to others."""
        inputs, call = self.inputs(), self.call()
        before = [array.copy() for array in inputs]
        y, d = self.value(inputs, call), self.errors()
        kept, error = y.copy(), d.copy()
        if self.function.passes_errors:
            for index in range(len(inputs)):
                self.function.backward(d, index, *self.given(inputs, y), call)

        for array, old in zip(inputs, before, strict=True):
            np.testing.assert_array_equal(array, old, "inputs must stay as they are")
        np.testing.assert_array_equal(y, kept, "backward must leave the output as it is")
        np.testing.assert_array_equal(d, error, "backward must leave the error as it is")

    def test_the_backward_pass_is_the_gradient(self) -> None:
        """By finite differences."""
        if not self.function.passes_errors:
            return
        inputs, call = self.inputs(), self.call()
        y, d = self.value(inputs, call), self.errors()
        for index, x in enumerate(inputs):
            error = self.function.backward(d, index, *self.given(inputs, y), call)

            def total(moved: Array, index: int = index) -> float:
                changed = [*inputs[:index], moved, *inputs[index + 1 :]]
                return float((self.value(changed, call).astype(float) * d).sum())

            assert error.shape == x.shape, f"the error at input {index} must have its shape"
            np.testing.assert_allclose(
                error, _slopes(total, x), atol=self.tolerance,
                err_msg=f"backward must be the gradient by input {index}",
            )  # fmt: skip


class LearnedTests(FunctionTests):
    """Rules of functions with parameters: those of functions, and of what they learn.

    Needs what ``FunctionTests`` needs.

    Attributes:
        function: The function.
        follow: Which rows of its parameters follow the gradient; the others it changes otherwise,
            such as running statistics.
    """

    function: ClassVar[Learned]
    follow: ClassVar[slice] = slice(None)

    def call(self) -> Call:
        """With parameters near the initial ones, each of its own."""
        spread = np.random.default_rng(2).uniform(0, 0.5, self.function.shape)
        initial = self.function.initial(Stream(seed=5, owner=3))
        return super().call()._replace(parameters=initial + spread.astype(np.float32))

    def test_initial_parameters_follow_from_the_stream(self) -> None:
        """They have the shape that the digital memory reserves."""
        one, again = (self.function.initial(Stream(seed=5, owner=3)) for _ in range(2))

        assert one.shape == self.function.shape, "initial must have the shape of the parameters"
        assert one.dtype == np.float32, "initial must be float32"
        np.testing.assert_array_equal(one, again, "the same stream must give the same parameters")

    def test_learning_follows_the_gradient_by_the_parameters(self) -> None:
        """One step of SGD, by finite differences; where the error is 0, nothing is learned."""
        inputs, call, d, rate = self.inputs(), self.call(), self.errors(), 0.125
        before, given = call.parameters.copy(), self.given(inputs, self.value(inputs, call))[0]
        np.testing.assert_array_equal(
            call.parameters[self.follow], before[self.follow], "forward must not learn"
        )
        call.parameters[:] = before
        kept = [array.copy() for array in inputs]
        self.function.learn(_view(d), given, call, rate)
        for array, old in zip(inputs, kept, strict=True):
            np.testing.assert_array_equal(array, old, "learn must leave its inputs")
        change = (call.parameters - before)[self.follow] / rate
        error = self.function.parameter_error(_view(d), given, call)

        def total(parameters: Array) -> float:
            moved = call._replace(parameters=parameters)
            return float((self.value(inputs, moved).astype(float) * d).sum())

        np.testing.assert_allclose(
            change, _slopes(total, before)[self.follow], atol=self.tolerance,
            err_msg="learn must add the rate times the gradient by the parameters",
        )  # fmt: skip
        np.testing.assert_allclose(
            change[: len(error)], error, atol=self.tolerance,
            err_msg="learn must add the rate times parameter_error",
        )  # fmt: skip
        call.parameters[:] = before
        self.function.learn(np.zeros_like(d), given, call, rate)
        np.testing.assert_array_equal(
            call.parameters[self.follow], before[self.follow], "no error must mean no change"
        )


class LossTests:
    """Rules of losses.

    Needs ``loss``. Where it looks through no activation, its error is compared with finite
    differences of the loss.

    Attributes:
        loss: The loss.
        outputs: Outputs of the network that it may be given, by default drawn between 0 and 1.
    """

    loss: ClassVar[Loss]
    outputs: ClassVar[tuple[float, float]] = (0.1, 0.9)

    def drawn(self, seed: int = 0) -> Array:
        """Outputs or targets of three examples."""
        draw = np.random.default_rng(seed)
        return draw.uniform(*self.outputs, (3, 4)).astype(np.float32)

    def test_its_error_is_minus_its_gradient(self) -> None:
        """Finite and of the shape of the outputs; both are left as they are."""
        y, targets = self.drawn(0), self.drawn(1)
        kept = y.copy(), targets.copy()
        total, d = self.loss.evaluate(y, targets)

        np.testing.assert_array_equal((y, targets), kept, "outputs and targets must stay")
        assert np.isfinite(total), "the loss must be finite"
        assert d.shape == y.shape, "the error must have the shape of the outputs"
        assert d.dtype == np.float32, "the error must be float32"
        if self.loss.behind is None:
            slopes = _slopes(lambda moved: self.loss.evaluate(moved, targets)[0], y)
            np.testing.assert_allclose(
                d, -slopes, atol=1e-3, err_msg="the error must be minus the gradient"
            )

    def test_it_can_be_a_part_of_a_config(self) -> None:
        """It has a hash, so nothing in it can change."""
        assert hash(self.loss) == hash(copy.deepcopy(self.loss)), "a loss must be a frozen value"

    def test_it_is_a_sum_over_examples(self) -> None:
        """However many come together, so that micro-batches change nothing."""
        y, targets = self.drawn(0), self.drawn(1)
        total, d = self.loss.evaluate(y, targets)
        parts = [self.loss.evaluate(y[i : i + 1], targets[i : i + 1]) for i in range(len(y))]

        np.testing.assert_allclose(total, sum(part[0] for part in parts), rtol=1e-5)
        np.testing.assert_allclose(
            d, np.concatenate([part[1] for part in parts]), rtol=1e-5, atol=1e-7,
            err_msg="the error of an example must not depend on the others",
        )  # fmt: skip

    def test_classes_count_as_one_hot(self) -> None:
        """As numbers, and as values."""
        y = self.drawn()
        classes = np.array([2, 0, 3], np.int32)
        by_class, by_value = (
            self.loss.evaluate(y, targets) for targets in (classes, np.eye(4, dtype="f4")[classes])
        )

        np.testing.assert_allclose(
            by_class[0], by_value[0], rtol=1e-5, err_msg="the loss of a class must be as of one-hot"
        )
        np.testing.assert_allclose(
            by_class[1], by_value[1], rtol=1e-5, atol=1e-7,
            err_msg="the error of a class must be as of one-hot values",
        )  # fmt: skip


def _spaced(draw: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Evenly spaced values about 0, in random order: from -2 to 2, or beyond if they are many."""
    n = shape[0] * shape[1]
    reach = max(2.0, 2 * float(_H) * n)
    values = np.linspace(-reach, reach, n + n % 2)[:n]
    return draw.permutation(values).reshape(shape).astype(np.float32)


def _view(array: Array) -> Array:
    """The same values in every other column of a larger array."""
    wide = np.full((array.shape[0], 2 * array.shape[1]), np.nan, np.float32)
    wide[:, ::2] = array
    return wide[:, ::2]


def _slopes(value: Callable[[Array], float], at: Array) -> Array:
    """Central differences of a number by every element of an array."""
    found = np.empty_like(at)
    for place in np.ndindex(at.shape):
        up, down = at.copy(), at.copy()
        up[place] += _H
        down[place] -= _H
        found[place] = (value(up) - value(down)) / float(up[place] - down[place])
    return found
