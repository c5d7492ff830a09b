"""Pareto fronts: against a naive oracle, with ties and gaps, as table, page and picture."""

import subprocess

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crossmesh import ConfigError
from crossmesh.emulator.study.fronts import Front, fronts, nondominated
from crossmesh.emulator.study.pareto import fronts_markdown, leave_fronts, read_results
from tests.emulator.study.test_study import COMMAND, ENVIRONMENT

FEW = st.integers(0, 3).map(float)  # so that ties are common


@given(arrays(np.float64, st.tuples(st.integers(0, 12), st.integers(2, 3)), elements=FEW))
def test_a_point_is_on_the_front_if_no_other_betters_it(figures):
    def betters(one, other):
        pairs = list(zip(one, other, strict=True))
        return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)

    naive = [not any(betters(other, point) for other in figures) for point in figures]
    assert nondominated(figures).tolist() == naive
    assert not len(figures) or any(naive)


def results(**columns):
    """Results of a study with one seed for each title."""
    n = len(next(iter(columns.values())))
    return pa.table(
        {
            "title": [chr(ord("a") + i) for i in range(n)],
            "config": ["one"] * n,
            "tile.rows": np.arange(float(n)),
            "seed": [0] * n,
            **columns,
        }
    )


RESULTS = results(
    test_accuracy=[0.9, 0.8, 0.9, None, 0.95, float("nan")],
    chip_energy_j_per_example=[2.0, 1.0, 2.0, 0.5, 4.0, 0.1],
    chip_area_mm2=[1.0, 2.0, 1.0, 0.1, 1.0, 0.1],
    chip_bound_by=["array"] * 6,
)


def on(table, *by, each=None):
    return [[p["title"] for p in f.best] for f in fronts(table, [Front(by=by, each=each)])]


def test_accuracy_is_best_high_energy_low_ties_stay_and_gaps_leave():
    assert on(RESULTS, "energy_j_per_example", "test_accuracy") == [["b", "a", "c", "e"]]
    assert on(RESULTS, "chip_energy_j_per_example", "test_accuracy:min") == [["b"]]
    three = ("energy_j_per_example", "test_accuracy", "area_mm2:max")
    assert on(RESULTS, *three) == [["b", "a", "c", "e"]]
    (found,) = fronts(RESULTS, [Front(by=("energy_j_per_example", "test_accuracy"))])
    assert [point["title"] for point in found.points] == ["b", "a", "c", "e"]
    assert found.columns == {"chip_energy_j_per_example": "min", "test_accuracy": "max"}


def test_rows_that_differ_in_each_are_not_compared():
    apart = RESULTS.set_column(1, "config", pa.array(["x", "y", "x", "y", "x", "y"]))
    assert on(apart, "energy_j_per_example", "area_mm2", each="config") == [["a", "c"], ["f"]]


def test_seeds_are_averaged():
    seeds = pa.concat_tables([RESULTS, RESULTS.set_column(
        RESULTS.column_names.index("chip_energy_j_per_example"), "chip_energy_j_per_example",
        pa.array([0.2] * 6),
    )])  # fmt: skip
    (found,) = fronts(seeds, [Front(by=("energy_j_per_example", "test_accuracy"))])
    assert [point["chip_energy_j_per_example"] for point in found.points] == [0.6, 1.1, 1.1, 2.1]


@pytest.mark.parametrize(
    ("by", "each", "message"),
    [
        (("area", "test_accuracy"), None,
         "pareto must have columns of results.parquet, got area; did you mean area_mm2?"),
        (("bound_by", "test_accuracy"), None,
         "pareto must have columns of numbers, got bound_by, of string"),
        (("area_mm2", "test_accuracy"), "conf",
         "pareto must have columns of results.parquet, got conf; did you mean config?"),
    ],
)  # fmt: skip
def test_what_is_no_column_of_numbers_is_refused(by, each, message):
    with pytest.raises(ConfigError) as error:
        fronts(RESULTS, [Front(by=by, each=each)])
    assert str(error.value) == message


def test_fronts_are_left_as_a_table_a_page_and_pictures_that_name_their_points(tmp_path):
    wanted = [
        Front(by=("energy_j_per_example", "test_accuracy")),
        Front(by=("area_mm2", "energy_j_per_example", "test_accuracy"), each="config"),
        Front(by=("energy_j_per_example", "train_loss")),
    ]
    table = RESULTS.append_column("train_loss", pa.nulls(6, pa.float64()))
    found = leave_fronts(table, wanted, tmp_path, "svg")

    left = pq.read_table(tmp_path / "pareto.parquet").to_pylist()
    assert [row["title"] for row in left] == ["b", "a", "c", "e", "a", "c", "e", "b"]
    assert {row["front"] for row in left} == {
        "energy_j_per_example, test_accuracy",
        "area_mm2, energy_j_per_example, test_accuracy; each config",
    }
    assert left[0]["tile.rows"] == 1.0
    assert left[0]["chip_energy_j_per_example"] == 1.0
    page = fronts_markdown(found)
    assert "## Pareto front: energy_j_per_example, test_accuracy" in page
    assert "4 of 4 runs are on the front." in page
    assert "0 of 0 runs are on the front." in page
    assert "| b | 1 | 0.8 |" in page
    two = (tmp_path / "pareto-energy_j_per_example-test_accuracy.svg").read_text()
    assert "test accuracy (more is better)" in two
    assert "energy per example (less is better)" in two
    for name in ("1  b", "2  a", "3  c", "4  e"):
        assert name in two
    three = (tmp_path / "pareto-area_mm2-energy_j_per_example-test_accuracy.svg").read_text()
    assert "config one" in three
    assert len(list(tmp_path.glob("*.svg"))) == 2, "no picture of nothing"


def test_results_of_something_else_are_refused(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    for source in (tmp_path, tmp_path / "other.parquet", tmp_path / "none"):
        with pytest.raises(ConfigError) as error:
            read_results(source)
        assert str(error.value) == f"RESULTS must be the folder of a study, got {source}"


@pytest.mark.slow
def test_the_command_prints_fronts_of_results_and_leaves_them(tmp_path):
    def pareto(*arguments):
        return subprocess.run(
            [*COMMAND[:-1], "pareto", *arguments],
            capture_output=True, text=True, cwd=tmp_path, env=ENVIRONMENT, check=False,
        )  # fmt: skip

    pq.write_table(RESULTS, tmp_path / "results.parquet")
    done = pareto(".", "--by", "energy_j_per_example,test_accuracy")
    assert (done.returncode, done.stderr) == (0, "")
    assert "4 of 4 runs are on the front" in done.stdout
    assert (tmp_path / "pareto.parquet").is_file()
    refused = pareto(".", "--by", "energy_j_per_example")
    assert refused.returncode == 2
    assert refused.stderr == (
        "error: by must have at least 2 entries, got ('energy_j_per_example',)\n"
    )
