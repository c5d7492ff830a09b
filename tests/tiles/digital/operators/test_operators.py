"""Operators of digital units: values and errors of each are PyTorch's, with the same bits alone."""

import pytest

from tests.tiles.digital.operators.elementwise_cases import ELEMENTWISE
from tests.tiles.digital.operators.movement_cases import MOVEMENT
from tests.tiles.digital.operators.norm_cases import NORM
from tests.tiles.digital.operators.operator_material import (
    OPERATORS,
    Case,
    check_alone,
    check_parameter,
    check_values,
    positive,
    torch,
    turned,
)
from tests.tiles.digital.operators.pointwise_cases import POINTWISE_CASES
from tests.tiles.digital.operators.product_cases import PRODUCT
from tests.tiles.digital.operators.reduction_cases import REDUCTION
from tests.tiles.digital.operators.window_cases import WINDOW

CASES = [*NORM, *WINDOW, *PRODUCT, *REDUCTION, *MOVEMENT, *POINTWISE_CASES, *ELEMENTWISE]
LARGE = [  # than the parts that are computed at a time; no multiples of vectors
    Case("silu", torch.sigmoid, ((33, 1001),)),
    Case("softplus", torch.sigmoid, ((33, 1001),)),
    Case("power", torch.pow, ((33, 101), (33, 101)), draws=(positive,)),
    Case("softmax", torch.softmax, ((12, 37, 197),), {"axis": 2}),
    Case("softmax", torch.softmax, ((37, 100, 50),), {"axis": 0}),
    Case("normalise", torch.softmax, ((37, 769),), {"over": (1,)}),
    Case("mean", torch.mean, ((50, 50, 33),), {"over": (0, 2)}),
    Case("matmul", torch.matmul, ((197, 65), (65, 101))),
    Case("einsum", torch.einsum, ((12, 50, 33), (12, 50, 33)), {"equation": "hqd,hkd->hqk"}),
    Case("convolve", torch.conv2d, ((40, 41, 16), (3, 3, 16, 24))),
]
each_case = pytest.mark.parametrize("case", CASES, ids=str)


def test_every_operator_has_a_case():
    assert {case.name for case in CASES} == set(OPERATORS)


@each_case
def test_values_and_errors_are_those_of_pytorch(case):
    check_values(case)
    check_values(case, turned(case.shapes), seed=1)


@each_case
def test_examples_do_not_depend_on_each_other(case):
    check_alone(case)


@pytest.mark.parametrize("case", LARGE, ids=str)
def test_large_examples_do_not_depend_on_each_other(case):
    check_alone(case)


@pytest.mark.parametrize(
    ("case", "place"),
    [(case, i) for case in CASES if len(case.shapes) > 1 for i in range(len(case.shapes))],
    ids=str,
)
def test_parameters_stand_for_all_examples(case, place):
    check_parameter(case, place)
