"""Recurrent layers of ONNX against what a runtime computes."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.onnx_io.reading import read_onnx
from tests.emulator.onnx_io.onnx_material import check_read, f32, kinds

STEPS, INPUTS, HIDDEN = 4, 3, 5
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
NAMES = ["x", "w", "r", "b", "lengths", "h", "c", "p"]


def recurrent_file(path, kind, *, states=(), n=2, **attributes):
    """A layer of states ``(steps, directions, examples, features)``, the steps of x first."""
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    rows = GATES[kind] * HIDDEN
    constants = {
        "w": f32(directions, rows, INPUTS),
        "r": f32(directions, rows, HIDDEN, seed=1) / 2,
        "b": f32(directions, 2 * rows, seed=2),
        "h": np.repeat(f32(directions, 1, HIDDEN, seed=3), n, axis=1),
        "c": np.repeat(f32(directions, 1, HIDDEN, seed=4), n, axis=1),
        "p": f32(directions, 3 * HIDDEN, seed=5),
        "lengths": np.full(n, STEPS, np.int32),
    }
    layout = attributes.get("layout", 0)
    if layout:
        constants |= {name: constants[name].swapaxes(0, 1) for name in "hc"}
    names = [name if name in {"x", "w", "r", "b", *states} else "" for name in NAMES]
    names = names[: 1 + max(i for i, name in enumerate(names) if name)]
    given = "x" if layout else "t"
    nodes = [] if layout else [helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2])]
    outputs = ["all", "last", "cell"][: 3 if kind == "LSTM" else 2]
    nodes.append(
        helper.make_node(kind, [given, *names[1:]], outputs, hidden_size=HIDDEN, **attributes)
    )
    order = {"all": [0, 2, 1, 3] if layout == 0 else [0, 1, 2, 3], "last": [0, 1, 2]}
    if not layout:
        order = {"all": [2, 0, 1, 3], "last": [1, 0, 2]}
    order["cell"] = order["last"]
    nodes += [
        helper.make_node("Transpose", [name], [f"{name} of each"], perm=order[name])
        for name in outputs
    ]
    size = "n" if not {*states} & {"h", "c", "lengths"} else n
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [size, STEPS, INPUTS])],
        [
            helper.make_tensor_value_info(
                f"{name} of each", TensorProto.FLOAT, [None] * len(order[name])
            )
            for name in outputs
        ],
        [numpy_helper.from_array(constants[name], name) for name in names if name in constants],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.save(model, path)
    return path


def check_outputs(path, n=2):
    """Each output by itself is as a runtime has it."""
    model = onnx.load(path)
    reads = []
    for entry in list(model.graph.output):
        one = onnx.ModelProto()
        one.CopyFrom(model)
        del one.graph.output[:]
        one.graph.output.append(entry)
        onnx.save(one, path)
        reads.append(check_read(path, f32(n, STEPS, INPUTS, seed=6)))
    return reads


DIRECTIONS = ("forward", "reverse", "bidirectional")
PLAIN = [("LSTM", {}), ("GRU", {"linear_before_reset": 1}), ("GRU", {}), ("RNN", {})]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("kind", "settings"), PLAIN)
def test_every_kind_and_direction_gives_all_its_states(kind, settings, direction, tmp_path):
    path = recurrent_file(tmp_path / "a.onnx", kind, direction=direction, **settings)

    reads = check_outputs(path)

    is_ours = kind == "LSTM" or bool(settings)
    assert (kind.lower() in kinds(reads[0])) is is_ours


SETTINGS = {
    "LSTM": [
        {"clip": 0.4},
        {"activations": ["Relu", "HardSigmoid", "Softsign"]},
        {"input_forget": 1},
        {"states": ("h", "c")},
        {"states": ("p",)},
        {"states": ("h", "c", "p", "lengths"), "clip": 0.9},
    ],
    "GRU": [
        {"clip": 0.4},
        {"activations": ["HardSigmoid", "Elu"]},
        {"states": ("h",)},
        {"states": ("h",), "linear_before_reset": 1},
    ],
    "RNN": [{"clip": 0.4}, {"activations": ["Relu"]}, {"states": ("h", "lengths")}],
}
CASES = [(kind, settings) for kind, several in SETTINGS.items() for settings in several]


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize(("kind", "settings"), CASES)
def test_states_clips_peepholes_and_activations_count(kind, settings, direction, tmp_path):
    both = 2 if direction == "bidirectional" else 1
    settings = dict(settings)
    if "activations" in settings:
        settings["activations"] = settings["activations"] * both
    path = recurrent_file(tmp_path / "a.onnx", kind, direction=direction, **settings)

    check_outputs(path)


@pytest.mark.parametrize("kind", GATES)
def test_examples_may_be_the_first_axis(kind, tmp_path):
    """Layout 1, which onnxruntime does not run: as a file that transposes by itself."""
    read = {}
    for layout in (0, 1):
        folder = tmp_path / str(layout)
        folder.mkdir()
        path = recurrent_file(folder / "a.onnx", kind, direction="bidirectional", layout=layout)
        read[layout] = [
            read_onnx(path, softmax=False, output=f"{name} of each") for name in ("all", "last")
        ]
    x = f32(2, STEPS, INPUTS, seed=6)
    from tests.exact import outputs

    for one, other in zip(*read.values(), strict=True):
        np.testing.assert_allclose(outputs(one, x), outputs(other, x), atol=1e-6)


def test_sequences_of_other_lengths_and_unknown_functions_are_refused(tmp_path):
    path = recurrent_file(tmp_path / "a.onnx", "GRU", states=("lengths",))
    model = onnx.load(path)
    lengths = next(one for one in model.graph.initializer if one.name == "lengths")
    lengths.CopyFrom(numpy_helper.from_array(np.array([STEPS, 2], np.int32), "lengths"))
    onnx.save(model, path)
    with pytest.raises(ConfigError, match=r"GRU at node .* \(sequences of different lengths\)"):
        read_onnx(path, output="all of each")

    path = recurrent_file(
        tmp_path / "a.onnx", "RNN", activations=["Affine"], activation_alpha=[2.0]
    )
    with pytest.raises(ConfigError, match=r"RNN at node .* \(activation_alpha\)"):
        read_onnx(path, output="all of each")
