"""Fits find the device that data came from, keep its spread, and refuse what is no measurement.

Data are made with known devices. Errors stated are of the estimate: what a measurement of so many
noisy pulses tells about a device, found by repeating it.
"""

import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crossmesh.common.errors import ConfigError
from crossmesh.common.random import Stream
from crossmesh.emulator.characterisation.device_file import write_device
from crossmesh.emulator.characterisation.fit import figures
from crossmesh.emulator.characterisation.tables import PulseMeasurement, read_measurement
from crossmesh.emulator.cli.main import run as run_command
from crossmesh.emulator.config.loading import load_cell, load_config
from crossmesh.tiles.analog.devices.jump_table import TABLE
from tests.emulator.characterisation.fit_material import (
    fitted,
    measured,
    soft_bounds,
    wide_columns,
    write_csv,
)


def small(n_devices=2, n_pulses=12):
    rng = np.random.default_rng(3)
    rise = np.cumsum(rng.uniform(1, 2, (n_devices, 1, n_pulses)), axis=2)
    return PulseMeasurement([f"d{k}" for k in range(n_devices)], rise, rise[:, :, ::-1] - 1)


def long_rows(measurement):
    return [
        {"device": name, "direction": way, "pulse": n + 1, "conductance": float(readings[k, 0, n])}
        for k, name in enumerate(measurement.names)
        for way, readings in (("up", measurement.up), ("down", measurement.down))
        for n in range(readings.shape[2])
    ]


def assert_same(measurement, expected):
    assert measurement.names == expected.names
    np.testing.assert_array_equal(measurement.up, expected.up)
    np.testing.assert_array_equal(measurement.down, expected.down)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("shuffled", [False, True])
def test_a_row_for_each_reading(delimiter, shuffled, tmp_path):
    expected = small()
    rows = long_rows(expected)
    if shuffled:  # the first of a device decides its place
        rows = [rows[0], *rows[:0:-1]]
    path = tmp_path / "long.csv"
    write_csv(path, [rows[0]], [row.values() for row in rows], delimiter=delimiter)

    assert_same(read_measurement(path), expected)


def test_a_row_for_each_pulse(tmp_path):
    expected, path = small(), tmp_path / "wide.csv"
    columns = wide_columns(expected)
    write_csv(path, [columns], zip(*columns.values(), strict=True))

    assert_same(read_measurement(path), expected)


def test_two_columns_without_names(tmp_path):
    expected, path = small(1), tmp_path / "two.csv"
    write_csv(path, [["# of device 7"]], zip(expected.up[0, 0], expected.down[0, 0], strict=True))

    assert_same(read_measurement(path), expected._replace(names=["1"]))


@pytest.mark.parametrize("shape", ["long", "wide"])
def test_parquet(shape, tmp_path):
    expected, path = small(), tmp_path / "table.parquet"
    if shape == "long":
        pq.write_table(pa.Table.from_pylist(long_rows(expected)), path)
    else:
        pq.write_table(pa.table(wide_columns(expected)), path)

    assert_same(read_measurement(path), expected)


def test_cycles_and_devices_may_be_of_different_lengths(tmp_path):
    lengths = {("a", "1"): 20, ("a", "2"): 14, ("b", "1"): 11}
    rows = [
        [device, cycle, way, n, n if way == "up" else -n]
        for (device, cycle), length in lengths.items()
        for way in ("up", "DOWN")
        for n in range(length)
        if n != 5
    ]
    path = tmp_path / "long.csv"
    write_csv(path, [["Device", "Cycle", "Direction", "Pulse", "Conductance"]], rows)
    measurement = read_measurement(path)

    assert measurement.up.shape == (2, 2, 20)
    assert np.isfinite(measurement.up).sum(axis=2).tolist() == [[19, 13], [10, 0]]
    assert np.isnan(measurement.up[:, :, 5]).all()
    assert fitted(measurement).up.mean[1, 10:].std() == 0  # b was not read beyond


