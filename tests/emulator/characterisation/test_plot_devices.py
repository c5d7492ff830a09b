"""Plots show what devices do in a crossbar, in files that need no display."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from crossmesh.common import figures
from crossmesh.common.errors import ConfigError
from crossmesh.emulator.characterisation import plot_devices, plot_measured, simulate
from crossmesh.emulator.cli.main import run as run_command
from crossmesh.emulator.config.loading import presets
from crossmesh.tiles.analog.cells import Pair
from crossmesh.tiles.analog.devices import ConstantStep, ExpStep, JumpTable, SoftBounds
from tests.emulator.characterisation.fit_material import fitted, soft_bounds
from tests.emulator.characterisation.fit_material import measured as measurement_of
from tests.emulator.commands.shell import done
from tests.jobs import TABLES

CELLS = {
    "soft_bounds": SoftBounds(step=0.02),
    "exp_step": ExpStep(step=0.01),
    "jump_table": JumpTable(tables=TABLES),
    "pair": Pair(device=SoftBounds(step=0.02)),
}


def test_a_pulse_response_covers_the_range():
    for cell, slack in ((soft_bounds(), 30), (ConstantStep(step=0.01, upper=1, lower=-1), 200)):
        n = simulate.pulses_for_range(cell, 1)
        crossbar = simulate.crossbar_of(simulate.quiet(cell), 1)
        simulate.to_bottom(crossbar)
        numbers, shown = simulate.response(crossbar, n, 50, up=True)

        mean = shown.mean(axis=1)
        assert numbers[-1] == n
        assert 150 < n < 200 + slack
        assert mean[-1] - mean[0] > 0.9 * 2
        assert np.all(np.diff(mean) >= 0)


def test_steps_are_those_of_the_law():
    """Soft bounds, to float32; cycle noise relative to the mean of up and down steps."""
    steps = simulate.steps(soft_bounds(asymmetry=0.2, cycle_noise=0.5), 1)

    np.testing.assert_allclose(np.nanmean(steps.up, axis=1), 0.02 * (1 - steps.points), atol=1e-6)
    np.testing.assert_allclose(
        np.nanmean(steps.down, axis=1), -0.016 * (1 + steps.points), atol=1e-6
    )
    assert steps.noise == pytest.approx(0.5 * 1 / 0.9, rel=0.03)


def test_the_symmetry_point_is_where_steps_are_equal():
    steps = simulate.steps(soft_bounds(asymmetry=0.2), 1)
    up, down = (np.nanmean(values, axis=1) for values in (steps.up, steps.down))

    point = plot_devices.symmetry_point(steps.points, (up + down) / (up - down))
    assert point == pytest.approx((1 - 0.8) / (1 + 0.8), abs=1e-3)
    assert plot_devices.symmetry_point(steps.points, np.zeros(41)) is None
    assert plot_devices.symmetry_point(steps.points, np.full(41, 0.5)) is None


def test_quiet_cells_have_no_noise_and_the_same_spread():
    quiet = simulate.quiet(Pair(device=JumpTable(tables=TABLES, device_noise=0.1)))

    assert quiet.device.cycle_noise == 0
    assert quiet.device.device_noise == 0.1
    assert len(quiet.device.tables) == 3


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_every_kind_is_drawn_alike_every_time(cell, tmp_path):
    for name in ("a.svg", "b.svg"):
        figures.save(plot_devices.draw({"mine": cell}, seed=3), tmp_path / name)
    text = (tmp_path / "a.svg").read_text("utf-8")

    assert text == (tmp_path / "b.svg").read_text("utf-8")
    for words in ("mine", "time after writing", "keeps its state", "size of change by one pulse"):
        assert words in text


def test_a_figure_is_without_colour(tmp_path):
    figures.save(plot_devices.draw({"reram": CELLS["exp_step"]}, seed=3), tmp_path / "a.png")
    picture = imread(tmp_path / "a.png")[..., :3]

    assert picture.shape[0] > 300
    assert np.ptp(picture, axis=2).max() < 0.02
    assert picture.std() > 0.05


@pytest.mark.parametrize("n_devices", [1, 12])
def test_data_and_model_are_drawn_side_by_side(n_devices, tmp_path):
    measurement = measurement_of(soft_bounds(device_noise=0.3), n_devices, 60, 0.02)
    figure = plot_measured.draw(fitted(measurement), measurement, seed=1)
    figures.save(figure, tmp_path / "fit.svg")
    text = (tmp_path / "fit.svg").read_text("utf-8")

    assert len(figure.axes) == (4 if n_devices > 1 else 3)
    assert "conductance (µS)" in text
    assert ("Spread after" in text) == (n_devices > 1)


def test_the_model_follows_the_data_in_the_picture():
    """The line of the model's mean, within 2 % of the range of noiseless data."""
    measurement = measurement_of(soft_bounds(), 1, 100)
    figure = plot_measured.draw(fitted(measurement), measurement, seed=1)

    for axes, readings in zip(figure.axes, (measurement.up, measurement.down), strict=False):
        model = next(line for line in axes.lines if line.get_label() == "model: mean")
        data = np.interp(model.get_xdata(), np.arange(1, 101), readings[0, 0])
        np.testing.assert_allclose(model.get_ydata(), data, atol=0.02 * np.ptp(readings))


