"""Convolutions on tiles: patches and back, and the three cycles, against loops and PyTorch."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmesh.tiles.analog import convolution as window_module
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.cells.ideal import Ideal
from crossmesh.tiles.analog.convolution import Patches, Sliding, Window, at_once
from crossmesh.tiles.analog.devices import ConstantStep
from crossmesh.tiles.analog.read import ReadConfig
from crossmesh.tiles.analog.tile import Tile
from crossmesh.tiles.analog.tile_config import TileConfig

IDEAL = ReadConfig(dac=None, adc=None, output_noise=0)
NOISY = ReadConfig(input_noise=0.02, weight_noise=0.01)
SEEDS = st.integers(0, 2**32 - 1)
SMALL = Window(height=4, width=5, channels=2, kernel=(3, 3), padding=(1, 1))


def pair(low, high):
    return st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def windows(draw):
    kernel, dilation, padding = draw(pair(1, 3)), draw(pair(1, 3)), draw(pair(0, 3))
    height, width = (
        draw(st.integers(max(1, d * (k - 1) + 1 - 2 * p), 9))
        for k, d, p in zip(kernel, dilation, padding, strict=True)
    )
    return Window(
        height=height, width=width, channels=draw(st.integers(1, 5)), kernel=kernel,
        stride=draw(pair(1, 3)), padding=padding, dilation=dilation,
    )  # fmt: skip


def a_range(draw, limit):
    first = draw(st.integers(0, limit - 1))
    return first, draw(st.integers(first + 1, limit))


@st.composite
def some_patches(draw):
    window = draw(windows())
    return Patches(
        window=window,
        rows=a_range(draw, window.rows + 1),
        positions=a_range(draw, window.positions),
    )


def whole(window, *, bias=True):
    return Patches(window=window, rows=(0, window.rows + bias), positions=(0, window.positions))


def values(seed, *shape):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def pixel(window, position, line):
    """Row, column and channel that a word line sees at a position; None: padding."""
    tap, channel = divmod(line, window.channels)
    y, x = divmod(position, window.out_width)
    i, j = divmod(tap, window.kernel[1])
    row = y * window.stride[0] - window.padding[0] + i * window.dilation[0]
    column = x * window.stride[1] - window.padding[1] + j * window.dilation[1]
    inside = 0 <= row < window.height and 0 <= column < window.width
    return (row, column, channel) if inside else None


def naive_unroll(patches, x):
    window = patches.window
    images = x.reshape(-1, window.height, window.width, window.channels)
    out = []
    for image in images:
        for position in range(*patches.positions):
            vector = []
            for line in range(*patches.rows):
                place = None if line == window.rows else pixel(window, position, line)
                outside = 1.0 if line == window.rows else 0.0
                vector.append(outside if place is None else image[place])
            out.append(vector)
    return np.array(out, x.dtype)


def naive_fold(patches, z):
    window = patches.window
    examples = len(z) // patches.per_example
    images = np.zeros((examples, window.height, window.width, window.channels), z.dtype)
    for k, vector in enumerate(z):
        example, position = divmod(k, patches.per_example)
        for value, line in zip(vector, range(*patches.rows), strict=True):
            if line < window.rows and (
                place := pixel(window, position + patches.positions[0], line)
            ):
                images[(example, *place)] += value
    return images.reshape(-1, window.channels)


def tile_of(weights, cell=None, read=IDEAL, scale=1.0):
    config = TileConfig(rows=1024, cell=cell or Ideal(), read=read)
    block = Block(tile=3, layer="c", row=0, col=0, shape=weights.shape)
    tile = Tile(config, block, scale, seed=5)
    tile.write(weights)
    return tile


# Patches and back


@given(patches=some_patches(), examples=st.integers(1, 3), seed=SEEDS)
@settings(max_examples=200)
def test_unroll_equals_loops(patches, examples, seed):
    x = values(seed, examples * patches.window.inputs, patches.window.channels)

    unrolled = patches.unroll(x)

    np.testing.assert_array_equal(unrolled, naive_unroll(patches, x))
    assert unrolled.shape == (patches.vectors(x), patches.lines)


@given(patches=some_patches(), examples=st.integers(1, 3), seed=SEEDS)
@settings(max_examples=200)
def test_fold_equals_loops_in_the_same_order(patches, examples, seed):
    z = values(seed, examples * patches.per_example, patches.lines)

    np.testing.assert_array_equal(patches.fold(z), naive_fold(patches, z))


@given(patches=some_patches(), seed=SEEDS)
def test_fold_is_the_transpose_of_unroll(patches, seed):
    window = patches.window
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (2 * window.inputs, window.channels))
    z = rng.uniform(-1, 1, (2 * patches.per_example, patches.lines))
    bias = z[:, -1].sum() if patches.rows[1] > window.rows else 0.0

    there, back = np.vdot(patches.unroll(x), z) - bias, np.vdot(x, patches.fold(z))

    np.testing.assert_allclose(there, back, rtol=1e-12, atol=1e-12)


@given(patches=some_patches(), seed=SEEDS, step=st.integers(1, 7))
def test_parts_of_any_size_have_the_bits_of_the_whole(patches, seed, step):
    window = patches.window
    x = values(seed, 3 * window.inputs, window.channels)
    z = values(seed + 1, 3 * patches.per_example, patches.lines)
    unrolled, folded = np.full_like(z, np.nan), np.zeros_like(x)

    for first in range(0, len(z), step):
        patches.unroll_part(x, first, unrolled[first : first + step])
        patches.fold_part(z[first : first + step], first, folded)

    np.testing.assert_array_equal(unrolled, patches.unroll(x))
    np.testing.assert_array_equal(folded, patches.fold(z))


def test_unroll_writes_to_an_array_that_is_given():
    x, patches = values(0, SMALL.inputs, SMALL.channels), whole(SMALL)
    out = np.full((SMALL.positions, patches.lines), np.nan, np.float32)

    assert patches.unroll(x, out) is out
    np.testing.assert_array_equal(out, naive_unroll(patches, x))


def test_blocks_of_lines_and_positions_make_the_whole():
    x = values(0, 2 * SMALL.inputs, SMALL.channels)
    together = whole(SMALL).unroll(x).reshape(2, SMALL.positions, -1)

    for rows in ((0, 7), (7, 18), (18, 19)):
        for positions in ((0, 3), (3, 20)):
            part = Patches(window=SMALL, rows=rows, positions=positions).unroll(x)
            expected = together[:, slice(*positions), slice(*rows)].reshape(part.shape)
            np.testing.assert_array_equal(part, expected)


# The three cycles


@given(patches=some_patches(), seed=SEEDS, cols=st.integers(1, 4))
def test_ideal_cycles_are_products_of_patches(patches, seed, cols):
    window = patches.window
    w = values(seed, patches.lines, cols)
    x = values(seed + 1, 2 * window.inputs, window.channels)
    d = values(seed + 2, 2 * patches.per_example, cols)
    all_d = values(seed + 3, 2 * window.positions, cols)
    tile = tile_of(w)
    sliding = Sliding(tile, patches)

    y, z = sliding.forward(x, 0), sliding.backward(d, 0)
    sliding.update(x, all_d, 0.5, 0)

    everywhere = naive_unroll(replace(patches, positions=(0, window.positions)), x)
    close = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(y, naive_unroll(patches, x) @ w, **close)
    np.testing.assert_allclose(z, naive_fold(patches, d @ w.T), **close)
    np.testing.assert_allclose(tile.weights, w + 0.5 * everywhere.T @ all_d, **close)


@given(window=windows(), seed=SEEDS, outputs=st.integers(1, 4))
@settings(max_examples=50)
def test_ideal_cycles_equal_pytorch(window, seed, outputs):
    torch = pytest.importorskip("torch")
    w = values(seed, window.rows + 1, outputs)
    x = values(seed + 1, 2 * window.inputs, window.channels)
    d = values(seed + 2, 2 * window.positions, outputs)
    tile = tile_of(w, scale=2.0)
    sliding = Sliding(tile, whole(window))
    y, z = sliding.forward(x, 0), sliding.backward(d, 0)
    sliding.update(x, d, 1.0, 0)

    def image(a, height, width):
        return torch.tensor(a.reshape(2, height, width, -1).transpose(0, 3, 1, 2).copy())

    inputs = image(x, window.height, window.width).requires_grad_()
    matrix = torch.tensor(w, requires_grad=True)
    shape = (*window.kernel, window.channels, outputs)
    kernels = matrix[:-1].reshape(shape).permute(3, 2, 0, 1)
    outs = torch.nn.functional.conv2d(
        inputs, kernels, matrix[-1], window.stride, window.padding, window.dilation
    )
    errors = image(d, window.out_height, window.out_width)
    outs.backward(errors)

    def vectors(a):
        return a.detach().numpy().transpose(0, 2, 3, 1).reshape(-1, a.shape[1])

    close = {"rtol": 1e-4, "atol": 1e-4}
    assert outs.shape[2:] == (window.out_height, window.out_width)
    np.testing.assert_allclose(y, vectors(outs), **close)
    np.testing.assert_allclose(z, vectors(inputs.grad), **close)
    np.testing.assert_allclose(tile.weights - w, matrix.grad.numpy(), **close)


def test_errors_and_updates_are_gradients_by_finite_differences():
    """In float64, of sum(y * d) with respect to images and weights."""
    rng = np.random.default_rng(0)
    patches = whole(replace(SMALL, stride=(2, 1), dilation=(1, 2)))
    window = patches.window
    x = rng.normal(0, 1, (2 * window.inputs, window.channels))
    w, d = rng.normal(0, 1, (patches.lines, 3)), rng.normal(0, 1, (2 * window.positions, 3))

    def value(x, w):
        return np.vdot(patches.unroll(x) @ w, d)

    for array, gradient in ((x, patches.fold(d @ w.T)), (w, patches.unroll(x).T @ d)):
        for place in list(np.ndindex(array.shape))[::5]:
            kept, values_at = array[place], []
            for change in (1e-5, -1e-5):
                array[place] = kept + change
                values_at.append(value(x, w))
            array[place] = kept
            assert gradient[place] == pytest.approx((values_at[0] - values_at[1]) / 2e-5, rel=1e-6)


def outcome(read, cell, bias=True):
    """All that a tile computes in three cycles of some examples, and what it holds then."""
    window = SMALL if bias else replace(SMALL, kernel=(1, 1), padding=(0, 0))
    patches = whole(window, bias=bias)
    tile = tile_of(values(0, patches.lines, 5) / 4, cell, read)
    sliding = Sliding(tile, patches)
    x, d = values(1, 4 * window.inputs, 2), values(2, 4 * window.positions, 5)
    y, z = sliding.forward(x, 7), sliding.backward(d, 7)
    sliding.update(x, d, 0.01, 7)
    return {"y": y, "z": z, "w": tile.weights}


@pytest.mark.parametrize("bias", [True, False])
def test_vectors_are_numbered_from_the_first(bias):
    """Noise and pulses are those of the same vectors given to the tile at once."""
    window = SMALL if bias else replace(SMALL, kernel=(1, 1), padding=(0, 0))
    patches = whole(window, bias=bias)
    tile = tile_of(values(0, patches.lines, 5) / 4, ConstantStep(), NOISY)
    x, d = values(1, 4 * window.inputs, 2), values(2, 4 * window.positions, 5)
    vectors = patches.unroll(x)
    y, z = tile.forward(vectors, 7), patches.fold(tile.backward(d, 7))
    tile.update(vectors, d, 0.01, 7)

    for name, array in outcome(NOISY, ConstantStep(), bias).items():
        np.testing.assert_array_equal(array, {"y": y, "z": z, "w": tile.weights}[name])


def test_how_many_are_in_work_changes_no_distribution(monkeypatch):
    expected = outcome(NOISY, ConstantStep())
    monkeypatch.setattr(window_module, "at_once", lambda lines: 16)

    found = outcome(NOISY, ConstantStep())

    off = found["w"] - expected["w"]  # other pulses go together
    assert abs(off.mean()) < 5 * off.std() / np.sqrt(off.size)
    assert abs(off).max() < 0.05
    for name in "yz":  # products of other sizes may round otherwise, and then a converter too
        off = np.abs(found[name] - expected[name]) > 1e-5
        assert off.mean() < 0.02


def test_a_replica_reads_its_positions_and_learns_from_all():
    w, x = values(0, SMALL.rows + 1, 3), values(1, 2 * SMALL.inputs, SMALL.channels)
    d = values(2, 2 * SMALL.positions, 3)
    replicas = [
        Sliding(tile_of(w), Patches(window=SMALL, rows=(0, SMALL.rows + 1), positions=part))
        for part in ((0, 8), (8, 20))
    ]
    single = Sliding(tile_of(w), whole(SMALL))
    by_example = d.reshape(2, SMALL.positions, 3)

    parts = [replica.forward(x, 0).reshape(2, -1, 3) for replica in replicas]
    back = [
        replica.backward(np.ascontiguousarray(by_example[:, slice(*part)]).reshape(-1, 3), 0)
        for replica, part in zip(replicas, ((0, 8), (8, 20)), strict=True)
    ]
    tiles = [tile_of(w), tile_of(w)]
    for tile, part in zip(tiles, ((0, 8), (8, 20)), strict=True):
        patches = Patches(window=SMALL, rows=(0, SMALL.rows + 1), positions=part)
        Sliding(tile, patches).update(x, d, 0.1, 0)

    close = {"rtol": 1e-5, "atol": 1e-5}
    together = np.concatenate(parts, axis=1).reshape(-1, 3)
    np.testing.assert_allclose(together, single.forward(x, 0), **close)
    np.testing.assert_allclose(back[0] + back[1], single.backward(d, 0), **close)
    np.testing.assert_array_equal(tiles[0].weights, tiles[1].weights)


def test_single_pixels_are_not_copied():
    window = Window(height=3, width=4, channels=2, kernel=(1, 1))
    x = values(0, 2 * window.inputs, 2)
    seen = []

    class Spy:
        block = Block(tile=0, layer="", row=0, col=0, shape=(2, 3))

        def forward(self, vectors, first):
            seen.append(vectors)
            return vectors @ values(1, 2, 3)

    Sliding(Spy(), whole(window, bias=False)).forward(x, 0)
    assert np.shares_memory(seen[0], x)
    assert not whole(window).is_image
    assert not whole(replace(window, stride=(1, 2)), bias=False).is_image


@given(lines=st.integers(1, 70_000))
def test_vectors_in_work_are_bounded(lines):
    assert 256 <= at_once(lines) <= 512


# Refusals


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"height": 0}, r"Window\.height must be at least 1, got 0"),
        ({"channels": -1}, r"Window\.channels must be at least 1, got -1"),
        ({"kernel": (0, 3)}, r"Window\.kernel must be at least 1, got \(0, 3\)"),
        ({"stride": (1, 0)}, r"Window\.stride must be at least 1, got \(1, 0\)"),
        ({"padding": (-1, 0)}, r"Window\.padding must be at least 0, got \(-1, 0\)"),
        (
            {"kernel": (3, 4), "dilation": (1, 3)},
            r"Window\.kernel must fit into the padded image of \(6, 7\), got \(3, 4\), "
            r"which spans \(3, 10\)",
        ),
    ],
)
def test_windows_that_cannot_be_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": (0, 20)}, r"Patches\.rows must be a range within 0 to 19, got \(0, 20\)"),
        ({"positions": (4, 4)}, r"Patches\.positions must be a range within 0 to 20, got \(4, 4\)"),
    ],
)
def test_patches_outside_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(whole(SMALL), **change)


# Uncompiled


def save_both_ways(path):
    """Patches and images of some geometries: what the uncompiled process is asked for."""
    arrays = {}
    for number, change in enumerate(({}, {"stride": (2, 3), "padding": (3, 3)},
                                     {"dilation": (1, 2)}, {"kernel": (2, 1)})):  # fmt: skip
        window = replace(SMALL, **change)
        patches = Patches(window=window, rows=(1, window.rows + 1), positions=(1, window.positions))
        z = values(1, 2 * patches.per_example, patches.lines)
        arrays[f"unroll {number}"] = patches.unroll(values(0, 2 * window.inputs, window.channels))
        arrays[f"fold {number}"] = patches.fold(z)
    np.savez(path, **arrays)


def test_kernels_do_the_same_uncompiled(tmp_path):
    code = (
        "import sys; from tests.tiles.analog.test_convolution import save_both_ways; "
        "from crossmesh.tiles.analog.patches import fold; "
        "assert not hasattr(fold, 'py_func'); save_both_ways(sys.argv[1])"
    )
    command = (sys.executable, "-c", code, str(tmp_path / "uncompiled.npz"))
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    subprocess.run(command, check=True, env=environment, timeout=120)
    save_both_ways(tmp_path / "compiled.npz")

    compiled, uncompiled = (
        np.load(tmp_path / f"{name}.npz", allow_pickle=False) for name in ("compiled", "uncompiled")
    )
    for name in compiled.files:
        np.testing.assert_array_equal(compiled[name], uncompiled[name])
