"""Operators of random shapes, whose operands lie in any order; and what operators refuse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmesh.common.errors import DataError
from crossmesh.tiles.digital.base import Call
from crossmesh.tiles.digital.operators import OPERATORS, Operand, WithParameter
from tests.tiles.digital.operators.operator_material import (
    Case,
    check_alone,
    check_values,
    positive,
    run,
    torch,
)

AXES = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)
COMBINATIONS = {
    "add": torch.add,
    "subtract": torch.subtract,
    "multiply": torch.multiply,
    "divide": torch.divide,
    "maximum": torch.maximum,
    "power": torch.pow,
}
REDUCTIONS = {
    "sum": torch.sum,
    "mean": torch.mean,
    "max": torch.amax,
    "log_sum_exp": torch.logsumexp,
    "l2": lambda x, dim, keepdim: torch.linalg.vector_norm(x, 2, dim, keepdim),
}


def order_of(draw, axes):
    return tuple(draw(st.permutations(range(len(axes)))))


@given(st.data(), AXES, st.sampled_from(sorted(COMBINATIONS)))
def test_any_shapes_are_spread_over_each_other(data, axes, name):
    masks = [data.draw(st.lists(st.booleans(), min_size=len(axes), max_size=len(axes)))] * 2
    masks[1] = (
        [not spread for spread in masks[0]] if data.draw(st.booleans()) else [True] * len(axes)
    )
    shapes = tuple(
        tuple(n if kept else 1 for n, kept in zip(axes, mask, strict=True)) for mask in masks
    )
    case = Case(name, COMBINATIONS[name], shapes, draws=(positive,))

    check_values(case, [order_of(data.draw, shape) for shape in shapes])
    check_alone(case)


@given(st.data(), AXES, st.sampled_from(sorted(REDUCTIONS)), st.booleans())
def test_any_axes_are_reduced(data, axes, name, keep):
    over = data.draw(st.sets(st.integers(0, len(axes) - 1), min_size=1).map(sorted).map(tuple))
    dim = tuple(1 + axis for axis in over)
    case = Case(
        name,
        lambda x: REDUCTIONS[name](x, dim=dim, keepdim=keep),
        (axes,),
        {"over": over, "keep": keep},
        rtol=1e-5,
    )

    check_values(case, [order_of(data.draw, axes)])
    check_alone(case)


@given(st.data(), AXES)
def test_any_arrangement_is_a_transposition_and_a_reshape(data, axes):
    order = order_of(data.draw, axes)
    sizes = (int(np.prod(axes)),) if data.draw(st.booleans()) else (1, *axes)

    check_values(
        Case("arrange", lambda x: x.reshape(-1, *sizes), (axes,), {"axes": sizes}), [order]
    )


@given(st.data(), AXES, st.integers(1, 5), st.integers(1, 5), st.integers(1, 5))
def test_any_matrices_are_multiplied(data, axes, m, k, n):
    a, b = (*axes[:2], m, k), (*(1 for _ in axes[:2]), k, n)
    case = Case("matmul", torch.matmul, (a, b), rtol=1e-5)

    check_values(case, [order_of(data.draw, shape) for shape in (a, b)])
    check_alone(case)


X, ROW = Operand((4, 3)), Operand((3,))
REFUSED = [
    ("add", (X,), {}, r"add\.operands must be 2, got 1"),
    ("affine", (X,), {"factor": float("nan")}, r"affine\.factor must be a number, got nan"),
    ("celu", (X,), {"alpha": 0.0}, r"celu\.alpha must not be 0, got 0\.0"),
    ("gelu", (X,), {"approximate": "erf"}, r"gelu\.approximate must be none or tanh, got erf"),
    (
        "arrange",
        (X,),
        {"axes": (5,)},
        r"arrange\.axes must hold 12 numbers as \(4, 3\), got \(5,\)",
    ),
    ("expand", (X,), {"axes": (4, 4)}, r"expand\.axes must be those of \(4, 3\) or spread 1"),
    ("take", (X,), {"axis": 0, "places": (4,)}, r"take\.places must be from -1 to 3, got \(4,\)"),
    ("take", (X,), {"axis": 2, "places": (0,)}, r"take\.axis must be from 0 to 1, got 2"),
    ("slice", (X,), {"axis": 0, "start": 0, "stop": 2, "step": 0}, r"slice\.step must not be 0"),
    ("slice", (X,), {"axis": 0, "start": 3, "stop": 2}, r"of an axis of 4, got 3:2:1"),
    ("pad", (X,), {"before": (1,), "after": (0, 0)}, r"pad\.before must be of 2 axes, got \(1,\)"),
    ("pad", (X,), {"before": (-4, 0), "after": (0, 0)}, r"pad must leave something"),
    ("concatenate", (X, ROW), {}, r"concatenate: axes must differ in axis 0 only"),
    ("concatenate", (), {}, r"concatenate\.operands must be at least 1, got 0"),
    ("trilu", (ROW,), {}, r"trilu must have two axes, got \(3,\)"),
    ("one_hot", (X,), {"axis": 0, "depth": 0}, r"one_hot\.depth must be at least 1, got 0"),
    ("gather_elements", (X, Operand((4, 4))), {}, r"places must fit into \(4, 3\), got \(4, 4\)"),
    ("scatter_elements", (X, X, ROW), {}, r"updates must be of \(4, 3\), got \(3,\)"),
    (
        "scatter_elements",
        (X, X, X),
        {"reduction": "mul"},
        r"reduction must be none or add, got mul",
    ),
    ("sum", (X,), {"over": (1, 0)}, r"sum\.over must be ascending axes from 0 to 1, got \(1, 0\)"),
    ("softmax", (X,), {"axis": 2}, r"softmax\.axis must be from 0 to 1, got 2"),
    ("top", (X,), {"axis": 0, "k": 5}, r"top\.k must be from 1 to 4, got 5"),
    (
        "top",
        (X,),
        {"axis": 0, "k": 1, "part": "all"},
        r"top\.part must be values or places, got all",
    ),
    ("matmul", (X, X), {}, r"matmul: axes must be \(\.\.\., m, k\) and \(\.\.\., k, n\)"),
    ("einsum", (X,), {"equation": "ii->i"}, r"einsum\.equation must have different letters"),
    ("einsum", (X,), {"equation": "ij"}, r"einsum\.equation must have different letters"),
    ("einsum", (X,), {"equation": "ijk->i"}, r"einsum\.equation must fit axes \[\(4, 3\)\]"),
    ("einsum", (X,), {"equation": "ij->k"}, r"the result's letters must be operands'"),
    ("einsum", (X, X), {"equation": "ij,jk->ik"}, r"einsum: a letter must have one size"),
    ("max_pooling", (ROW,), {"kernel": ()}, r"must have one to three spatial axes and channels"),
    ("max_pooling", (X,), {"kernel": (5,)}, r"max_pooling\.kernel must fit into the image \(4,\)"),
    ("max_pooling", (X,), {"kernel": (2, 2)}, r"max_pooling\.kernel must be 1 of at least 1"),
    ("lp_pooling", (X,), {"kernel": (2,), "p": 0}, r"lp_pooling\.p must be at least 1, got 0"),
    ("fold", (X,), {"sizes": (9,), "kernel": (3,)}, r"fold: axes must be \(7, '3 \* channels'\)"),
    ("convolve", (X, X), {}, r"convolve must have x \(\*spatial, channels\) and weight"),
    ("convolve", (X, Operand((2, 2, 4))), {}, r"convolve\.groups must divide channels and outputs"),
    ("resample", (X,), {"axis": 0, "size": 2, "mode": "area"}, r"resample\.mode must be one of"),
    ("resample", (X,), {"axis": 0, "size": 0}, r"resample\.size must be at least 1"),
    ("normalise", (X,), {"over": (0,), "epsilon": -1.0}, r"epsilon must not be below 0, got -1\.0"),
    ("lp_normalise", (X,), {"axis": 0, "p": 3}, r"lp_normalise\.p must be 1 or 2, got 3"),
    ("local_response", (X,), {"axis": 0, "size": 0}, r"local_response\.size must be at least 1"),
]


@pytest.mark.parametrize(("name", "operands", "settings", "message"), REFUSED)
def test_what_cannot_be_is_refused(name, operands, settings, message):
    with pytest.raises(ValueError, match=message):
        OPERATORS[name](operands=operands, **settings)


def test_axes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"must have axes alike, or of size 1"):
        _ = OPERATORS["add"](operands=(X, Operand((4, 2)))).axes
    with pytest.raises(ValueError, match=r"operands must have equally many axes"):
        _ = OPERATORS["add"](operands=(X, ROW)).axes


@pytest.mark.parametrize("place", [3.0, -4.0, np.nan])
def test_places_that_are_not_there_are_refused(place):
    lookup = OPERATORS["lookup"](operands=(ROW, Operand((1,))), axis=0)
    tensors = [np.zeros((1, 3), np.float32), np.full((1, 1), place, np.float32)]

    with pytest.raises(DataError, match=r"places must be from -3 to 2, got"):
        run(lookup, tensors)


def test_a_parameter_starts_alike_everywhere_and_takes_its_share_of_the_work():
    add = OPERATORS["add"](operands=(Operand((2, 3)), Operand((2, 3))))
    learned = WithParameter(operator=add, place=1, start=0.5)
    out = np.empty((2, 6), np.float32)

    parameters = learned.initial(None)
    learned.forward([np.zeros((2, 6), np.float32)], out, Call(parameters=parameters))

    assert learned.parameter == (2, 3)
    assert parameters.shape == (2, 3)
    assert np.all(out == 0.5)
    assert learned.work == 2.0


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "hard_sigmoid", "is_nan", "equal"])
def test_results_lie_within_their_limits(name):
    x = np.linspace(-90, 90, 12, dtype=np.float32).reshape(1, 4, 3)
    operator = OPERATORS[name](operands=(X,) * OPERATORS[name].n_operands)
    y, _ = run(operator, [x] * len(operator.operands))

    low, high = operator.limits
    assert np.all((y >= low) & (y <= high))
    if name in ("sigmoid", "tanh", "hard_sigmoid"):
        np.testing.assert_allclose([y.min(), y.max()], [low, high], atol=1e-30)


def test_a_row_of_shares_adds_up_to_one():
    assert OPERATORS["softmax"](operands=(ROW,), axis=0).sums_to_one
    assert not OPERATORS["softmax"](operands=(X,), axis=1).sums_to_one
