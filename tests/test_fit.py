"""Fits find the device that data came from, keep its spread, and refuse what is no measurement.

Data are made with known devices. Errors stated are of the estimate: what a measurement of so many
noisy pulses tells about a device, found by repeating it.
"""

import csv
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emulator.commands import run as run_command
from emulator.errors import ConfigError
from emulator.loading import load_cell, load_config
from emulator.measured.device_file import write_device
from emulator.measured.fit import figures, fit_device
from emulator.measured.reading import Measurement, read_measurement
from emulator.plots.simulate import pulse, to_bottom
from tiles.crossbar import build
from tiles.devices import SoftBounds
from tiles.devices.jump_table import TABLE
from tiles.random import Stream
from tiles.update import UpdateConfig

ONE_PULSE = UpdateConfig(
    trains="deterministic", length=1, update_management=False, length_management=False
)
OFFSET, SCALE = 12.0, 8.0  # microsiemens
ALIKE = {
    "device_noise": 0.0,
    "asymmetry_device_noise": 0.0,
    "upper_device_noise": 0.0,
    "lower_device_noise": 0.0,
}


def soft_bounds(**fields):
    return SoftBounds(
        **{"step": 0.02, "upper": 1.0, "lower": -1.0, "cycle_noise": 0.0, **ALIKE, **fields}
    )


def measured(device, n_devices, n_pulses, reading=0.0, cycles=1, seed=1):
    """Readings of emulated devices, in microsiemens: up from the bottom, then down, in cycles."""
    stream = Stream(seed=seed, owner=0)
    crossbar = build(device, (1, n_devices), stream, ONE_PULSE)
    to_bottom(crossbar)
    shown = np.empty((2, n_devices, cycles, n_pulses))
    for c in range(cycles):
        for way in range(2):
            for n in range(n_pulses):
                pulse(crossbar, 1, (2 * c + way) * n_pulses + n, up=way == 0)
                shown[way, :, c, n] = crossbar.weights[0]
    shown += reading * np.random.default_rng(seed).normal(size=shown.shape)
    names = [str(k) for k in range(n_devices)]
    return Measurement(names, *(OFFSET + SCALE * shown))


def fitted(measurement, tmp_path=None, **options):
    defaults = {"n_points": 32, "device_noise": 0.0, "unit": "µS"}
    return fit_device(measurement, "data.csv", **{**defaults, **options})


def changes(fit, w):
    """Mean changes of all tables at conductances of the device that was measured, in its units."""
    device = fit.device
    at = (OFFSET + SCALE * np.asarray(w) - device.offset) / device.scale
    up, down = (
        [[table.change(x, up=way) for x in at] for table in device.tables] for way in (True, False)
    )
    return np.array([up, down]) * device.scale / SCALE


MIDDLE = np.linspace(-0.8, 0.8, 9)


def test_without_noise_a_fit_is_the_device():
    """Steps within 3 % of a step, bounds where the pulses led."""
    measurement = measured(soft_bounds(), 1, 200)
    fit = fitted(measurement)

    up, down = changes(fit, MIDDLE)[:, 0]
    np.testing.assert_allclose(up, 0.02 * (1 - MIDDLE), atol=0.03 * 0.02)
    np.testing.assert_allclose(down, -0.02 * (1 + MIDDLE), atol=0.03 * 0.02)
    device = fit.device
    lowest, highest = (np.stack(measurement[1:]).min(), np.stack(measurement[1:]).max())
    assert device.offset == pytest.approx((lowest + highest) / 2, rel=0.01)
    assert device.scale == pytest.approx((highest - lowest) / 2, rel=0.01)
    assert (device.lower, device.upper) == pytest.approx((-1, 1), abs=1e-3)
    assert device.unit == "µS"


def test_with_noise_a_fit_finds_steps_and_both_noises():
    """64 devices, alike: within 15 % of a step (rms), their mean within 6 %, reading within 10 %.

    The mean response follows some of the random walk, so cycle noise is found up to 30 % low.
    """
    device = soft_bounds(cycle_noise=0.5, multiplicative_noise=False)
    measurement = measured(device, 64, 200, reading=0.03)
    fit = fitted(measurement)

    found, true = changes(fit, MIDDLE), 0.02 * np.array([1 - MIDDLE, -1 - MIDDLE])[:, None]
    assert np.sqrt(((found - true) ** 2).mean()) < 0.15 * 0.02
    assert np.abs(found.mean(axis=1) - true[:, 0]).max() < 0.06 * 0.02
    told = figures(fit, measurement)
    assert 0.35 < told["cycle_noise"] < 0.55
    assert told["write_noise"] == pytest.approx(1.5, rel=0.1)
    assert told["states"] == pytest.approx(100, rel=0.1)
    assert abs(told["asymmetry"]) < 0.05


