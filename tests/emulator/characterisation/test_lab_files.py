"""Files of laboratories and instruments give the readings that they were made of."""

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.characterisation.series import FileOptions as Asked
from crossmesh.emulator.characterisation.tables import read_measurement
from crossmesh.emulator.characterisation.turning import turns
from tests.emulator.characterisation.lab_files import (
    ANALYSER,
    VOLTS,
    N,
    agilent,
    arc_one,
    clarius,
    clean,
    currents,
    easyexpert,
    long,
    one,
    stacked,
    table,
    voltage_log,
    wide,
)

M, CYCLES = clean(), clean(2, 3)
KILO = [1000 * value for value in stacked(M, 0)]


def pairs(m, up, down):
    return [[float(value) for way in (m.up, m.down) for value in way[:, 0, n]] for n in range(N)], [
        form.format(name) for form in (up, down) for name in m.names
    ]


def both_ways(up, down, between=",", decimal="."):
    rows, head = pairs(M, up, down)
    return table(head, rows, between, decimal)


def by_row():
    rows = [[name, word, *map(float, readings[k, 0])]
            for k, name in enumerate(M.names)
            for word, readings in (("LTP", M.up), ("LTD", M.down))]  # fmt: skip
    return table(["Device", "Type", *range(1, N + 1)], rows)


def without(rows, *columns):
    return [[cell for k, cell in enumerate(row) if k not in columns] for row in rows]


