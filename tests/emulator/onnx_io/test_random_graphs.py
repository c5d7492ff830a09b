"""Random small graphs of all operators: values as onnxruntime's, errors as differences say."""

import pytest

pytest.importorskip("onnxruntime", reason="compares with onnxruntime")

from tests.graph_operators import OPERATORS
from tests.graphs import RIGHT, run

FINE = {*RIGHT, "none", "refused, as it should"}


def test_random_graphs_are_read_as_they_are_meant():
    found, _ = run(range(200), OPERATORS)
    assert set(found) <= FINE, {status: found[status] for status in set(found) - FINE}
    assert len(found["right"]) > 150


@pytest.mark.slow
def test_two_thousand_random_graphs_of_all_operators_are_right():
    found, counts = run(range(1000, 3000), OPERATORS)
    assert set(found) <= FINE, {status: found[status] for status in set(found) - FINE}
    assert len(found["right"]) > 1800
    assert set(counts) >= set(OPERATORS)
