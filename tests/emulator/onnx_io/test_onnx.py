"""Networks from and to ONNX, PyTorch and archives of weights."""

import numpy as np
import pytest

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.layers import (
    AttentionLayer,
    ConvLayer,
    DropoutLayer,
    EmbeddingLayer,
    LinearLayer,
    MergeLayer,
    NormLayer,
    PlainLayer,
    PoolLayer,
    PositionLayer,
    RecurrentLayer,
    ScoresLayer,
)
from crossmesh.emulator.onnx_io.reading import read_onnx
from crossmesh.emulator.onnx_io.weights import (
    matrices,
    published,
    published_names,
    published_shapes,
    read_npz,
    write_npz,
)
from crossmesh.emulator.onnx_io.writing import write_onnx
from tests.emulator.onnx_io.onnx_material import ran, same_weights
from tests.exact import outputs
from tests.layers_oracle import evaluate, softmax

# Each is a network that its own ONNX file gives back, with the shape of an example and tokens.
NETWORKS = {
    "images": (
        [
            ConvLayer(name="a", outputs=4, kernel=(3, 2), stride=(1, 2), padding=1, bias=False),
            NormLayer(kind="batch_norm", name="b", epsilon=1e-3, momentum=0.2),
            PlainLayer(kind="relu", name="relu2"),
            ConvLayer(
                name="c", outputs=6, kernel=3, dilation=2, padding=2, groups=2, activation="tanh"
            ),
            NormLayer(kind="layer_norm", name="d"),
            PoolLayer(kind="max_pool", name="max_pool5", kernel=3, stride=2, padding=1),
            ConvLayer(name="e", input="relu2", outputs=6, kernel=1, stride=2),
            PoolLayer(
                kind="average_pool", name="average_pool7", kernel=(3, 1), stride=1, padding=(1, 0)
            ),
            MergeLayer(kind="concat", name="concat8", inputs=["max_pool5", "average_pool7"]),
            DropoutLayer(name="dropout9", rate=0.1),
            LinearLayer(name="f", outputs=5, activation="gelu"),
            NormLayer(kind="batch_norm", name="g"),
            PlainLayer(kind="global_pool", name="global_pool12", input="concat8"),
            LinearLayer(name="h", outputs=5, bias=False),
            MergeLayer(kind="add", name="add14", inputs=["g", "h"]),
            LinearLayer(name="i", outputs=3, activation="softmax"),
        ],
        (2, 6, 8),
        None,
    ),
    "tokens": (
        [
            EmbeddingLayer(name="a", outputs=8),
            PositionLayer(name="b"),
            NormLayer(kind="layer_norm", name="c"),
            AttentionLayer(name="d", heads=2, causal=True),
            MergeLayer(kind="add", name="add4", inputs=["b", "d"]),
            RecurrentLayer(kind="lstm", name="e", outputs=9),
            RecurrentLayer(kind="gru", name="f", outputs=6, bias=False),
            NormLayer(kind="batch_norm", name="g"),
            ScoresLayer(name="scores8", heads=1),
            LinearLayer(name="h", outputs=4, activation="sigmoid"),
            LinearLayer(name="i", outputs=11, activation="softmax"),
        ],
        (5,),
        11,
    ),
    "characters": (
        [
            EmbeddingLayer(name="a", outputs=8),
            NormLayer(kind="layer_norm", name="b"),
            RecurrentLayer(kind="lstm", name="c", outputs=9),
            DropoutLayer(name="d", rate=0.2),
            RecurrentLayer(kind="gru", name="e", outputs=6, bias=False),
            NormLayer(kind="batch_norm", name="f", epsilon=1e-3),
            LinearLayer(name="g", outputs=11, activation="softmax"),
        ],
        (5,),
        11,
    ),
    "steps": (
        [
            AttentionLayer(name="a", heads=3, bias=False),
            PlainLayer(kind="flatten", name="flatten1"),
            LinearLayer(name="b", outputs=6),
            PlainLayer(kind="global_pool", name="global_pool3", input="a"),
            PlainLayer(kind="last", name="last4", input="a"),
            MergeLayer(kind="concat", name="concat5", inputs=["last4", "b", "global_pool3"]),
            LinearLayer(name="c", outputs=3, activation="softmax"),
        ],
        (4, 6),
        None,
    ),
}