LAYOUTS = {
    "stacked": (table(*wide(M)), M),
    "stacked, semicolons and decimal commas": (table(*wide(M), ";", ","), M),
    "stacked, tabs and decimal commas": (table(*wide(M), "\t", ","), M),
    "stacked, blanks": (table(*wide(M, "{}_uS", first="Pulse"), "  "), M),
    "stacked, millisiemens": (table(*wide(M, "{} [mS]", 1e-3)), M._replace(unit="mS")),
    "stacked, no pulse numbers": (table(wide(M)[0][1:], without(wide(M)[1], 0)), M),
    "stacked, a line of units": (
        table(["Pulse", *M.names], [["#", *["uS"] * 3], *wide(M)[1]]), M),
    "stacked, trailing delimiter": (table(*wide(M)).replace("\n", ",\n"), M),
    "resistance": (table(["n", *(f"{d} R (kOhm)" for d in M.names)],
                         [[row[0], *(1e3 / g for g in row[1:])] for row in wide(M)[1]]), M),
    "long, LTP": (table(*long(CYCLES, ("LTP", "LTD"))), CYCLES),
    "long, set": (table(*long(CYCLES, ("SET", "RESET"))), CYCLES),
    "long, words": (table(*long(CYCLES, ("Potentiation", "Depression"))), CYCLES),
    "long, signs": (table(*long(CYCLES, (1, -1))), CYCLES),
    "long, words of its own": (table(*long(CYCLES, ("program", "erase"))), CYCLES),
    "long, no numbers": (table(*long(CYCLES, counted=False)), CYCLES),
    "long, head repeated": (table(*long(M)) + table(*long(CYCLES._replace(
        names=["E1", "E2"], up=CYCLES.up[:, :1], down=CYCLES.down[:, :1]))), None),
    "long, blank lines and comments": (
        "# sample 7\n\n" + table(*long(M)).replace("\nD2", "\n\n% second\nD2", 1), M),
    "long, columns in another order": (
        table([long(M)[0][k] for k in (4, 2, 0, 3)],
              [[row[k] for k in (4, 2, 0, 3)] for row in long(M)[1]]), M),
    "long, in capitals": (table([name.upper().replace("(US)", "(uS)") for name in long(M)[0]],
                                long(M)[1]), M),
    "long, time stamps": (
        table(["Timestamp", *long(M)[0]],
              [[f"2026-11-26 10:{k // 60 % 60:02}:{k % 60:02}", *row]
               for k, row in enumerate(long(M)[1])]), M),
    "blanks and decimal commas": (
        table([], [[n + 1, *(float(v) for v in row)] for n, row in enumerate(zip(
            *(stacked(M, k) for k in range(1)), strict=True))], "   ", ","),
        one(M)._replace(unit="")),
    "separate columns": (both_ways("{} LTP (uS)", "{} LTD (uS)"), M),
    "separate columns, semicolons": (both_ways("up_{} [µS]", "down_{} [µS]", ";", ","), M),
    "a row for each device": (by_row(), M._replace(unit="")),
    "analyser": (
        "SetupTitle,LTP\nTestParameter,Measurement.Vread,0.1\n" + table(ANALYSER, currents(CYCLES)),
        CYCLES),
    "analyser, voltage above": (
        "Operator: me\nRead voltage: 0.1 V\n"
        + table(without([ANALYSER], 4)[0], without(currents(CYCLES), 4)), CYCLES),
    "analyser, nanoamperes": (
        table([*ANALYSER[:5], "I (nA)"], [[*row[:5], 1e9 * row[5]] for row in currents(CYCLES)]),
        CYCLES),
    "EasyEXPERT": (easyexpert(one(M)), one(M)),
    "Clarius": (clarius(one(M)), one(M)),
    "ArC ONE": (arc_one(M), M._replace(names=["1,1", "1,2", "1,3"])),
    "Agilent 4155": (agilent(one(M)), one(M)),
    "log of voltages": (voltage_log(one(M)), one(M)),
    "thousands": (table(["pulse", "G (nS)"], [[n + 1, f'"{g:,.0f}"'] for n, g in enumerate(KILO)]),
                  one(M)._replace(unit="nS")),
    "Origin, comments name the devices": (
        table(["Long Name", "Conductance", "Conductance", "Conductance"],
              [["Units", "uS", "uS", "uS"], ["Comments", *M.names],
               *[["", *row[1:]] for row in wide(M)[1]]], "\t"), M),
    "Origin, comments name the directions": (
        table(["A(X)", "B(Y)"], [["Conductance", "Conductance"], ["uS", "uS"], ["LTP", "LTD"],
                                 *([float(a), float(b)] for a, b in
                                   zip(M.up[0, 0], M.down[0, 0], strict=True))]), one(M)),
    "Origin, comments of no use": (
        table(["Pulse", "G"], [["#", "uS"], ["", "LTP, then LTD at 25 °C"],
                               *([n + 1, g] for n, g in enumerate(stacked(M, 0)))], ";"), one(M)),
    "normalised": (table(["pulse", "G/G0"], [[n + 1, g] for n, g in enumerate(stacked(M, 0))]),
                   one(M)._replace(unit="")),
    "names of its own": (table(["Impulsion", *M.names], wide(M)[1], ";", ","), M._replace(unit="")),
    "LabVIEW": ("LabVIEW Measurement\nSeparator\tTab\n***End_of_Header***\n\n"
                "X_Value\tConductance (uS)\tComment\n"
                + table([], [[0.1 * n, g] for n, g in enumerate(stacked(M, 0))], "\t"), one(M)),
    "transistor": (table(["Time (s)", "Vg (V)", "Ids (A)", "Vds (V)"],
                         [[0.01 * k, r[3], r[5], VOLTS] for k, r in enumerate(currents(one(M)))]),
                   one(M)),
    "down first": (table(wide(M)[0][1:], without(wide(M)[1][N:] + wide(M)[1][:N], 0)), M),
    "inverted polarity": (table(["Vpulse (V)", "R (ohm)"],
                                [[-r[3], VOLTS / r[5]] for r in currents(one(M))]), one(M)),
    "NumPy's head": ("# pulse conductance\n"
                     + table([], [[n + 1, float(g)] for n, g in enumerate(stacked(M, 0))], " "),
                     one(M)._replace(unit="")),
    "one column": (table(["G (uS)"], [[float(g)] for g in stacked(M, 0)]), one(M)),
    "units in cells": (table(["pulse", "G"], [[n + 1, f"{g} uS"] for n, g in
                                              enumerate(stacked(M, 0))]), one(M)),
    "pandas' index": (table(["", *long(M)[0]], [[k, *row] for k, row in enumerate(long(M)[1])]), M),
    "ramps": (table([f"{w}_rmp{c}" for w in ("set", "reset") for c in (1, 2, 3)],
                    [[float(way[0, c, n]) for way in (CYCLES.up, CYCLES.down) for c in range(3)]
                     for n in range(N)]), one(CYCLES)._replace(unit="")),
}  # fmt: skip


