"""The training to launch: a config and options of ``crossmesh train``, checked before it starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import typer

from crossmesh.cluster.launch.config import Cluster
from crossmesh.common.errors import ConfigError
from crossmesh.common.homes import at_home
from crossmesh.common.whole_files import is_file
from crossmesh.emulator.cli.main import app
from crossmesh.emulator.cli.options import changes, stopping
from crossmesh.emulator.compiler.carried import CarriedFiles, carried
from crossmesh.emulator.config.loading import load_config, overrides
from crossmesh.emulator.config.run import RunConfig

# Options of the train command that become fields of the config.
_FIELDS = {
    "data_dir": "data.directory",
    "seed": "seed",
    "examples": "training.examples",
    "epochs": "training.epochs",
}
_LEFT_TO_THE_CLUSTER = {"engine": "--engine", "address": "--address"}
_FOR_THIS_MACHINE = {"log": "--log", "fast_dev_run": "--fast-dev-run"}


@dataclass(frozen=True)
class Order:
    """A training for a cluster.

    Attributes:
        cluster: The cluster to launch on.
        source: Config file or shipped name; or a run directory, to resume it.
        options: The user's options, as ``crossmesh train`` or ``crossmesh resume`` takes them.
        name: Of the launch; none is used twice.
        keep: Whether machines that were taken for it are kept at its end.
    """

    cluster: Cluster
    source: str
    options: tuple[str, ...] = ()
    name: str = "run"
    keep: bool = False

    @property
    def is_resumed(self) -> bool:
        """Whether the source is a run to resume."""
        return is_file(Path(self.source) / "config.yaml")

    @cached_property
    def given(self) -> Mapping[str, Any]:
        """The options by name."""
        verb = "resume" if self.is_resumed else "train"
        command = typer.main.get_command(app).commands[verb]  # type: ignore[attr-defined]  # a group
        given: dict[str, Any] = command.make_context(verb, [self.source, *self.options]).params
        for name, option in _LEFT_TO_THE_CLUSTER.items():
            if given[name] is not None:
                raise ConfigError(
                    f"{option} must be left out (the cluster sets it), got {given[name]}"
                )
        for name, option in _FOR_THIS_MACHINE.items():
            if given.get(name):
                raise ConfigError(f"{option} must be left out of a launch, got {given[name]}")
        return given

    @cached_property
    def config(self) -> RunConfig:
        """The config with everything that cluster and options say."""
        source = Path(self.source) / "config.yaml" if self.is_resumed else self.source
        plain = load_config(source, self._changes())
        return load_config(source, [*overrides(self._settings(plain)), *self._changes()])

    @cached_property
    def carried(self) -> tuple[CarriedFiles, ...]:
        """Files that the config names and that travel with it."""
        return carried(self.config, self.cluster.seen_by_all)

    def arguments(self, address: str) -> list[str]:
        """The command that trains from this machine; where options meet, the user's count."""
        verb = "resume" if self.is_resumed else "train"
        where = ["--engine", "ray", "--address", address]
        if self.cluster.data_dir is not None:
            where += ["--data-dir", self.cluster.data_dir]
        if not self.is_resumed:
            settings = overrides(self._settings(self.config))
            where += [word for text in settings for word in ("--set", text)]
            where += ["--run-dir", self.run_dir_here]
        return [verb, self.source, *where, *self.options]

    @property
    def run_dir(self) -> str | None:
        """The run directory that cluster and options say; None: none, so its kind has a place."""
        if self.is_resumed:
            return self.source
        if (own := self.given.get("run_dir")) is not None:
            return str(own)
        if self.cluster.run_dir is not None:
            return self.cluster.run_dir
        shared = self.cluster.shared_folder
        return None if shared is None else f"{shared.rstrip('/')}/{self.name}"

    @property
    def run_dir_here(self) -> str:
        """The run directory of a training that is started on this machine."""
        return str(at_home(self.run_dir or f"runs/{self.name}"))

    def _changes(self) -> list[str]:
        """What the user's options, and the cluster's data folder, change in the config."""
        given = {"data_dir": self.cluster.data_dir}
        given |= {name: value for name, value in self.given.items() if value is not None}
        fields = {field: given.get(name) for name, field in _FIELDS.items()}
        options = {field: value for field, value in fields.items() if value is not None}
        rule = stopping(self.given.get("stop_early"))
        behind = changes(self.given.get("fields") or ())
        return [*overrides(options), *rule, *(self.given.get("set_") or ()), *behind]

    def _settings(self, config: RunConfig) -> dict[str, object]:
        """Fields of a config that follow from the cluster; options of the user's count for more."""
        settings: dict[str, object] = {"engine.nodes": self.cluster.nodes}
        if (joining_s := self.cluster.joining_s) is not None:
            settings["engine.timeout_s"] = max(joining_s, config.engine.timeout_s)
        if self.cluster.code != "installed":
            settings["engine.code"] = self.cluster.code
        storage = self.cluster.storage
        if storage is not None and (self._has_run_dir or self.cluster.shared_folder is None):
            where, mark, options = storage.partition("?")  # of the file system
            folder = f"{where.rstrip('/')}/{self.name}/checkpoints"
            settings["checkpoint.storage"] = folder + mark + options
        return settings

    @property
    def _has_run_dir(self) -> bool:
        return self.given.get("run_dir") is not None or self.cluster.run_dir is not None
