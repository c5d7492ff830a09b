import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiles.digital import ACTIVATIONS, LOSSES, CrossEntropy, Softmax, count_correct


def forward(name, u):
    out = np.empty_like(u)
    ACTIVATIONS[name].forward(u, out)
    return out


@pytest.mark.parametrize("name", ACTIVATIONS)
@given(seed=st.integers(0, 1000))
def test_backward_is_the_derivative(name, seed):
    random = np.random.default_rng(seed)
    u, d = (random.normal(size=(3, 5)).astype(np.float32) for _ in range(2))
    u[abs(u) < 0.05] = 0.5  # relu has no derivative at zero
    eps = 1e-2
    expected = np.zeros_like(u)
    for j in range(u.shape[1]):
        step = np.zeros_like(u)
        step[:, j] = eps
        slope = (forward(name, u + step) - forward(name, u - step)) / (2 * eps)
        expected[:, j] = (d * slope).sum(axis=1)

    np.testing.assert_allclose(ACTIVATIONS[name].backward(d, forward(name, u)), expected, atol=2e-3)


def test_functions_are_what_they_are_called():
    u = np.array([[-1.0, 0.0, 2.0]], np.float32)

    np.testing.assert_array_equal(forward("identity", u), u)
    np.testing.assert_array_equal(forward("relu", u), [[0, 0, 2]])
    np.testing.assert_allclose(forward("tanh", u), np.tanh(u), rtol=1e-6)
    np.testing.assert_allclose(forward("sigmoid", u), 1 / (1 + np.exp(-u)), rtol=1e-6)
    np.testing.assert_allclose(forward("softmax", u), np.exp(u) / np.exp(u).sum(), rtol=1e-6)


def test_softmax_does_not_overflow():
    np.testing.assert_allclose(forward("softmax", np.array([[1e4, 0.0]], np.float32)), [[1, 0]])


@given(seed=st.integers(0, 1000))
def test_cross_entropy_sends_back_the_error_before_the_softmax(seed):
    random = np.random.default_rng(seed)
    u, targets = random.normal(size=(4, 5)).astype(np.float32), random.integers(0, 5, 4)
    eps = 1e-2
    _, d = CrossEntropy().evaluate(forward("softmax", u), targets)
    for j in range(5):
        step = np.zeros_like(u)
        step[:, j] = eps
        up, down = (
            CrossEntropy().evaluate(forward(Softmax.name, v), targets)[0]
            for v in (u + step, u - step)
        )
        assert (up - down) / (2 * eps) == pytest.approx(-d[:, j].sum(), abs=2e-3)


def test_mean_squared_error_and_its_error():
    y = np.array([[1.0, 2.0]], np.float32)
    loss, d = LOSSES["mean_squared_error"].evaluate(y, np.array([[3.0, 2.0]], np.float32))

    assert loss == pytest.approx(1.0)  # half of the mean of 4 and 0
    np.testing.assert_allclose(d, [[1.0, 0.0]])


def test_class_numbers_count_as_one_hot_vectors():
    y = np.array([[0.2, 0.8], [0.6, 0.4]], np.float32)
    loss, d = LOSSES["cross_entropy"].evaluate(y, np.array([1, 1]))

    assert loss == pytest.approx(-np.log(0.8) - np.log(0.4))
    np.testing.assert_allclose(d, [[-0.2, 0.2], [-0.6, 0.6]], rtol=1e-6)
    assert count_correct(y, np.array([1, 1])) == 1
