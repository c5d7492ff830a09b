"""Files that pictures can be written to: the same kinds in every command."""

from pathlib import Path
from typing import Literal

from crossmesh.common.errors import ConfigError

PictureKind = Literal["png", "svg", "pdf"]
SUFFIXES = (".png", ".svg", ".pdf")


def check_picture(path: Path, option: str) -> None:
    """Refuse a file that no picture can be written to, before any work is done.

    Args:
        path: The file.
        option: What names it.

    Raises:
        ConfigError: If its name is that of no kind of picture, or its folder is not there.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"{option} must end in {', '.join(SUFFIXES)}, got {path}")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{option} must be in an existing folder, got {path}")