def test_a_wide_column_may_end_early(tmp_path):
    path = tmp_path / "wide.csv"
    rows = [[n, -n, n if n < 15 else "", -n if n < 12 else ""] for n in range(20)]
    write_csv(path, [["up_a", "down_a", "up_b", "down_b"]], rows)
    measurement = read_measurement(path)

    assert np.isfinite(measurement.up).sum(axis=2).ravel().tolist() == [20, 15]
    assert np.isfinite(measurement.down).sum(axis=2).ravel().tolist() == [20, 12]


LONG = "device,direction,pulse,conductance\n"


RISE = [f"{n},{30 - n}" for n in range(20)]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "must hold readings, got none"),
        ("up,down\n", "must hold readings, got none"),
        ("\n".join([*RISE[:7], "7,abc", *RISE[8:]]), "line 8 column down must be a number, got 'a"),
        ("\n".join([*RISE[:7], "nan,1", *RISE[8:]]), "line 8 column up must be finite, got 'nan'"),
        ("\n".join([*RISE[:7], "1,-inf", *RISE[8:]]), "line 8 column down must be finite, got '-i"),
        ("\n".join([*RISE[:7], ",1", *RISE[8:]]), "line 8 column up must be a number, got nothing"),
        ("\n".join([*RISE[:7], "1", *RISE[8:]]), "line 8 must have 2 columns, got 1"),
        ("\n".join(RISE[:2]), "must have at least 3 up pulses for each device, got 2 for device"),
        (
            "\n".join(["3,4"] * 20),
            "must have up pulses that raise the conductance, got a change of 0 for device 1",
        ),
        ("\n".join(["3,3"] * 20), "must have conductances that change, got 3 throughout for devi"),
        ("\n".join(f"{30 - n},{n}" for n in range(20)), "must have up pulses that raise the cond"),
        ("\n".join(f"{n},{n}" for n in range(20)), "must have down pulses that lower the conduct"),
        ("\n".join("1,2,3" for _ in range(20)), r"must have two \(up, down\), got 3"),
        ("a,b\n1,2\n", "must have at least 3 up pulses for each device, got 0 for device a"),
        ("a,b\nx,y\n", "must hold readings, got none"),
        ("up_a,up_b\n" + "1,2\n" * 20, "must have down pulses too, got up pulses alone; give bo"),
        (
            "device,direction,pulse\na,up,1\n",
            "must have a column conductance, resistance or current, got dev",
        ),
        (LONG + "a,up,1,x\n", "line 2 column conductance must be a number, got 'x'"),
        (LONG + "a,left,1,2\n", "line 2 column direction must be up or down .*, got 'left'"),
        (LONG + "a,up,1.5,2\n", "line 2 column pulse must be a whole number from 0 to 1000000000"),
        (
            LONG + "a,up,1,2\n" * 2,
            "line 3 column pulse must be unique for this device and direction",
        ),
        (
            LONG + "".join(f"a,{way},{99 * n},{n}\n" for way in ("up", "down") for n in range(200)),
            "must have at most 10000 pulses in a direction, got 19702 for device a",
        ),
        (
            LONG + "".join(f"a,up,{n},{n}\n" for n in range(20)),
            "must have down pulses too, got up pulses alone; give both files",
        ),
    ],
)
def test_what_is_no_measurement_is_refused_in_one_line(text, rule, tmp_path, monkeypatch, capsys):
    (tmp_path / "data.csv").write_text(text)
    monkeypatch.chdir(tmp_path)

    code, _, error = command(capsys, "fit", "data.csv")
    assert code == 2
    assert error.startswith("error: data.csv ")
    assert len(error.splitlines()) == 1
    with pytest.raises(ConfigError, match=rule):
        raise ConfigError(error)
    assert [path.name for path in tmp_path.iterdir()] == ["data.csv"]


@pytest.mark.parametrize("name", ["none.csv", "none.parquet", "text.parquet", "binary.csv", "."])
def test_what_cannot_be_read_is_refused(name, tmp_path):
    (tmp_path / "text.parquet").write_text("up,down\n")
    (tmp_path / "binary.csv").write_bytes(bytes(range(128, 256)))

    with pytest.raises(ConfigError, match=r"must be a (readable )?CSV, Excel or Parquet file"):
        read_measurement(tmp_path / name)


