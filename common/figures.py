"""Style of plots, and writing them to files."""

import io
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crossmesh.common.errors import ConfigError

# Kinds of files, without the date that would make two files of one picture differ.
_NO_DATE: dict[str, dict[str, Any]] = {
    ".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None},
}  # fmt: skip
UP: dict[str, Any] = {"color": "black", "linestyle": "-", "linewidth": 1.4}
DOWN: dict[str, Any] = {"color": "black", "linestyle": (0, (5, 2)), "linewidth": 1.4}
BANDS = ({"color": "0.8"}, {"facecolor": "none", "edgecolor": "0.55", "hatch": "////"})
GUIDE: dict[str, Any] = {"color": "0.45", "linestyle": ":", "linewidth": 0.9}
_STYLE = {
    "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "legend.fontsize": 7,
    "axes.spines.top": False, "axes.spines.right": False, "hatch.linewidth": 0.4,
    "legend.frameon": False, "svg.fonttype": "none", "svg.hashsalt": "crossmesh",
}  # fmt: skip


def styled() -> AbstractContextManager[None]:
    """Within it, figures are drawn and saved in this style."""
    return rc_context(_STYLE)  # type: ignore[arg-type]  # all of them are known settings


class ShownFigure(Figure):
    """A figure that notebooks show by themselves, also without ``%matplotlib inline``."""

    def _repr_png_(self) -> bytes:
        picture = io.BytesIO()
        with styled():
            self.savefig(picture, format="png", dpi=150)
        return picture.getvalue()


def panels(rows: int, columns: int) -> tuple[Figure, list[list[Axes]]]:
    """A figure of so many panels, a row for each thing that is shown."""
    figure = ShownFigure(figsize=(3.1 * columns, 2.5 * rows + 0.3), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)  # type: ignore[union-attr,call-arg]  # the one just chosen
    return figure, figure.subplots(rows, columns, squeeze=False).tolist()


def legend_below(figure: Figure, *panels: Axes) -> None:
    """One legend for all panels, of what the given ones show."""
    entries = [axes.get_legend_handles_labels() for axes in panels]
    handles = [handle for some, _ in entries for handle in some]
    labels = [label for _, some in entries for label in some]
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))


def note(axes: Axes, text: str) -> None:
    """A remark in the upper right corner."""
    axes.annotate(text, (0.98, 0.97), xycoords="axes fraction", ha="right", va="top", fontsize=7)


def save(figure: Figure, output: Path) -> None:
    """Write a figure, as its name says.

    Raises:
        ConfigError: If it cannot be written.
    """
    try:
        with styled():
            figure.savefig(output, dpi=200, metadata=_NO_DATE[output.suffix])
    except OSError as error:
        raise ConfigError(f"{output} must be writable: {error.strerror}") from None
