"""Ten architectures from PyTorch: a step as PyTorch makes it, and the same bits in any packing."""

import os
import signal
import subprocess

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from threadpoolctl import threadpool_limits  # noqa: E402  because what follows needs PyTorch

from crossmesh.emulator.compiler.job import prepare  # noqa: E402
from crossmesh.emulator.config.loading import validated  # noqa: E402
from crossmesh.emulator.data import order  # noqa: E402
from crossmesh.emulator.executors.local import LocalExecutor  # noqa: E402
from crossmesh.emulator.onnx_io.torch_path import from_torch  # noqa: E402
from crossmesh.emulator.runs.callbacks import NoCallbacks  # noqa: E402
from crossmesh.emulator.training.export import held_weights  # noqa: E402
from crossmesh.emulator.training.training import train  # noqa: E402
from crossmesh.tiles.runtime.program import NOTHING  # noqa: E402
from tests.architectures import MODELS, STEPS, TOKENS, built, example_of  # noqa: E402
from tests.emulator.executors.test_executors import (  # noqa: E402
    in_threads,
    local,
    ray_instance,  # noqa: F401  because it is a fixture
)
from tests.emulator.training.test_torch import AFTER_ONE, weights_apart  # noqa: E402
from tests.emulator.training.test_training import IDEAL_READ  # noqa: E402
from tests.jobs import CELLS  # noqa: E402

pytestmark = pytest.mark.slow
BATCH, RATE = 4, 0.2
EXACT = {"rows": 13, "cols": 11, "cell": {"kind": "ideal"}, "read": IDEAL_READ}
DEVICES = {"rows": 13, "cols": 11, "cell": CELLS["constant_step"]}

# Weights of single channels and of transposed convolutions: names, and axes of PyTorch's.
OTHERS = {
    ("mobilenet", "1.depthwise.0.weight"): ("1-depthwise-0.weight", (2, 3, 1, 0)),
    ("convnext", "1.depthwise.weight"): ("1-depthwise.weight", (2, 3, 1, 0)),
    ("convnext", "1.depthwise.bias"): ("1-depthwise-bias.weight", (0,)),
    ("unet", "up.weight"): ("up.weight", (2, 3, 1, 0)),
    ("unet", "up.bias"): ("up-bias.weight", (0,)),
}


@pytest.fixture(scope="module", params=MODELS)
def architecture(request, tmp_path_factory):
    """Name of an architecture, and the folder with its file and data."""
    folder = tmp_path_factory.mktemp(request.param)
    from_torch(built(request.param), example_of(request.param), folder / "model.onnx")
    random, shape = np.random.default_rng(2), MODELS[request.param][1]
    if shape is None:
        letters = list("abcdefghijklm"[:TOKENS])
        (folder / "text.txt").write_text("".join(random.choice(letters, 40 * STEPS)))
    else:
        places = () if request.param != "unet" else (64,)
        np.savez(
            folder / "examples.npz",
            x_train=random.normal(size=(40, *shape)).astype(np.float32),
            y_train=random.integers(0, 10, (40, *places)),
        )
    return request.param, folder


def config_of(architecture, tile, **changes):
    name, folder = architecture
    data = {"source": "npz", "file": str(folder / "examples.npz")}
    if MODELS[name][1] is None:
        data = {"source": "text", "file": str(folder / "text.txt"), "steps": STEPS}
    training = {"examples": 16, "test_examples": 6, "evaluation_batch": 4, "learning_rate": RATE}
    return validated(
        {
            "name": name,
            "data": data,
            "network": {"onnx": str(folder / "model.onnx")},
            "training": {**training, "epochs": 2, "batch": BATCH},
            "tile": tile,
            "engine": {"kind": "local"},
            **changes,
        }
    )


