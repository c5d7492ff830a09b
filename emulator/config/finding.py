"""Files by path or by the name of what is shipped, and what a wrong name may have meant."""

from collections.abc import Mapping
from pathlib import Path

from crossmesh.common.errors import ConfigError
from crossmesh.common.suggestions import asked, likeliest
from crossmesh.common.whole_files import is_file
from crossmesh.emulator.config.run import SHIPPED
from crossmesh.emulator.config.shorthand import kinds, presets
from crossmesh.tiles.analog.devices import PRESETS


def find(
    source: str | Path,
    folder: Path,
    named: Mapping[str, Path],
    field: str,
    others: Mapping[str, str] | None = None,
) -> Path:
    """The file of a path or of a shipped name.

    Args:
        source: Path or name.
        folder: Base of relative paths, besides the current one.
        named: Shipped files by name.
        field: Name of ``source`` in errors.
        others: What else a user may have meant, and how that is written.

    Raises:
        ConfigError: If there is none.
    """
    for path in (Path(source), folder / source):
        if is_file(path):
            return path.resolve()
    if str(source) in named:
        return named[str(source)]
    others = others or {}
    is_path = Path(source).suffix in {".yaml", ".yml"}
    known = map(str, Path(source).parent.glob("*.y*ml")) if is_path else [*named, *others]
    hint = [others.get(name, name) for name in likeliest(str(source), known)]
    raise ConfigError(
        f"{field} must be a file or a shipped name ({_listed(named)}), got {source}{asked(hint)}"
    )


def as_kinds(section: str) -> dict[str, str]:
    """Kinds of a section by name, as they are written beside ``extends``."""
    return {name: f"kind: {name}" for name in kinds(section)}


def as_cells() -> dict[str, str]:
    """Shipped devices by name, as a command takes them."""
    return {name: f"--set tile.cell={name}" for name in presets()}


def _listed(named: Mapping[str, Path]) -> str:
    """All names, or the command that lists them."""
    command = {SHIPPED: "crossmesh configs", PRESETS: "crossmesh devices"}
    folder = next(iter(named.values())).parent
    return f"see {command[folder]}" if folder in command else ", ".join(named)
