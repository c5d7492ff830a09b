"""Tables fit a terminal of 80 columns, with all names and figures in them."""

from pathlib import Path

import pytest

from crossmesh.emulator.cli.catalogue import configs, devices, shipped_devices
from tests.emulator.commands.shell import crossmesh, done

WIDTH = 80


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", str(WIDTH))


@pytest.mark.parametrize(
    ("command", "figures"),
    [
        ("configs", [config["name"] for config in configs()]),
        ("devices list", [device["name"] for device in (*shipped_devices(), *devices())]),
        ("devices show reram-es-gong-2018", ["off_siemens", "5.88e-07", "device_noise"]),
        ("map mnist-lenet5", ["16 x 10 x 10", "150 x 16", "48,000 + 120", "tiles"]),
        ("chip digits --set chip.model=analytic", ["which waits for", "updates", "supply"]),
        ("program digits --micro-batches 1", ["read_back", "softmax"]),
    ],
)
def test_a_table_fits_80_columns(command, figures):
    lines = done(*command.split()).out.splitlines()
    tables = [line for line in lines if not line.startswith(("note", "memories", "activations"))]
    assert not [line for line in tables if len(line.rstrip()) > WIDTH and "crosspoints" not in line]
    assert not [figure for figure in figures if figure not in " ".join(lines)]


def test_a_list_of_devices_has_a_line_for_each_and_show_has_the_rest():
    listed = done("devices", "list").out.splitlines()
    every = [*shipped_devices(), *devices()]
    assert [line.split()[0] for line in listed[1:]] == [device["name"] for device in every]
    shown = done("devices", "show", "pcm", "--json").answer
    assert shown in devices()
    said = crossmesh("devices", "show", "softbounds")
    assert said.code == 2
    assert "did you mean soft_bounds?" in said.err


def test_show_takes_a_device_file_and_says_how_to_make_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    readings = "".join(f"{g},{100 - g}\n" for g in range(2, 50, 2))
    Path("lab.csv").write_text(f"up (uS),down (uS)\n{readings}")
    done("devices", "fit", "lab.csv")
    shown = done("devices", "show", "lab.yaml").out

    assert "lab.yaml: Measured: one device, 24 up and 24 down pulses" in shown
    assert "1 x lower, upper" in shown
    assert len(shown.splitlines()) < 80
    assert "source: lab.csv (sha256 " in shown
    assert " unit " in shown
    for words in ("devices show lab.csv", "configs show digits --set tile.cell=lab.csv"):
        said = crossmesh(*words.split())
        path = tmp_path / "lab.csv"
        assert said.err == (f"error: {path} must be a device file, got a table; "
                            f"make one by crossmesh devices fit {path}\n")  # fmt: skip
