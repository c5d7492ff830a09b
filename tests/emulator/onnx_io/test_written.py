"""Layers of operators as ONNX: what is written computes the same, and comes back."""

from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.layers import ConvLayer, LinearLayer, PlainLayer, PoolLayer
from crossmesh.emulator.config.operators import OperandView, OperatorLayer
from crossmesh.emulator.onnx_io.arrangement import NamedShape, OutputArrangement
from crossmesh.emulator.onnx_io.reading import read_onnx
from crossmesh.emulator.onnx_io.weights import published_names
from crossmesh.emulator.onnx_io.writing import write_onnx
from crossmesh.tiles.digital.operators import OPERATORS
from tests.emulator.onnx_io.onnx_material import f32, kinds, ran, same_weights
from tests.exact import graph_of, outputs

AXES = (2, 3, 4)  # of an example

# Layers that may feed an operator, by the name that a case calls them.
FEEDERS = {
    "y": ("affine", "input", {"factor": -0.7, "offset": 0.3}),
    "share": ("sigmoid", "input", {}),
    "large": ("affine", "share", {"offset": 1.1}),
    "above": ("relu", "input", {}),
    "endless": ("reciprocal", "above", {}),
    "undefined": ("log", "input", {}),
    "clipped": ("clip", "input", {"low": 0.0, "high": 2.9}),
    "places": ("whole", "clipped", {}),
    "counts": ("whole", "large", {}),
    "image": ("arrange", "input", {"axes": (4, 6, 1)}),
    "row": ("arrange", "input", {"axes": (12, 2)}),
    "block": ("arrange", "input", {"axes": (2, 3, 2, 2)}),
}


def case(*fed, of=AXES, parameter=None, sizes=None, orders=None, axes=None, **settings):
    """An operator on some layers; ``sizes`` and ``orders`` say how it sees its operands."""
    return SimpleNamespace(
        fed=fed or ("input",), shape=of, parameter=parameter, sizes=sizes, orders=orders,
        axes=axes, settings=settings,
    )  # fmt: skip


BOTH = [case("input", "y"), case("input", parameter=1, sizes=[AXES, (1, 3, 1)])]
TURNED = case("input", "y", sizes=[None, (4, 2, 3)], orders=[None, (1, 2, 0)])
POOL = {"kernel": (3, 2), "stride": (2, 1), "before": (1, 0), "after": (1, 1)}


def each(names, *cases):
    """The same cases of several operators."""
    return dict.fromkeys(names.split(), cases)


