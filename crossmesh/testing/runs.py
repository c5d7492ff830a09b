"""Small runs on handwritten digits, and what any of them must do."""

from pathlib import Path
from typing import Any

import numpy as np

from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.emulator.training.training import train


def small_run(epochs: int, **changes: Any) -> RunConfig:
    """A config of 64 examples, in this process.

    Args:
        epochs: How long it is trained.
        changes: Other sections, or other values of some fields of a section.
    """
    config = load_config(
        "digits",
        ["training.examples=64", "training.baseline=false", "engine.kind=local",
         f"training.epochs={epochs}"],
    )  # fmt: skip
    sections = dict(config)
    for name, value in changes.items():
        old = sections[name]
        sections[name] = type(old)(**(dict(old) | value)) if isinstance(value, dict) else value
    return RunConfig(**sections)


def check_resuming(once: RunConfig, twice: RunConfig, folder: Path) -> None:
    """One run of two epochs, and one that is resumed after the first, end in the same bits."""
    whole = train(twice)
    directory = RunDirectory(folder)
    train(once, directory)
    resumed = train(twice, directory, resume=True)

    assert np.isfinite(whole.summary["train_loss"]), "the loss of training must be finite"
    assert resumed.state_digest == whole.state_digest, (
        "a resumed run must end in the bits of one that was not stopped: does state() hold all "
        "that changes while training?"
    )


def check_actors(config: RunConfig) -> None:
    """Ray with two actors gives the bits of this process."""
    engine = config.engine.model_copy(update={"kind": "ray", "actors": 2})
    there = train(config.model_copy(update={"engine": engine}))

    assert there.state_digest == train(config).state_digest, (
        "two actors must give the bits of one process: random numbers may depend on the seed, the "
        "tile and the number of the example only"
    )