INPUTS = {  # of the layers of NETWORKS with weights: what their matrices take
    "images": {"a": 12, "b": 4, "c": 18, "d": 6, "e": 4, "f": 108, "g": 5, "h": 12, "i": 5},
    "tokens": {"a": 11, "b": (5, 8), "c": 8, "d": 8, "e": 8, "f": 9, "g": 6, "h": 2, "i": 4},
    "characters": {"a": 11, "b": 8, "c": 8, "e": 9, "f": 6, "g": 6},
    "steps": {"a": 6, "b": 24, "c": 18},
}


def matrix_shapes(name):
    """Rows and columns of the matrices of one of NETWORKS."""
    shapes = {}
    for layer in NETWORKS[name][0]:
        if layer.name in INPUTS[name]:
            shapes |= layer_matrix_shapes(layer, INPUTS[name][layer.name])
    return shapes


def layer_matrix_shapes(layer, n):
    shapes = {}
    bias = int(getattr(layer, "bias", False))
    match layer.kind:
        case "lstm" | "gru":
            gates = (4 if layer.kind == "lstm" else 3) * layer.outputs
            shapes[f"{layer.name}.input"] = (n + bias, gates)
            shapes[f"{layer.name}.hidden"] = (layer.outputs + bias, gates)
        case "attention":
            shapes |= {f"{layer.name}.qkv": (n + bias, 3 * n)}
            shapes |= {f"{layer.name}.out": (n + bias, n)}
        case "batch_norm" | "layer_norm":
            shapes[layer.name] = (4 if layer.kind == "batch_norm" else 2, n)
        case "position":
            shapes[layer.name] = n
        case _ if getattr(layer, "groups", 1) > 1:
            for group in range(layer.groups):
                shape = (n + bias, layer.outputs // layer.groups)
                shapes[f"{layer.name}.{group}"] = shape
        case _:
            shapes[layer.name] = (n + bias, layer.outputs)
    return shapes


def some_weights(name):
    """Published weights of one of NETWORKS."""
    random = np.random.default_rng(3)
    shapes = matrix_shapes(name)
    held = {n: random.uniform(0.2, 1, shape).astype(np.float32) for n, shape in shapes.items()}
    held = {n: m - (0 if m.shape[0] in {2, 4} else np.float32(0.5)) for n, m in held.items()}
    return published(NETWORKS[name][0], held)


def some_examples(name, n=3):
    _, shape, tokens = NETWORKS[name]
    random = np.random.default_rng(5)
    if tokens:
        return random.integers(0, tokens, (n, *shape))
    return random.normal(size=(n, *shape)).astype(np.float32)


@pytest.mark.parametrize("name", NETWORKS)
def test_matrices_and_published_weights_are_inverse(name):
    layers = NETWORKS[name][0]
    weights = some_weights(name)

    held = matrices(layers, weights)

    assert {n: m.shape for n, m in held.items()} == matrix_shapes(name)
    assert all(m.flags.c_contiguous and m.dtype == np.float32 for m in held.values())
    same_weights(published(layers, held), weights)
    shapes = published_shapes(layers, matrix_shapes(name))
    assert shapes == {n: array.shape for n, array in weights.items()}


def test_word_lines_of_a_kernel_go_by_row_column_channel_and_end_with_the_bias():
    layer = ConvLayer(name="a", outputs=4, kernel=(2, 3), groups=2)
    weight = np.arange(4 * 5 * 2 * 3, dtype=np.float32).reshape(4, 5, 2, 3)
    bias = np.arange(4, dtype=np.float32)

    held = matrices([layer], {"a.weight": weight, "a.bias": bias})

    row = (1 * 3 + 2) * 5 + 4  # kernel row 1, column 2, channel 4
    assert list(held) == ["a.0", "a.1"]
    np.testing.assert_array_equal(held["a.1"][row], weight[2:, 4, 1, 2])
    np.testing.assert_array_equal(held["a.1"][-1], bias[2:])


def test_archives_give_back_the_weights(tmp_path):
    for name, (layers, _, _) in NETWORKS.items():
        write_npz(tmp_path / "w.npz", some_weights(name))

        read = read_npz(tmp_path / "w.npz", layers, matrix_shapes(name))

        same_weights(read, some_weights(name))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"a.weight": None}, r"weights must hold a\.weight, got a\.bias"),
        ({"b.bias": 1}, r"weights must be of the network \(a\.weight, a\.bias\), got b\.bias"),
        ({"a.bias": 3}, r"a\.bias must have shape \(2,\), got \(3,\)"),
        ({"a.weight": (2, 4)}, r"a\.weight must have shape \(2, 3\), got \(2, 4\)"),
        ({"a.weight": "x"}, r"a\.weight must be finite numbers, got <U1 in "),
        ({"a.bias": [0, np.nan]}, r"a\.bias must be finite numbers, got float64 in "),
    ],
)
def test_archives_that_do_not_fit_are_refused(tmp_path, changes, message):
    arrays = {"a.weight": np.zeros((2, 3)), "a.bias": np.zeros(2)}
    for name, what in changes.items():
        if what is None:
            del arrays[name]
        else:
            shape = isinstance(what, int | tuple)
            arrays[name] = np.zeros(what) if shape else np.array(what)
    write_npz(tmp_path / "w.npz", arrays)

    with pytest.raises(ConfigError, match=message):
        read_npz(tmp_path / "w.npz", [LinearLayer(name="a", outputs=2)], {"a": (4, 2)})


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "text").write_text("no")

    with pytest.raises(ConfigError, match=r"weights must be an npz archive, got .*text"):
        read_npz(tmp_path / "text", [])
    with pytest.raises(ConfigError, match=r"weights must be a file, got .*none"):
        read_npz(tmp_path / "none", [])


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_comes_back_from_its_own_file(name, tmp_path):
    layers, shape, tokens = NETWORKS[name]
    weights, x = some_weights(name), some_examples(name)

    write_onnx(layers, weights, shape, tmp_path / "a.onnx", tokens)
    read = read_onnx(tmp_path / "a.onnx")

    assert (read.input_shape, read.tokens) == (shape, tokens)
    wanted = evaluate(layers, weights, x)
    np.testing.assert_allclose(outputs(read, x).reshape(wanted.shape), wanted, atol=1e-5)
    held = [one for one in read.layers if not getattr(one, "frozen", False)]
    same_weights(
        {n: read.weights[n] for n in published_names(held)},
        {n.replace(".", "-", n.count(".") - 1): array for n, array in weights.items()},
    )


