"""Commands, snippets and configs as pages show them: README, changelog, docs, help, configs."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import typer

from benchmarks.pages import is_session
from crossmesh.emulator.cli.main import app
from tests.emulator.commands.material import ROOT

PROGRAMS = (
    "crossmesh",
    "make",
    "python",
    "ray",
    "bash",
    "pip",
    "docker",
    "kubectl",
    "ssh",
    "sudo",
    "git",
    "sbatch",
    "scancel",
)
_FIRST = rf"(?:[A-Z_]+=\S+ )*(?:{'|'.join(PROGRAMS)})(?= |$)"
_INLINE = re.compile(rf"`({_FIRST}[^`]*)`")
_BOLD = re.compile(r"\[bold\](crossmesh .*?)\[/bold\]", re.DOTALL)
_WRITTEN = {"runs", "studies"}  # by commands


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Something that a page shows.

    Attributes:
        page: The page.
        form: ``command``, or the language of a block.
        text: It, on one line if it is a command.
        is_mention: Whether it stands within a sentence, where arguments are often left out.
    """

    page: str
    form: str
    text: str
    is_mention: bool = False

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.text.split())[:90]}"


def pages() -> list[Path]:
    """Every page in Markdown."""
    found = [path.relative_to(ROOT) for path in ROOT.rglob("*.md")]
    kept = [path for path in found if not any(part[0] == "." for part in path.parts)]
    return sorted(ROOT / path for path in kept if path.parts[0] not in _WRITTEN)


def shown() -> list[Shown]:
    """All that pages, helps and shipped files show, once each."""
    everything = [*_of_pages(), *_of_help(), *_of_files()]
    return list(dict.fromkeys(everything))


def _of_pages() -> Iterator[Shown]:
    for path in pages():
        page, text = str(path.relative_to(ROOT)), path.read_text("utf-8")
        prose = []
        for language, block in _blocks(text):
            if language is None:
                prose.append(block)
            elif is_session(text) or language[:1] == "{":  # test_sessions.py; the site's directives
                continue
            elif language in {"", "sh", "shell", "bash"}:
                yield from _lines(page, block)
            elif language == "console":  # what a command prints
                yield Shown(page=page, form="text", text=block)
            else:
                yield Shown(page=page, form=language, text=block)
        for found in _INLINE.finditer(" ".join("\n".join(prose).split())):
            yield Shown(page=page, form="command", text=found.group(1), is_mention=True)


def _blocks(text: str) -> Iterator[tuple[str | None, str]]:
    """Prose (without a language) and blocks of a page: fenced ones, and indented ones."""
    prose: list[str] = []
    for number, part in enumerate(re.split(r"^```", text, flags=re.MULTILINE)):
        if number % 2:  # between two fences
            language, _, block = part.partition("\n")
            yield language.strip(), block
            continue
        is_indented = re.compile(r"(?:(?<=\n\n)|(?<=^\n))(?: {4}.*\n|\n(?= {4}))+")
        for found in is_indented.finditer(part):
            lines = [line[4:] for line in found.group().splitlines()]
            yield _language(lines), "\n".join(lines)
        prose.append(is_indented.sub("\n", part))
    yield None, "\n".join(prose)


def _language(lines: list[str]) -> str:
    """What an indented block is written in, by how it begins."""
    if re.match(_FIRST, lines[0]):
        return ""
    if lines[0].startswith(("from ", "import ")):
        return "python"
    return "yaml" if re.match(r"[a-z_]+: ", lines[0]) and "error: " not in lines[0] else "other"


def _lines(page: str, block: str) -> Iterator[Shown]:
    python: list[str] = []
    for line in block.splitlines():
        if python or line.startswith(("from ", "import ")):
            python.append(line)
            continue
        for part in re.split(r";\s+(?=crossmesh )", re.split(r"\s+# ", line)[0]):
            if re.match(_FIRST, part):
                yield Shown(page=page, form="command", text=part.strip())
            elif part.strip():
                yield Shown(page=page, form="other", text=part)
    if python:
        yield Shown(page=page, form="python", text="\n".join(python))


def _of_help() -> Iterator[Shown]:
    """The examples in the helps of all commands."""
    for name, command in _commands(typer.main.get_command(app), ()):
        for found in _BOLD.finditer(inspect.cleandoc(command.help or "")):
            text = " ".join(found.group(1).split())
            yield Shown(page=f"{' '.join(('crossmesh', *name))} --help", form="command", text=text)
    yield Shown(page="crossmesh --help", form="command", text="crossmesh train digits")


def _commands(command, name):
    yield name, command
    for below, other in getattr(command, "commands", {}).items():
        yield from _commands(other, (*name, below))


def _of_files() -> Iterator[Shown]:
    """Commands in the comments of shipped configs, studies, clusters and devices."""
    for folder in ("cluster", "emulator", "tiles"):
        for path in sorted((ROOT / folder).rglob("*.yaml")):
            comments = [line for line in path.read_text("utf-8").splitlines() if "#" in line]
            for found in _INLINE.finditer("\n".join(comments)):
                page = str(path.relative_to(ROOT))
                yield Shown(page=page, form="command", text=found.group(1), is_mention=True)