def test_a_step_on_ideal_tiles_equals_that_of_pytorch(architecture):
    job = prepare(config_of(architecture, EXACT))
    assert len(job.program.crossbars) > len(job.network.matrices)  # layers are split
    executor = LocalExecutor(job)
    executor.write_initial_weights()
    first = held_weights(job, executor)
    rows = executor.run(job.span(0, 0, BATCH, NOTHING), lambda progress: None).rows
    ours = held_weights(job, executor)
    executor.close()
    with threadpool_limits(1):
        loss, theirs = after_a_step(architecture[0], job)

    np.testing.assert_allclose(rows[0].loss, loss, rtol=AFTER_ONE["loss"])
    for name in set(ours) - set(theirs):  # constants of the graph
        np.testing.assert_array_equal(ours[name], first[name], err_msg=name)
    theirs = {name: array.reshape(ours[name].shape) for name, array in theirs.items()}
    apart = weights_apart({name: ours[name] for name in theirs}, theirs, first)
    for figure, most in apart.items():
        assert most <= AFTER_ONE[figure], figure


def after_a_step(name, job):
    """The mean loss of the first batch, and the weights behind a step of plain SGD in PyTorch."""
    model = built(name).train()
    batch = order(job.config.seed, 0, job.n_train)[:BATCH]
    example = example_of(name)
    inputs = job.dataset.train.inputs[batch].reshape(-1, *example.shape[1:])
    targets = torch.tensor(job.dataset.train.targets[batch], dtype=torch.long)
    y = model(torch.tensor(inputs).to(example.dtype))
    if targets.ndim == 2:  # of every step, or of every pixel
        y = y.flatten(0, 1) if y.ndim == 3 else y.permute(0, 2, 3, 1).flatten(0, 2)
    losses = torch.nn.functional.cross_entropy(y, targets.flatten(), reduction="none")
    loss = losses.sum() * BATCH / len(losses)
    loss.backward()
    torch.optim.SGD(model.parameters(), lr=RATE).step()
    state = model.state_dict()
    weights = {}
    for key, value in state.items():
        if not key.endswith("num_batches_tracked"):
            last, axes = OTHERS.get((name, key), (_layer_name(key), range(value.ndim)))
            weights[last] = value.numpy().transpose(*axes)
    return float(loss.detach()) / BATCH, weights


def _layer_name(key):
    """The name of a weight of a layer, whose own names have no dots."""
    module, _, last = key.rpartition(".")
    if last.endswith("_l0_reverse"):
        return f"{module}-2.{last.removesuffix('_l0_reverse')}"
    if not module or last in {"token", "positions", "scale"}:
        return f"{key.replace('.', '-')}.weight"
    return f"{module.replace('.', '-')}.{last.removesuffix('_l0')}"


@pytest.mark.parametrize("stride", [1, 3])
def test_any_packing_gives_the_same_bits(architecture, stride, tmp_path):
    job = prepare(config_of(architecture, DEVICES))
    host_of = tuple((stride * tile + tile // 3) % 3 for tile in range(len(job.program.blocks)))

    assert in_threads(job, host_of, tmp_path) == local(job)


class Killer(NoCallbacks):
    """Ends an actor of this process's Ray instance as soon as the first figures are there."""

    killed = None

    def row(self, row):
        if self.killed is None:
            self.killed = next(
                pid for pid, words in below(os.getpid()) if "ray::TileActor" in words
            )
            os.kill(self.killed, signal.SIGKILL)


def below(parent):
    """Ids and commands of the processes that descend from one."""
    table = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout
    rows = [(int(pid), int(above), words) for pid, above, words in
            (line.split(None, 2) for line in table.splitlines())]  # fmt: skip
    found, ids = [], {parent}
    while new := [row for row in rows if row[1] in ids and row[0] not in ids]:
        found += [(pid, words) for pid, _, words in new]
        ids |= {pid for pid, _, _ in new}
    return found


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.usefixtures("ray_instance")
def test_actors_on_ray_and_one_that_is_killed_change_no_bit(architecture):
    whole = train(config_of(architecture, DEVICES))
    for actors in (1, 2, 3):
        engine = {"kind": "ray", "actors": actors}
        killer = Killer() if actors == 2 else None
        there = train(config_of(architecture, DEVICES, engine=engine), callbacks=killer)

        for figure in ("state_digest", "train_loss", "test_loss", "test_accuracy"):
            assert there.summary[figure] == whole.summary[figure], figure
        assert there.summary["emulation"]["actors"] == actors
        assert there.summary["emulation"]["recoveries"] == (actors == 2)
