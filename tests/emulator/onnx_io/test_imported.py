"""Networks that people bring: in from PyTorch, the same on tiles, trained further, and out."""

from dataclasses import replace

import numpy as np
import pytest

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import dumped, load_config, validated
from crossmesh.emulator.executors.local import LocalExecutor
from crossmesh.emulator.onnx_io.opening import load
from crossmesh.emulator.onnx_io.weights import read_npz
from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.emulator.training.export import export, held_weights
from crossmesh.emulator.training.training import evaluate, train
from crossmesh.tiles.analog.programmed import MODELS
from crossmesh.tiles.analog.retention import Aging
from tests.emulator.training.test_training import IDEAL_READ
from tests.jobs import Recorder
from tests.zoo import zoo_config

IDEAL = {"rows": 64, "cols": 48, "cell": {"kind": "ideal"}, "read": IDEAL_READ}


def outputs_on_tiles(job):
    """What the network gives for the test set, before training."""
    recorder = Recorder()
    executor = LocalExecutor(replace(job, program=replace(job.program, loss=recorder)))
    executor.write_initial_weights()
    executor.run(job.evaluation(0), lambda progress: None)
    executor.close()
    return np.concatenate(recorder.outputs)


def config_of(file, data, **changes):
    return validated(
        {
            "name": "imported",
            "data": data,
            "network": {"onnx": str(file)},
            "training": {
                "epochs": 1, "batch": 4, "examples": 24, "test_examples": 12,
                "evaluation_batch": 8, "learning_rate": 0.01,
            },
            "tile": IDEAL,
            "engine": {"kind": "local"},
            **changes,
        }
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["resnet20", "nanogpt"])
def test_a_network_from_pytorch_comes_in_trains_and_goes_out(name, tmp_path):
    torch = pytest.importorskip("torch")
    from crossmesh.emulator.onnx_io.torch_path import from_torch
    from tests.torch_models import built

    model, example, *_ = built(name)
    file = tmp_path / "model.onnx"
    from_torch(model, example, file)
    config = config_of(file, _data(example, tmp_path))
    job = prepare(config)
    inputs = job.dataset.test.inputs
    x = torch.tensor(inputs.reshape(-1, *example.shape[1:])).to(example.dtype)
    with torch.no_grad():
        expected = torch.softmax(model.eval()(x), -1).numpy()

    there = outputs_on_tiles(job)
    np.testing.assert_allclose(there, expected.reshape(there.shape), atol=1e-4)

    folder = tmp_path / "run"
    result = train(config, folder)
    assert result.train_loss < -np.log(1e-3)
    out, again = tmp_path / "trained.onnx", tmp_path / "again.npz"
    export(RunDirectory.existing(folder), config, onnx=out, npz=again)
    back = prepare(config_of(out, config.data.model_dump(mode="json")))
    tested = evaluate(None, back.config, print)
    assert tested["test_loss"] == pytest.approx(result.test_loss, rel=1e-5)
    assert read_npz(again, job.layers)


def _data(example, folder):
    """Examples of the shape that a model takes."""
    random = np.random.default_rng(2)
    if example.dim() == 2:
        file = folder / "text.txt"
        file.write_text("".join(random.choice(list("abcdefghijkl "), 600)))
        return {"source": "text", "file": str(file), "steps": example.shape[1]}
    file = folder / "examples.npz"
    x = random.normal(size=(80, *example.shape[1:])).astype(np.float32)
    np.savez(file, x_train=x, y_train=random.integers(0, 10, 80))
    return {"source": "npz", "file": str(file)}


@pytest.fixture
def trained(tmp_path):
    """A small trained network, exported: (config, files)."""
    config = zoo_config("residual", "ideal", tile={"read": IDEAL_READ})
    train(config, tmp_path / "run")
    onnx, npz = tmp_path / "a.onnx", tmp_path / "a.npz"
    export(RunDirectory.existing(tmp_path / "run"), config, onnx=onnx, npz=npz)
    return config, onnx, npz


def test_weights_from_an_archive_are_those_that_went_in(trained):
    config, _, npz = trained
    again = config.model_copy(update={"weights": npz})
    job = prepare(again)
    executor = LocalExecutor(job)
    executor.write_initial_weights()
    held = held_weights(job, executor)
    executor.close()

    for name, array in read_npz(npz, job.layers).items():
        np.testing.assert_array_equal(held[name], array)


def test_layers_before_the_last_stay_as_they_are_in_transfer_learning(trained):
    config, onnx, _ = trained
    tree = config.model_dump(mode="json")
    tree["network"] = {
        "onnx": str(onnx),
        "until": "global_pool11",
        "layers": {"*": {"digital": True, "frozen": True}},
        "then": [
            {"kind": "linear", "outputs": 12, "activation": "tanh", "name": "new"},
            {"kind": "linear", "outputs": 10, "activation": "softmax"},
        ],
    }
    transfer = validated(tree)
    job = prepare(transfer)
    executor = LocalExecutor(job)
    executor.write_initial_weights()
    before = held_weights(job, executor)
    executor.run(job.epoch(0), lambda progress: None)
    after = held_weights(job, executor)
    executor.close()

    changed = {name.partition(".")[0] for name in before if (before[name] != after[name]).any()}
    assert changed == {"new", job.layers[-1].name}
    on_tiles = {block.layer for block in job.program.crossbars}
    assert on_tiles == changed
    assert not any(
        op.stage
        for op in job.program.operations
        if op.kind == "derive" and op.node not in {"new.tanh"}
    )