@pytest.mark.parametrize("name", ["images", "characters"])
def test_layers_that_files_know_come_back_as_they_were(name, tmp_path):
    layers, shape, tokens = NETWORKS[name]

    write_onnx(layers, some_weights(name), shape, tmp_path / "a.onnx", tokens)
    read = read_onnx(tmp_path / "a.onnx")

    assert [layer for layer in read.layers if layer.kind != "operator"] == layers


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("logits", [True, False])
def test_a_written_network_computes_what_its_layers_do(name, logits, tmp_path):
    layers, shape, tokens = NETWORKS[name]
    x = some_examples(name)

    write_onnx(layers, some_weights(name), shape, tmp_path / "a.onnx", tokens, logits=logits)

    y = ran(tmp_path / "a.onnx", x)
    wanted = evaluate(layers, some_weights(name), x)
    np.testing.assert_allclose(softmax(y) if logits else y, wanted, atol=1e-5)


def test_a_softmax_at_the_end_is_added_only_to_logits(tmp_path):
    for activation, softmaxes in (("identity", 1), ("softmax", 1), ("tanh", 0)):
        layers = [LinearLayer(name="a", outputs=2, activation=activation)]
        arrays = {"a.weight": np.ones((2, 3)), "a.bias": np.ones(2)}
        write_onnx(layers, arrays, (3,), tmp_path / "a.onnx", logits=False)

        read = read_onnx(tmp_path / "a.onnx").layers

        assert sum(layer.activation == "softmax" for layer in read) == softmaxes
    write_onnx([LinearLayer(name="a", outputs=2)], arrays, (3,), tmp_path / "a.onnx")
    assert read_onnx(tmp_path / "a.onnx", softmax=False).layers[-1].activation == "identity"


@pytest.mark.parametrize(
    ("layers", "shape", "message"),
    [
        (
            [ConvLayer(name="a", outputs=2, kernel=3)],
            (4, 6),
            r"layer a must have an input it can process",
        ),
        (
            [LinearLayer(name="a", outputs=2)],
            (4,),
            r"network must have layers that fit each other, got",
        ),
        (
            [LinearLayer(name="a", outputs=2)],
            (),
            r"input_shape must be \(steps\) of tokens, or of numbers, got \(\)",
        ),
        (
            [LinearLayer(name="a", outputs=2, input="b")],
            (3,),
            r"network\.0\.input must be a layer before it, got b",
        ),
    ],
)
def test_networks_that_cannot_be_written_are_refused(layers, shape, message, tmp_path):
    kernel = (3, 3) if layers[0].kind == "conv" else ()
    arrays = {"a.weight": np.ones((2, 3, *kernel)), "a.bias": np.ones(2)}

    with pytest.raises(ConfigError, match=message):
        write_onnx(layers, arrays, shape, tmp_path / "a.onnx")
    assert not (tmp_path / "a.onnx").exists()
