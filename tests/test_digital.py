"""Functions of digital units: each against a naive one in float64, its differences, and PyTorch."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiles.array import State
from tiles.digital import (
    ACTIVATIONS,
    LOSSES,
    NO_NUMBERS,
    AveragePool,
    BatchNorm,
    Call,
    CrossEntropy,
    DigitalMemory,
    Dropout,
    Embedding,
    Flatten,
    Function,
    GlobalPool,
    GruCell,
    LayerNorm,
    Learned,
    LstmCell,
    MaxPool,
    OneHot,
    Position,
    Scores,
)
from tiles.random import Stream
from tiles.tile import Block

STREAM = Stream(seed=5, owner=3)
CALL = Call(first_example=7, seed=11)
N = 4  # examples

# ---------------------------------------------------------------- naive functions in float64


def logistic(u):
    return 1 / (1 + np.exp(-u))


def softmax(u):
    share = np.exp(u - u.max(axis=-1, keepdims=True))
    return share / share.sum(axis=-1, keepdims=True)


def gelu(u):
    return u * (1 + np.vectorize(math.erf)(u / math.sqrt(2))) / 2


def pooled(f, reduce, padding):
    """A naive pooling ``f`` of images, which are padded with a value."""

    def forward(x, numbers):
        (kh, kw), (sh, sw), (ph, pw) = f.kernel, f.stride, f.padding
        images = x.reshape(-1, f.height, f.width, x.shape[1])
        images = np.pad(images, ((0, 0), (ph, ph), (pw, pw), (0, 0)), constant_values=padding)
        rows = [
            reduce(images[e, i * sh : i * sh + kh, j * sw : j * sw + kw], axis=(0, 1))
            for e in range(len(images))
            for i in range(f.out_height)
            for j in range(f.out_width)
        ]
        return np.array(rows)

    return forward


def batch_normalised(x, numbers, epsilon=1e-5):
    deviation = np.sqrt(x.var(axis=0) + epsilon)
    return (x - x.mean(axis=0)) / deviation * numbers[0] + numbers[1]


def running_normalised(x, numbers, epsilon=1e-5):
    return (x - numbers[2]) / np.sqrt(numbers[3] + epsilon) * numbers[0] + numbers[1]


def layer_normalised(x, numbers, epsilon=1e-5):
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / np.sqrt(x.var(axis=1, keepdims=True) + epsilon) * numbers[0] + numbers[1]


def attended(f):
    def forward(x, numbers):
        n = x.shape[1] // 3
        size = n // f.heads
        y = np.zeros((len(x), n))
        for first in range(0, len(x), f.steps):
            steps = slice(first, first + f.steps)
            for head in range(0, n, size):
                q, k, v = (x[steps, part + head : part + head + size] for part in (0, n, 2 * n))
                scores = q @ k.T / math.sqrt(size)
                if f.causal:
                    scores[np.triu_indices(f.steps, 1)] = -np.inf
                y[steps, head : head + size] = softmax(scores) @ v
        return y

    return forward


def lstm(x, numbers):
    i, f, g, o, c = np.split(x, 5, axis=1)
    c = logistic(f) * c + logistic(i) * np.tanh(g)
    return np.hstack([logistic(o) * np.tanh(c), c])


def gru(x, numbers):
    xr, xz, xn, hr, hz, hn, h = np.split(x, 7, axis=1)
    z = logistic(xz + hz)
    return (1 - z) * np.tanh(xn + logistic(xr + hr) * hn) + z * h


# ---------------------------------------------------------------- the same in PyTorch


def torch_activation(name):
    def forward(torch, u, numbers):
        f = torch.nn.functional
        if name == "softmax":
            return f.softmax(u, 1)
        return {"identity": torch.clone, "gelu": f.gelu, "relu": f.relu}.get(
            name, getattr(torch, name, None)
        )(u)

    return forward


def torch_pooled(f, name):
    def forward(torch, x, numbers):
        images = x.reshape(-1, f.height, f.width, x.shape[1]).permute(0, 3, 1, 2)
        y = getattr(torch.nn.functional, name)(images, f.kernel, f.stride, f.padding)
        assert y.shape[2:] == (f.out_height, f.out_width)
        return y.permute(0, 2, 3, 1).reshape(-1, x.shape[1])

    return forward


def torch_batch_norm(*, training):
    def forward(torch, x, numbers):
        factor, offset, mean, variance = numbers
        return torch.nn.functional.batch_norm(
            x, mean.detach().clone(), variance.detach().clone(), factor, offset, training
        )

    return forward


def torch_scores(f):
    def forward(torch, x, numbers):
        n = x.shape[1] // 3
        q, k, v = (
            part.reshape(-1, f.steps, f.heads, n // f.heads).transpose(1, 2)
            for part in x.split(n, dim=1)
        )
        y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=f.causal)
        return y.transpose(1, 2).reshape(-1, n)

    return forward


def torch_lstm(torch, x, numbers):
    """One ``LSTMCell`` whose matrix of inputs is 1 and whose matrix of states is 0."""
    n = x.shape[1] // 5
    eye, none = torch.eye(4 * n), torch.zeros(4 * n, n)
    state = (torch.zeros(len(x), n), x[:, 4 * n :])
    return torch.hstack(torch.lstm_cell(x[:, : 4 * n], state, eye, none))


def torch_gru(torch, x, numbers):
    """One ``GRUCell`` whose states come in beside the sums: its matrices are 1 where they read."""
    n = x.shape[1] // 7
    h = x[:, 6 * n :]
    # The cell has one product per side; a bias per example takes the sums of the state's side.
    rows = [
        torch.gru_cell(
            x[e : e + 1, : 3 * n], h[e : e + 1], torch.eye(3 * n), torch.zeros(3 * n, n),
            torch.zeros(3 * n), x[e, 3 * n : 6 * n],
        )
        for e in range(len(x))
    ]  # fmt: skip
    return torch.vstack(rows)


# ---------------------------------------------------------------- all functions


@dataclass(frozen=True)
class Case:
    """A function, the shape of its input and output, and what it is compared with."""

    function: Function
    shape: tuple[int, int]
    out: tuple[int, int]
    naive: Callable[[Any, Any], Any]
    torch: Callable[[Any, Any, Any], Any] | None = None
    call: Call = CALL
    tokens: int = 0

    @property
    def x(self):
        random = np.random.default_rng(self.shape)
        if self.tokens:
            return random.integers(0, self.tokens, self.shape).astype(np.float32)
        x = random.normal(size=self.shape).astype(np.float32)
        return x + np.copysign(np.float32(0.05), x)  # relu has no derivative at zero

    @property
    def d(self):
        return np.random.default_rng(1).normal(size=self.out).astype(np.float32)

    @property
    def numbers(self):
        """Numbers unlike the initial ones; variances stay positive."""
        if not isinstance(self.function, Learned):
            return NO_NUMBERS
        numbers = self.function.initial(STREAM)
        assert numbers.shape == self.function.shape
        assert numbers.dtype == np.float32
        return numbers + np.random.default_rng(2).uniform(0, 0.5, numbers.shape).astype(np.float32)

    def forward(self, x, numbers, out=None):
        out = np.full(self.out, np.nan, np.float32) if out is None else out
        self.function.forward([x], out, self.call._replace(numbers=numbers))
        return out

    def backward(self, d, x, y, numbers):
        """The way back, given no more than it says it needs."""
        f = self.function
        call = self.call._replace(numbers=numbers)
        return f.backward(d, 0, [x] if f.needs_inputs else [], y if f.needs_output else None, call)

    def learned(self, d, x, numbers, rate):
        """Change of the numbers."""
        changed = numbers.copy()
        inputs = [x] if self.function.needs_inputs else []
        self.function.learn(d, inputs, self.call._replace(numbers=changed), rate)
        return changed - numbers


def pool_case(kind, channels=3, **settings):
    f = kind(height=5, width=6, **settings)
    name, reduce, padding = (
        ("max_pool2d", np.max, -np.inf) if kind is MaxPool else ("avg_pool2d", np.mean, 0)
    )
    return Case(
        f, (N * 30, channels), (N * f.positions, channels), pooled(f, reduce, padding),
        torch_pooled(f, name),
    )  # fmt: skip


def scores_case(*, causal, heads):
    f = Scores(heads=heads, causal=causal, steps=5)
    return Case(f, (N * 5, 18), (N * 5, 6), attended(f), torch_scores(f))


def norm_case(f, naive, torch, rows=12, **call):
    shape = (rows, f.features)
    return Case(f, shape, shape, naive, torch, Call(**call))


def dropout_case():
    f, shape = Dropout(rate=0.3, number=4, positions=3), (N * 3, 37)
    mask = np.empty(shape, np.float32)
    f.forward([np.ones(shape, np.float32)], mask, CALL)
    return Case(f, shape, shape, lambda x, numbers: x * mask)


def layer_norm_case(features):
    f = LayerNorm(features=features)
    return norm_case(
        f, layer_normalised,
        lambda torch, x, numbers: torch.nn.functional.layer_norm(x, (features,), *numbers),
        rows=6,
    )  # fmt: skip


NAIVE = {
    "identity": lambda u: u,
    "relu": lambda u: np.maximum(u, 0),
    "gelu": gelu,
    "tanh": np.tanh,
    "sigmoid": logistic,
    "softmax": softmax,
}
CASES = {
    **{
        name: Case(
            f, (6, 5), (6, 5), lambda x, numbers, name=name: NAIVE[name](x), torch_activation(name)
        )
        for name, f in ACTIVATIONS.items()
    },
    "max_pool": pool_case(MaxPool, kernel=(2, 2), stride=(2, 2)),
    "max_pool_overlapping": pool_case(MaxPool, kernel=(3, 2), stride=(1, 2), padding=(1, 1)),
    "max_pool_wide": pool_case(MaxPool, 19, kernel=(2, 3), stride=(2, 1), padding=(0, 1)),
    "average_pool": pool_case(AveragePool, kernel=(2, 2), stride=(2, 2)),
    "average_pool_overlapping": pool_case(
        AveragePool, kernel=(3, 4), stride=(2, 1), padding=(1, 2)
    ),
    "global_pool": Case(
        GlobalPool(positions=6), (N * 6, 5), (N, 5),
        lambda x, numbers: x.reshape(N, 6, 5).mean(axis=1),
        lambda torch, x, numbers: x.reshape(N, 6, 5).mean(1),
    ),
    "flatten": Case(
        Flatten(positions=6, features=5), (N * 6, 5), (N, 30),
        lambda x, numbers: x.reshape(N, 6, 5).transpose(0, 2, 1).reshape(N, 30),
        lambda torch, x, numbers: x.reshape(N, 2, 3, 5).permute(0, 3, 1, 2).flatten(1),
    ),
    "flatten_one_position": Case(
        Flatten(positions=1, features=5), (N, 5), (N, 5), lambda x, numbers: x
    ),
    "flatten_one_feature": Case(
        Flatten(positions=6, features=1), (N * 6, 1), (N, 6), lambda x, numbers: x.reshape(N, 6)
    ),
    "batch_norm": norm_case(
        BatchNorm(features=5), batch_normalised, torch_batch_norm(training=True)
    ),
    "batch_norm_wide": norm_case(
        BatchNorm(features=21), batch_normalised, torch_batch_norm(training=True), rows=6
    ),
    "batch_norm_in_tests": norm_case(
        BatchNorm(features=5), running_normalised, torch_batch_norm(training=False),
        is_training=False,
    ),
    "layer_norm": layer_norm_case(5),
    "layer_norm_wide": layer_norm_case(35),
    "dropout": dropout_case(),
    "scores": scores_case(causal=False, heads=2),
    "scores_causal": scores_case(causal=True, heads=3),
    "scores_one_head": scores_case(causal=True, heads=1),
    "lstm": Case(LstmCell(hidden=3), (N, 15), (N, 6), lstm, torch_lstm),
    "gru": Case(GruCell(hidden=3), (N, 21), (N, 3), gru, torch_gru),
    "embedding": Case(
        Embedding(tokens=4, outputs=3), (N * 5, 1), (N * 5, 3),
        lambda x, numbers: numbers[x[:, 0].astype(int)],
        lambda torch, x, numbers: torch.nn.functional.embedding(x[:, 0].long(), numbers),
        tokens=4,
    ),
    "one_hot": Case(
        OneHot(tokens=6), (N * 5, 1), (N * 5, 6), lambda x, numbers: np.eye(6)[x[:, 0].astype(int)],
        tokens=6,
    ),
    "position": Case(
        Position(steps=5, features=3), (N * 5, 3), (N * 5, 3),
        lambda x, numbers: x + np.tile(numbers, (N, 1)),
        lambda torch, x, numbers: x + numbers.repeat(N, 1),
    ),
}  # fmt: skip
each = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
each_with_a_way_back = pytest.mark.parametrize(
    "case",
    [case for case in CASES.values() if case.function.passes_errors],
    ids=[name for name, case in CASES.items() if case.function.passes_errors],
)
each_learned = pytest.mark.parametrize(
    "case",
    [case for case in CASES.values() if isinstance(case.function, Learned)],
    ids=[name for name, case in CASES.items() if isinstance(case.function, Learned)],
)


def slopes(value, at):
    """Derivative of a scalar by every element of ``at``, from central differences in float64."""
    result = np.zeros(at.shape)
    for k in np.ndindex(at.shape):
        step = np.zeros(at.shape)
        step[k] = 1e-5
        result[k] = (value(at + step) - value(at - step)) / 2e-5
    return result


def strided(array):
    """The same values in the columns of a wider array."""
    wide = np.full((len(array), array.shape[1] + 1), np.nan, np.float32)
    wide[:, :-1] = array
    return wide[:, :-1]


@each
def test_forward_equals_the_naive_one(case):
    expected = case.naive(case.x.astype(float), case.numbers.astype(float))

    np.testing.assert_allclose(case.forward(case.x, case.numbers), expected, rtol=1e-5, atol=1e-6)


@each_with_a_way_back
def test_backward_is_the_derivative(case):
    x, d, numbers = case.x, case.d, case.numbers
    wide = numbers.astype(float)
    expected = slopes(lambda at: (d * case.naive(at, wide)).sum(), x.astype(float))

    found = case.backward(d, x, case.forward(x, numbers.copy()), numbers)

    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@each_learned
def test_learning_follows_the_derivative_by_the_numbers(case):
    x, d, numbers = case.x, case.d, case.numbers
    wide = x.astype(float)
    expected = slopes(lambda at: (d * case.naive(wide, at)).sum(), numbers.astype(float))
    if isinstance(case.function, BatchNorm):
        expected[2:] = 0  # the running means are measured, not learned

    np.testing.assert_allclose(
        case.learned(d, x, numbers, rate=0.5), 0.5 * expected, rtol=1e-4, atol=1e-5
    )


@each
def test_views_and_repetition_do_not_matter_to_the_bits(case):
    x, d, numbers = case.x, case.d, case.numbers
    y = case.forward(x, numbers.copy())

    np.testing.assert_array_equal(case.forward(x, numbers.copy()), y)
    np.testing.assert_array_equal(
        case.forward(x, numbers.copy(), strided(np.zeros(case.out, np.float32))), y
    )
    if case.function.passes_errors:
        errors = case.backward(d, x, y, numbers)
        np.testing.assert_array_equal(case.backward(d, x, y, numbers), errors)
        np.testing.assert_array_equal(case.backward(d, x, strided(y), numbers), errors)
        np.testing.assert_array_equal(case.backward(strided(d), x, y, numbers), errors)
    if isinstance(case.function, Learned):
        change = case.learned(d, x, numbers, 0.1)
        np.testing.assert_array_equal(case.learned(strided(d), x, numbers, 0.1), change)


@each
def test_an_example_does_not_depend_on_those_behind_it(case):
    if case.naive is batch_normalised:
        pytest.skip("shares mean and variance with them")
    x, d, numbers = case.x, case.d, case.numbers
    rows, outs = len(x) // 2, len(d) // 2
    half = replace(case, shape=(rows, x.shape[1]), out=(outs, d.shape[1]))
    y, part = case.forward(x, numbers), half.forward(x[:rows], numbers)

    np.testing.assert_allclose(part, y[:outs], rtol=1e-6, atol=1e-7)
    if case.function.passes_errors:
        np.testing.assert_allclose(
            half.backward(d[:outs], x[:rows], part, numbers),
            case.backward(d, x, y, numbers)[:rows],
            rtol=1e-6,
            atol=1e-7,
        )


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("features", [1, 3, 16, 37, 150])
def test_views_do_not_matter_to_the_bits_of_activations_at_any_width(name, features):
    case = replace(CASES[name], shape=(9, features), out=(9, features))
    y = case.forward(case.x, NO_NUMBERS)

    view = strided(np.zeros(case.out, np.float32))
    np.testing.assert_array_equal(case.forward(case.x, NO_NUMBERS, view), y)
    np.testing.assert_array_equal(
        case.backward(case.d, case.x, view, NO_NUMBERS),
        case.backward(case.d, case.x, y, NO_NUMBERS),
    )


@each
def test_nothing_that_is_given_is_changed(case):
    x, d, numbers = case.x, case.d, case.numbers
    y = case.forward(x, numbers)
    before = [array.copy() for array in (x, d, y, numbers)]

    if case.function.passes_errors:
        case.backward(d, x, y, numbers)
    if isinstance(case.function, Learned):
        case.learned(d, x, numbers, 0.1)

    for array, expected in zip((x, d, y, numbers), before, strict=True):
        np.testing.assert_array_equal(array, expected)


@each
def test_forward_backward_and_learning_equal_pytorch(case):
    torch = pytest.importorskip("torch")
    if case.torch is None:
        pytest.skip("PyTorch has no such function")
    x, d, numbers = case.x, case.d, case.numbers
    inputs = torch.tensor(x, requires_grad=case.function.passes_errors)
    weights = torch.tensor(numbers, requires_grad=True)
    expected = case.torch(torch, inputs, weights)
    expected.backward(torch.tensor(d))

    y = case.forward(x, numbers.copy())
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=2e-6, atol=1e-6)
    if case.function.passes_errors:
        errors = case.backward(d, x, y, numbers)
        np.testing.assert_allclose(errors, inputs.grad.numpy(), rtol=1e-5, atol=2e-6)
    if isinstance(case.function, Learned):
        change = case.learned(d, x, np.zeros_like(numbers) + numbers, 1.0)
        np.testing.assert_allclose(change, weights.grad.numpy(), rtol=1e-5, atol=5e-6)


# ---------------------------------------------------------------- activations


def activated(name, u):
    out = np.empty_like(u)
    ACTIVATIONS[name].forward([u], out, Call())
    return out


@pytest.mark.parametrize("name", ACTIVATIONS)
@settings(max_examples=25)
@given(seed=st.integers(0, 1000))
def test_backward_of_an_activation_is_the_derivative_anywhere(name, seed):
    random = np.random.default_rng(seed)
    u, d = (3 * random.normal(size=(3, 5)).astype(np.float32) for _ in range(2))
    u[abs(u) < 0.05] = 0.5  # relu has no derivative at zero
    expected = slopes(lambda at: (d * NAIVE[name](at)).sum(), u.astype(float))

    found = ACTIVATIONS[name].backward(d, 0, [u], activated(name, u), Call())

    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_functions_are_what_they_are_called():
    u = np.array([[-1.0, 0.0, 2.0]], np.float32)

    np.testing.assert_array_equal(activated("identity", u), u)
    np.testing.assert_array_equal(activated("relu", u), [[0, 0, 2]])
    np.testing.assert_allclose(activated("gelu", u), [[-0.15865525, 0, 1.9544997]], rtol=1e-6)
    np.testing.assert_allclose(activated("tanh", u), np.tanh(u), rtol=1e-6)
    np.testing.assert_allclose(activated("sigmoid", u), 1 / (1 + np.exp(-u)), rtol=1e-6)
    np.testing.assert_allclose(activated("softmax", u), np.exp(u) / np.exp(u).sum(), rtol=1e-6)


def test_softmax_does_not_overflow():
    np.testing.assert_allclose(activated("softmax", np.array([[1e4, 0.0]], np.float32)), [[1, 0]])


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "gelu"])
def test_activations_do_not_overflow(name):
    u = np.array([[-1e4, 1e4]], np.float32)
    y = activated(name, u)

    np.testing.assert_array_equal(abs(y), [[int(name == "tanh"), 1e4 if name == "gelu" else 1]])
    assert np.isfinite(ACTIVATIONS[name].backward(u, 0, [u], y, Call())).all()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_what_is_no_number_stays_none(name):
    assert np.isnan(activated(name, np.array([[np.nan, 1.0]], np.float32))[0, 0])


def test_gelu_is_exact_to_rounding():
    u = np.linspace(-9, 9, 4001).astype(np.float32)[:, None]

    np.testing.assert_allclose(activated("gelu", u), gelu(u.astype(float)), rtol=3e-7, atol=1e-6)


# ---------------------------------------------------------------- pooling


@pytest.mark.parametrize("features", [1, 40])
def test_of_equal_values_the_first_takes_the_error(features):
    f = MaxPool(height=2, width=2, kernel=(2, 2), stride=(2, 2))
    x = np.repeat(np.array([[1], [3], [3], [3]], np.float32), features, axis=1)

    error = f.backward(np.ones((1, features), np.float32), 0, [x], None, Call())

    np.testing.assert_array_equal(error, np.repeat([[0], [1], [0], [0]], features, axis=1))


def test_padding_is_never_the_largest():
    f = MaxPool(height=2, width=2, kernel=(2, 2), stride=(2, 2), padding=(1, 1))
    x = np.array([[-1], [-2], [-3], [-np.inf]], np.float32)
    out = np.empty((4, 1), np.float32)

    f.forward([x], out, Call())
    error = f.backward(np.ones((4, 1), np.float32), 0, [x], None, Call())

    np.testing.assert_array_equal(out, x)
    np.testing.assert_array_equal(error, np.ones((4, 1)))


def test_a_window_that_holds_no_number_is_none():
    f = MaxPool(height=1, width=3, kernel=(1, 3), stride=(1, 1))
    out = np.empty((1, 1), np.float32)
    f.forward([np.array([[1], [np.nan], [2]], np.float32)], out, Call())

    assert np.isnan(out).all()


@pytest.mark.parametrize("kind", [MaxPool, AveragePool])
def test_windows_that_would_stick_out_are_left_out(kind):
    f = kind(height=7, width=5, kernel=(3, 2), stride=(3, 2), padding=(1, 0))

    assert (f.out_height, f.out_width, f.positions) == (3, 2, 6)
    assert kind(height=1, width=5, kernel=(3, 2), stride=(3, 2)).out_height == 0


# ---------------------------------------------------------------- normalisation


def trained(f, batches, numbers):
    for x in batches:
        f.forward([x], np.empty_like(x), Call(numbers=numbers))
    return numbers


def batches_of(features):
    random = np.random.default_rng(4)
    return [random.normal(3, 2, (rows, features)).astype(np.float32) for rows in (8, 6, 9)]


def test_running_means_follow_the_micro_batches():
    f = BatchNorm(features=3, momentum=0.25)
    mean, variance = np.zeros(3), np.ones(3)
    for x in batches_of(3):
        mean = 0.75 * mean + 0.25 * x.mean(axis=0)
        variance = 0.75 * variance + 0.25 * x.var(axis=0, ddof=1)

    numbers = trained(f, batches_of(3), f.initial(STREAM))

    np.testing.assert_allclose(numbers, [[1] * 3, [0] * 3, mean, variance], rtol=1e-5)


def test_running_means_equal_pytorch():
    torch = pytest.importorskip("torch")
    f, theirs = BatchNorm(features=3, momentum=0.2), torch.nn.BatchNorm1d(3, momentum=0.2)
    for x in batches_of(3):
        theirs(torch.tensor(x))

    numbers = trained(f, batches_of(3), f.initial(STREAM))

    np.testing.assert_allclose(numbers[2], theirs.running_mean.numpy(), rtol=1e-6)
    np.testing.assert_allclose(numbers[3], theirs.running_var.numpy(), rtol=1e-6)


def test_a_frozen_norm_uses_and_keeps_its_running_means():
    free, frozen = BatchNorm(features=3), BatchNorm(features=3, frozen=True)
    numbers = trained(free, batches_of(3), free.initial(STREAM))
    before, x = numbers.copy(), batches_of(3)[0]
    call, test = Call(numbers=numbers), Call(numbers=numbers, is_training=False)
    ours, theirs = np.empty_like(x), np.empty_like(x)

    frozen.forward([x], ours, call)
    frozen.learn(x, [x], call, 0.1)
    free.forward([x], theirs, test)

    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(
        frozen.backward(x, 0, [x], None, call), free.backward(x, 0, [x], None, test)
    )
    np.testing.assert_array_equal(numbers, before)


def test_a_single_value_becomes_the_offset():
    f = BatchNorm(features=2)
    numbers, out = f.initial(STREAM), np.empty((1, 2), np.float32)
    numbers[1] = 5

    f.forward([np.array([[1e6, -3]], np.float32)], out, Call(numbers=numbers))

    np.testing.assert_array_equal(out, [[5, 5]])
    assert np.isfinite(numbers).all()


@pytest.mark.parametrize("f", [BatchNorm(features=64), LayerNorm(features=64)])
def test_a_large_mean_costs_no_accuracy(f):
    x = (1000 + np.random.default_rng(0).normal(size=(64, 64))).astype(np.float32)
    numbers, out = f.initial(STREAM), np.empty_like(x)
    naive = batch_normalised if isinstance(f, BatchNorm) else layer_normalised

    f.forward([x], out, Call(numbers=numbers))

    expected = naive(x.astype(float), f.initial(STREAM).astype(float))
    np.testing.assert_allclose(out, expected, atol=1e-4)


# ---------------------------------------------------------------- dropout

POSITIONS = 3


def mask(call, rows, number=2, rate=0.25, features=50):
    f = Dropout(rate=rate, number=number, positions=POSITIONS)
    out = np.empty((rows, features), np.float32)
    f.forward([np.ones_like(out)], out, call)
    return out


@given(split=st.integers(1, 7))
def test_the_mask_does_not_depend_on_the_micro_batch(split):
    whole = mask(Call(first_example=20), 8 * POSITIONS)

    parts = [
        mask(Call(first_example=20), split * POSITIONS),
        mask(Call(first_example=20 + split), (8 - split) * POSITIONS),
    ]

    np.testing.assert_array_equal(np.vstack(parts), whole)


def test_a_narrower_value_has_the_same_mask():
    np.testing.assert_array_equal(
        mask(Call(), 6, features=33), mask(Call(), 6, features=50)[:, :33]
    )


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean_and_drops_its_share(rate):
    drawn = mask(Call(seed=1), 600, rate=rate, features=200)
    deviation = math.sqrt(rate * (1 - rate) / drawn.size)

    assert (drawn == 0).mean() == pytest.approx(rate, abs=4 * deviation)
    assert drawn.mean(dtype=float) == pytest.approx(1, abs=4 * deviation / (1 - rate))
    np.testing.assert_allclose(np.unique(drawn), [0, 1 / (1 - rate)], rtol=1e-6)


def test_masks_of_runs_layers_examples_and_positions_differ():
    drawn = mask(Call(seed=1), 2 * POSITIONS)
    others = [
        mask(Call(seed=2), 2 * POSITIONS),
        mask(Call(seed=1), 2 * POSITIONS, number=3),
        mask(Call(seed=1, first_example=1), 2 * POSITIONS),
        np.roll(drawn, 1, axis=0),
    ]

    for other in others:
        assert 0.2 < (drawn != other).mean() < 0.6  # of masks that are independent: 0.375


@pytest.mark.parametrize(("rate", "call"), [(0.5, Call(is_training=False)), (0.0, Call())])
def test_dropout_leaves_all_in_tests_and_at_rate_zero(rate, call):
    x = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    f, out = Dropout(rate=rate, number=0), np.empty_like(x)

    f.forward([x], out, call)

    np.testing.assert_array_equal(out, x)
    np.testing.assert_array_equal(f.backward(x, 0, [], None, call), x)


# ---------------------------------------------------------------- sequences


def test_a_causal_step_does_not_see_those_behind_it():
    f = Scores(heads=2, causal=True, steps=4)
    x = np.random.default_rng(0).normal(size=(4, 24)).astype(np.float32)
    y, z, other = np.empty((4, 8), np.float32), np.empty((4, 8), np.float32), x.copy()
    other[2:] += 1

    f.forward([x], y, Call())
    f.forward([other], z, Call())

    np.testing.assert_array_equal(y[:2], z[:2])
    np.testing.assert_allclose(y[0], x[0, 16:], rtol=1e-6)  # it sees itself only


def test_recurrent_cells_do_not_overflow():
    x = np.full((1, 35), 1e4, np.float32)
    x[:, ::2] *= -1
    for f, columns, outputs in ((LstmCell(hidden=5), 25, 10), (GruCell(hidden=5), 35, 5)):
        out = np.empty((1, outputs), np.float32)
        f.forward([x[:, :columns].copy()], out, Call())
        assert np.isfinite(out).all()


def test_a_token_that_comes_twice_learns_twice():
    f, numbers = Embedding(tokens=3, outputs=2), np.zeros((3, 2), np.float32)
    x, d = np.array([[1], [2], [1]], np.float32), np.array([[1, 2], [3, 4], [5, 6]], np.float32)

    f.learn(d, [x], Call(numbers=numbers), 0.5)

    np.testing.assert_array_equal(numbers, [[0, 0], [3, 4], [1.5, 2]])


def test_first_numbers_have_the_deviation_asked_for():
    for f in (
        Embedding(tokens=200, outputs=50, deviation=0.3),
        Position(steps=200, features=50, deviation=0.3),
    ):
        first = f.initial(STREAM)

        assert first.std() == pytest.approx(0.3, rel=0.03)
        assert first.mean() == pytest.approx(0, abs=0.01)
        assert not np.array_equal(first, f.initial(Stream(seed=5, owner=4)))


@pytest.mark.parametrize("f", [Embedding(tokens=3, outputs=2), OneHot(tokens=3)])
def test_a_token_has_no_error(f):
    d = np.ones((1, 3), np.float32)

    with pytest.raises(AssertionError, match="a token has no error"):
        f.backward(d, 0, [d], None, Call())
    assert not f.passes_errors


# ---------------------------------------------------------------- losses


@given(seed=st.integers(0, 1000))
def test_cross_entropy_sends_back_the_error_before_the_softmax(seed):
    random = np.random.default_rng(seed)
    u, targets = random.normal(size=(4, 5)).astype(np.float32), random.integers(0, 5, 4)
    eps = 1e-2
    _, d = CrossEntropy().evaluate(activated("softmax", u), targets)
    for j in range(5):
        step = np.zeros_like(u)
        step[:, j] = eps
        up, down = (
            CrossEntropy().evaluate(activated("softmax", v), targets)[0]
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
    assert CrossEntropy().count_correct(y, np.array([1, 1])) == 1


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_the_loss_of_a_sequence_is_the_mean_over_its_positions(loss):
    random = np.random.default_rng(0)
    y = activated("softmax", random.normal(size=(2 * 4, 5)).astype(np.float32))
    targets = random.integers(0, 5, (2, 4))
    apart, errors = loss.evaluate(y, targets.reshape(-1))

    together, d = loss.evaluate(y, targets)

    assert together == pytest.approx(apart / 4)
    np.testing.assert_array_equal(d, errors / np.float32(4))
    assert loss.count_correct(y, targets) == loss.count_correct(y, targets.reshape(-1)) > 0


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_sequence_of_one_position_is_a_class(loss):
    y, targets = np.array([[0.2, 0.8], [0.6, 0.4]], np.float32), np.array([1, 0])
    one, errors = loss.evaluate(y, targets)

    same, d = loss.evaluate(y, targets[:, None])

    assert same == one
    np.testing.assert_array_equal(d, errors)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_values_and_whole_numbers_in_two_dimensions_are_told_apart(loss):
    y = np.array([[0.2, 0.8], [0.6, 0.4]], np.float32)
    values = np.eye(2, dtype=np.float32)[[1, 1]]

    as_values, as_classes = loss.evaluate(y, values), loss.evaluate(y, np.array([1, 1]))

    assert as_values[0] == pytest.approx(as_classes[0])
    np.testing.assert_array_equal(as_values[1], as_classes[1])
    assert loss.count_correct(y, values) == (2 if loss.counts_values else 1)


def test_losses_equal_pytorch():
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(3)
    u, targets = random.normal(size=(6, 5)).astype(np.float32), random.integers(0, 5, (2, 3))
    logits = torch.tensor(u, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor(targets).reshape(-1)) * 2
    expected.backward()

    loss, d = CrossEntropy().evaluate(activated("softmax", u), targets)

    assert loss == pytest.approx(expected.item(), rel=1e-6)
    np.testing.assert_allclose(-d, logits.grad.numpy(), atol=1e-7)


# ---------------------------------------------------------------- memory


def memory(value=1.0):
    ours = DigitalMemory(Block(tile=2, layer="norm", row=0, col=0, shape=(4, 3), home=0))
    ours.write(np.arange(12, dtype=np.float32).reshape(4, 3) + np.float32(value))
    return ours


def test_a_memory_holds_a_number_for_every_crosspoint_of_its_block():
    assert memory().weights.shape == (4, 3)
    assert (memory().scale, memory().pulses) == (1.0, 0)


def test_a_memory_gives_and_takes_its_state():
    ours, other = memory(), memory(9.0)
    numbers = other.numbers
    saved: State = {name: array.copy() for name, array in ours.state().items()}
    other.load(saved)

    np.testing.assert_array_equal(numbers, ours.numbers)  # the array itself has changed
    assert other.digest() == ours.digest() != memory(9.0).digest()


def test_a_memory_is_written_and_does_not_age():
    ours = memory()
    ours.write(np.full((4, 3), 0.5, np.float32))
    ours.begin(3)
    ours.age(None)
    given = ours.weights
    given[:] = 0

    np.testing.assert_array_equal(ours.weights, np.full((4, 3), 0.5))


def test_the_digest_is_that_of_names_shapes_and_bits():
    ours = memory()

    assert ours.digest() == sha256(b"numbers(4, 3)" + ours.numbers.tobytes()).digest()