@pytest.mark.slow
def test_fit_draws_readings_that_are_far_apart(tmp_path, monkeypatch, capsys):
    """Every 60th of 601 pulses, so that none lies near a quarter; any warning is an error."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    lines = ["device,direction,pulse,conductance"]
    for name in "abc":
        for way, start, slope in (("up", 10, 1 / 60), ("down", 20, -1 / 60)):
            lines += [
                f"{name},{way},{k},{start + slope * k + rng.normal(0, 0.05)}"
                for k in range(0, 601, 60)
            ]
    (tmp_path / "thin.csv").write_text("\n".join(lines))
    code, _, error = devices_command(capsys, "fit", "thin.csv", "--plot", "thin.svg")
    text = (tmp_path / "thin.svg").read_text("utf-8")

    assert (code, error) == (0, "")
    assert "Spread after" in text
    assert "s.d. of data 0." in text
    assert "nan" not in text


def plot(capsys, *arguments):
    return devices_command(capsys, "plot", *arguments)


def devices_command(capsys, *arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["crossmesh", "devices", *map(str, arguments)])
        code = run_command()
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command_draws_names_files_and_kinds(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("kind: pair\ndevice: {extends: idealized, step: 0.01}\n")
    name = next(iter(presets()))
    code, out, _ = plot(capsys, name, "mine.yaml", "exp_step", "--output", "a.svg")

    assert (code, out) == (0, "wrote a.svg\n")
    text = (tmp_path / "a.svg").read_text("utf-8")
    assert all(words in text for words in (name, ">mine<", "exp_step"))


def test_files_called_alike_are_compared_by_their_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder, step in (("a", 0.01), ("b", 0.02)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.yaml").write_text(f"kind: soft_bounds\nstep: {step}\n")
    rows = done("devices", "compare", "a/mine.yaml", "b/mine.yaml").out.splitlines()

    assert [row.split()[0] for row in rows[1:3]] == ["a/mine.yaml", "b/mine.yaml"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["ideal"], "a device to plot must be moved by pulses, got ideal"),
        (["idealised"], "got idealised; did you mean idealized?"),
        (["idealized", "--output", "a.bmp"], "--output must end in .png, .svg, .pdf, got a.bmp"),
        (
            ["jump_table", "--output", "no/a.png"],
            "--output must be in an existing folder, got no/a.png",
        ),
        ([], "Missing argument"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, _, error = plot(capsys, *arguments)

    assert code == 2
    assert sentence in error
    assert len(error.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="must be writable"):
        figures.save(plot_devices.draw({"a": CELLS["jump_table"]}, 0), tmp_path / "no" / "a.png")


@pytest.mark.slow
def test_commands_start_without_matplotlib():
    code = "import sys, crossmesh.emulator.cli.main; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