def test_the_pulses_of_several_cycles_tell_more():
    device = soft_bounds(cycle_noise=1.0)
    true = 0.02 * np.array([1 - MIDDLE, -1 - MIDDLE])[:, None]
    errors = [
        np.sqrt(((changes(fitted(measured(device, 8, 200, 0.05, n)), MIDDLE) - true) ** 2).mean())
        for n in (1, 16)
    ]
    assert errors[1] < 0.6 * errors[0]


def test_an_asymmetric_device_is_found_as_such():
    measurement = measured(soft_bounds(asymmetry=0.4), 1, 300)
    told = figures(fitted(measurement), measurement)

    assert told["asymmetry"] == pytest.approx(0.25, abs=0.03)  # (1 - 0.6) / (1 + 0.6)
    assert told["nonlinearity_up"] > 0.5
    assert told["step_spread"] is None


def test_a_fast_device_is_resolved_though_most_pulses_change_nothing():
    """Ten states, 400 pulses: all happens in the first thirty."""
    fit = fitted(measured(soft_bounds(step=0.2), 1, 400))

    np.testing.assert_allclose(changes(fit, MIDDLE)[0, 0], 0.2 * (1 - MIDDLE), atol=0.05 * 0.2)


def test_noise_that_lasts_a_few_pulses_is_no_cycle_noise():
    """A device that flips between two states adds spread, but no random walk."""
    measurement = measured(soft_bounds(step=0.01), 16, 500)
    rng = np.random.default_rng(2)
    for readings in (measurement.up, measurement.down):
        lasting = np.zeros(readings.shape)
        for n in range(1, readings.shape[2]):
            lasting[..., n] = 0.7 * lasting[..., n - 1] + rng.normal(size=readings.shape[:2])
        readings += 0.05 * SCALE * lasting
    told = figures(fitted(measurement), measurement)

    assert told["cycle_noise"] < 1  # where neighbours differ by five steps
    assert told["write_noise"] == pytest.approx(0.05 / 0.01 / np.sqrt(1 - 0.7**2), rel=0.15)


def test_the_spread_of_hundreds_of_devices_survives():
    """Every device is found (correlation above 0.95), and emulated ones have the same spread."""
    device = soft_bounds(
        cycle_noise=0.3, device_noise=0.3, upper_device_noise=0.15, lower_device_noise=0.15
    )
    measurement = measured(device, 300, 150, reading=0.02)
    fit = fitted(measurement)

    true = device.sample((1, 300), Stream(seed=1, owner=0), 0)[:, 0]
    steps = changes(fit, [0.0])[0, :, 0]
    assert np.corrcoef(steps, true[0])[0, 1] > 0.95
    assert steps.std() == pytest.approx(true[0].std(), rel=0.1)
    uppers = [fit.device.offset + fit.device.scale * table.upper for table in fit.device.tables]
    assert np.corrcoef(uppers, measurement.up[:, 0, -10:].mean(axis=1))[0, 1] > 0.99

    crossbar = build(fit.device, (32, 64), Stream(seed=5, owner=0), ONE_PULSE)
    to_bottom(crossbar)
    for n in (20, 150):
        pulse(crossbar, n if n == 20 else 130, 0, up=True)
        emulated = fit.device.offset + fit.device.scale * crossbar.weights
        data = measurement.up[:, 0, n - 1]
        assert emulated.mean() == pytest.approx(data.mean(), abs=0.03 * SCALE)
        assert emulated.std() == pytest.approx(data.std(), rel=0.12)


def test_the_measured_reram_is_followed(shared):
    """Means of 50 readings, whose own error is about 0.1, against the mean of 1,024 devices."""
    path = shared / "data" / "device-rram" / "gong_et_al.csv"
    measurement = read_measurement(path)
    fit = fitted(measurement)

    for readings, response, up in (
        (measurement.up, fit.up, True),
        (measurement.down, fit.down, False),
    ):
        crossbar = build(fit.device, (16, 64), Stream(seed=1, owner=0), ONE_PULSE)
        start = (response.mean[0, 0] - fit.device.offset) / fit.device.scale
        crossbar.write(np.full((16, 64), start, np.float32))
        means = []
        for block in range(20):
            pulse(crossbar, 25, 50 * block, up=up)
            means.append(fit.device.offset + fit.device.scale * float(crossbar.weights.mean()))
            pulse(crossbar, 25, 50 * block + 25, up=up)
        data = readings.reshape(20, 50).mean(axis=1)
        assert np.sqrt(((means - data) ** 2).mean()) < 0.1
    told = figures(fit, measurement)
    # aihwkit's fit to these data has 5 steps of cycle noise and 75 of write noise
    assert 2 < told["cycle_noise"] < 8
    assert 50 < told["write_noise"] < 100
    assert 700 < told["states"] < 1300


# Files


