"""Figures within a page: SVG that takes the page's colors, or a picture where that is large."""

import base64
import io
import re

from markupsafe import Markup
from matplotlib.figure import Figure

from crossmesh.common.figures import styled

_LARGEST = 400_000  # characters of SVG; a page with more of them opens slowly
_DPI = 150
_SCALE = 1.35  # of a figure for print on a screen


def inline(figure: Figure, alt: str, *, takes_colors: bool = True) -> Markup:
    """A figure as HTML that refers to nothing outside of it.

    Args:
        figure: The figure.
        alt: What it shows, for who cannot see it.
        takes_colors: Whether black becomes the color of the page's text, so that it can be seen
            on dark pages; otherwise the figure stands on white.
    """
    width = _SCALE * 72 * figure.get_figwidth()
    svg = _svg(figure, transparent=takes_colors)
    look = "figure" if takes_colors else "figure paper"
    if len(svg) > _LARGEST:
        return Markup(
            '<img class="figure paper" style="max-width:{width:.0f}pt" alt="{alt}" '
            'src="data:image/png;base64,{data}">'
        ).format(width=width, alt=alt, data=_png(figure))
    if takes_colors:
        svg = svg.replace(": #000000", ": currentColor")
        svg = svg.replace("<svg ", '<svg fill="currentColor" ', 1)
    opening = Markup(
        '<svg class="{look}" style="max-width:{width:.0f}pt" role="img" aria-label="{alt}" '
    ).format(look=look, width=width, alt=alt)
    return opening + Markup(svg.removeprefix("<svg "))


def _svg(figure: Figure, *, transparent: bool) -> str:
    """The element, without what only files need and without names that two figures share."""
    text = io.StringIO()
    with styled():
        figure.savefig(text, format="svg", metadata={"Date": None}, transparent=transparent)
    svg = text.getvalue()
    svg = svg[svg.index("<svg ") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style .*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)
    return re.sub(r'width="[^"]*pt" height="[^"]*pt" ', "", svg, count=1)


def _png(figure: Figure) -> str:
    picture = io.BytesIO()
    with styled():
        figure.savefig(picture, format="png", dpi=_DPI)
    return base64.b64encode(picture.getvalue()).decode("ascii")
