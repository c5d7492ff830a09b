"""The ONNX standard's own test cases: none is wrong, and as many are right as ever were."""

import collections

import pytest

from tests import conformance

RIGHT = 1380  # of them so far, with onnx 1.23


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of NumPy, about what cases do on purpose
def test_no_case_of_the_standard_is_wrong_and_most_are_right():
    found = conformance.run_all()
    counts = collections.Counter(outcome.status for outcome in found)
    bad = [one for one in found if one.status in {conformance.WRONG, conformance.CRASH}]
    assert not bad
    assert counts[conformance.RIGHT] >= RIGHT


@pytest.mark.filterwarnings("ignore")
def test_cases_of_some_operators_are_right():
    wanted = ("test_slice", "test_attention_4d_gqa", "test_lstm", "test_averagepool_2d_same")
    found = conformance.run_all(lambda case: case.name.startswith(wanted))
    others = {one.name for one in found if one.status != conformance.RIGHT}
    assert others == {"test_slice_start_out_of_bounds"}  # whose output has no numbers
