"""The directive `public-names`: docstrings of the names that `import crossmesh` gives."""

import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from docutils import nodes
from pydantic import BaseModel
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import crossmesh
from crossmesh.common.registry import Registry


def sort_of(thing: Any) -> str:
    """Which part of the reference a public name belongs to."""
    if isinstance(thing, Registry):
        return "registries"
    if isinstance(thing, ModuleType):
        return "modules"
    if inspect.isclass(thing):
        return "errors" if issubclass(thing, Exception) else "classes"
    return "functions"


def names(sort: str) -> list[str]:
    """Public names of a sort, in the order of the alphabet."""
    return [name for name in sorted(crossmesh.__all__) if sort_of(getattr(crossmesh, name)) == sort]


def described(sort: str) -> Iterator[str]:
    """Lines of reStructuredText that describe the names of a sort."""
    for name in names(sort):
        thing = getattr(crossmesh, name)
        match sort:
            case "registries":
                kinds = ", ".join(f"``{kind}``" for kind in sorted(thing.usable()))
                yield f"``crossmesh.{name}``: {kinds}"
            case "modules":
                yield f"``crossmesh.{name}``: {(inspect.getdoc(thing) or '').splitlines()[0]}"
            case "functions":
                yield f".. autofunction:: crossmesh.{name}"
            case _:
                # The fields of a config have a page of their own.
                is_config = issubclass(thing, BaseModel)
                yield f".. autoclass:: crossmesh.{name}" + ("(**fields)" if is_config else "")
                yield "" if is_config else "   :members:"
        yield ""


class PublicNames(SphinxDirective):
    """``{public-names} SORT``: names of that sort with their docstrings."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Let autodoc describe them."""
        lines = ["```{eval-rst}", *described(self.arguments[0]), "```"]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this."""
    app.add_directive("public-names", PublicNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
