"""Functions of digital units: each against a naive one in float64, its differences, and PyTorch."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from crossmesh.testing import FunctionTests, LearnedTests
from crossmesh.tiles.digital import (
    ACTIVATIONS,
    NO_PARAMETERS,
    AveragePool,
    BatchNorm,
    Call,
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
from tests.tiles.digital.digital_material import (
    NAIVE,
    STREAM,
    batch_normalised,
    layer_normalised,
    logistic,
    slopes,
    softmax,
)

CALL = Call(first_example=7, seed=11)


N = 4  # examples


def pooled(f, reduce, padding):
    """A naive pooling ``f`` of images, which are padded with a value."""

    def forward(x, parameters):
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


def running_normalised(x, parameters, epsilon=1e-5):
    return (x - parameters[2]) / np.sqrt(parameters[3] + epsilon) * parameters[0] + parameters[1]


def attended(f):
    def forward(x, parameters):
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


def lstm(x, parameters):
    i, f, g, o, c = np.split(x, 5, axis=1)
    c = logistic(f) * c + logistic(i) * np.tanh(g)
    return np.hstack([logistic(o) * np.tanh(c), c])


def gru(x, parameters):
    xr, xz, xn, hr, hz, hn, h = np.split(x, 7, axis=1)
    z = logistic(xz + hz)
    return (1 - z) * np.tanh(xn + logistic(xr + hr) * hn) + z * h


def torch_activation(name):
    def forward(torch, u, parameters):
        f = torch.nn.functional
        if name == "softmax":
            return f.softmax(u, 1)
        return {"identity": torch.clone, "gelu": f.gelu, "relu": f.relu}.get(
            name, getattr(torch, name, None)
        )(u)

    return forward


def torch_pooled(f, name):
    def forward(torch, x, parameters):
        images = x.reshape(-1, f.height, f.width, x.shape[1]).permute(0, 3, 1, 2)
        y = getattr(torch.nn.functional, name)(images, f.kernel, f.stride, f.padding)
        assert y.shape[2:] == (f.out_height, f.out_width)
        return y.permute(0, 2, 3, 1).reshape(-1, x.shape[1])

    return forward


def torch_batch_norm(*, training):
    def forward(torch, x, parameters):
        factor, offset, mean, variance = parameters
        return torch.nn.functional.batch_norm(
            x, mean.detach().clone(), variance.detach().clone(), factor, offset, training
        )

    return forward


def torch_scores(f):
    def forward(torch, x, parameters):
        n = x.shape[1] // 3
        q, k, v = (
            part.reshape(-1, f.steps, f.heads, n // f.heads).transpose(1, 2)
            for part in x.split(n, dim=1)
        )
        y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=f.causal)
        return y.transpose(1, 2).reshape(-1, n)

    return forward


def torch_lstm(torch, x, parameters):
    """One ``LSTMCell`` whose matrix of inputs is 1 and whose matrix of states is 0."""
    n = x.shape[1] // 5
    eye, none = torch.eye(4 * n), torch.zeros(4 * n, n)
    state = (torch.zeros(len(x), n), x[:, 4 * n :])
    return torch.hstack(torch.lstm_cell(x[:, : 4 * n], state, eye, none))


def torch_gru(torch, x, parameters):
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
    def parameters(self):
        """Numbers unlike the initial ones; variances stay positive."""
        if not isinstance(self.function, Learned):
            return NO_PARAMETERS
        parameters = self.function.initial(STREAM)
        assert parameters.shape == self.function.shape
        assert parameters.dtype == np.float32
        return parameters + np.random.default_rng(2).uniform(0, 0.5, parameters.shape).astype(
            np.float32
        )

    def forward(self, x, parameters, out=None):
        out = np.full(self.out, np.nan, np.float32) if out is None else out
        self.function.forward([x], out, self.call._replace(parameters=parameters))
        return out

    def backward(self, d, x, y, parameters):
        """The backward pass, given no more than it says it needs."""
        f = self.function
        call = self.call._replace(parameters=parameters)
        return f.backward(d, 0, [x] if f.needs_inputs else [], y if f.needs_output else None, call)

    def learned(self, d, x, parameters, rate):
        """Change of the parameters."""
        changed = parameters.copy()
        inputs = [x] if self.function.needs_inputs else []
        self.function.learn(d, inputs, self.call._replace(parameters=changed), rate)
        return changed - parameters


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
    return Case(f, shape, shape, lambda x, parameters: x * mask)


def layer_norm_case(features):
    f = LayerNorm(features=features)
    return norm_case(
        f, layer_normalised,
        lambda torch, x, parameters: torch.nn.functional.layer_norm(x, (features,), *parameters),
        rows=6,
    )  # fmt: skip


CASES = {
    **{
        name: Case(
            f, (6, 5), (6, 5), lambda x, _, name=name: NAIVE[name](x), torch_activation(name)
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
        lambda x, parameters: x.reshape(N, 6, 5).mean(axis=1),
        lambda torch, x, parameters: x.reshape(N, 6, 5).mean(1),
    ),
    "flatten": Case(
        Flatten(positions=6, features=5), (N * 6, 5), (N, 30),
        lambda x, parameters: x.reshape(N, 6, 5).transpose(0, 2, 1).reshape(N, 30),
        lambda torch, x, parameters: x.reshape(N, 2, 3, 5).permute(0, 3, 1, 2).flatten(1),
    ),
    "flatten_one_position": Case(
        Flatten(positions=1, features=5), (N, 5), (N, 5), lambda x, parameters: x
    ),
    "flatten_one_feature": Case(
        Flatten(positions=6, features=1), (N * 6, 1), (N, 6), lambda x, parameters: x.reshape(N, 6)
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
        lambda x, parameters: parameters[x[:, 0].astype(int)],
        lambda torch, x, parameters: torch.nn.functional.embedding(x[:, 0].long(), parameters),
        tokens=4,
    ),
    "one_hot": Case(
        OneHot(tokens=6), (N * 5, 1), (N * 5, 6), lambda x, _: np.eye(6)[x[:, 0].astype(int)],
        tokens=6,
    ),
    "position": Case(
        Position(steps=5, features=3), (N * 5, 3), (N * 5, 3),
        lambda x, parameters: x + np.tile(parameters, (N, 1)),
        lambda torch, x, parameters: x + parameters.repeat(N, 1),
    ),
}  # fmt: skip


each = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


each_with_a_way_back = pytest.mark.parametrize(
    "case",
    [case for case in CASES.values() if case.function.passes_errors],
    ids=[name for name, case in CASES.items() if case.function.passes_errors],
)


LEARNED = [name for name, case in CASES.items() if isinstance(case.function, Learned)]
each_learned = pytest.mark.parametrize("case", [CASES[name] for name in LEARNED], ids=LEARNED)


def strided(array):
    """The same values in the columns of a wider array."""
    wide = np.full((len(array), array.shape[1] + 1), np.nan, np.float32)
    wide[:, :-1] = array
    return wide[:, :-1]


@each
def test_forward_equals_the_naive_one(case):
    expected = case.naive(case.x.astype(float), case.parameters.astype(float))

    np.testing.assert_allclose(
        case.forward(case.x, case.parameters), expected, rtol=1e-5, atol=1e-6
    )


@each_with_a_way_back
def test_backward_is_the_derivative(case):
    x, d, parameters = case.x, case.d, case.parameters
    wide = parameters.astype(float)
    expected = slopes(lambda at: (d * case.naive(at, wide)).sum(), x.astype(float))

    found = case.backward(d, x, case.forward(x, parameters.copy()), parameters)

    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@each_learned
def test_learning_follows_the_derivative_by_the_parameters(case):
    x, d, parameters = case.x, case.d, case.parameters
    wide = x.astype(float)
    expected = slopes(lambda at: (d * case.naive(wide, at)).sum(), parameters.astype(float))
    if isinstance(case.function, BatchNorm):
        expected[2:] = 0  # the running means are measured, not learned

    np.testing.assert_allclose(
        case.learned(d, x, parameters, rate=0.5), 0.5 * expected, rtol=1e-4, atol=1e-5
    )


class TestFunctions(FunctionTests):
    @pytest.fixture(autouse=True, params=[n for n in CASES if n not in LEARNED])
    def example(self, request):
        take(self, CASES[request.param])

    def call(self):
        return self.case.call


class TestLearned(LearnedTests):
    @pytest.fixture(autouse=True, params=LEARNED)
    def example(self, request):
        take(self, CASES[request.param])
        if isinstance(self.function, BatchNorm):
            self.follow = slice(0, 2)  # before the running mean and variance

    def call(self):
        return self.case.call._replace(parameters=self.case.parameters)


def take(suite, case):
    suite.case, suite.function, suite.tokens = case, case.function, case.tokens
    suite.shapes, suite.output = (case.shape,), case.out


@each
def test_an_example_does_not_depend_on_those_behind_it(case):
    if case.naive is batch_normalised:
        pytest.skip("shares mean and variance with them")
    x, d, parameters = case.x, case.d, case.parameters
    rows, outs = len(x) // 2, len(d) // 2
    half = replace(case, shape=(rows, x.shape[1]), out=(outs, d.shape[1]))
    y, part = case.forward(x, parameters), half.forward(x[:rows], parameters)

    np.testing.assert_allclose(part, y[:outs], rtol=1e-6, atol=1e-7)
    if case.function.passes_errors:
        np.testing.assert_allclose(
            half.backward(d[:outs], x[:rows], part, parameters),
            case.backward(d, x, y, parameters)[:rows],
            rtol=1e-6,
            atol=1e-7,
        )


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("features", [1, 3, 16, 37, 150])
def test_views_do_not_matter_to_the_bits_of_activations_at_any_width(name, features):
    case = replace(CASES[name], shape=(9, features), out=(9, features))
    y = case.forward(case.x, NO_PARAMETERS)

    view = strided(np.zeros(case.out, np.float32))
    np.testing.assert_array_equal(case.forward(case.x, NO_PARAMETERS, view), y)
    np.testing.assert_array_equal(
        case.backward(case.d, case.x, view, NO_PARAMETERS),
        case.backward(case.d, case.x, y, NO_PARAMETERS),
    )


@each
def test_forward_backward_and_learning_equal_pytorch(case):
    torch = pytest.importorskip("torch")
    if case.torch is None:
        pytest.skip("PyTorch has no such function")
    x, d, parameters = case.x, case.d, case.parameters
    inputs = torch.tensor(x, requires_grad=case.function.passes_errors)
    weights = torch.tensor(parameters, requires_grad=True)
    expected = case.torch(torch, inputs, weights)
    expected.backward(torch.tensor(d))

    y = case.forward(x, parameters.copy())
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=2e-6, atol=1e-6)
    if case.function.passes_errors:
        errors = case.backward(d, x, y, parameters)
        np.testing.assert_allclose(errors, inputs.grad.numpy(), rtol=1e-5, atol=2e-6)
    if isinstance(case.function, Learned):
        change = case.learned(d, x, np.zeros_like(parameters) + parameters, 1.0)
        np.testing.assert_allclose(change, weights.grad.numpy(), rtol=1e-5, atol=5e-6)
