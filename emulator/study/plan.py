"""From a study to its trials: one run for every row of the table and every seed."""

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossmesh.common.errors import ConfigError
from crossmesh.common.version import PHYSICS
from crossmesh.emulator.config.loading import load_config, overrides
from crossmesh.emulator.config.run import DATA_PATHS, RunConfig
from crossmesh.emulator.runs.directory import RunDirectory, config_digest
from crossmesh.emulator.study.config import Study, StudyRun

# What a study decides itself: it trains its own baselines, and many runs side by side.
_DECIDED = {"engine.kind": "local", "training.baseline": False}
# What decides a baseline: neither the tiles nor how their work is ordered and reported.
_BASELINE: dict[str, Any] = {
    "seed": True,
    "data": True,
    "network": True,
    "loss": True,
    "training": {"epochs", "batch", "learning_rate", "shuffle", "examples", "test_examples"},
}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A row of the table under one seed: one run.

    Attributes:
        title: Title of the row in tables and plots.
        label: The same without the values that are varied.
        source: Config, as the study names it.
        varied: The fields that are varied, and their values.
        config: The run.
        folder: The run directory.
    """

    title: str
    label: str
    source: str
    varied: Mapping[str, Any]
    config: RunConfig
    folder: Path

    @property
    def name(self) -> str:
        """Name in messages."""
        return f"{self.title}, seed {self.config.seed}"

    @property
    def summary(self) -> dict[str, Any] | None:
        """Summary of the run, or None if it has not finished under this version of the physics.

        Raises:
            ConfigError: If the folder holds the run of another config.
        """
        wanted = config_digest(self.config)
        try:
            summary = json.loads((self.folder / "summary.json").read_text("utf-8"))
        except (OSError, ValueError):
            summary = {}
        if summary.get("config_digest") == wanted and summary.get("physics", 1) == PHYSICS:
            return dict(summary)
        if (self.folder / "config.yaml").is_file():
            held = RunDirectory(self.folder).config()
            if config_digest(held) != wanted:
                raise ConfigError(
                    f"--output must hold runs of this study, got {self.folder} with "
                    f"{_difference(held, self.config)}; give another --output, or remove it"
                )
        return None

    @property
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
    rows = [(run, varied) for run in study.runs for varied in _combinations(study.vary)]
    titles = [_title(run, varied) for run, varied in rows]
    _check_titles(titles)
    return [
        Trial(
            title=title,
            label=run.label,
            source=run.config,
            varied=varied,
            config=_config(study, run, varied, seed),
            folder=directory / "runs" / f"{_slug(title)}-seed{seed}",
        )
        for seed in study.seeds
        for title, (run, varied) in zip(titles, rows, strict=True)
    ]


def _combinations(vary: Mapping[str, tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*vary.values()):
        yield dict(zip(vary, values, strict=True))


def _config(study: Study, run: StudyRun, varied: Mapping[str, Any], seed: int) -> RunConfig:
    layers = (_DECIDED, study.set, run.set, varied, {"seed": seed})
    changes = [change for layer in layers for change in overrides(layer)]
    try:
        return load_config(run.config, changes)
    except ConfigError as error:
        raise ConfigError(f"{_title(run, varied)}: {error}") from None


def _title(run: StudyRun, varied: Mapping[str, Any]) -> str:
    values = [f"{name}={short_value(varied[field])}" for field, name in short_names(varied).items()]
    return ", ".join([run.label, *values])


def short_names(fields: Mapping[str, Any]) -> dict[str, str]:
    """The last parts of fields' names, or the whole names if those would be the same."""
    last = {field: field.rpartition(".")[2] for field in fields}
    return last if len(set(last.values())) == len(last) else {field: field for field in fields}


def short_value(value: Any) -> str:
    """A varied value as titles show it; of an object, its kind."""
    if isinstance(value, dict) and "kind" in value:
        return str(value["kind"])
    return value if isinstance(value, str) else json.dumps(value, default=str)


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
