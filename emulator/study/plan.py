"""From a study to its trials: one run for every row of the table and every seed."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from crossmesh.common.errors import ConfigError
from crossmesh.common.version import PHYSICS, VERSION
from crossmesh.emulator.config.loading import load_config, overrides
from crossmesh.emulator.config.run import DATA_PATHS, RunConfig
from crossmesh.emulator.runs.directory import RunDirectory, config_digest
from crossmesh.emulator.study.axes import (
    assigned,
    fields_of,
    points,
    short_names,
    short_value,
    value_at,
)
from crossmesh.emulator.study.config import Study, StudyRun
from crossmesh.emulator.study.files import read_json, write_text

# What a study decides itself: it trains its own baselines, and many runs side by side.
_DECIDED = {"engine.kind": "local", "training.baseline": False}
# What decides a baseline: neither the tiles nor how their work is ordered and reported.
_BASELINE: dict[str, Any] = {
    "seed": True,
    "data": True,
    "network": True,
    "loss": True,
    "training": {
        "epochs",
        "batch",
        "learning_rate",
        "shuffle",
        "examples",
        "test_examples",
        "class_weights",
    },
}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A row of the table under one seed: one run.

    Attributes:
        title: Title of the row in tables and plots.
        label: The same without the values that are varied.
        source: Config, as the study names it.
        varied: The axes that are varied, and their values.
        fields: The fields that these set, and their values.
        config: The run.
        directory: Folder of the study.
        is_chip_only: Whether the chip alone is reported, and nothing trained.
    """

    title: str
    label: str
    source: str
    varied: Mapping[str, Any]
    fields: Mapping[str, Any]
    config: RunConfig
    directory: Path
    is_chip_only: bool = False

    @property
    def folder(self) -> Path:
        """The run directory."""
        return self.directory / "runs" / self._slug

    @property
    def chip_file(self) -> Path:
        """The chip's figures, where they are not those of the run."""
        return self.directory / "chips" / f"{self._slug}.json"

    @property
    def _slug(self) -> str:
        return f"{_slug(self.title)}-seed{self.config.seed}"

    @property
    def name(self) -> str:
        """Name in messages."""
        return self.title if self.is_chip_only else f"{self.title}, seed {self.config.seed}"

    @cached_property
    def digest(self) -> str:
        """sha256 of what decides the values, among which nothing of the chip is."""
        return config_digest(self.config)

    def chip_digest(self, state: str | None) -> str:
        """sha256 of what decides the chip's figures.

        Args:
            state: Digest of the run whose pulses are counted; None if they are estimated.
        """
        table = self.config.chip.table and Path(self.config.chip.table)
        parts = {
            "config": self.digest,
            "chip": self.config.chip.model_dump(mode="json"),
            "table": table.read_text("utf-8") if table and table.is_file() else None,
            "state": state,
            "version": VERSION,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def known_chip(self, state: str | None) -> dict[str, Any] | None:
        """The chip's figures, if ``chip_file`` has those of this chip."""
        known = read_json(self.chip_file)
        return known.get("chip") if known.get("digest") == self.chip_digest(state) else None

    def write_chip(self, figures: Mapping[str, Any], state: str | None) -> None:
        """Leave the chip's figures in ``chip_file``."""
        held = {"digest": self.chip_digest(state), "chip": figures}
        write_text(self.chip_file, json.dumps(held, indent=2))

    @property
    def has_own_chip(self) -> bool:
        """Whether the finished run in ``folder`` was timed on this chip."""
        return RunDirectory(self.folder).config().chip == self.config.chip

    @property
    def summary(self) -> dict[str, Any] | None:
        """Summary of the run, or None if it has not finished under this version of the physics.

        Raises:
            ConfigError: If the folder holds the run of another config.
        """
        wanted = self.digest
        summary = read_json(self.folder / "summary.json")
        if summary.get("config_digest") == wanted and summary.get("physics", 1) == PHYSICS:
            return summary
        if (self.folder / "config.yaml").is_file():
            held = RunDirectory(self.folder).config()
            if config_digest(held) != wanted:
                raise ConfigError(
                    f"--output must hold runs of this study, got {self.folder} with "
                    f"{_difference(held, self.config)}; give another --output, or remove it"
                )
        return None

    @cached_property
    def baseline_digest(self) -> str:
        """sha256 of what decides the accuracy of the same network in float32."""
        tree = self.config.model_dump(mode="json", include=_BASELINE)
        tree["data"] = {key: value for key, value in tree["data"].items() if key not in DATA_PATHS}
        return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


def trials(study: Study, directory: Path) -> list[Trial]:
    """The runs of a study: first those of the first seed, so that all rows are seen early.

    Raises:
        ConfigError: If a config is wrong, or two rows would have the same title.
    """
    rows = [row for run in study.rows for row in _rows(study, run, directory)]
    _check_titles([row.title for row in rows])
    return [
        trial
        for seed in study.seeds
        for row in rows
        if (trial := _seeded(row, seed, study.seeds[0])) is not None
    ]


def candidate_trials(
    study: Study, number: int, point: Mapping[str, Any], directory: Path
) -> list[Trial]:
    """The runs of a candidate of a search: one for each seed.

    Raises:
        ConfigError: If its config is wrong.
    """
    (run,) = study.rows
    title = _title(run.model_copy(update={"title": f"{run.label} {number}"}), point)
    row = Trial(
        title=title,
        label=run.label,
        source=str(run.config),
        varied=point,
        fields=assigned(point),
        config=_config(study, run, point, title),
        directory=directory,
    )
    return [replace(row, config=_with_seed(row.config, seed)) for seed in study.seeds]


def _rows(study: Study, run: StudyRun, directory: Path) -> Iterator[Trial]:
    """A run at every point that is varied, under the first seed; the base, where a value is its."""
    seen: list[RunConfig] = []
    for point in points(study.vary, one_at_a_time=study.one_at_a_time):
        title = _title(run, point)
        config = _config(study, run, point, title)
        if study.one_at_a_time and config in seen:
            continue
        seen.append(config)
        tree = config.model_dump(mode="json") if study.one_at_a_time else {}
        base = {field: value_at(tree, field) for axis in study.vary for field in fields_of(axis)}
        yield Trial(
            title=title,
            label=run.label,
            source=str(run.config),
            varied={axis: point.get(axis, base[fields_of(axis)[0]]) for axis in study.vary},
            fields={**base, **assigned(point)},
            config=config,
            directory=directory,
            is_chip_only=run.chip_only or study.chip_only,
        )


def _seeded(row: Trial, seed: int, first: int) -> Trial | None:
    """A row under a seed; a chip alone, which no seed changes, under the first only."""
    if seed == first:
        return row
    return None if row.is_chip_only else replace(row, config=_with_seed(row.config, seed))


def _with_seed(config: RunConfig, seed: int) -> RunConfig:
    return config.model_copy(update={"seed": seed})


def _config(study: Study, run: StudyRun, point: Mapping[str, Any], title: str) -> RunConfig:
    layers = (_DECIDED, study.set, run.set, assigned(point), {"seed": study.seeds[0]})
    changes = [change for layer in layers for change in overrides(layer)]
    try:
        return load_config(str(run.config), changes)
    except ConfigError as error:
        raise ConfigError(f"{title}: {error}") from None


def _title(run: StudyRun, point: Mapping[str, Any]) -> str:
    values = [f"{name}={short_value(point[axis])}" for axis, name in short_names(point).items()]
    return ", ".join([run.label, *values])


def _slug(title: str) -> str:
    return re.sub(r"[^A-Za-z0-9._=-]+", "-", title).strip("-.") or "run"


def _check_titles(titles: list[str]) -> None:
    seen: dict[str, str] = {}
    for title in titles:
        if (slug := _slug(title)) in seen:
            raise ConfigError(
                f"runs must have titles that differ in letters or digits, got {seen[slug]!r} "
                f"and {title!r}; give one a title"
            )
        seen[slug] = title


def _difference(held: RunConfig, wanted: RunConfig) -> str:
    """The first field in which two configs differ."""
    ours, theirs = (dict(_leaves(c.model_dump(mode="json"), "")) for c in (wanted, held))
    ignored = ("name", "engine.", *(f"data.{place}" for place in DATA_PATHS))
    for field in {**ours, **theirs}:
        is_ignored = field.startswith(ignored) and field != "engine.backend"
        if ours.get(field) != theirs.get(field) and not is_ignored:
            return f"{field} {theirs.get(field)}, not {ours.get(field)}"
    return "another config"


def _leaves(tree: Any, path: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(tree, dict):
        yield path, tree
        return
    for key, value in tree.items():
        yield from _leaves(value, f"{path}.{key}" if path else key)
