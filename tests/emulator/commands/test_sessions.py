"""Pages that a reader follows from an empty folder: every command as written, in order."""

import re
import shlex

import pytest

from benchmarks.pages import in_shell, is_session, run_page, steps
from tests.emulator.commands.documents import pages
from tests.emulator.commands.material import ROOT
from tests.emulator.commands.shell import done

SESSIONS = {
    str(path.relative_to(ROOT)): text
    for path in pages()
    if is_session(text := path.read_text("utf-8"))
}
ON_RAY = {"docs/guides/operator.md"}


def typed(command, folder):
    """What a command prints: ours in this process, with its compiled kernels; others in a shell."""
    if re.match(r"crossmesh (?!.*[|>&])", command, re.DOTALL):
        return done(*shlex.split(command.replace("\\\n", " "))[1:], folder=folder).out
    return in_shell(command, folder)


def words(line):
    """Words of a line without figures and their units, which differ from machine to machine."""
    return re.sub(r"\S*\d\S*( (?:[num]?s|[nupfm]?J|GiB|MiB|KiB)\b)?", "", line).split()


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[pytest.mark.ray] * (page in ON_RAY)) for page in sorted(SESSIONS)],
)
def test_a_page_prints_what_it_says(page, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.syspath_prepend(ROOT)
    now = run_page(SESSIONS[page], tmp_path, typed)
    assert [words(line) for line in now.splitlines()] == [
        words(line) for line in SESSIONS[page].splitlines()
    ], f"python -m benchmarks.pages {page} writes what its commands print now"


def test_lines_may_be_left_out():
    (first, second) = steps("$ a \\\n  b\n1\n...\n4\n$ c\n")
    assert first.command == "a \\\n  b"
    assert first.updated(["one", "two", "three", "four"]).shown == ("one", "...", "four")
    assert second.updated(["five"]).shown == ("five",)
