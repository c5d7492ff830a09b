"""Imports point one way, Ray and numba stay in their places, and nothing read is executed."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("cluster", "emulator", "tiles", "interconnect")  # each may import itself and what follows
PLACES = {
    "ray": ("tiles/actor.py", "emulator/executors/", "cluster/"),
    "numba": ("tiles/", "interconnect/compiled.py"),
}
UNPICKLERS = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
UNSAFE_YAML = {"load", "load_all", "unsafe_load", "unsafe_load_all", "full_load", "full_load_all"}


def imports(tree: ast.AST) -> Iterator[str]:
    """Full name of everything that is imported by name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def misplaced(path: str, name: str) -> bool:
    """Whether the module at ``path`` must not import ``name``."""
    package, top = path.split("/")[0], name.split(".")[0]
    if top in LAYERS:
        return LAYERS.index(top) < LAYERS.index(package)
    return top in PLACES and not path.startswith(PLACES[top])


def unsafe(tree: ast.AST) -> Iterator[str]:
    """Every way in which a module could run what it reads."""
    for name in imports(tree):
        head, *rest = name.split(".")
        if UNPICKLERS & {head, *rest} or (head == "yaml" and UNSAFE_YAML & set(rest)):
            yield name
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="yaml"), attr=attr) if attr in UNSAFE_YAML:
                yield f"yaml.{attr}"
            case ast.Attribute(attr=attr) if attr in UNPICKLERS:
                yield attr
            case ast.Call(func=ast.Name(id="eval" | "exec" as name)):
                yield name
            case ast.keyword(arg="allow_pickle", value=value) if ast.unparse(value) != "False":
                yield "allow_pickle"


def modules() -> Iterator[tuple[str, ast.AST]]:
    """Path and syntax tree of every module of the four packages."""
    for path in sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py")):
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def test_imports_point_one_way_and_ray_and_numba_stay_in_their_places():
    found = [(path, name) for path, tree in modules() for name in imports(tree)]

    assert [f"{path} imports {name}" for path, name in found if misplaced(path, name)] == []


def test_nothing_read_is_unpickled_or_executed():
    assert [f"{path}: {what}" for path, tree in modules() for what in unsafe(tree)] == []


@pytest.mark.parametrize(
    ("path", "name", "refused"),
    [
        ("tiles/tile.py", "emulator.config", True),
        ("emulator/job.py", "tiles.tile", False),
        ("tiles/host.py", "ray", True),
        ("tiles/actor.py", "ray", False),
        ("emulator/job.py", "numba.njit", True),
    ],
)
def test_misplaced_imports_are_seen(path, name, refused):
    assert misplaced(path, name) is refused


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from ray import cloudpickle",
        "ray.cloudpickle.loads(b)",
        "from yaml import load",
        "yaml.load(s)",
        "np.load(f, allow_pickle=True)",
        "eval(s)",
    ],
)
def test_unsafe_reading_is_seen(source):
    assert list(unsafe(ast.parse(source)))
    assert not list(unsafe(ast.parse("yaml.safe_load(s); np.load(f, allow_pickle=False)")))