def small(n_devices=2, n_pulses=12):
    rng = np.random.default_rng(3)
    rise = np.cumsum(rng.uniform(1, 2, (n_devices, 1, n_pulses)), axis=2)
    return Measurement([f"d{k}" for k in range(n_devices)], rise, rise[:, :, ::-1] - 1)


def long_rows(measurement):
    return [
        {"device": name, "direction": way, "pulse": n + 1, "conductance": float(readings[k, 0, n])}
        for k, name in enumerate(measurement.names)
        for way, readings in (("up", measurement.up), ("down", measurement.down))
        for n in range(readings.shape[2])
    ]


def wide_columns(measurement):
    return {
        f"{way}_{name}": readings[k, 0]
        for k, name in enumerate(measurement.names)
        for way, readings in (("up", measurement.up), ("down", measurement.down))
    }


def write_csv(path, head, rows, **options):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, **options).writerows([*head, *rows])


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
    ("text", "law"),
    [
        ("", "must hold readings, got none"),
        ("up,down\n", "must hold readings, got none"),
        ("\n".join([*RISE[:7], "7,abc", *RISE[8:]]), "line 8 column down must be a number, got 'a"),
        ("\n".join([*RISE[:7], "nan,1", *RISE[8:]]), "line 8 column up must be finite, got 'nan'"),
        ("\n".join([*RISE[:7], "1,-inf", *RISE[8:]]), "line 8 column down must be finite, got '-i"),
        ("\n".join([*RISE[:7], ",1", *RISE[8:]]), "line 8 column up must be a number, got nothing"),
        ("\n".join([*RISE[:7], "1", *RISE[8:]]), "line 8 must have 2 columns, got 1"),
        ("\n".join(RISE[:9]), "must have at least 10 up pulses for each device, got 9 for device"),
        (
            "\n".join(["3,4"] * 20),
            "must have up pulses that raise the conductance, got a change of 0 for device 1",
        ),
        ("\n".join(["3,3"] * 20), "must have conductances that change, got 3 throughout for devi"),
        ("\n".join(f"{30 - n},{n}" for n in range(20)), "must have up pulses that raise the cond"),
        ("\n".join(f"{n},{n}" for n in range(20)), "must have down pulses that lower the conduct"),
        ("\n".join("1,2,3" for _ in range(20)), r"must have two \(up, down\), got 3"),
        ("a,b\n1,2\n", r"must have columns device, direction, pulse, conductance, or up_NAME and"),
        ("up_a,down_a,up_b\n" + "1,2,3\n" * 20, "must have a column down for device b, got up_a"),
        ("device,direction,pulse\na,up,1\n", "must have a column conductance, got device, dire"),
        (LONG + "a,up,1,x\n", "line 2 column conductance must be a number, got 'x'"),
        (LONG + "a,left,1,2\n", "line 2 column direction must be up or down, got 'left'"),
        (LONG + "a,up,1.5,2\n", "line 2 column pulse must be a whole number from 0 to 1000000000"),
        (LONG + "a,up,1,2\n" * 2, "line 3 column pulse must be new for this device and direction"),
        (LONG + "a,up,1,2\na,up,99999,3\n", "must have at most 10000 pulses in a direction, got"),
        (
            LONG + "".join(f"a,up,{n},{n}\n" for n in range(20)),
            "must have at least 10 down pulses for each device, got 0 for device a",
        ),
    ],
)
def test_what_is_no_measurement_is_refused_in_one_line(text, law, tmp_path, monkeypatch, capsys):
    (tmp_path / "data.csv").write_text(text)
    monkeypatch.chdir(tmp_path)

    code, _, error = command(capsys, "fit", "data.csv")
    assert code == 2
    assert error.startswith("error: data.csv ")
    assert len(error.splitlines()) == 1
    with pytest.raises(ConfigError, match=law):
        raise ConfigError(error)
    assert [path.name for path in tmp_path.iterdir()] == ["data.csv"]


@pytest.mark.parametrize("name", ["none.csv", "none.parquet", "text.parquet", "binary.csv", "."])
def test_what_cannot_be_read_is_refused(name, tmp_path):
    (tmp_path / "text.parquet").write_text("up,down\n")
    (tmp_path / "binary.csv").write_bytes(bytes(range(128, 256)))

    with pytest.raises(ConfigError, match="must be a readable CSV or Parquet file"):
        read_measurement(tmp_path / name)


def test_a_cell_of_a_parquet_file_is_named_by_its_row(tmp_path):
    pq.write_table(
        pa.table({"up": [1.0, None, 2.0], "down": [1.0, 2.0, 3.0]}), tmp_path / "a.parquet"
    )

    with pytest.raises(ConfigError, match=r"row 2 column up must be a number, got nothing"):
        read_measurement(tmp_path / "a.parquet")


# The command