def test_new_weights_leave_those_of_the_file(trained):
    config, onnx, _ = trained
    tree = config.model_dump(mode="json") | {"network": {"onnx": str(onnx), "weights": "new"}}

    assert not prepare(validated(tree)).given
    assert prepare(validated(tree | {"network": {"onnx": str(onnx)}})).given


def test_a_config_with_a_file_loads_again_from_anywhere(trained, tmp_path, monkeypatch):
    _, onnx, _ = trained
    file = tmp_path / "config.yaml"
    text = (
        "name: a\ndata: {source: digits}\nnetwork: {onnx: a.onnx, layers: {'*': {tile: {rows: 9}}}}"
    )
    file.write_text(text + "\ntile: {cols: 11}\n")
    config = load_config(file)

    monkeypatch.chdir("/")
    assert config.network.onnx == onnx
    settings = config.network.layers["*"].tile
    assert (settings.rows, settings.cols) == (9, 11)
    second = tmp_path / "b" / "config.yaml"
    second.parent.mkdir()
    second.write_text(dumped(config))
    assert load_config(second) == config


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"onnx": "nowhere.onnx"}, r"network\.onnx must be a file, got .*nowhere\.onnx"),
        ({"until": "x"}, r"network\.until must be a layer of the file \(.*global_pool.*\), got x"),
        ({"layers": {"x*": {}}}, r"network\.layers must name layers \(.*\), got x\*"),
    ],
)
def test_what_does_not_fit_a_file_is_refused(network, message, trained):
    config, onnx, _ = trained
    tree = config.model_dump(mode="json") | {"network": {"onnx": str(onnx), **network}}
    with pytest.raises(ConfigError, match=message):
        prepare(validated(tree))


def test_data_that_a_file_does_not_take_are_refused(trained):
    config, onnx, _ = trained
    tree = config.model_dump(mode="json") | {"network": {"onnx": str(onnx)}}
    tree["data"] = {"source": "synthetic", "inputs": 20}
    message = r"network\.onnx must take examples of shape \(20,\) .* synthetic, got \(1, 8, 8\)"
    with pytest.raises(ConfigError, match=message):
        prepare(validated(tree))


@pytest.mark.slow
@pytest.mark.parametrize("case", ["mean", "flatten", "softmax", "channels", "added"])
def test_the_axes_of_the_input_are_those_of_the_file(case, tmp_path):
    """Whatever layer comes first: what it does to steps and channels depends on them."""
    torch = pytest.importorskip("torch")
    from crossmesh.emulator.onnx_io.torch_path import from_torch

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            width = {"mean": 12, "added": 12, "channels": 48}.get(case, 72)
            self.out, self.inner = torch.nn.Linear(width, 10), torch.nn.Linear(12, 12)

        def forward(self, x):
            taken = {
                "mean": lambda: x.mean(1),
                "flatten": lambda: x.flatten(1),
                "softmax": lambda: torch.softmax(x, -1).flatten(1),
                "channels": lambda: torch.softmax(x, 1).flatten(1),
                "added": lambda: (x + self.inner(x)).mean(1),
            }
            return self.out(taken[case]())

    torch.manual_seed(0)
    model, file = Model().eval(), tmp_path / "model.onnx"
    example = torch.zeros((2, 3, 4, 4) if case == "channels" else (2, 6, 12))
    from_torch(model, example, file)
    job = prepare(config_of(file, _data(example, tmp_path)))
    x = torch.tensor(job.dataset.test.inputs.reshape(-1, *example.shape[1:]))
    with torch.no_grad():
        expected = torch.softmax(model(x), -1).numpy()
    np.testing.assert_allclose(outputs_on_tiles(job), expected, atol=1e-6)


def test_a_file_for_other_channels_is_refused(trained, tmp_path):
    _, onnx, _ = trained
    images = tmp_path / "images.npz"
    np.savez(images, x_train=np.zeros((60, 3, 8, 8), np.float32), y_train=np.arange(60) % 10)
    message = r"network\.onnx must take examples of shape \(3, 8, 8\) .*, got \(1, 8, 8\)"
    with pytest.raises(ConfigError, match=message):
        prepare(config_of(onnx, {"source": "npz", "file": str(images)}))


def test_what_lies_in_digital_memory_does_not_age():
    job = prepare(zoo_config("features"))
    executor = LocalExecutor(job)
    executor.write_initial_weights()
    digital = [t for t in executor.host.tiles.values() if t.block.home is not None]
    analog = [t for t in executor.host.tiles.values() if t.block.home is None]
    executor.age(Aging(model=MODELS["pcm"], repetition=0, after_s=86400.0, compensated=False))

    assert not any(getattr(tile, "_aged", None) for tile in digital)
    assert all(tile._aged for tile in analog)
    executor.close()


def test_functions_that_stand_for_too_many_nodes_are_refused(tmp_path):
    """Twenty functions, each of which calls the one before twice: a million nodes in 4 KB."""
    from onnx import TensorProto, helper

    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    functions = []
    for n in range(20):
        called, domain = ("Relu", "") if n == 0 else (f"f{n - 1}", "mine")
        nodes = [
            helper.make_node(called, [fed], [given], domain=domain)
            for fed, given in (("a", "t"), ("t", "b"))
        ]
        functions.append(helper.make_function("mine", f"f{n}", ["a"], ["b"], nodes, opsets))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ("n", 10)) for name in ("x", "y")
    ]
    graph = helper.make_graph(
        [helper.make_node("f19", ["x"], ["y"], domain="mine")], "g", ends[:1], ends[1:]
    )
    model = helper.make_model(graph, functions=functions, opset_imports=opsets, ir_version=8)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())

    with pytest.raises(ConfigError, match=r"^network\.onnx must have at most 50,?000 nodes, got 1"):
        load(tmp_path / "m.onnx")