def test_a_cell_of_a_parquet_file_is_named_by_its_row(tmp_path):
    pq.write_table(
        pa.table({"up": [1.0, None, 2.0], "down": [1.0, 2.0, 3.0]}), tmp_path / "a.parquet"
    )

    with pytest.raises(ConfigError, match=r"row 2 column up must be a number, got nothing"):
        read_measurement(tmp_path / "a.parquet")


def command(capsys, *arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["crossmesh", "devices", *map(str, arguments)])
        code = run_command()
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_fit_leaves_a_device_that_a_config_can_name(data, capsys):
    code, out, _ = command(capsys, "fit", "mine.csv", "--unit", "µS", "--plot", "mine.svg")

    assert code == 0
    assert "spread of steps" in out
    assert "crossmesh train digits --set 'tile.cell={extends: mine.yaml}'" in out
    assert (data / "mine.svg").stat().st_size > 10_000
    text = (data / "mine.yaml").read_text("utf-8")
    assert text.startswith("# Measured: 20 devices, 60 up and 60 down pulses\n# source: mine.csv")
    cell = load_cell("mine.yaml")
    assert (len(cell.tables), len(cell.tables[0].up), cell.unit) == (20, 32, "µS")
    run = load_config("digits", ["tile.cell={extends: mine.yaml, cycle_noise: 0.5}"])
    assert run.tile.cell == cell.model_copy(update={"cycle_noise": 0.5})


def test_fit_prints_json(data, capsys):
    _, out, _ = command(
        capsys, "fit", "mine.csv", "--json", "--points", "8", "--device-noise", "0.1",
        "--output", "other.yaml",
    )  # fmt: skip
    reported = json.loads(out)

    assert reported["file"] == "other.yaml"
    assert reported["devices"] == 20
    assert reported["step_spread"] == pytest.approx(0.2, rel=0.5)
    cell = load_cell("other.yaml")
    assert (len(cell.tables[0].up), cell.device_noise) == (8, 0.1)


def test_fit_writes_over_its_own_files_only(data, capsys):
    (data / "notes.yaml").write_text("precious\n")
    for output, code in (("mine.yaml", 0), ("mine.yaml", 0), ("notes.yaml", 2), ("mine.csv", 2)):
        done, _, error = command(capsys, "fit", "mine.csv", "--output", output)
        assert done == code, error
    assert "--output must be a new file or one written by devices fit, got mine.csv" in error
    assert (data / "notes.yaml").read_text() == "precious\n"


def test_a_device_of_fewer_pulses_is_as_linear(tmp_path, monkeypatch, capsys):
    """Two straight lines, of 300 and of 60 pulses each way; a fit follows them within 2 %."""
    monkeypatch.chdir(tmp_path)
    ramps = [np.linspace(10, 20, n) for n in (300, 60)]
    rows = [
        (name, way, k, value)
        for name, ramp in zip("ab", ramps, strict=True)
        for way, values in (("up", ramp), ("down", ramp[::-1]))
        for k, value in enumerate(values)
    ]
    write_csv(tmp_path / "short.csv", [("device", "direction", "pulse", "conductance")], rows)
    code, out, _ = command(capsys, "fit", "short.csv", "--json")
    reported = json.loads(out)

    assert code == 0
    assert reported["nonlinearity_up"] < 0.02
    assert reported["nonlinearity_down"] < 0.02


def test_a_device_that_no_config_could_extend_is_not_written(tmp_path):
    """Of noise beyond the limit of write_noise, which a fit reaches if its steps are tiny."""
    measurement = measured(soft_bounds(), 2, 20)
    fit = fitted(measurement)._replace(white=np.full(2, 1e7))
    source = tmp_path / "flat.csv"
    source.write_text("as measured")
    rule = r"flat\.csv: write_noise must be at most 1000000\.0, got \d+\.0$"
    with pytest.raises(ConfigError, match=rule):
        write_device(fit, figures(fit, measurement), [source], tmp_path / "flat.yaml")
    assert not (tmp_path / "flat.yaml").exists()


def test_every_option_of_fit_is_told(capsys):
    _, out, _ = command(capsys, "fit", "--help")
    options = ("--column", "--read-voltage", "--direction-from", "--device-noise", "--points")
    for word in (*options, "--unit", "--plot", "direction"):
        assert word in out


