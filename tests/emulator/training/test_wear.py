"""How often each array of a tile is used, as runs report it."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from crossmesh.emulator.training.training import train
from crossmesh.tiles.analog.wear import Wear
from tests.emulator.commands.shell import done
from tests.emulator.training.algorithm_kinds import KINDS
from tests.jobs import small_config

SOFT = {"kind": "soft_bounds", "step": 0.01}
# What arrays of a cell are called under an algorithm.
NAMES = [
    ("soft_bounds", {"kind": "sgd"}, ["devices"]),
    ("shared_reference", {"kind": "sgd"}, ["devices"]),
    ("soft_bounds", KINDS["mixed_precision"], ["devices"]),
    ("soft_bounds", KINDS["tiki_taka"], ["A", "C"]),
    ("soft_bounds", KINDS["residual"], ["array 0", "array 1", "array 2"]),
    ("pair", {"kind": "sgd"}, ["plus", "minus"]),
    ("pair", KINDS["mixed_precision"], ["plus", "minus"]),
    ("pair", KINDS["tiki_taka_2"], ["A plus", "A minus", "C plus", "C minus"]),
    ("pairs", {"kind": "sgd"}, ["pair 0 plus", "pair 0 minus", "pair 1 plus", "pair 1 minus"]),
    ("pcm_3t1c", {"kind": "sgd"}, ["capacitors", "memories plus", "memories minus"]),
]


def config_of(cell, algorithm, **changes):
    return small_config(cell, training={"algorithm": algorithm, **changes})


@pytest.mark.parametrize(("cell", "algorithm", "names"), NAMES)
def test_a_run_reports_pulses_by_array_and_goes_on_counting(cell, algorithm, names, tmp_path):
    whole = train(config_of(cell, algorithm, epochs=2))
    train(config_of(cell, algorithm, epochs=1), tmp_path / "run")
    result = train(config_of(cell, algorithm, epochs=2), tmp_path / "run", resume=True)

    assert result.arrays == whole.arrays
    assert pq.read_table(tmp_path / "run" / "arrays.parquet") == result.arrays
    assert result.summary["pulses"] == result.pulses
    rows = result.arrays.to_pylist()
    tiles = result.tiles.to_pydict()
    for tile, pulses in zip(tiles["tile"], tiles["pulses"], strict=True):
        own = {row["array"]: row["pulses"] for row in rows if row["tile"] == tile}
        assert list(own) == names
        # both sides of a pair hang on the same lines
        assert sum(n for name, n in own.items() if not name.endswith("minus")) == pulses
    for name, pulses in result.pulses.items():
        assert pulses == sum(row["pulses"] for row in rows if row["array"] == name)
    assert result.pulses[names[0]] > 0


def test_the_fast_array_is_pulsed_most_and_the_slow_one_too():
    pulses = train(config_of("soft_bounds", KINDS["tiki_taka"])).pulses

    assert pulses["A"] > pulses["C"] > 0


def test_writes_are_those_of_every_transfer_refresh_and_carry():
    """Of 100 examples: three transfers of each cell; ten carries, which write all."""
    writes = {}
    for cell in ("pcm_3t1c", "pairs"):
        result = train(config_of(cell, {"kind": "sgd"}))
        table = result.arrays.to_pydict()
        cells = np.prod([result.tiles[side].to_numpy() for side in ("rows", "cols")], axis=0)
        of_tile = dict(zip(result.tiles["tile"].to_pylist(), cells.tolist(), strict=True))
        writes[cell] = [
            n / of_tile[tile] for tile, n in zip(table["tile"], table["writes"], strict=True)
        ]
    assert set(writes["pcm_3t1c"]) <= {2.0, 3.0} | {n for n in writes["pcm_3t1c"] if 2 < n < 3}
    assert set(writes["pairs"]) == {10.0}


def test_lines_of_a_pair_are_driven_for_both():
    result = train(config_of("pair", {"kind": "sgd"}))

    assert (
        result.pulses["plus"] == result.pulses["minus"] == sum(result.tiles["pulses"].to_pylist())
    )


def test_the_command_prints_the_pulses_of_each_array(tmp_path):
    settings = "training.algorithm={kind: tiki_taka}", "tile.cell={kind: soft_bounds}"
    asked = ["digits", "--engine", "local", "--examples", 30, "--epochs", 1, "--quiet"]
    asked += [word for setting in settings for word in ("--set", setting)]
    printed = done("train", *asked, "--run-dir", tmp_path / "a").out
    pulses = done("train", *asked, "--run-dir", tmp_path / "b", "--json").answer["pulses"]

    assert list(pulses) == ["A", "C"]
    words = " ".join(printed.split())
    assert f"pulses {pulses['A']:,} on A, {pulses['C']:,} on C" in words


def test_a_row_names_what_it_counts():
    assert train(config_of("soft_bounds", {"kind": "sgd"})).arrays.column_names == [
        "tile", "layer", "array", *Wear._fields,
    ]  # fmt: skip