def assert_same(read, expected):
    assert (read.names, read.unit) == (expected.names, expected.unit)
    scale = {"mS": 1e-3, "nS": 1e3}.get(expected.unit, 1)
    places = 5e-7 if scale != 1e3 else 2e-4
    np.testing.assert_allclose(read.up, scale * expected.up, rtol=places)
    np.testing.assert_allclose(read.down, scale * expected.down, rtol=places)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_readings(layout, encoding, tmp_path):
    text, expected = LAYOUTS[layout]
    (tmp_path / "lab.csv").write_bytes(text.replace("\n", "\r\n").encode(encoding))
    read = read_measurement(tmp_path / "lab.csv")

    if expected is None:  # two tables, one below the other
        assert read.names == ["D1", "D2", "D3", "E1", "E2"]
        np.testing.assert_allclose(read.up[:3], M.up)
    else:
        assert_same(read, expected)


def test_workbooks(tmp_path):
    """Of the sheet that holds the readings, wherever they begin in it."""
    book = openpyxl.Workbook()
    book.active.append(["Settings", "of the test"])
    sheet = book.create_sheet("Run1")
    for row in [["Sample 7"], [], *([None, *row] for row in [wide(M)[0], *wide(M)[1]])]:
        sheet.append(row)
    book.save(tmp_path / "lab.xlsx")

    assert_same(read_measurement(tmp_path / "lab.xlsx"), M)


def test_tables_of_parquet(tmp_path):
    head, rows = long(CYCLES, ("LTP", "LTD"))
    columns = dict(zip(head, map(list, zip(*rows, strict=True)), strict=True))
    pq.write_table(pa.table(columns), tmp_path / "lab.parquet")

    assert_same(read_measurement(tmp_path / "lab.parquet"), CYCLES)


@pytest.mark.parametrize("names", [("x-set.csv", "x-reset.csv"), ("b.csv", "a.csv")])
def test_a_file_for_each_direction(names, tmp_path):
    """Told by their names, or by where their readings go."""
    paths = [tmp_path / name for name in names]
    for path, readings in zip(paths, (M.up, M.down), strict=True):
        rows = [list(map(float, readings[:, 0, n])) for n in range(N)]
        path.write_text(table([f"{name} (uS)" for name in M.names], rows))

    assert_same(read_measurement(*paths), M)
    assert_same(read_measurement(*reversed(paths)), M)


def test_a_file_for_each_device(tmp_path):
    paths = [tmp_path / f"{name}.csv" for name in M.names]
    for k, path in enumerate(paths):
        path.write_text(table(["G (uS)"], [[float(g)] for g in stacked(M, k)]))
    read = read_measurement(*paths)

    assert_same(read, M._replace(names=["1", "D2", "D3"]))


def test_options_name_columns_voltages_and_directions(tmp_path):
    rows = [[*row[:3], "ab"[row[3] < 0], 9.0, row[5]] for row in currents(CYCLES)]
    (tmp_path / "lab.csv").write_text(table(["who", "Cycle", "k", "way", "G", "value"], rows))
    columns = ("device=who", "pulse=k", "current=value")
    asked = Asked(columns, read_voltage=VOLTS, direction_from="way")

    assert_same(read_measurement(tmp_path / "lab.csv", asked=asked), CYCLES)
    asked = Asked(("value", "device=who", "pulse=k"), direction_from="turn")
    assert read_measurement(tmp_path / "lab.csv", asked=asked).unit == ""


def test_options_may_leave_out_the_unit_of_a_column(tmp_path):
    rows = [[row[3], 9.0, row[5]] for row in currents(one(M))]
    (tmp_path / "lab.csv").write_text(table(["Vp (V)", "Igate (A)", "Ich (A)"], rows))
    asked = Asked(("current=Ich",), read_voltage=VOLTS, direction_from="Vp")

    assert_same(read_measurement(tmp_path / "lab.csv", asked=asked), one(M))


@pytest.mark.parametrize(
    "above",
    ["Vread (mV),100", "Vread,100,mV", "# Vread = 0.1 V; Vset = 1.5 V", "Read voltage [mV]: 100"],
)
def test_read_voltages_above_the_table_have_their_units(above, tmp_path):
    rows = [[n, row[3], row[5]] for n, row in enumerate(currents(one(M)))]
    (tmp_path / "lab.csv").write_text(f"{above}\n{table(['No.', 'Vp (V)', 'I (A)'], rows)}")

    assert_same(read_measurement(tmp_path / "lab.csv"), one(M))


