"""Pages whose commands are run from the first to the last, as a reader types them.

A block of the language `console` shows commands behind `$` and what they print, of which `...`
stands for lines left out. A block behind a line that ends in a file's name, such as "Save this as
`mine.yaml`:", is that file. All commands of a page run in one folder, which is empty at first:

    python -m benchmarks.pages docs/tutorial.md docs/gallery.md

writes into the pages what their commands print now, and takes over the pictures that they show.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"`([\w.-]+)`:\n\n\Z")  # ends what stands before a block that is a file
_PICTURE = re.compile(r"!\[[^\]]*\]\(([^)]+)\)")
_LEFT_OUT = "..."
WIDTH = "80"  # columns of the terminal

Runner = Callable[[str, Path], str]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One command of a page.

    Attributes:
        command: It, as it is typed.
        shown: The lines that the page says it prints.
    """

    command: str
    shown: tuple[str, ...]

    def updated(self, printed: list[str]) -> "Step":
        """The step with what it prints now, of which as much is left out as before."""
        if _LEFT_OUT not in self.shown:
            return Step(command=self.command, shown=tuple(printed))
        before = self.shown.index(_LEFT_OUT)
        after = len(self.shown) - before - 1
        last = printed[len(printed) - after :]
        return Step(command=self.command, shown=(*printed[:before], _LEFT_OUT, *last))


def is_session(text: str) -> bool:
    """Whether a page has commands that are run from the first to the last."""
    return "```console\n$ " in text


def run_page(text: str, folder: Path, run: Runner) -> str:
    """Run a page in a folder; returns it with what its commands print now."""
    parts, end = [], 0
    for block in _BLOCK.finditer(text):
        parts.append(text[end : block.start()])
        end = block.end()
        language, content = block.groups()
        if name := _NAMED.search(text[: block.start()]):
            (folder / name[1]).write_text(content, "utf-8")
        if language == "console" and content.startswith("$ "):
            content = "".join(_run(step, folder, run) for step in steps(content))
        parts.append(f"```{language}\n{content}```")
    return "".join([*parts, text[end:]])


def steps(block: str) -> Iterator[Step]:
    """The commands of a block; a line that ends in a backslash goes on in the next one."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, shown = re.sub(r"\\\n", "\\\\\0", part).partition("\n")
        yield Step(command=command.replace("\\\0", "\\\n"), shown=tuple(shown.splitlines()))


def _run(step: Step, folder: Path, run: Runner) -> str:
    printed = [line.rstrip() for line in run(step.command, folder).splitlines()]
    lines = [f"$ {step.command}", *step.updated(printed).shown]
    return "\n".join(lines) + "\n"


def in_shell(command: str, folder: Path) -> str:
    """What a command prints, with this Python's `crossmesh` and `python` on the path."""
    root = Path(__file__).parents[1]
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, stdout=subprocess.PIPE, text=True, check=True,
        env={**os.environ, "PATH": paths, "PYTHONPATH": str(root), "COLUMNS": WIDTH},
    )  # fmt: skip
    return done.stdout


def _rewrite(page: Path) -> None:
    """Run a page, and write down what it prints and the pictures that it made."""
    text = page.read_text("utf-8")
    with tempfile.TemporaryDirectory() as folder:
        page.write_text(run_page(text, Path(folder), in_shell), "utf-8")
        for picture in _PICTURE.findall(text):
            for made in Path(folder).rglob(Path(picture).name):
                _copy(made, page.parent / picture)


def _copy(made: Path, place: Path) -> None:
    """Copy a picture; a PNG with 64 colours, which is a third of its size."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if made.suffix == ".png":
        Image.open(made).convert("RGB").quantize(64).save(place, optimize=True)
    else:
        shutil.copy(made, place)


def main() -> None:
    """Rewrite the pages that are named."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pages", nargs="+", type=Path, help="Pages in Markdown.")
    for page in parser.parse_args().pages:
        _rewrite(page)


if __name__ == "__main__":
    main()
