"""Small jobs for tests: real data, several tiles per layer in both directions, ragged ends."""

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from crossmesh.emulator.compiler.job import Job, prepare
from crossmesh.emulator.config.loading import merged, validated
from crossmesh.emulator.config.run import RunConfig
from crossmesh.tiles.analog.cells import Cell
from crossmesh.tiles.analog.devices import DEVICES
from crossmesh.tiles.digital.losses import CrossEntropy

# Three devices as a measurement may find them.
TABLES: list[dict[str, Any]] = [
    {
        "lower": -1.0, "upper": 0.9,
        "up": [0.02, 0.014, 0.011, 0.006, 0.001], "up_noise": [0.004, 0.005, 0.004, 0.003, 0.001],
        "down": [-0.002, -0.008, -0.01, -0.016, -0.03],
        "down_noise": [0.0, 0.004, 0.006, 0.005, 0.008],
    },
    {
        "lower": -0.7, "upper": 0.8,
        "up": [0.03, 0.02, 0.012, 0.008, 0.0], "up_noise": [0.004, 0.005, 0.004, 0.003, 0.001],
        "down": [0.0, -0.005, -0.008, -0.02, -0.04],
        "down_noise": [0.001, 0.002, 0.003, 0.004, 0.005],
    },
    {
        "lower": -0.9, "upper": 0.5,
        "up": [0.009, 0.01, 0.008, 0.002, 0.0], "up_noise": [0.002, 0.002, 0.003, 0.003, 0.002],
        "down": [0.0, -0.004, -0.009, -0.011, -0.012],
        "down_noise": [0.001, 0.002, 0.002, 0.004, 0.004],
    },
]  # fmt: skip
# What tests set of each kind of device; one that is not here is tested as it is shipped.
DEVICE_SETTINGS: dict[str, dict[str, Any]] = {
    "constant_step": {"step": 0.01},
    "linear_step": {"step": 0.01, "gamma_up": 0.3, "gamma_down": 0.7},
    "soft_bounds": {"step": 0.01},
    "exp_step": {"step": 0.01},
    "jump_table": {"tables": TABLES},
}
CELLS: dict[str, dict[str, Any]] = {
    "ideal": {"kind": "ideal"},
    **{kind: {"kind": kind, **DEVICE_SETTINGS.get(kind, {})} for kind in DEVICES if kind != "pcm"},
    "pcm": {"kind": "pair", "device": {"kind": "pcm"}, "refresh": {"difference": 0.5}},
    "pairs": {
        "kind": "pairs", "carry_every": 10,
        "pair": {"kind": "pair", "device": {"kind": "soft_bounds", "step": 0.01}},
    },
    "pcm_3t1c": {"kind": "pcm_3t1c", "transfer": {"every": 30, "examples_per_row": 1}},
    "pair": {"kind": "pair", "device": {"kind": "soft_bounds", "step": 0.01}},
    "shared_reference": {
        "kind": "shared_reference", "reference_noise": 0.02,
        "device": {
            "kind": "soft_bounds", "step": 0.01, "lower": 0.0, "upper": 1.0, "write_noise": 2.0,
            "retention": {"time_s": 1e-4, "device_noise": 0.3}, "stuck": {"fraction": 0.02},
        },
    },
}  # fmt: skip
_CELL: TypeAdapter[Any] = TypeAdapter(Cell)
SCHEDULES: dict[str, dict[str, Any]] = {
    "sequential": {"batch": 4},
    "synchronous": {"batch": 12, "micro_batch": 4},
    "gpipe": {"batch": 12, "micro_batch": 4},
    "1f1b": {"batch": 12, "micro_batch": 4},
    "asynchronous": {"batch": 4},
}
# Schedules that change weights when another does, and so leave the same bits.
SAME_BITS = {"gpipe": "synchronous", "1f1b": "synchronous"}


def validated_cell(section: dict[str, Any]) -> Cell:
    """A cell as a config has it."""
    cell: Cell = _CELL.validate_python(section)
    return cell


def small_config(
    cell: str | dict[str, Any] = "constant_step", schedule: str = "sequential", **changes: Any
) -> RunConfig:
    """Digits on a network of three layers whose tiles of 19 by 7 fit no layer evenly.

    Biases are on lines, unless a test says otherwise: devices and tiles do all of the work then.
    """
    tree: dict[str, Any] = {
        "name": "small",
        "data": {"source": "digits"},
        "network": [
            {"kind": "linear", "outputs": 16, "activation": "tanh"},
            {"kind": "linear", "outputs": 9, "activation": "sigmoid"},
            {"kind": "linear", "outputs": 10, "activation": "softmax"},
        ],
        "training": {
            "epochs": 2,
            "examples": 50,
            "test_examples": 30,
            "evaluation_batch": 8,
            "schedule": schedule,
            "learning_rate": 0.05,
            **SCHEDULES[schedule],
        },
        "tile": {
            "rows": 19,
            "cols": 7,
            "bias": "line",
            "cell": CELLS[cell] if isinstance(cell, str) else cell,
        },
        "engine": {"kind": "local"},
    }
    return validated(merged(tree, changes))


def small_job(*arguments: Any, **changes: Any) -> Job:
    """The job of a small config."""
    return prepare(small_config(*arguments, **changes))


def steps(folder: Path) -> list[Path]:
    """Folders of the checkpoints in a run directory, oldest first."""
    return sorted((folder / "checkpoints").glob("step-*"))


def run_folder(folder: Path) -> set[str]:
    """Names of what a run left, without its checkpoints."""
    return {path.name for path in folder.iterdir()} - {"checkpoints"}


class Recorder:
    """Cross-entropy, which keeps the outputs that it judges."""

    def __init__(self) -> None:
        self.outputs: list[Any] = []

    def evaluate(self, y: Any, targets: Any) -> Any:
        """The loss and the error."""
        self.outputs.append(y.copy())
        return CrossEntropy().evaluate(y, targets)

    def __getattr__(self, name: str) -> Any:
        return getattr(CrossEntropy(), name)