def test_files_of_several_units_are_put_into_that_of_the_first(tmp_path):
    up, down = M.up[0, 0], M.down[0, 0]
    (tmp_path / "set.csv").write_text(table(["G (uS)"], [[float(g)] for g in up]))
    (tmp_path / "reset.csv").write_text(table(["R (MOhm)"], [[float(1 / g)] for g in down]))

    assert_same(read_measurement(tmp_path / "set.csv", tmp_path / "reset.csv"), one(M))


def test_columns_of_other_languages_are_named_as_not_read(tmp_path):
    head, rows = long(M)
    (tmp_path / "lab.csv").write_text(table(["Gerät", *head[1:]], rows))

    assert read_measurement(tmp_path / "lab.csv", asked=Asked(("device=Gerät",))).notes == ()
    (tmp_path / "one.csv").write_text(table(["Gerät", "Anlage", "G (uS)"], [
        [row[0], "A", row[-1]] for row in rows]))  # fmt: skip
    (note,) = read_measurement(tmp_path / "one.csv").notes[1:]
    assert note == (
        "not read: columns Gerät; say what one is by --column device='Gerät' "
        "(or cycle, direction, pulse)"
    )


def normalised(head, scale=1.0):
    return table(["pulse", head], [[n + 1, g * scale] for n, g in enumerate(stacked(M, 0))])


@pytest.mark.parametrize(
    "head", ["G/G0", "G / Gmax", "Conductance (G/G0)", "Norm. conductance", "I/I0", "G (a.u.)"]
)
def test_relative_conductances_have_the_scale_that_an_option_tells(head, tmp_path):
    (tmp_path / "lab.csv").write_text(normalised(head))
    read = read_measurement(tmp_path / "lab.csv")

    assert_same(read, one(M)._replace(unit=""))
    assert read.notes[-1] == (
        f"{head} is relative: give the conductance of 1 for figures in siemens, such as "
        "--unit '12.5 µS', or --unit G0 for quanta of conductance"
    )
    asked = read_measurement(tmp_path / "lab.csv", asked=Asked(unit="1000 nS"))
    assert_same(asked, one(M))
    assert len(asked.notes) == len(read.notes) - 1


def test_percentages_are_shares_of_the_conductance_that_an_option_tells(tmp_path):
    (tmp_path / "lab.csv").write_text(normalised("G/Gmax (%)"))
    assert_same(read_measurement(tmp_path / "lab.csv", asked=Asked(unit="100 µS")), one(M))


@pytest.mark.parametrize("head", ["G (G0)", "Conductance (2e2/h)", "G [2e²/h]", "G in G0"])
def test_quanta_are_a_unit(head, tmp_path):
    (tmp_path / "lab.csv").write_text(normalised(head))
    read = read_measurement(tmp_path / "lab.csv", asked=Asked(unit="µS"))

    np.testing.assert_allclose(read.up, 77.48091729 * M.up[:1], rtol=1e-7)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "a PNG picture"),
        (b"PK\x03\x04\x14\x00", "a workbook or a ZIP archive; .* must end in .xlsx or .ods"),
        (b"\x08\x07\x12\x07pytorch\x1a\x05", "bytes that are no text"),
        (b"up,down\n1,\x81\n", "bytes that are no text"),
    ],
)
def test_files_that_are_no_text_are_named(body, kind, tmp_path):
    (tmp_path / "lab.csv").write_bytes(body)
    with pytest.raises(ConfigError, match=f"lab.csv must be a CSV, Excel or Parquet.*, got {kind}"):
        read_measurement(tmp_path / "lab.csv")


TWICE = table(["G (uS)", "G (uS)"], [[1.0, 2.0], [3.0, 4.0]] * 5)
SCOPE = [[1e-6 * n, 1.2 * (n % 2), 1e-4 * n] for n in range(9)]


