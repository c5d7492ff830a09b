"""Networks from ONNX on ideal tiles, against PyTorch on one thread: the same graph, both ways."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import Figure, figure, ratios, take_turns
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import validated
from crossmesh.emulator.executors.local import LocalExecutor
from crossmesh.emulator.onnx_io.torch_path import from_torch
from crossmesh.tiles.runtime.program import NOTHING

EXAMPLES = 32
RATE = 1e-4
IDEAL = {"dac": None, "adc": None, "output_noise": 0.0,
         "noise_management": "none", "bound_management": "none"}  # fmt: skip
GRAPHS_AIM, RESNET_AIM = 1.5, 2.0
RESNET = (3, 64, 64)


def imported(rounds: int) -> Iterator[Figure]:
    """Forward passes and training steps, each over PyTorch's; nothing without it."""
    with suppress(ImportError):
        torch = import_module("torch")
        import_module("onnxscript")
        torch.set_num_threads(1)
        networks = import_module("benchmarks.networks_of_torch")
        for name, graph in networks.GRAPHS.items():
            turns = _turns(torch, networks.Between(graph), graph.takes)
            seconds = take_turns(turns, rounds)
            for what, title in (("forward", "forward"), ("step", "a step")):
                values = ratios(seconds, what, f"PyTorch's {what}")
                yield figure(
                    "imported", f"{name}, {title} / PyTorch", values, "ratio", aim=GRAPHS_AIM
                )
        turns = _turns(torch, networks.resnet18(), RESNET)
        for what in ("step", "PyTorch's step"):
            del turns[what]
        values = ratios(take_turns(turns, rounds), "forward", "PyTorch's forward")
        title = "ResNet-18 at 64 x 64, forward / PyTorch"
        yield figure("imported", title, values, "ratio", aim=RESNET_AIM)


def _turns(torch: Any, model: Any, shape: tuple[int, ...]) -> dict[str, Callable[[], object]]:
    """Passes of a model in both programs, from the same weights."""
    x = np.random.default_rng(0).normal(size=(EXAMPLES, *shape)).astype(np.float32)
    classes = np.arange(EXAMPLES) % 10
    job = _job(torch, model.eval(), x, classes)
    executor = LocalExecutor(job)
    executor.write_initial_weights()
    inputs, targets = torch.tensor(x), torch.tensor(classes)
    sgd = torch.optim.SGD(model.parameters(), lr=RATE)

    def forward() -> object:
        with torch.no_grad():
            return model(inputs)

    def step() -> None:
        sgd.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs), targets, reduction="sum").backward()
        sgd.step()

    return {
        "forward": lambda: executor.run(job.evaluation(0), lambda progress: None),
        "step": lambda: executor.run(job.span(0, 0, EXAMPLES, NOTHING), lambda progress: None),
        "PyTorch's forward": forward,
        "PyTorch's step": step,
    }


def _job(torch: Any, model: Any, x: NDArray[np.float32], classes: NDArray[np.int64]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        network, data = Path(folder) / "network.onnx", Path(folder) / "data.npz"
        from_torch(model, torch.tensor(x[:2]), network)
        np.savez(data, x_train=x, y_train=classes, x_test=x, y_test=classes)
        batch = {"batch": EXAMPLES, "evaluation_batch": EXAMPLES, "learning_rate": RATE}
        return prepare(
            validated(
                {
                    "name": "imported",
                    "data": {"source": "npz", "file": str(data)},
                    "network": {"onnx": str(network)},
                    "training": batch,
                    "tile": {"rows": 512, "cols": 512, "cell": {"kind": "ideal"}, "read": IDEAL},
                    "engine": {"kind": "local"},
                }
            )
        )