def test_measured_devices_draw_their_own_table():
    """The start of each emulated device in a plot is that of the measured one that it is."""
    fit = fitted(measured(soft_bounds(device_noise=0.3), 5, 60))
    drawn = fit.device.sample((16, 64), Stream(seed=1, owner=0), 0)[TABLE]

    assert set(drawn.ravel()) == set(range(5))


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"1" * (33 << 20), "must be at most 32 MiB of CSV, got more"),
        (b"1,2\n" * 2_000_001, "must have at most 4,000,000 cells, got 4,000,002"),
        (b"1\r" * 4_000_001, "must have at most 4,000,000 cells, got 4,000,001"),
        (b"1,2\r\n" * 2_000_001, "must have at most 4,000,000 cells, got 4,000,002"),
    ],
)
def test_a_file_that_is_too_large_is_refused_in_one_line(content, rule, tmp_path):
    (tmp_path / "large.csv").write_bytes(content)
    with pytest.raises(
        ConfigError, match=f"^{tmp_path}/large.csv {rule}; split its devices over sev"
    ):
        read_measurement(tmp_path / "large.csv")


def long_table(**columns):
    """A table of readings; what is given stands in place of a column."""
    n = 40
    readings = {"device": ["a"] * n, "direction": ["up", "down"] * (n // 2),
                "pulse": [k // 2 for k in range(n)], "conductance": list(range(n))}  # fmt: skip
    return pa.table(readings | columns)


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        ({"conductance": [[1.0]] * 40}, "column conductance must hold numbers or text, got list<"),
        ({"other": [b"a"] * 40}, "column other must hold numbers or text, got binary"),
        ({"device": [f"{k:02d}" * 600_000 for k in range(40)]}, "must be at most 32 MiB when unpa"),
        (
            {"device": ["a" * 10_000] * 40, "pulse": [1000 * k for k in range(40)]},
            r".* for device a{100}\.\.\.$",
        ),
    ],
)
def test_a_table_that_unpacks_to_more_is_refused_in_one_short_line(columns, rule, tmp_path):
    pq.write_table(long_table(**columns), tmp_path / "a.parquet", compression="zstd")
    with pytest.raises(ConfigError, match=f"^{tmp_path}/a.parquet {rule}") as error:
        read_measurement(tmp_path / "a.parquet")
    assert len(str(error.value)) < 500


def test_texts_of_a_table_may_be_a_dictionary(tmp_path):
    """Of devices with gaps, in the order of the file."""
    names = pa.array(["b", "a"] * 20)
    for k, device in enumerate((names, names.dictionary_encode())):
        table = long_table(device=device, direction=["up", "up", "down", "down"] * 10)
        pq.write_table(table, tmp_path / f"{k}.parquet")
    one, two = (read_measurement(tmp_path / f"{k}.parquet") for k in range(2))

    assert one.names == two.names == ["b", "a"]
    np.testing.assert_array_equal(one.up, two.up)


@pytest.mark.parametrize(
    ("rows", "rule"),
    [
        ("a,up,1e30,1\n", "line 2 column pulse must be a whole number from 0 to 1000000000, got"),
        (
            "".join(f"d{d},{way},{1000 * k},{k}\n"
                    for d in range(200) for way in ("up", "down") for k in range(10)),
            "must have at most 1,000,000 devices x cycles x pulses in a direction, "
            "got 200 x 1 x 9,001",
        ),
    ],
)  # fmt: skip
def test_pulses_far_apart_are_refused_before_they_are_laid_out(rows, rule, tmp_path):
    (tmp_path / "a.csv").write_text("device,direction,pulse,conductance\n" + rows)
    with pytest.raises(ConfigError, match=f"^{tmp_path}/a.csv {rule}"):
        read_measurement(tmp_path / "a.csv")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("other", ["/dev/zero", "pipe"])
def test_what_is_no_file_is_refused(suffix, other, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    path = tmp_path / f"a.{suffix}"
    path.symlink_to(other)
    with pytest.raises(ConfigError, match=r"must be a readable .* file: It is no regular file$"):
        read_measurement(path)