@pytest.mark.parametrize(
    ("text", "asked", "rule"),
    [
        (table(without([ANALYSER], 4)[0], without(currents(M), 4)), Asked(),
         r"must tell the voltage .* a column Vread \(V\), .* or --read-voltage 0\.1"),
        (table(["direction", "Pulse voltage (V)", "I (A)"], [["up", 1.2, 1e-6]] * 9), Asked(),
         "must tell the voltage at which its currents were read"),
        (table(["log10(R)"], [[4.5]] * 9), Asked(), r"must hold readings themselves, got log10\(R"),
        (table(["R (ohm)"], [[1e4], [9.9e37]] * 9), Asked(), "line 3 column R .ohm. must be below"),
        (table(["R (ohm)"], [[0.0]] * 9), Asked(), "line 2 column R .ohm. must be above 0, got"),
        (table(*wide(M)), Asked(("D9",)), "--column must name a column of .*, got D9; it has Pul"),
        (table(*wide(M)), Asked(direction_from="pol"), "--direction-from must name a column of"),
        (table(*wide(M)), Asked(direction_from="file"), "must have files named by their direction"),
        (table(*wide(M)), Asked(unit="kg"), "--unit must be one of conductance, such as µS, got k"),
        ('"a\nb",c\nx,1\n', Asked(direction_from="d"), "--direction-from must .*; it has a b, c$"),
        (TWICE, Asked(), r"must name its columns of readings apart, got G \(uS\) twice; name them "
         r"by device \(D1 G, D2 G\), .* or take one by --column"),
        (table(["G (uS)", "Conductance (uS)"], [[1.0, 2.0]] * 9), Asked(),
         r"must name .* apart, got G \(uS\) and Conductance \(uS\);"),
        (table(["Pulse", "A G", "Pulse", "B G"], [[n, n / 2, 2 * n, n / 3] for n in range(9)]),
         Asked(), "must have one column Pulse, got several that differ; give each device rows"),
        (table(["Time", "CH1", "CH2"], [["s", "V", "V"], *SCOPE]), Asked(),
         r"a reading after each pulse, got waveforms of an oscilloscope \(Time \(s\), CH1 \(V\), .*"
         r"or name the channel that has it: --column 'current=CH2 \(V\)' --read-voltage 0\.1"),
        (table(["x-axis", "1", "2"], [["second", "Volt", "Volt"], *SCOPE]), Asked(),
         r"waveforms of an oscilloscope \(x-axis, 1, 2\); give a table such as device, direction"),
        (table(["G (uS)"], [[1.0]] * 9), Asked(unit="2 uS"), "--unit must be one .*, got 2 uS"),
        (table(["a (uS)", "b G"], [[1.0, 2.0]] * 9), Asked(), "must name the unit of all conducta"),
        (table(["G (uS)"], [[float(n)] for n in range(9)]), Asked(),
         r"must have down pulses too, got up pulses alone; give both files .*--direction-from"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_with_an_example(text, asked, rule, tmp_path):
    (tmp_path / "lab.csv").write_text(text)
    with pytest.raises(ConfigError, match=rule) as error:
        read_measurement(tmp_path / "lab.csv", asked=asked)
    assert "\n" not in str(error.value)


def test_devices_of_one_direction_are_left_out_with_a_word(tmp_path):
    head, rows = long(M)
    (tmp_path / "lab.csv").write_text(table(head, rows[: -N - 1]))
    read = read_measurement(tmp_path / "lab.csv")

    assert_same(read, M._replace(names=["D1", "D2"], up=M.up[:2], down=M.down[:2]))
    assert read.notes == ("left out: 1 device(s) with fewer than 3 pulses in a direction, "
                          "first D3 with 0 down pulses",)  # fmt: skip


@pytest.mark.parametrize(
    ("n_up", "n_down", "noise"), [(100, 100, 1.5), (100, 60, 1.5), (50, 50, 3)]
)
def test_turns_are_found_in_noise(n_up, n_down, noise):
    """Of a device that saturates at a quarter of its pulses: within 3 pulses on average."""
    rng = np.random.default_rng(0)
    rise = 1 - np.exp(-4 * np.arange(1, n_up + 1) / n_up)
    fall = rise[-1] * np.exp(-4 * np.arange(1, n_down + 1) / n_down)
    away = []
    for _ in range(20):
        readings = 60 * np.concatenate([rise, fall]) + noise * rng.normal(size=n_up + n_down)
        (turn,) = turns(readings)
        away.append(abs(turn + 1 - n_up))
    assert np.mean(away) < 3
