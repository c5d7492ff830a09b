"""Links to what the site does not show, such as folders of the repository: text without a link."""

import re
from pathlib import Path

from sphinx.application import Sphinx

_LINK = re.compile(r"\[([^\]]*)\]\(([^)#:\s]+)\)")


def _unlinked(app: Sphinx, page: str, source: list[str]) -> None:
    """Keep links to pages and to files, which Sphinx copies into the site."""
    folder = Path(app.env.doc2path(page)).parent

    def text_or_link(found: re.Match[str]) -> str:
        target = (folder / found[2]).resolve()
        is_page_elsewhere = target.suffix == ".md" and not target.is_relative_to(app.srcdir)
        return found[1] if target.is_dir() or is_page_elsewhere else found[0]

    source[0] = _LINK.sub(text_or_link, source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this."""
    app.connect("source-read", _unlinked)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
