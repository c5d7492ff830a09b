"""Study configs: frozen objects, read from YAML or made from names of configs."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from crossmesh.common.bounded_yaml import parsed, read_mapping
from crossmesh.common.errors import ConfigError
from crossmesh.common.frozen import Anything, Frozen, FrozenDict, Keyed, Many
from crossmesh.common.refusals import nearest, sentence
from crossmesh.common.summaries import summary_of
from crossmesh.common.whole_files import is_file
from crossmesh.emulator.config.loading import shipped
from crossmesh.emulator.config.overriding import assignment
from crossmesh.emulator.study.axes import assigned, fields_of, is_axis
from crossmesh.emulator.study.domains import is_range, spelled_out
from crossmesh.emulator.study.fronts import Front
from crossmesh.emulator.study.search import Search

SHIPPED = Path(__file__).parent / "shipped"
_LONGEST_NAME = 80

Seed = Annotated[int, Field(ge=0, lt=2**64)]
Values = Annotated[Many[Anything], Field(min_length=1), BeforeValidator(spelled_out)]


def _without_blanks(vary: dict[str, Any]) -> FrozenDict[str, Any]:
    named = {"=".join(fields_of(axis)): values for axis, values in vary.items()}
    return FrozenDict(named if len(named) == len(vary) else vary)


class StudyRun(Frozen):
    """A row of a study's table: a config, trained once for every seed.

    Attributes:
        config: A file, beside the study's or in the working directory, or a shipped name; by
            default every one of the study's ``configs``.
        title: Title in tables and plots; by default the name of the config.
        set: Fields of the config to change, as ``a.b: value``.
        chip_only: Whether the chip alone is reported, and nothing trained.
    """

    config: str | None = None
    title: str | None = Field(None, min_length=1)
    set: Keyed[str, Anything] = Field(default_factory=FrozenDict)
    chip_only: bool = False

    @property
    def label(self) -> str:
        """Title in tables and plots."""
        return self.title or Path(self.config or "").stem

    def of(self, configs: Iterable[str]) -> Iterable["StudyRun"]:
        """The run; one that names no config, with each of ``configs``."""
        if self.config is not None:
            return (self,)
        names = {config: ", ".join(filter(None, (Path(config).stem, self.title)))
                 for config in configs}  # fmt: skip
        return (self.model_copy(update={"config": c, "title": t}) for c, t in names.items())


class Study(Frozen):
    """Configs that are trained and compared, each for several seeds.

    Attributes:
        name: Name of the study, which its folder bears.
        seeds: Seeds that every run is repeated for; reports of a chip alone have the first.
        baseline: Whether to train the same networks digitally too, in float32.
        configs: Configs, by file or shipped name, for each of which every run without a config
            of its own is made.
        runs: The runs that are compared; by default one for each of ``configs``.
        set: Fields to change in the configs of all runs, as ``a.b: value``.
        vary: Fields and the values that every run is repeated for, a list or a range such as
            ``0.001..0.1:log:5``; several fields with ``=``
            between them have the same value; of several entries, for every combination.
        one_at_a_time: Whether entries of ``vary`` are varied one after the other instead, each
            around the run as it is.
        chip_only: Whether chips alone are reported, and nothing trained.
        pareto: Fronts of the results: the columns that no other row betters in all.
        search: Fields whose best values are searched for, in place of ``vary``.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    seeds: Many[Seed] = Field((0,), min_length=1)
    baseline: bool = False
    configs: Many[str] = ()
    runs: Many[StudyRun] = ()
    set: Keyed[str, Anything] = Field(default_factory=FrozenDict)
    vary: Annotated[Keyed[str, Values], AfterValidator(_without_blanks)] = Field(
        default_factory=FrozenDict
    )
    one_at_a_time: bool = False
    chip_only: bool = False
    pareto: Many[Front] = ()
    search: Search | None = None

    def __repr__(self) -> str:
        """What differs from the defaults, on one screen."""
        return summary_of("Study", self.__repr_args__())

    @model_validator(mode="after")
    def _seeds_differ(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must differ, got {list(self.seeds)}")
        searched = self.search.fields if self.search else {}
        axes = {**self.vary, **searched}
        sets = (self.set, assigned(axes), *(run.set for run in self.runs))
        if any("seed" in fields for fields in sets):
            raise ValueError("seed must be given by seeds or --seeds, got it as a field to change")
        return self

    @model_validator(mode="after")
    def _axes_set_fields_once(self) -> Self:
        searched = self.search.fields if self.search else {}
        for name, axes in (("vary", self.vary), ("search.fields", searched)):
            for axis in axes:
                if not is_axis(axis):
                    raise ValueError(
                        f"{name} must name a field, or several as in tile.rows=tile.cols, "
                        f"got {axis}"
                    )
            fields = [field for axis in axes for field in fields_of(axis)]
            for field in fields:
                if fields.count(field) > 1:
                    raise ValueError(f"{name} must set a field once, got {field} twice")
        return self

    @model_validator(mode="after")
    def _searches_are_of_one_run(self) -> Self:
        if self.search is None:
            return self
        if self.vary:
            raise ValueError(
                f"vary must be empty in a search, which has search.fields, got {[*self.vary]}"
            )
        if self.one_at_a_time:
            raise ValueError("one_at_a_time must be false in a search, got true")
        if self.chip_only or any(run.chip_only for run in self.runs):
            raise ValueError("chip_only must be false in a search, got true")
        if (n_runs := len(self.rows)) > 1:
            raise ValueError(f"search must be of one run, got {n_runs}")
        return self

    @model_validator(mode="after")
    def _runs_have_configs(self) -> Self:
        if self.configs:
            return self
        if not self.runs:
            raise ValueError("runs must have at least 1 entries, got []")
        for i, run in enumerate(self.runs):
            if run.config is None:
                raise ValueError(f"runs.{i}.config must be given")
        return self

    @property
    def rows(self) -> tuple[StudyRun, ...]:
        """The runs, each with a config."""
        runs = self.runs or (StudyRun(),)
        return tuple(row for run in runs for row in run.of(self.configs))

    def changed(
        self,
        sets: Iterable[str] = (),
        vary: Iterable[str] = (),
        seeds: str | None = None,
        trials: int | None = None,
        **switches: bool | None,
    ) -> "Study":
        """The study with what options of the command ask for.

        Args:
            sets: ``a.b=value`` each, which count before the sets of the study and its runs.
            vary: ``a.b=[value, value]`` or ``a.b=low..high:number`` each; of a search also
                ``a.b=low..high``.
            seeds: Numbers with commas between them.
            trials: Candidates of a search, for the values of what is varied.
            switches: ``baseline``, ``chip_only``, ``one_at_a_time``; None as they are.
        """
        tree = self.model_dump()
        tree["runs"] = tree["runs"] or [StudyRun().model_dump()]
        for field, value in (assignment(text) for text in sets):
            for run in tree["runs"]:
                run["set"].pop(field, None)  # so that it counts last
                run["set"][field] = value
        if trials is not None:
            tree["search"] = {"fields": {}, **(tree["search"] or {}), "trials": trials}
        place, key = (tree["search"], "fields") if tree["search"] else (tree, "vary")
        for axis, values in map(_varied, vary):
            kept = {a: v for a, v in place[key].items() if fields_of(a) != fields_of(axis)}
            place[key] = {**kept, axis: values}
        if seeds is not None:
            tree["seeds"] = [_number(text) for text in seeds.split(",")]
        tree.update((name, value) for name, value in switches.items() if value is not None)
        return validated(tree)


def shipped_studies() -> dict[str, Path]:
    """The shipped studies by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}


def is_study(source: str | Path) -> bool:
    """Whether a word that should be a config is the file or the name of a study."""
    path = Path(source)
    if is_file(path):
        return bool({"runs", "configs"} & read_mapping(path).keys())
    return str(source) in shipped_studies() and str(source) not in shipped()


def load_study(*sources: str | Path) -> Study:
    """Read a study, or make one of configs.

    Args:
        sources: A study's YAML file or shipped name; or configs, as files or by their shipped
            names. One name that is both is the study's.

    Raises:
        ConfigError: With one line that names the field, the rule and the value.
    """
    if len(sources) == 1 and (path := _study_file(sources[0])) is not None:
        return validated(_anchored(read_mapping(path), path.parent))
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
    if is_file(path):
        return path if is_study(path) else None
    if str(source) in studies or str(source) in configs:
        return studies.get(str(source))
    known = {**studies, **configs}
    raise ConfigError(
        f"STUDY must be a file, a shipped study ({', '.join(studies)}) or a shipped config, "
        f"got {source}{nearest(str(source), known)}"
    )


def _anchored(tree: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What a study's file says, its configs found from any folder."""
    for run in runs if isinstance(runs := tree.get("runs"), list) else ():
        if isinstance(run, dict) and isinstance(name := run.get("config"), str):
            run["config"] = _placed(name, folder)
    if isinstance(names := tree.get("configs"), list):
        tree["configs"] = [_placed(n, folder) if isinstance(n, str) else n for n in names]
    return tree


def _placed(config: str, folder: Path) -> str:
    """A config's file as it is found in any folder; a name stays a name."""
    places = (place for place in (folder / config, Path(config)) if place.is_file())
    return str(next((place.absolute() for place in places), config))


def _varied(text: str) -> tuple[str, Any]:
    """Axis and values of ``a.b=[1, 2]`` or ``a.b=c.d=[1, 2]``."""
    axis, _, values = text.rpartition("=")
    if axis and is_range(values) and "[" not in text:
        return axis, values
    axis, bracket, values = text.partition("=[")
    if not bracket:
        return assignment(text, "--vary")
    _, parsed_values = assignment(f"{fields_of(axis)[0]}=[{values}", "--vary")
    return axis, parsed_values


def _number(text: str) -> Any:
    """A seed, or the text that is none."""
    value = parsed(text) if re.fullmatch(r"\s*-?\d+\s*", text) else None
    return text if value is None else value
