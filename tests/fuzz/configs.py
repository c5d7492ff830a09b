"""Configs with values that no one means, in every field of the schema, and YAML that is broken."""

import json
from copy import deepcopy
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from crossmesh.emulator.config.loading import dumped, load_config, presets, shipped
from tests.fuzz.bytes import mutated_text
from tests.jobs import CELLS, small_config

INTEGERS = (-1, 0, 1, 2, 3, 7, 10**9, 2**31, 2**32, 2**53, 2**63, 2**64, 10**40)
REALS = (5e-324, 1e-320, 1e-30, 1e-12, 1e-3, 0.5, 1.0, 1e3, 1e12, 1e30, 1e300, -1e-3, -1.0, -0.0)
OTHERS = (None, True, False, "", "auto", "x" * 70_000, "é\0\x1b", [], {}, [1] * 1000, [[]],
          {"kind": "ideal"}, {"extends": "/dev/zero"}, "1e400", "2026-13-45",
          ":/a" * 20_000, "?" + "token" * 14_000)  # fmt: skip
# What only makes a run longer when it is large: asked for by `map`, which does not train.
LONG = ("epochs", "examples", "test_examples", "every", "log_every")


def fields(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all values of a config."""
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree)
    found = []
    for key, value in entries:
        found.append((*path, key))
        if isinstance(value, dict | list) and len(value) < 40:
            found += fields(value, (*path, key))
    return found


@cache
def trees() -> list[dict[str, Any]]:
    """Small configs that between them have the fields of every cell, device and layer."""
    found = [small_config(cell).model_dump(mode="json") for cell in CELLS]
    for name in presets():
        found.append(small_config({"kind": "ideal"}).model_dump(mode="json"))
        found[-1]["tile"]["cell"] = {"extends": name}
    for name in shipped():
        network = load_config(name).model_dump(mode="json")["network"]
        for layer in network:  # so narrow that what a run takes is small
            if "outputs" in layer:
                layer["outputs"] = min(layer["outputs"], 256)
        found.append({**small_config().model_dump(mode="json"), "network": network})
        # On small tiles a deep network is a chip of thousands, whose timing takes minutes.
        found[-1]["tile"] |= {"rows": 512, "cols": 512}
    for tree in found:
        tree["training"] |= {"epochs": 1, "examples": 8, "test_examples": 4, "log_every": 4}
    return found


def config(rng: Random, folder: Path) -> list[str]:
    """A config in which a few fields have values that no one means."""
    tree = deepcopy(rng.choice(trees()))
    is_long = False
    for path in rng.sample(fields(tree), rng.choice([1, 1, 2, 3])):
        at = tree
        try:
            for key in path[:-1]:
                at = at[key]
            old = at[path[-1]]
            at[path[-1]] = value = _other(old, rng)
        except (LookupError, TypeError):  # within what has been replaced
            continue
        is_large = isinstance(value, int | float) and abs(value) > 1000
        is_long |= is_large and path[-1] in LONG
    (folder / "c.yaml").write_text(json.dumps(tree), "utf-8", "surrogatepass")
    command = "map" if is_long else rng.choice(["train", "train", "chip", "map"])
    extra = ["--run-dir", "run", "--quiet"] if command == "train" else []
    return [command, "c.yaml", *extra]


def _other(old: Any, rng: Random) -> Any:
    if rng.random() < 0.25:
        return rng.choice(OTHERS)
    if isinstance(old, int) and not isinstance(old, bool):
        return rng.choice(INTEGERS)
    if isinstance(old, float) or old is None:
        return rng.choice(REALS)
    return rng.choice([*INTEGERS, *REALS, *OTHERS])


def yaml_text(rng: Random, folder: Path) -> list[str]:
    """A text that may be no YAML, or says more than it holds."""
    text = dumped(small_config(rng.choice([*CELLS])))
    text = rng.choice([_doubling, _nested, _tagged, _digits, mutated_text, mutated_text])(text, rng)
    (folder / "c.yaml").write_text(text, "utf-8", "surrogatepass")
    return [rng.choice(["chip", "map"]), "c.yaml"]


def _doubling(text: str, rng: Random) -> str:
    times, depth, merge = rng.randint(2, 12), rng.randint(2, 40), rng.random() < 0.5
    lines = ["a0: &a0 {k: 1}"]
    for n in range(1, depth):
        names = ", ".join([f"*a{n - 1}"] * times)
        lines.append(f"a{n}: &a{n} {{<<: [{names}]}}" if merge else f"a{n}: &a{n} [{names}]")
    return "\n".join([*lines, text]) + rng.choice(["", "\nz: &z {y: *z}", "\nz: *missing"])


def _nested(text: str, rng: Random) -> str:
    depth, brackets = rng.choice([10, 49, 60, 900, 20_000]), rng.choice(["[]", "{}"])
    opening = brackets[0] + ("a: " if brackets == "{}" else "")
    return f"{text}\nz: {opening * depth}{brackets[1] * rng.choice([0, depth])}\n"


def _tagged(text: str, rng: Random) -> str:
    tags = ("!!python/object:os.system", "!!int", "!!float", "!!binary", "!!timestamp", "!!set",
            "!!omap", "!!pairs", "!!null", "!!map", "!x", "!!bool")  # fmt: skip
    values = ("x", "[1, 2]", "{a: 1}", "", "'%%'", "[[1, 2, 3]]")
    return f"{text}\nseed: {rng.choice(tags)} {rng.choice(values)}\n"


def _digits(text: str, rng: Random) -> str:
    number = rng.choice(["1" * 10**5, "0x" + "f" * 10**5, "1:" * 10**4 + "1", "1_" * 10**4 + "1",
                         "0b" + "1" * 10**5, "1." + "0" * 10**5, "1e" + "9" * 50])  # fmt: skip
    return text.replace("seed: 0", f"seed: {number}")
