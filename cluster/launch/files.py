"""Generated files: written to a folder, or shown."""

import shlex
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
import yaml

from crossmesh.cluster.launch.tokens import write_token
from crossmesh.common.errors import ConfigError, masked
from crossmesh.common.private_folders import make_private, write_private

PRIVATE, SCRIPT = 0o600, 0o700  # variables of a cluster may hold secrets, so no one else reads them


@dataclass(frozen=True)
class File:
    """A generated file.

    Attributes:
        name: Path in the folder.
        contents: Text, or the file that it is a copy of.
        mode: Permissions.
        shown: Text that is shown in place of a long one.
    """

    name: str
    contents: str | Path
    mode: int = PRIVATE
    shown: str | None = None

    def write(self, folder: Path) -> None:
        """Write it, in place of one that is there."""
        path = folder / self.name
        make_private(path.parent)
        path.unlink(missing_ok=True)
        if isinstance(self.contents, Path):
            write_private(path, "")
            shutil.copyfile(self.contents, path)
        else:
            write_private(path, self.contents)
        path.chmod(self.mode)

    @property
    def n_bytes(self) -> int:
        """Its size."""
        contents = self.contents
        return contents.stat().st_size if isinstance(contents, Path) else len(contents.encode())

    def read(self) -> str | bytes:
        """Its contents."""
        return self.contents.read_bytes() if isinstance(self.contents, Path) else self.contents

    def __str__(self) -> str:
        """Its text, addresses masked, or its size."""
        if isinstance(self.contents, Path):
            return f"({self.n_bytes} bytes, a copy of {self.contents})\n"
        return masked(self.contents if self.shown is None else self.shown)


@dataclass(frozen=True)
class LaunchPlan:
    """Generated files and commands that start a training on other machines.

    Attributes:
        folder: Folder of the files.
        files: The files.
        script: Name of the one that starts everything; None: this program does it.
        tools: Programs that the script needs here.
        after: Commands to inspect and to stop it.
        end: The command that ends what has been started, and is named if this one is interrupted.
        token: Path in the folder at which a token is generated, or None.
    """

    folder: Path
    files: tuple[File, ...]
    script: str | None
    tools: tuple[str, ...]
    after: str
    end: str
    token: str | None = None

    @property
    def start(self) -> str:
        """The command that starts everything, once the files are written."""
        if self.script is None:
            return self._typed
        return shlex.join(["bash", str(self.folder / self.script)])

    @property
    def _typed(self) -> str:
        return shlex.join(["crossmesh", *(word for word in sys.argv[1:] if word != "--dry-run")])

    def write(self) -> None:
        """Write the files, and make the token unless there is one.

        Raises:
            ConfigError: If that cannot be done.
        """
        try:
            make_private(self.folder)
            for file in self.files:
                file.write(self.folder)
            if self.token is not None:
                write_token(self.folder / self.token)
        except OSError as error:
            raise ConfigError(
                f"--files must be a folder that can be written, got {self.folder} "
                f"({(error.strerror or str(error)).lower()})"
            ) from None

    def show(self) -> None:
        """Print all files and what to do next, addresses masked; the token is not made."""
        for file in self.files:
            typer.echo(f"---- {self.folder / file.name} (mode {file.mode:04o})")
            typer.echo(str(file))
        if self.token is not None:
            typer.echo(f"---- {self.folder / self.token} (mode 0600)")
            typer.echo("(the token, which is made when the files are written)\n")
        typer.echo("Nothing was written; the launch itself draws a name with other letters.")
        typer.echo(f"Start with: {self._typed}\n{self.after}")


def lines(*parts: str | Iterable[str]) -> str:
    """Text of lines, and of lists of lines."""
    flat: list[str] = []
    for part in parts:
        if isinstance(part, str):
            flat.append(part)
        else:
            flat.extend(part)
    return "\n".join(flat) + "\n"


def yaml_text(tree: dict[str, Any]) -> str:
    """A mapping as YAML; text of several lines stays readable."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, width=100)


class _Dumper(yaml.SafeDumper):
    """The safe dumper with literal blocks, and without anchors, which Ray and people read badly."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