def command(capsys, *arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["crossmesh", "devices", *map(str, arguments)])
        code = run_command()
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A file of 20 devices in the current folder."""
    measurement = measured(soft_bounds(device_noise=0.2, cycle_noise=0.3), 20, 60, 0.01)
    columns = wide_columns(measurement)
    write_csv(tmp_path / "mine.csv", [columns], zip(*columns.values(), strict=True))
    monkeypatch.chdir(tmp_path)
    return tmp_path


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
    told = json.loads(out)

    assert told["file"] == "other.yaml"
    assert told["devices"] == 20
    assert told["step_spread"] == pytest.approx(0.2, rel=0.5)
    cell = load_cell("other.yaml")
    assert (len(cell.tables[0].up), cell.device_noise) == (8, 0.1)


def test_fit_writes_over_its_own_files_only(data, capsys):
    (data / "notes.yaml").write_text("precious\n")
    for output, code in (("mine.yaml", 0), ("mine.yaml", 0), ("notes.yaml", 2), ("mine.csv", 2)):
        done, _, error = command(capsys, "fit", "mine.csv", "--output", output)
        assert done == code, error
    assert "--output must be a new file, or one that a fit left, got mine.csv" in error
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
    told = json.loads(out)

    assert code == 0
    assert told["nonlinearity_up"] < 0.02
    assert told["nonlinearity_down"] < 0.02


def test_a_device_that_no_config_could_extend_is_not_written(tmp_path):
    """Of noise beyond the limit of write_noise, which a fit reaches if its steps are tiny."""
    measurement = measured(soft_bounds(), 2, 20)
    fit = fitted(measurement)._replace(white=np.full(2, 1e7))
    source = tmp_path / "flat.csv"
    source.write_text("as measured")
    law = r"flat\.csv: write_noise must be at most 1000000\.0, got \d+\.0$"
    with pytest.raises(ConfigError, match=law):
        write_device(fit, figures(fit, measurement), source, tmp_path / "flat.yaml")
    assert not (tmp_path / "flat.yaml").exists()


def test_every_option_of_fit_is_told(capsys):
    _, out, _ = command(capsys, "fit", "--help")
    for word in ("up_NAME", "--device-noise", "--points", "--unit", "--plot", "direction"):
        assert word in out


def test_measured_devices_draw_their_own_table():
    """The start of each emulated device in a plot is that of the measured one that it is."""
    fit = fitted(measured(soft_bounds(device_noise=0.3), 5, 60))
    drawn = fit.device.sample((16, 64), Stream(seed=1, owner=0), 0)[TABLE]

    assert set(drawn.ravel()) == set(range(5))


@pytest.mark.parametrize(
    ("content", "law"),
    [
        (b"1" * (33 << 20), "must be at most 32 MiB of CSV, got more"),
        (b"1,2\n" * 2_000_001, "must have at most 4,000,000 cells, got 4,000,002"),
        (b"1\r" * 4_000_001, "must have at most 4,000,000 cells, got 4,000,001"),
        (b"1,2\r\n" * 2_000_001, "must have at most 4,000,000 cells, got 4,000,002"),
    ],
)
def test_a_file_that_is_too_large_is_refused_in_one_line(content, law, tmp_path):
    (tmp_path / "large.csv").write_bytes(content)
    with pytest.raises(ConfigError, match=f"^{tmp_path}/large.csv {law}; its devices fit in sev"):
        read_measurement(tmp_path / "large.csv")


def long_table(**columns):
    """A table of readings; what is given stands in place of a column."""
    n = 40
    readings = {"device": ["a"] * n, "direction": ["up", "down"] * (n // 2),
                "pulse": [k // 2 for k in range(n)], "conductance": list(range(n))}  # fmt: skip
    return pa.table(readings | columns)


@pytest.mark.parametrize(
    ("columns", "law"),
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
def test_a_table_that_unpacks_to_more_is_refused_in_one_short_line(columns, law, tmp_path):
    pq.write_table(long_table(**columns), tmp_path / "a.parquet", compression="zstd")
    with pytest.raises(ConfigError, match=f"^{tmp_path}/a.parquet {law}") as error:
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
    ("rows", "law"),
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
def test_pulses_far_apart_are_refused_before_they_are_laid_out(rows, law, tmp_path):
    (tmp_path / "a.csv").write_text("device,direction,pulse,conductance\n" + rows)
    with pytest.raises(ConfigError, match=f"^{tmp_path}/a.csv {law}"):
        read_measurement(tmp_path / "a.csv")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("other", ["/dev/zero", "pipe"])
def test_what_is_no_file_is_refused(suffix, other, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    path = tmp_path / f"a.{suffix}"
    path.symlink_to(other)
    with pytest.raises(ConfigError, match=r"must be a readable .* file: It is no regular file$"):
        read_measurement(path)
