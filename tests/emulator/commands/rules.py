"""How a command of a page is run by a test: as it stands, but small; or why it is not.

Small: few examples, one epoch, one seed, this process instead of Ray (``ONLY``), the first examples
of the published data sets. A study of many rows, a measurement over Ray's actors and a launch that
needs other machines go through the parser alone (``--help``) or through ``--dry-run``: their rows
are trained in ``test_shipped.py``, the rest is run in the tests that ``PARSED`` names.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.loading import load_config, presets

DATA = {"DIR", "FOLDER-WITH-MNIST", "~/mnist", "folder"}
PLACEHOLDERS = {
    "CONFIG": "digits", "RUN": "runs/digits", "CLUSTER": "local", "HOST:PORT": "127.0.0.1:1",
    "NAME-OR-FILE...": "reram-es-gong-2018", "NAME": "JOB",
}  # fmt: skip
TRAINED = [
    "training.examples=6", "training.test_examples=4", "training.epochs=1",
    "training.evaluation_batch=4", "training.baseline=false", "chip.model=analytic",
    "checkpoint.every_s=null",
]  # fmt: skip
FEW = [word for text in TRAINED for word in ("--set", text)]
HERE = ["--engine", "local"]
# What is put behind a command, by its name.
ONLY: dict[str, list[str]] = {
    "train": [*HERE, *FEW, "--quiet", "--examples", "6", "--epochs", "1"],
    "resume": [*HERE, "--quiet"],
    "evaluate": [*HERE, "--quiet"],
    "predict": [*HERE, "--quiet"],
    "calibrate": ["--quiet", "--examples", "8", "--test-examples", "4"],
    "study": ["--jobs", "1", "--seeds", "0", *FEW, "--quiet"],
    "launch": ["--dry-run"],
    "pareto": [], "chip": [], "map": [], "program": [], "export": [], "watch": [], "configs": [],
    "devices": [], "board": [], "schema": [], "jobs": [], "plot": [],
    "report": ["--quiet"], "compare": [], "runs": [],
}  # fmt: skip
# What goes through the parser alone, with where it is run.
PARSED = {
    r"train .*tile\.array=": "tests/tiles/analog/test_board_arrays.py trains on boards",
    r"board (measure|check|serve)": "tests/emulator/boards runs them on boards",
    r"board simulate": "tests/emulator/boards/test_simulate.py starts it, and ends it",
    r"scale ": "tests/cluster/scaling/test_scaling.py runs it on Ray's actors",
    r"pareto ": "tests/emulator/study/test_fronts.py runs it on results of a study",
    r"train studies/best-step": "tests/emulator/study/test_search.py trains what a search leaves",
    r"study .*--address": "tests/emulator/study/test_study_on_nodes.py runs it on a cluster",
    r"study .*--trials": "tests/emulator/study/test_search.py searches",
    r"study (?!digits --vary)": "tests/emulator/commands/test_shipped.py trains every row",
    r"export \S+ $": "the options with the files to write are left out",
    r"calibrate (digits|mine.yaml) ": "test_calibrate.py runs it on weights that are given",
    r"(status|logs|watch|cancel|fetch) JOB": "tests/cluster/jobs/test_jobs.py follows a launch",
    r"launch existing": "tests/cluster/launch/test_launch_local.py runs it on a cluster",
}
TAKES_DATA = {"train", "resume", "evaluate", "predict", "calibrate", "chip", "map", "program",
              "export", "study", "report"}  # fmt: skip
# Programs of others: their own names and options are not ours to test.
OTHERS = {"bash", "ray", "kubectl", "scancel", "sbatch", "pip", "docker", "ssh", "sudo", "git"}


@dataclass(frozen=True, kw_only=True)
class Order:
    """A command to run.

    Attributes:
        words: It, behind ``crossmesh``.
        reason: Why it goes through the parser alone; None: it is run.
    """

    words: list[str]
    reason: str | None = None


def order(text: str, data: Path, *, is_mention: bool) -> Order:
    """What is run of a command that begins with ``crossmesh``."""
    plain = re.sub(r" \[[^\]]*\]", "", text)  # what a synopsis says may be there
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(plain.partition(" > ")[0])[1:]]
    words = [str(data) if word in DATA else word for word in words]
    if not words or words[0].startswith("-"):
        return Order(words=words)
    name = words[0]
    for pattern, reason in PARSED.items():
        if re.match(pattern, " ".join(words) + " "):
            return Order(words=[*words, "--help"], reason=reason)
    if is_mention and not _has_arguments(words):
        return Order(words=[*words, "--help"], reason="it is the name of a command")
    if words[-1] == "--after":
        words.append("1s")
    if name not in ONLY:
        raise LookupError(f"{text}: no rule in tests/emulator/commands/rules.py says how it is run")
    return Order(words=_where_data_is(_with(words, ONLY[name]), data))


def _has_arguments(words: list[str]) -> bool:
    names = {"list", "show", "plot", "fit", "compare"}
    return any(not word.startswith("-") and word not in names for word in words[1:])


def _with(words: list[str], more: list[str]) -> list[str]:
    """What is put behind a command counts last, as ``--set`` does before its other options."""
    once = {"--dry-run", "--quiet"}
    return [*words, *(word for word in more if word not in once or word not in words)]


def _where_data_is(words: list[str], data: Path) -> list[str]:
    if words[0] not in TAKES_DATA or "--data-dir" in words:
        return words
    try:
        needs_files = load_config(words[1]).data.source not in {"digits", "synthetic"}
    except (ConfigError, IndexError):
        needs_files = words[1] != "runs/digits"  # another run, or a file that the page shows
    return [*words, "--data-dir", str(data)] if needs_files else words


def device_file(folder: Path, name: str) -> None:
    """A device file of one's own."""
    (folder / name).write_text(presets()["gokmen-vlasov-2016"].read_text("utf-8"), "utf-8")


def names_device(text: str, name: str) -> bool:
    """Whether a command takes a file for one of a device."""
    return "devices " in text or f"extends: {name}" in text


def names_cluster(text: str, name: str) -> bool:
    """Whether a command takes a file for one of a cluster."""
    return f"launch {name}" in text
