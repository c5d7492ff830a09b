"""What tests of operators need: cases of them, and what must hold for each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from crossmesh.tiles.digital.base import Call
from crossmesh.tiles.digital.operators import OPERATORS, Operand, WithParameter

torch = pytest.importorskip("torch", reason="compares with PyTorch")

N = 7  # examples
CALL = Call()


def normal(rng, shape):
    return rng.normal(size=shape)


def positive(rng, shape):
    return rng.uniform(0.2, 3.0, size=shape)


def proper(rng, shape):
    return rng.uniform(-0.9, 0.9, size=shape)


def whole(low, high):
    """Whole numbers from ``low`` up to ``high``, without it."""
    return lambda rng, shape: rng.integers(low, high, size=shape).astype(float)


@dataclass(frozen=True)
class Case:
    """An operator, axes of its operands, and PyTorch's function of tensors with examples first.

    Attributes:
        name: Of the operator.
        reference: The function; what it is given is float64.
        shapes: Axes of the operands without that of the examples.
        settings: Of the operator.
        draws: How each operand is drawn; the last one is for all that follow.
        differentiable: Which operands have errors; None: all, if the operator passes errors.
        rtol: Relative tolerance; ``atol`` is as large, times the largest value.
    """

    name: str
    reference: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...] = ((4, 3, 5),)
    settings: dict[str, Any] = field(default_factory=dict)
    draws: tuple[Callable[..., Any], ...] = (normal,)
    differentiable: tuple[int, ...] | None = None
    rtol: float = 2e-6

    def __str__(self) -> str:
        settings = ",".join(f"{name}={value}" for name, value in self.settings.items())
        return f"{self.name}({settings})-{self.shapes}"

    def operator(self, orders=None):
        """The operator, whose operands lie in an order each; None: as they are."""
        operands = tuple(
            Operand(shape) if order is None else Operand(lying(shape, order), order)
            for shape, order in zip(self.shapes, orders or [None] * len(self.shapes), strict=True)
        )
        return OPERATORS[self.name](operands=operands, **self.settings)

    def tensors(self, n=N, seed=0):
        """Operands ``(n, *axes)``, float32."""
        rng = np.random.default_rng(seed)
        draws = self.draws + self.draws[-1:] * len(self.shapes)
        return [
            draw(rng, (n, *shape)).astype(np.float32)
            for draw, shape in zip(draws, self.shapes, strict=False)
        ]

    def with_errors(self, operator):
        """Numbers of the operands that have errors."""
        if not operator.passes_errors:
            return ()
        if self.differentiable is None:
            return tuple(range(len(self.shapes)))
        return self.differentiable


def lying(shape, order):
    """Sizes of an example as it lies, whose axes in an order are ``shape``."""
    return tuple(shape[order.index(axis)] for axis in range(len(shape)))


def turned(shapes):
    """Orders in which the operands lie: the last axis first."""
    return [(*range(1, len(shape)), 0) if len(shape) > 1 else None for shape in shapes]


def run(operator, tensors, strided=False):
    """The result ``(n, *axes)`` of operands ``(n, *axes)``, and what they are as they lie."""
    flat = [o.lying(t) for o, t in zip(operator.operands, tensors, strict=True)]
    n = max(len(t) for t in tensors)
    size = int(np.prod(operator.axes))
    out = np.full((n, 2 * size), np.nan, np.float32)[:, ::2] if strided else None
    if out is None:
        out = np.full((n, size), np.nan, np.float32)
    operator.forward(flat, out, CALL)
    return out.reshape(n, *operator.axes), flat


def errors(operator, flat, y, d, which):
    """Errors ``(n, *axes)`` at some operands."""
    inputs = flat if operator.needs_inputs else []
    output = y.reshape(len(y), -1) if operator.needs_output else None
    result = []
    for index in which:
        back = operator.backward(d.reshape(len(d), -1), index, inputs, output, CALL)
        result.append(operator.operands[index].seen(back))
    return result


def expected(case, tensors, d, which):
    """Values and gradients of PyTorch, in float64."""
    leaves = [torch.tensor(t, dtype=torch.float64, requires_grad=True) for t in tensors]
    n = max(len(t) for t in tensors)
    result = case.reference(*(t.expand(n, *t.shape[1:]) for t in leaves))
    slopes = []
    if which:
        result.backward(torch.tensor(d, dtype=torch.float64))
        slopes = [leaves[i].grad for i in which]
    slopes = [
        np.zeros(tensors[i].shape) if s is None else s.numpy()
        for i, s in zip(which, slopes, strict=True)
    ]
    return result.detach().to(torch.float64).numpy(), slopes


def assert_close(case, actual, wanted):
    wanted = np.asarray(wanted)
    finite = wanted[np.isfinite(wanted)]
    atol = case.rtol * (1 + np.abs(finite).max(initial=0))
    np.testing.assert_allclose(actual, wanted, rtol=case.rtol, atol=atol)


def check_values(case, orders=None, seed=0):
    """Values and errors are PyTorch's, wherever operands and the result lie."""
    operator = case.operator(orders)
    tensors = case.tensors(seed=seed)
    which = case.with_errors(operator)
    y, flat = run(operator, tensors, strided=orders is not None)
    d = np.random.default_rng(1).normal(size=y.shape).astype(np.float32)
    values, slopes = expected(case, tensors, d, which)

    assert y.shape == values.shape
    assert_close(case, y, values)
    for actual, wanted in zip(errors(operator, flat, y, d, which), slopes, strict=True):
        assert_close(case, actual, wanted)


def check_alone(case):
    """Every example has the same bits, whichever others come with it."""
    operator = case.operator(turned(case.shapes))
    tensors = case.tensors()
    which = case.with_errors(operator)
    y, flat = run(operator, tensors)
    d = np.random.default_rng(1).normal(size=y.shape).astype(np.float32)
    together = errors(operator, flat, y, d, which)
    for part in (slice(0, 1), slice(N - 1, N), slice(2, 4)):
        some, flat = run(operator, [t[part] for t in tensors])
        np.testing.assert_array_equal(some, y[part])
        alone = errors(operator, flat, some, d[part], which)
        for one, all_of_them in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one, all_of_them[part])


def check_parameter(case, place):
    """A parameter stands for all examples; its error is the sum over them."""
    operator = case.operator(turned(case.shapes))
    tensors = case.tensors()
    tensors[place] = tensors[place][:1]
    which = case.with_errors(operator)
    learned = WithParameter(operator=operator, place=place)
    flat = [o.lying(t) for o, t in zip(operator.operands, tensors, strict=True)]
    call = Call(parameters=flat.pop(place).reshape(learned.shape))
    y = np.empty((N, int(np.prod(operator.axes))), np.float32)
    learned.forward(flat, y, call)
    d = np.random.default_rng(1).normal(size=y.shape).astype(np.float32)
    values, slopes = expected(case, tensors, d.reshape(N, *operator.axes), which)

    assert_close(case, y.reshape(values.shape), values)
    for index, wanted in zip(which, slopes, strict=True):
        if index == place:
            actual = learned.parameter_error(d, flat, call)
        else:
            inputs = flat if learned.needs_inputs else []
            output = y if learned.needs_output else None
            actual = learned.backward(d, index - (index > place), inputs, output, call)
        seen = operator.operands[index].seen(actual.astype(np.float32))
        assert_close(case, seen, wanted)
