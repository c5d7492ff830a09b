"""Build the wheel and the source archive, and try each in fresh environments: `make dist`.

    python -m benchmarks.packages dist             # every Python that is at hand
    python -m benchmarks.packages dist --resolve docs/validation/wheels.md

The second looks for wheels of all that crossmesh depends on, and writes down which there are.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
_ROOT = Path(__file__).parents[1]
_HEAD = """# Wheels for every version of Python

The newest versions of all that crossmesh needs for which Linux on x86-64 has wheels, by version of
Python; nothing has to be compiled. Written by
`python -m benchmarks.packages dist --resolve docs/validation/wheels.md`.
"""
_TRIAL = ("train", "digits", "--engine", "local", "--epochs", "1", "--quiet")


def build(folder: Path) -> tuple[Path, Path]:
    """Build both into an empty folder; returns the wheel, which is made of the archive, and it."""
    shutil.rmtree(folder, ignore_errors=True)
    _hatch("sdist", _ROOT, folder.absolute())
    (archive,) = folder.glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as place:
        shutil.unpack_archive(archive, place, filter="data")
        (source,) = Path(place).iterdir()
        _hatch("wheel", source, folder.absolute())
    (wheel,) = folder.glob("*.whl")
    return wheel, archive


def _hatch(target: str, source: Path, folder: Path) -> None:
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "-t",
        target,
        "-d",
        folder,
    ]
    subprocess.run(command, cwd=source, check=True, stdout=subprocess.DEVNULL)


def pythons() -> Iterator[str]:
    """Programs of the versions that are at hand."""
    for version in PYTHONS:
        program = shutil.which(f"python{version}")
        if program and not subprocess.run([program, "--version"], capture_output=True).returncode:
            yield program


def tried(python: str, package: Path) -> str:
    """Install a package into a fresh environment, and train with it; returns its version."""
    with tempfile.TemporaryDirectory() as place:
        subprocess.run([python, "-m", "venv", place], check=True)
        programs = Path(place) / "bin"
        constraints = _ROOT / "constraints.txt"
        pip: list[str | Path] = [
            programs / "python",
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
        ]
        subprocess.run([*pip, "-c", constraints, package], check=True)
        return _run([programs / "crossmesh"], Path(place))


def tried_by_uvx(wheel: Path) -> str:
    """Run the wheel's command by uvx, without installing it; returns its version."""
    with tempfile.TemporaryDirectory() as place:
        return _run(["uvx", "--from", wheel, "crossmesh"], Path(place))


def _run(program: list[str | Path], folder: Path) -> str:
    """Train a little in a folder, where no checkout can be imported from."""
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(
        [*program, *_TRIAL], cwd=folder, env=alone, check=True, stdout=subprocess.DEVNULL
    )
    said = subprocess.run(
        [*program, "--version"], cwd=folder, env=alone, check=True, capture_output=True, text=True
    )
    return said.stdout.strip()


def resolved(version: str) -> dict[str, str]:
    """Versions that pip would install on Linux for a version of Python, all of them as wheels."""
    said = subprocess.run(
        [
            *("uv", "pip", "compile", "-q", "--no-header", "--no-annotate", "pyproject.toml"),
            *("--python-version", version, "--python-platform", "linux"),
            *("--only-binary", ":all:"),
        ],
        cwd=_ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return dict(line.split("==") for line in said.stdout.splitlines() if "==" in line)


def wheels_page() -> str:
    """What is resolved for each version of Python, as a page."""
    found = {version: resolved(version) for version in PYTHONS}
    names = sorted(set().union(*found.values()))
    rows = [[name, *(found[version].get(name, "-") for version in PYTHONS)] for name in names]
    head = [["package", *PYTHONS], ["---"] * (1 + len(PYTHONS))]
    table = "\n".join("| " + " | ".join(row) + " |" for row in [*head, *rows])
    return f"{_HEAD}\n{table}\n"


def main() -> None:
    """Build and try, or resolve."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="Where the packages are built; it is emptied.")
    parser.add_argument("--resolve", type=Path, metavar="PAGE", help="Write a page of wheels.")
    given = parser.parse_args()
    if given.resolve:
        given.resolve.write_text(wheels_page(), "utf-8")
        return
    wheel, archive = build(given.folder)
    for python in pythons():
        print(f"{Path(python).name}, wheel: {tried(python, wheel)}", flush=True)  # noqa: T201
    print(f"{sys.executable}, archive: {tried(sys.executable, archive)}", flush=True)  # noqa: T201
    if shutil.which("uvx"):
        print(f"uvx: {tried_by_uvx(wheel)}")  # noqa: T201


if __name__ == "__main__":
    main()
