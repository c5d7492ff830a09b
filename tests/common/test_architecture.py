"""Imports point one way, between folders and between rooms; nothing read is executed."""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Each may import itself and what follows; a room is a folder of one of them, `common` is one.
FOLDERS = ("cluster", "emulator", "tiles", "interconnect", "common")
PLACES = {
    "ray": ("tiles/runtime/actor.py", "emulator/executors/", "cluster/"),
    "numba": ("tiles/", "common/compiled.py", "common/expand.py"),
}
UNPICKLERS = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
UNSAFE_YAML = {"load", "load_all", "unsafe_load", "unsafe_load_all", "full_load", "full_load_all"}
# Of rooms, without a README.
PARTS = {"interconnect/noc/flits", "interconnect/noc/topologies", "tiles/analog/cells/pcm_3t1c"}
README_LINES = 40
LONG, LONGEST, MOST_LONG = 300, 450, 5  # lines of a module, and how many may be long


def imports(tree: ast.AST) -> Iterator[str]:
    """Full name of everything that is imported by name, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def misplaced(path: str, name: str) -> bool:
    """Whether the module at ``path`` must not import ``name``."""
    package, (top, *rest) = path.split("/")[0], name.split(".")
    if top in FOLDERS:
        return True  # ours are in the package crossmesh, whatever lies in the working folder
    if top == "crossmesh":
        return rest[0] not in FOLDERS or FOLDERS.index(rest[0]) < FOLDERS.index(package)
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
    """Path and syntax tree of every module of the package."""
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def named(path: str) -> str:
    """The module's name in the package."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def arrows() -> dict[str, set[str]]:
    """What each module of the package imports of it."""
    trees = {named(path): tree for path, tree in modules()}
    found = {}
    for module, tree in trees.items():
        ours = (name.removeprefix("crossmesh.") for name in imports(tree))
        known = (name if name in trees else name.rpartition(".")[0] for name in ours)
        found[module] = {name for name in known if name in trees and name != module}
    return found


def room(module: str) -> str:
    """The folder that a module is in, at most two deep."""
    return "common" if module.startswith("common") else ".".join(module.split(".")[:2])


def between_rooms() -> dict[str, set[str]]:
    """Which rooms each room imports."""
    found: dict[str, set[str]] = {}
    for module, others in arrows().items():
        found.setdefault(room(module), set()).update(room(other) for other in others)
    return {here: others - {here} for here, others in found.items()}


def circle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_imports_point_one_way_and_ray_and_numba_stay_in_their_places():
    found = [(path, name) for path, tree in modules() for name in imports(tree)]

    assert [f"{path} imports {name}" for path, name in found if misplaced(path, name)] == []


def test_neither_modules_nor_rooms_import_each_other_in_a_circle():
    assert circle(arrows()) == []
    assert circle(between_rooms()) == []


def test_the_emulator_has_few_rooms_and_few_arrows_between_them():
    """As the house was drawn: 17 rooms, 56 arrows."""
    rooms = {here: there for here, there in between_rooms().items() if here.startswith("emulator.")}
    inside = [there for others in rooms.values() for there in others if there in rooms]

    assert len(rooms) <= 17
    assert len(inside) <= 56


def test_modules_are_small():
    lines = {path: len((ROOT / path).read_text("utf-8").splitlines()) for path, _ in modules()}
    long = {path: n for path, n in lines.items() if n > LONG}

    assert len(long) <= MOST_LONG, long
    assert max(lines.values()) <= LONGEST


def test_every_room_says_what_it_is_for():
    folders = {path.rpartition("/")[0] for path, _ in modules()} - PARTS
    readmes = {folder: ROOT / folder / "README.md" for folder in folders | {"crossmesh"}}
    assert {folder for folder, readme in readmes.items() if not readme.is_file()} == set()
    texts = {folder: readme.read_text("utf-8") for folder, readme in readmes.items()}

    assert {
        folder for folder, text in texts.items() if len(text.splitlines()) > README_LINES
    } == set()
    assert all(text.startswith(f"# {Path(folder).name}: ") for folder, text in texts.items())


def test_a_class_name_stands_once():
    where: dict[str, list[str]] = {}
    for path, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                where.setdefault(node.name, []).append(path)

    assert {name: paths for name, paths in where.items() if len(paths) > 1} == {}


def test_every_folder_of_the_package_is_linked_into_it():
    inside = (ROOT / "crossmesh").iterdir()
    links = {path.name: path.resolve() for path in inside if path.is_symlink()}

    assert links == {folder: ROOT / folder for folder in FOLDERS}


def test_what_is_not_public_of_ray_is_taken_in_one_file():
    private = [
        f"{path}: {ast.unparse(node)}"
        for path, tree in modules()
        if path != "emulator/executors/ray_internals.py"
        for node in ast.walk(tree)
        if (isinstance(node, ast.ImportFrom) and re.match(r"ray\.(.*\.)?_", f"{node.module}."))
        or (isinstance(node, ast.Attribute) and ast.unparse(node).startswith("ray._"))
    ]
    assert private == []


def test_nothing_read_is_unpickled_or_executed():
    face = (ROOT / "crossmesh").rglob("*.py")
    trees = [*modules(), *((path.name, ast.parse(path.read_text("utf-8"))) for path in face)]
    assert [f"{path}: {what}" for path, tree in trees for what in unsafe(tree)] == []


@pytest.mark.parametrize(
    ("path", "name", "refused"),
    [
        ("tiles/analog/tile.py", "crossmesh.emulator.config.run", True),
        ("emulator/compiler/job.py", "crossmesh.tiles.analog.tile", False),
        ("emulator/compiler/job.py", "tiles.analog.tile", True),
        ("common/random.py", "crossmesh.interconnect.schedule", True),
        ("emulator/cli/main.py", "crossmesh.load_config", True),
        ("tiles/runtime/host.py", "ray", True),
        ("tiles/runtime/actor.py", "ray", False),
        ("emulator/compiler/job.py", "numba.njit", True),
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
