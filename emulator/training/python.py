"""Training from Python: ``crossmesh.train`` and ``crossmesh.resume``."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from crossmesh.emulator.callbacks.callback import Callback
from crossmesh.emulator.compiler.inputs import named_arrays
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.config.overriding import Overrides
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.emulator.runs.progress import display
from crossmesh.emulator.training import training
from crossmesh.emulator.training.few import few_examples
from crossmesh.emulator.training.result import Result

RUNS = Path("runs")  # where runs lie whose directory is not given


def train(  # noqa: PLR0913  because a run has so many parts
    config: RunConfig | Mapping[str, Any] | Path | str,
    directory: RunDirectory | Path | str | Literal[False] | None = None,
    *,
    data: Any = None,
    target: str | None = None,
    callbacks: Iterable[Callback] = (),
    quiet: bool = False,
    resume: bool = False,
    keep_data: bool = True,
    fast_dev_run: bool = False,
) -> Result:
    """Train a network on emulated tiles.

    Args:
        config: The run: a config, a YAML file, the name of a shipped config, or what a file says.
        directory: Run directory for results and checkpoints, new or empty; by default ``runs/NAME``
            or ``runs/NAME-2`` and so on. False: none, so that nothing is written.
        data: Examples in memory in place of the config's data, whose section says how they are
            prepared. Bytes are divided by 255. One of

            * NumPy arrays or PyTorch tensors ``(x_train, y_train, x_test, y_test)``, or without the
              test, for which ``data.test_fraction`` is set aside then, or by these names;
            * a PyTorch dataset, or one to train on and one to test with;
            * a data frame of pandas or Polars, or one to train on and one to test with.
        target: Column of a data frame that is learnt; the others are inputs.
        callbacks: What is called meanwhile, see ``crossmesh.callbacks``.
        quiet: Whether to show no progress.
        resume: Whether to resume from the directory's newest checkpoint.
        keep_data: Whether the directory keeps ``data``, in ``data.npz``. Otherwise the run can be
            resumed and evaluated only with the same ``data``.
        fast_dev_run: Whether to try everything on a few examples: see ``few_examples``.

    Returns:
        The result.

    Raises:
        ConfigError: If config, data and directory do not fit.
        DataError: If the data cannot be had.
        RunError: If a tile or the cluster fails.
        CallbackError: If a callback failed; it holds the result.
    """
    if not isinstance(config, RunConfig):
        config = load_config(_with_data(config) if data is not None else config)
    if fast_dev_run:
        config = few_examples(config)
    arrays = None if data is None else named_arrays(data, target)
    with display(quiet=quiet) as shown:
        return training.train(
            config,
            _directory(config, directory),
            shown,
            resume=resume,
            data=arrays,
            keep_data=keep_data,
            during=callbacks,
        )


def resume(
    run: RunDirectory | Path | str,
    overrides: Overrides = (),
    *,
    data: Any = None,
    target: str | None = None,
    callbacks: Iterable[Callback] = (),
    quiet: bool = False,
    **sections: Any,
) -> Result:
    """Resume a run from its newest checkpoint, perhaps for more epochs.

    The result is the same, bit for bit, as if the run had never been interrupted.

    Args:
        run: The run directory.
        overrides: Fields of its config, as ``load_config`` takes them.
        data: The examples, if the run was given some and has not kept them.
        target: As of ``train``.
        callbacks: As of ``train``.
        quiet: As of ``train``.
        sections: As of ``load_config``: ``training={"epochs": 4}``.
    """
    directory = run if isinstance(run, RunDirectory) else RunDirectory.existing(Path(run))
    return train(
        directory.config(overrides, **sections),
        directory,
        data=data,
        target=target,
        callbacks=callbacks,
        quiet=quiet,
        resume=True,
    )


def _with_data(config: Mapping[str, Any] | Path | str) -> Mapping[str, Any] | Path | str:
    """A mapping with a section for data that are given."""
    if not isinstance(config, Mapping) or "data" in config:
        return config
    return {**config, "data": {"source": "npz", "file": "data.npz"}}


def _directory(
    config: RunConfig, directory: RunDirectory | Path | str | Literal[False] | None
) -> RunDirectory | None:
    if directory is None:
        return RunDirectory(RUNS / config.name, numbered=True)
    if isinstance(directory, RunDirectory):
        return directory
    return RunDirectory(directory) if directory else None
