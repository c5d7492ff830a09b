"""Readings after some pulses only give the steps of readings after every pulse, within their error.

And ranges that were read in one direction only are marked wherever their figures are shown.
"""

import shlex

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmesh.emulator.characterisation.fit import figures, warnings
from crossmesh.emulator.characterisation.plot_measured import draw
from crossmesh.emulator.characterisation.tables import PulseMeasurement, read_measurement
from crossmesh.emulator.cli.main import run as run_command
from crossmesh.emulator.config.loading import load_cell, load_config
from crossmesh.tiles.analog.devices import LinearStep
from tests.emulator.characterisation.fit_material import fitted, measured, soft_bounds
from tests.emulator.characterisation.test_fit import MIDDLE, changes

N = 240
THINNINGS = {
    "every 2nd": lambda rng: np.arange(N) % 2 == 1,
    "every 3rd": lambda rng: np.arange(N) % 3 == 2,
    "every 5th": lambda rng: np.arange(N) % 5 == 4,
    "half, irregular": lambda rng: rng.random(N) < 0.5,
    "a sixth, irregular": lambda rng: rng.random(N) < 1 / 6,
    "ever further apart": lambda rng: np.isin(np.arange(N), np.geomspace(1, N - 1, 40).astype(int)),
    "a gap": lambda rng: (np.arange(N) < 60) | (np.arange(N) > 140),
}
DEVICES = {
    "quiet": (soft_bounds(), 0.0),
    "soft bounds": (soft_bounds(cycle_noise=0.5, multiplicative_noise=False), 0.01),
    "noisy readings": (soft_bounds(cycle_noise=0.1), 0.03),
    "linear": (
        LinearStep(
            step=0.02, upper=1.0, lower=-1.0, gamma_up=0.6, gamma_down=0.6, gamma_device_noise=0.0,
            cycle_noise=0.3, device_noise=0.0, asymmetry_device_noise=0.0, upper_device_noise=0.0,
            lower_device_noise=0.0,
        ),
        0.01,
    ),
}  # fmt: skip


def true_steps(name, w):
    loss = 0.6 if name == "linear" else 1.0
    return 0.02 * np.array([1 - loss * w, -1 - loss * w])


def thinned(measurement, thinning, rng):
    """The same with readings after some pulses only, others for every device and direction."""
    up, down = measurement.up.copy(), measurement.down.copy()
    for readings in (up, down):
        for device in readings:
            for cycle in device:
                cycle[~thinning(rng)] = np.nan
    return PulseMeasurement(measurement.names, up, down)


CASES = [
    *((name, thinning) for name in ("quiet", "soft bounds") for thinning in THINNINGS),
    *((name, thinning) for name in ("linear", "noisy readings") for thinning in ("every 5th",)),
]


@pytest.mark.parametrize(("name", "thinning"), CASES)
def test_thinned_readings_give_the_steps_of_all(name, thinning):
    """6 devices: rms error of their steps, of the mean of all; and noises within a factor."""
    device, reading = DEVICES[name]
    whole = measured(device, 6, N, reading=reading)
    few = thinned(whole, THINNINGS[thinning], np.random.default_rng(4))
    dense, sparse = fitted(whole), fitted(few)

    true = true_steps(name, MIDDLE)[:, None]
    off_dense, off = (changes(fit, MIDDLE) / 0.02 - true / 0.02 for fit in (dense, sparse))
    fewer = np.sqrt(N / np.isfinite(few.up).sum(axis=2).mean())  # an error grows by so much
    rms = np.sqrt((off_dense**2).mean())
    assert np.sqrt((off**2).mean()) < (rms + 0.03) * fewer
    assert np.abs(off.mean(axis=1)).mean() < 0.06
    reported_dense, reported = figures(dense, whole), figures(sparse, few)
    assert reported["states"] == pytest.approx(reported_dense["states"], rel=0.1 * fewer)
    noise = device.cycle_noise, reading / 0.02
    total = [np.hypot(t["cycle_noise"], t["write_noise"]) for t in (reported_dense, reported)]
    assert total[1] == pytest.approx(total[0], rel=0.35, abs=0.01)
    assert reported["cycle_noise"] <= 1.3 * noise[0] + 0.15 * noise[1] + 1e-3