CASES = {
    **each(
        "abs asinh atan ceil cos cosh erf exp floor hard_swish identity mish negate relu round "
        "sigmoid sign silu sin sinh softplus softsign tan tanh truth whole",
        case(),
    ),
    **each("log sqrt asin acos atanh", case("share")),
    **each("acosh reciprocal", case("large")),
    **each("add maximum minimum multiply", *BOTH, TURNED),
    **each("subtract", *BOTH, case("input", parameter=0, sizes=[(1, 3, 4), None])),
    **each(
        "equal greater greater_or_equal less less_or_equal",
        case("places", "above"), case("input", parameter=1, sizes=[AXES, (1, 3, 1)]),
    ),
    **each("logical_and logical_or logical_xor", case("places", "above")),
    **each(
        "sum mean max min product l1 l2 sum_square log_sum_exp",
        case(over=(1,)), case(over=(0, 2), keep=True), case(over=(0, 1, 2)),
    ),
    **each("softmax log_softmax hardmax", case(axis=0), case(axis=2, axes=(6, 4))),
    **each(
        "argmax argmin",
        case(axis=1), case("places", axis=2, keep=True), case("places", axis=2, last=True),
    ),
    "affine": [case(factor=2.5, offset=-1.0), case(factor=0.5), case(offset=1.0)],
    "arrange": [case(axes=(6, 4)), case(axes=(4, 6), orders=[(2, 0, 1)])],
    "average_pooling": [
        case("image", **POOL), case("image", count_padding=True, **POOL),
        case("row", kernel=(3,), dilation=(2,)), case("block", kernel=(2, 2, 1)),
    ],
    "celu": [case(alpha=0.7)],
    "clip": [case(low=-0.5, high=0.5), case(high=0.1), case(low=0.1)],
    "concatenate": [
        case("input", "y", axis=1), case("input", parameter=1, sizes=[AXES, (2, 3, 1)], axis=2),
        case("places", "places", "input", axis=0),
    ],
    "convolve": [
        case("image", parameter=1, sizes=[None, (3, 2, 1, 4)], stride=(2, 1), before=(1, 0),
             after=(1, 1)),
        case("row", parameter=1, sizes=[None, (3, 1, 4)], dilation=(2,), groups=2),
    ],
    "cumulative_sum": [case(axis=1), case(axis=2, exclusive=True, reverse=True)],
    "divide": [case("input", "large"), case("places", "counts", whole=True)],
    "einsum": [
        case("input", "y", equation="abc,abd->acd"),
        case("input", parameter=1, sizes=[AXES, (4, 5)], equation="abc,cd->bda"),
        case("input", equation="abc->"),
    ],
    "elu": [case(alpha=0.6)],
    "expand": [case("above", sizes=[(2, 1, 12)], axes=(2, 5, 12))],
    "fold": [
        case("block", sizes=(2, 5, 2), kernel=(1, 2, 1), stride=(1, 2, 1), before=(0, 1, 0)),
        case("row", sizes=(11,), kernel=(2,), after=(2,)),
    ],
    "gather_elements": [
        case("input", "places", axis=2), case("places", parameter=0, sizes=[AXES, AXES], axis=2),
    ],
    "gelu": [case(), case(approximate="tanh")],
    "hard_sigmoid": [case(alpha=0.3, beta=0.4)],
    "held": [case("input", parameter=1, sizes=[None, AXES])],
    "is_inf": [case("endless"), case("endless", positive=False)],
    "is_nan": [case("undefined")],
    "leaky_relu": [case(slope=0.2)],
    "local_response": [case(axis=2, size=3, alpha=0.5, beta=0.6, bias=1.5)],
    "log_sum": [case("share", over=(1,))],
    "logical_not": [case("places")],
    "lookup": [
        case("places", parameter=0, sizes=[(3, 5), None], axis=0),
        case("places", parameter=0, sizes=[(2, 3, 4), None], axis=1),
        case("input", "places", sizes=[None, (24,)], axis=1),
    ],
    "lp_normalise": [case(axis=1), case(axis=2, p=1)],
    "lp_pooling": [case("image", kernel=(2, 2)), case("image", p=1, kernel=(2, 3), stride=(1, 3))],
    "matmul": [
        case("input", "y", sizes=[AXES, (2, 4, 3)]),
        case("input", "y", sizes=[AXES, AXES], orders=[None, (0, 2, 1)]),
        case("input", parameter=1, sizes=[AXES, (2, 4, 5)]),
        case("input", parameter=0, sizes=[(5, 3), AXES]),
    ],
    "max_pooling": [
        case("image", **POOL), case("row", kernel=(3,), dilation=(2,), stride=(2,), ceil=True),
        case("block", kernel=(2, 2, 1)),
    ],
    "modulo": [case("input", "large"), case("input", "large", fmod=True)],
    "normalise": [
        case(over=(1, 2)), case(over=(0,), epsilon=0.1), case(over=(2,), centred=False),
        case(over=(0, 1, 2)),
    ],
    "one_hot": [case("places", axis=1, depth=3, on=2.0, off=-1.0)],
    "pad": [case(before=(0, 1, 2), after=(1, 0, 0), value=0.5),
            case(before=(0, -1, 0), after=(0, 0, 1))],
    "patches": [case("image", **POOL), case("row", kernel=(3,), stride=(2,), dilation=(2,))],
    "power": [case("large", "y")],
    "prelu": [
        case("input", parameter=1, sizes=[AXES, (1, 1, 4)]),
        case("input", "y", sizes=[(24, 1), (1, 24)]),
    ],
    "resample": [
        case(axis=1, size=7), case(axis=2, size=9, mode="linear", coordinates="align_corners"),
        case(axis=0, size=5, mode="cubic", cubic_a=-0.5),
        case(axis=1, size=7, scale=2.4, mode="linear"),
        case(axis=2, size=2, mode="linear", antialias=True),
        case(axis=2, size=6, rounding="ceil", coordinates="asymmetric"),
    ],
    "scatter_elements": [
        case("input", "places", "y", axis=2, reduction="add"),
        case("places", "y", parameter=0, sizes=[AXES, None, None], axis=2, reduction="add"),
    ],
    "selu": [case()],
    "shrink": [case(bias=0.2, lambd=0.4)],
    "slice": [case(axis=1, start=1, stop=3), case(axis=2, start=-1, stop=-9, step=-2)],
    "swish": [case(beta=1.7)],
    "take": [case(axis=1, places=(2, 0, 0, 1)), case(axis=2, places=(3, -1, 0), fill=0.5)],
    "thresholded_relu": [case(alpha=0.4)],
    "top": [case(axis=2, k=2), case(axis=1, k=3, largest=False, part="places")],
    "trilu": [case(), case(upper=False, k=1)],
    "where": [case("places", "input", "y"),
              case("places", "input", parameter=2, sizes=[None, None, (1, 1, 1)])],
}  # fmt: skip


