"""The directive `command-reference`: every command with its arguments and options."""

import re
from collections.abc import Iterator
from typing import Any

import typer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from crossmesh.cluster.commands import app


def page() -> str:
    """The reference in Markdown: a heading, its help and a table for every command."""
    commands = _commands(typer.main.get_command(app), ("crossmesh",))
    return "\n".join(line for path, command in commands for line in _described(path, command))


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if len(path) > 1:
        yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from _commands(below, (*path, name))


def _described(path: tuple[str, ...], command: Any) -> Iterator[str]:
    yield f"{'##' if len(path) == 2 else '###'} {' '.join(path)}\n"
    yield re.sub(r"\[bold\](.*?)\[/bold\]", r"`\1`", command.help or "", flags=re.DOTALL) + "\n"
    rows = [_row(parameter) for parameter in command.params if not parameter.hidden]
    if rows:
        yield "| argument or option | meaning | default |\n| --- | --- | --- |"
        yield from (
            "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows
        )
        yield ""


def _row(parameter: Any) -> tuple[str, str, str]:
    """Names with what they take, meaning, and default."""
    if parameter.param_type_name == "argument":
        names = f"`{parameter.metavar or parameter.name.upper()}`"
    else:
        takes = "" if parameter.is_flag else f" {parameter.metavar or _plain_type(parameter)}"
        spelled = [*parameter.opts, *parameter.secondary_opts]
        names = ", ".join(f"`{name}{takes}`" for name in spelled)
    default = parameter.default
    is_said = default not in (None, False, ()) and not callable(default)
    return names, " ".join((parameter.help or "").split()), f"`{default}`" if is_said else ""


def _plain_type(parameter: Any) -> str:
    name = getattr(parameter.bare_type, "__name__", "value")
    return {"Path": "FILE", "int": "N", "float": "X", "str": "TEXT"}.get(name, "VALUE")


class CommandReference(SphinxDirective):
    """``{command-reference}``: the reference, in place."""

    def run(self) -> list[nodes.Node]:
        """Parse the Markdown as if it stood in the page."""
        return self.parse_text_to_nodes(page(), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this."""
    app.add_directive("command-reference", CommandReference)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
