"""Study configs: frozen objects, read from YAML or made from names of configs."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from crossmesh.common.bounded_yaml import parsed, read_mapping
from crossmesh.common.errors import ConfigError
from crossmesh.common.frozen import Anything, Frozen, FrozenDict, Keyed, Many
from crossmesh.common.refusals import nearest, sentence
from crossmesh.common.summaries import summary_of
from crossmesh.emulator.config.loading import assignment, shipped

SHIPPED = Path(__file__).parent / "shipped"
_LONGEST_NAME = 80

Seed = Annotated[int, Field(ge=0, lt=2**64)]
Values = Annotated[Many[Anything], Field(min_length=1)]


class StudyRun(Frozen):
    """A row of a study's table: a config, trained once for every seed.

    Attributes:
        config: A file, beside the study's or in the working directory, or a shipped name.
        title: Title in tables and plots; by default the name of the config.
        set: Fields of the config to change, as ``a.b: value``.
    """

    config: str
    title: str | None = Field(None, min_length=1)
    set: Keyed[str, Anything] = Field(default_factory=FrozenDict)

    @property
    def label(self) -> str:
        """Title in tables and plots."""
        return self.title or Path(self.config).stem


class Study(Frozen):
    """Configs that are trained and compared, each for several seeds.

    Attributes:
        name: Name of the study, which its folder bears.
        seeds: Seeds that every run is repeated for.
        baseline: Whether to train the same networks digitally too, in float32.
        runs: The runs that are compared.
        set: Fields to change in the configs of all runs, as ``a.b: value``.
        vary: Fields and the values that every run is repeated for; of several fields, for every
            combination.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    seeds: Many[Seed] = Field((0,), min_length=1)
    baseline: bool = False
    runs: Many[StudyRun] = Field(min_length=1)
    set: Keyed[str, Anything] = Field(default_factory=FrozenDict)
    vary: Keyed[str, Values] = Field(default_factory=FrozenDict)

    def __repr__(self) -> str:
        """What differs from the defaults, on one screen."""
        return summary_of("Study", self.__repr_args__())

    @model_validator(mode="after")
    def _seeds_differ(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must differ, got {list(self.seeds)}")
        if any("seed" in fields for fields in (self.set, self.vary, *(r.set for r in self.runs))):
            raise ValueError("seed must be given by seeds or --seeds, got it as a field to change")
        return self

    def changed(
        self,
        sets: Iterable[str] = (),
        vary: Iterable[str] = (),
        seeds: str | None = None,
        baseline: bool | None = None,
    ) -> "Study":
        """The study with what options of the command ask for.

        Args:
            sets: ``a.b=value`` each, which count before the sets of the study and its runs.
            vary: ``a.b=[value, value]`` each.
            seeds: Numbers with commas between them.
            baseline: Whether to train the same networks digitally too.
        """
        tree = self.model_dump()
        for field, value in (assignment(text) for text in sets):
            for run in tree["runs"]:
                run["set"].pop(field, None)  # so that it counts last
                run["set"][field] = value
        tree["vary"].update(assignment(text, "--vary") for text in vary)
        if seeds is not None:
            tree["seeds"] = [_number(text) for text in seeds.split(",")]
        if baseline is not None:
            tree["baseline"] = baseline
        return validated(tree)


def shipped_studies() -> dict[str, Path]:
    """The shipped studies by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}


def load_study(*sources: str | Path) -> Study:
    """Read a study, or make one of configs.

    Args:
        sources: A study's YAML file or shipped name; or configs, as files or by their shipped
            names. One name that is both is the study's.

    Raises:
        ConfigError: With one line that names the field, the rule and the value.
    """
    if len(sources) == 1 and (path := _study_file(sources[0])) is not None:
        tree = read_mapping(path)
        for run in tree["runs"] if isinstance(tree["runs"], list) else ():
            if isinstance(run, dict) and isinstance(name := run.get("config"), str):
                run["config"] = _placed(name, path.parent)
        return validated(tree)
    runs = [{"config": _placed(str(source), Path())} for source in sources]
    stems = "-".join(Path(source).stem for source in sources)
    name = re.sub(r"[^A-Za-z0-9._-]", "-", stems)[:_LONGEST_NAME].lstrip("._-") or "study"
    return validated({"name": name, "runs": runs})


def validated(tree: Mapping[str, Any]) -> Study:
    """A study from plain dictionaries."""
    try:
        return Study.model_validate(dict(tree))
    except ValidationError as error:
        raise ConfigError(sentence(error, Study)) from None


def _study_file(source: str | Path) -> Path | None:
    """The file of a study, or None if it is a config that is asked for."""
    studies, configs = shipped_studies(), shipped()
    path = Path(source)
    if path.is_file():
        return path if "runs" in read_mapping(path) else None
    if str(source) in studies or str(source) in configs:
        return studies.get(str(source))
    known = {**studies, **configs}
    raise ConfigError(
        f"STUDY must be a file, a shipped study ({', '.join(studies)}) or a shipped config, "
        f"got {source}{nearest(str(source), known)}"
    )


def _placed(config: str, folder: Path) -> str:
    """A config's file as it is found in any folder; a name stays a name."""
    places = (place for place in (folder / config, Path(config)) if place.is_file())
    return str(next((place.absolute() for place in places), config))


def _number(text: str) -> Any:
    """A seed, or the text that is none."""
    value = parsed(text) if re.fullmatch(r"\s*-?\d+\s*", text) else None
    return text if value is None else value