def network(operator, chosen):
    """Layers up to the operator, and its parameter."""
    layers, needed = [], set(chosen.fed)
    for name, (kind, fed, settings) in reversed(FEEDERS.items()):
        if name in needed:
            needed.add(fed)
            layers.insert(0, layer(name, kind, [fed], settings))
    n = len(chosen.fed) + (chosen.parameter is not None)
    sizes, orders = chosen.sizes or [None] * n, chosen.orders or [None] * n
    settings = dict(chosen.settings)
    axes = chosen.axes
    if operator in {"arrange", "expand"}:
        settings["axes"], axes = axes, None
    if operator == "fold":
        settings["sizes"], sizes = chosen.sizes, [None]
    views = [OperandView(sizes=s, order=o) for s, o in zip(sizes, orders, strict=True)]
    end = OperatorLayer(
        name="end", operator=operator, inputs=chosen.fed, settings=settings, operands=views,
        axes=axes, parameter=chosen.parameter,
    )  # fmt: skip
    weights = {}
    if chosen.parameter is not None:
        weights["end.weight"] = f32(*sizes[chosen.parameter], seed=3)
    beside = "input" if operator == "held" else "end"  # a file's output depends on its input
    return made([*layers, end, layer("sum", "add", ["end", beside], {})], weights, AXES)


def layer(name, operator, inputs, settings):
    return OperatorLayer(name=name, operator=operator, inputs=inputs, settings=settings)


def made(layers, weights, shape, *, channels_first=False):
    """A network as ``read_onnx`` gives one."""
    task = SimpleNamespace(
        layers=layers, input_shape=shape, channels_first=channels_first, tokens=None
    )
    axes = graph_of(task).nodes[-1].shape.axes
    as_it_lies = OutputArrangement(sizes=axes, order=tuple(range(len(axes))), shape=axes)
    return SimpleNamespace(
        layers=layers, weights=weights, input_shape=shape, channels_first=channels_first,
        tokens=None, arrangement=as_it_lies,
    )  # fmt: skip


def written(network, path, **options):
    write_onnx(
        network.layers, network.weights, network.input_shape, path,
        channels_first=network.channels_first, arrangement=network.arrangement, **options,
    )  # fmt: skip
    return path


def check_written(network, x, path):
    """The file, and what is read of it, compute what the layers do."""
    wanted = outputs(network, x)
    y = ran(written(network, path, logits=False), x)
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-5)
    again = read_onnx(path, softmax=False)
    back = outputs(again, x)
    np.testing.assert_allclose(back, y, rtol=1e-4, atol=1e-5)
    return again


def test_there_is_a_case_for_every_operator():
    assert set(CASES) == set(OPERATORS)


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_operator_goes_out_and_comes_back(operator, tmp_path):
    for chosen in CASES[operator]:
        check_written(network(operator, chosen), f32(3, *AXES, seed=1), tmp_path / "a.onnx")


def test_images_keep_their_channels_first_between_layers(tmp_path):
    layers = [
        ConvLayer(name="a", outputs=5, kernel=3),
        layer("b", "hard_swish", ["a"], {}),
        layer("c", "max_pooling", ["b"], {"kernel": (2, 2)}),
        PoolLayer(name="d", kind="average_pool", kernel=2, stride=1),
        layer("e", "arrange", ["d"], {"axes": (9, 5)}),
    ]
    weights = {"a.weight": f32(5, 3, 3, 3), "a.bias": f32(5)}
    network = made(layers, weights, (3, 7, 7), channels_first=True)

    again = check_written(network, f32(2, 3, 7, 7, seed=1), tmp_path / "a.onnx")

    operators = [node.op_type for node in onnx.load(tmp_path / "a.onnx").graph.node]
    assert operators.count("Transpose") == 1
    kinds = [getattr(one, "operator", one.kind) for one in again.layers]
    assert kinds[:4] == ["conv", "hard_swish", "max_pool", "average_pool"]


def test_layers_that_share_weights_have_them_once(tmp_path):
    layers = [
        LinearLayer(name="a", outputs=4, activation="tanh"),
        LinearLayer(name="b", outputs=4, share="a"),
        layer("c", "arrange", ["b"], {"axes": (2, 2, 1)}),
        ConvLayer(name="d", outputs=1, kernel=1, padding=1),
        ConvLayer(name="e", outputs=1, kernel=1, padding=1, share="d"),
    ]
    weights = {"a.weight": f32(4, 4), "a.bias": f32(4), "d.weight": f32(1, 1, 1, 1)}
    network = made(layers, weights | {"d.bias": f32(1)}, (4,))

    again = check_written(network, f32(3, 4, seed=1), tmp_path / "a.onnx")

    names = [entry.name for entry in onnx.load(tmp_path / "a.onnx").graph.initializer]
    assert sorted(names) == sorted({*names})
    shares = {one.name: one.share for one in again.layers if getattr(one, "share", None)}
    assert shares == {"b": "a", "e": "d"}
    same_weights(again.weights, network.weights)