def test_a_measurement_of_few_readings_far_apart_is_drawn(recwarn):
    whole = measured(soft_bounds(cycle_noise=0.3), 3, N, reading=0.01, cycles=2)
    few = thinned(whole, THINNINGS["a sixth, irregular"], np.random.default_rng(4))
    figure = draw(fitted(few), few, seed=0)

    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) > 1]
    assert all(np.isfinite(line.get_ydata()).all() for line in lines)
    assert not recwarn.list


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), n_cycles=st.integers(1, 3), kept=st.floats(0.05, 1))
def test_whatever_is_left_out_no_figure_is_nan(seed, n_cycles, kept):
    """Ten readings in one cycle of each direction are enough, wherever they are."""
    rng = np.random.default_rng(seed)
    n = 100
    rise = np.cumsum(rng.uniform(0.5, 1.5, (2, n_cycles, n)), axis=2)
    missing = rng.random((2, 2, n_cycles, n)) > kept
    for way in range(2):
        for k in range(2):
            missing[way, k, 0, rng.choice(n, 10, replace=False)] = False
    up, down = (np.where(gone, np.nan, y) for gone, y in zip(missing, (rise, -rise), strict=True))
    measurement = PulseMeasurement(["a", "b"], up, n + down)
    reported = figures(fitted(measurement), measurement)

    numbers = [value for value in reported.values() if isinstance(value, float)]
    assert np.isfinite(numbers).all()


# Ranges


def parted(up, down):
    """A quiet device, read from ``up[0]`` to ``up[1]`` and from ``down[1]`` to ``down[0]``."""
    whole = measured(soft_bounds(), 1, N)
    ways = []
    for readings, (low, high) in ((whole.up, up), (whole.down, down)):
        w = (readings[0, 0] - 12.0) / 8.0
        ways.append(readings[:, :, (w >= low) & (w <= high)])
    return PulseMeasurement(whole.names, *ways)


@pytest.mark.parametrize(
    ("up", "down", "said"),
    [
        ((-1, 1), (-1, 1), []),
        ((-0.2, 0.9), (-0.9, 0.9), ["no up pulses were read in 40 %"]),
        (
            (-0.1, 0.9),
            (-0.9, 0.1),
            ["no up pulses were read in 45 %", "no down pulses were read in 45 %"],
        ),
        (
            (0.4, 0.9),
            (-0.9, 0.6),
            ["no up pulses were read in 7", "no down pulses", "states, asymmetry and noises"],
        ),
        (
            (0.2, 0.9),
            (-0.9, -0.3),
            ["at no common conductance", "no up pulses", "no down pulses", "states, asymmetry"],
        ),
    ],
)
def test_what_is_extrapolated_is_marked(up, down, said):
    measurement = parted(up, down)
    fit = fitted(measurement)
    reported = warnings(figures(fit, measurement))

    assert len(reported) == len(said)
    for line, part in zip(reported, said, strict=True):
        assert line.startswith("extrapolated: ")
        assert part in line
    labels = draw(fit, measurement, seed=0).axes[2].get_legend_handles_labels()[1]
    marked = {way for way in ("up", "down") if f"no {way} pulses were read: extrapolated" in labels}
    assert marked == {
        way for way in ("up", "down") if any(f"no {way} " in line for line in reported)
    }


# The commands


def run(capsys, *arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", list(map(str, arguments)))
        code = run_command()
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("name", ["fit-dense", "fit-every-2nd-pulse", "fit-disjoint-ranges"])
def test_the_command_that_fit_prints_trains(name, shared, tmp_path, monkeypatch, capsys):
    """As printed, but for the engine and the number of examples."""
    monkeypatch.chdir(tmp_path)
    file = shared / "faults" / "cases" / f"{name}.csv"
    code, out, _ = run(capsys, "crossmesh", "devices", "fit", file)
    assert code == 0
    assert ("(extrapolated)" in out) == (name == "fit-disjoint-ranges")
    extrapolated = (tmp_path / f"{name}.yaml").read_text("utf-8").count("# extrapolated: ")
    assert extrapolated == (4 if name == "fit-disjoint-ranges" else 0)

    printed = shlex.split(out.partition("try it with: ")[2])
    assert printed[:2] == ["crossmesh", "train"]
    short = ("--engine", "local", "--examples", "20", "--run-dir", "run")
    code, _, error = run(capsys, *printed, *short)
    assert code == 0, error


@pytest.mark.parametrize("output", ["a file, of {mine}: 'x'.yaml", "ü.yaml", "deep/er.yaml"])
def test_the_printed_command_names_any_file(output, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep").mkdir()
    (tmp_path / "data.csv").write_text("".join(f"{n},{30 - n}\n" for n in range(20)))
    code, out, _ = run(capsys, "crossmesh", "devices", "fit", "data.csv", "--output", output)
    assert code == 0

    printed = shlex.split(out.partition("try it with: ")[2])
    config = load_config("digits", [printed[printed.index("--set") + 1]])
    assert config.tile.cell == load_cell(output)


def test_thinned_readings_of_a_file_give_its_law(shared):
    """The curve of 640 pulses, from every second of them: within 6 % of a mean step."""
    cases = shared / "faults" / "cases"
    dense, sparse = (
        fitted(read_measurement(cases / f"fit-{name}.csv")) for name in ("dense", "every-2nd-pulse")
    )
    w = np.linspace(12, 95, 30)
    for one, other in ((dense.up, sparse.up), (dense.down, sparse.down)):
        step = np.abs(one.change(0, w)).mean()
        assert np.abs(one.change(0, w) - other.change(0, w)).max() < 0.06 * step
