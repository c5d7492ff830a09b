"""Functions of digital units: each against a naive one in float64, its differences, and PyTorch."""

import math
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmesh.common.random import Stream
from crossmesh.tiles.analog.array import State
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.digital import (
    ACTIVATIONS,
    LOSSES,
    AveragePool,
    BatchNorm,
    Call,
    CrossEntropy,
    DigitalMemory,
    Dropout,
    Embedding,
    GruCell,
    LayerNorm,
    LstmCell,
    MaxPool,
    OneHot,
    Position,
    Scores,
)
from tests.tiles.digital.digital_material import (
    NAIVE,
    POSITIONS,
    STREAM,
    batch_normalised,
    gelu,
    layer_normalised,
    mask,
    slopes,
)


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


def trained(f, batches, parameters):
    for x in batches:
        f.forward([x], np.empty_like(x), Call(parameters=parameters))
    return parameters


def batches_of(features):
    random = np.random.default_rng(4)
    return [random.normal(3, 2, (rows, features)).astype(np.float32) for rows in (8, 6, 9)]


def test_running_means_follow_the_micro_batches():
    f = BatchNorm(features=3, momentum=0.25)
    mean, variance = np.zeros(3), np.ones(3)
    for x in batches_of(3):
        mean = 0.75 * mean + 0.25 * x.mean(axis=0)
        variance = 0.75 * variance + 0.25 * x.var(axis=0, ddof=1)

    parameters = trained(f, batches_of(3), f.initial(STREAM))

    np.testing.assert_allclose(parameters, [[1] * 3, [0] * 3, mean, variance], rtol=1e-5)


def test_running_means_equal_pytorch():
    torch = pytest.importorskip("torch")
    f, theirs = BatchNorm(features=3, momentum=0.2), torch.nn.BatchNorm1d(3, momentum=0.2)
    for x in batches_of(3):
        theirs(torch.tensor(x))

    parameters = trained(f, batches_of(3), f.initial(STREAM))

    np.testing.assert_allclose(parameters[2], theirs.running_mean.numpy(), rtol=1e-6)
    np.testing.assert_allclose(parameters[3], theirs.running_var.numpy(), rtol=1e-6)


def test_a_frozen_norm_uses_and_keeps_its_running_means():
    free, frozen = BatchNorm(features=3), BatchNorm(features=3, frozen=True)
    parameters = trained(free, batches_of(3), free.initial(STREAM))
    before, x = parameters.copy(), batches_of(3)[0]
    call, test = Call(parameters=parameters), Call(parameters=parameters, is_training=False)
    ours, theirs = np.empty_like(x), np.empty_like(x)

    frozen.forward([x], ours, call)
    frozen.learn(x, [x], call, 0.1)
    free.forward([x], theirs, test)

    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(
        frozen.backward(x, 0, [x], None, call), free.backward(x, 0, [x], None, test)
    )
    np.testing.assert_array_equal(parameters, before)


def test_a_single_value_becomes_the_offset():
    f = BatchNorm(features=2)
    parameters, out = f.initial(STREAM), np.empty((1, 2), np.float32)
    parameters[1] = 5

    f.forward([np.array([[1e6, -3]], np.float32)], out, Call(parameters=parameters))

    np.testing.assert_array_equal(out, [[5, 5]])
    assert np.isfinite(parameters).all()


@pytest.mark.parametrize("f", [BatchNorm(features=64), LayerNorm(features=64)])
def test_a_large_mean_costs_no_accuracy(f):
    x = (1000 + np.random.default_rng(0).normal(size=(64, 64))).astype(np.float32)
    parameters, out = f.initial(STREAM), np.empty_like(x)
    naive = batch_normalised if isinstance(f, BatchNorm) else layer_normalised

    f.forward([x], out, Call(parameters=parameters))

    expected = naive(x.astype(float), f.initial(STREAM).astype(float))
    np.testing.assert_allclose(out, expected, atol=1e-4)


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
    f, parameters = Embedding(tokens=3, outputs=2), np.zeros((3, 2), np.float32)
    x, d = np.array([[1], [2], [1]], np.float32), np.array([[1, 2], [3, 4], [5, 6]], np.float32)

    f.learn(d, [x], Call(parameters=parameters), 0.5)

    np.testing.assert_array_equal(parameters, [[0, 0], [3, 4], [1.5, 2]])


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


def memory(value=1.0):
    ours = DigitalMemory(Block(tile=2, layer="norm", row=0, col=0, shape=(4, 3), home=0))
    ours.write(np.arange(12, dtype=np.float32).reshape(4, 3) + np.float32(value))
    return ours


def test_a_memory_holds_a_number_for_every_crosspoint_of_its_block():
    assert memory().weights.shape == (4, 3)
    assert (memory().scale, memory().pulses) == (1.0, 0)


def test_a_memory_gives_and_takes_its_state():
    ours, other = memory(), memory(9.0)
    parameters = other.parameters
    saved: State = {name: array.copy() for name, array in ours.state().items()}
    other.load(saved)

    np.testing.assert_array_equal(parameters, ours.parameters)  # the array itself has changed
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

    assert ours.digest() == sha256(b"numbers(4, 3)" + ours.parameters.tobytes()).digest()