def test_parameters_are_told_from_constants(tmp_path):
    views = [OperandView(), OperandView(sizes=(4,))]
    layers = [
        LinearLayer(name="a", outputs=4),
        OperatorLayer(name="add-mask", operator="add", operands=views, parameter=1, frozen=True),
        OperatorLayer(name="scale", operator="multiply", operands=views, parameter=1),
        PlainLayer(name="relu", kind="relu"),
    ]
    weights = {"a.weight": f32(4, 4), "a.bias": f32(4), "add-mask.weight": f32(4, seed=1),
               "scale.weight": f32(4, seed=2)}  # fmt: skip

    again = check_written(made(layers, weights, (4,)), f32(3, 4), tmp_path / "a.onnx")

    assert published_names(again.layers) == published_names(layers)
    same_weights(again.weights, weights)
    assert [one.frozen for one in again.layers[:3]] == [False, True, False]


def test_a_kernel_that_is_the_value_of_a_layer_is_refused(tmp_path):
    kernel = layer("k", "arrange", ["input"], {"axes": (2, 3, 1, 4)})
    image = layer("i", "arrange", ["input"], {"axes": (4, 6, 1)})
    end = layer("end", "convolve", ["i", "k"], {})
    message = r"layer end must have a kernel that is a parameter .*, got a layer's value"

    with pytest.raises(ConfigError, match=message):
        written(made([kernel, image, end], {}, AXES), tmp_path / "a.onnx")


def test_several_inputs_go_out_as_they_came(tmp_path):
    """Whole numbers among them, and one whose examples lie along its second axis."""
    nodes = [
        helper.make_node("Gather", ["table.weight", "places"], ["t"]),
        helper.make_node("Transpose", ["x"], ["m"], perm=[1, 0, 2]),
        helper.make_node("MatMul", ["m", "a.weight"], ["p"]),
        helper.make_node("Add", ["p", "t"], ["s"]),
        helper.make_node("Mul", ["s", "scale"], ["y"]),
    ]
    floats, wholes = TensorProto.FLOAT, TensorProto.INT64
    graph = helper.make_graph(
        nodes, "test",
        [helper.make_tensor_value_info("x", floats, [2, "n", 3]),
         helper.make_tensor_value_info("places", wholes, ["n", 2]),
         helper.make_tensor_value_info("scale", floats, ["n", 1, 4])],
        [helper.make_tensor_value_info("y", floats, ["n", 2, 4])],
        [numpy_helper.from_array(f32(5, 4), "table.weight"),
         numpy_helper.from_array(f32(3, 4, seed=1), "a.weight")],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "a.onnx")
    x, scale = f32(2, 6, 3, seed=2), f32(6, 1, 4, seed=3)
    places = np.random.default_rng(4).integers(0, 5, (6, 2))

    read = read_onnx(tmp_path / "a.onnx", softmax=False)
    write_onnx(
        read.layers, read.weights, read.input_shape, tmp_path / "b.onnx",
        arrangement=read.arrangement, inputs=read.inputs,
    )  # fmt: skip
    again = read_onnx(tmp_path / "b.onnx", softmax=False)

    wanted = ran(tmp_path / "a.onnx", x, places, scale)
    np.testing.assert_allclose(ran(tmp_path / "b.onnx", x, places, scale), wanted, atol=1e-5)
    assert (again.inputs, kinds(again)) == (read.inputs, kinds(read))
    same_weights(again.weights, read.weights)


def test_all_numbers_of_several_inputs_may_be_taken_together(tmp_path):
    layers = [
        LinearLayer(name="a", outputs=3),
        layer("b", "slice", ["input"], {"axis": 0, "start": 1, "stop": 4}),
    ]
    network = made(
        [*layers, layer("c", "add", ["a", "b"], {})],
        {"a.weight": f32(3, 5), "a.bias": f32(3)},
        (5,),
    )
    x = f32(2, 5, seed=1)
    inputs = [NamedShape(name="u", shape=(2,)), NamedShape(name="v", shape=(1, 3))]

    written(network, tmp_path / "a.onnx", inputs=inputs)

    given = (x[:, :2], x[:, 2:].reshape(2, 1, 3))
    np.testing.assert_allclose(ran(tmp_path / "a.onnx", *given), outputs(network, x), atol=1e-6)
