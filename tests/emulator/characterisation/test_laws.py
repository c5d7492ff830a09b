"""Laws and losses are found again in data that were made with them."""

import json

import numpy as np
import pytest

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.characterisation.fit import figures
from crossmesh.emulator.characterisation.forgetting import fit_retention, read_traces
from crossmesh.emulator.characterisation.laws import fit_law
from crossmesh.emulator.characterisation.parametric import native
from crossmesh.emulator.characterisation.series import FileOptions
from crossmesh.emulator.characterisation.tables import PulseMeasurement
from crossmesh.emulator.config.loading import load_cell, load_config
from tests.emulator.characterisation.fit_material import (
    OFFSET,
    SCALE,
    fitted,
    measured,
    soft_bounds,
)
from tests.emulator.characterisation.lab_files import clean, table, wide
from tests.emulator.commands.shell import done, refused

STEPS = {
    "constant_step": lambda x: 0.008,
    "soft_bounds": lambda x: 0.03 * (1 - x),
    "exponential": lambda x: 0.05 * (np.exp(-3 * x) - np.exp(-3.0)),
    "power": lambda x: 0.02 * max(1 - x, 0) ** 0.5,
    "table": lambda x: 0.004 + 0.03 * np.exp(-(((x - 0.5) / 0.15) ** 2)),
}


def pulsed(step, n_devices=8, n_pulses=100, cycle=0.3, reading=0.5):
    """Devices of a range of 0 to 1 under the same law up and down, with both noises in steps."""
    rng, x = np.random.default_rng(0), np.zeros(n_devices)
    shown = np.empty((2, n_devices, 1, n_pulses))
    for way in range(2):
        for n in range(n_pulses):
            steps = np.array([step(1 - value if way else value) for value in x])
            x = np.clip(x + (-1) ** way * steps * (1 + cycle * rng.normal(size=n_devices)), 0, 1)
            shown[way, :, 0, n] = x + reading * step(0.5) * rng.normal(size=n_devices)
    return PulseMeasurement([str(k) for k in range(n_devices)], *shown)


@pytest.mark.parametrize("law", STEPS)
def test_the_likeliest_law_is_the_one_that_made_the_data(law):
    """Of 8 devices with cycle noise of 0.3 and readings off by 0.5 steps."""
    fit = fitted(pulsed(STEPS[law]), law="auto")
    rows = fit.description.rows

    assert (fit.description.law, rows[0].law) == (law, law)
    assert [row.bic for row in rows] == sorted(row.bic for row in rows)


def test_soft_bounds_become_a_device_of_that_kind():
    """Steps and bounds within 3 % without noise; the asymmetry by its definition."""
    device = soft_bounds(asymmetry=0.2, upper=0.8)
    fit = fitted(measured(device, 2, 200), law="soft_bounds")
    fields = native(fit.description, fit.device)
    zero = (fit.device.offset - OFFSET) / SCALE  # what 0 of the table is to the device that was
    scale = fit.device.scale / SCALE

    assert fields["kind"] == "soft_bounds"
    assert fields["upper"] == pytest.approx((0.8 - zero) / scale, rel=0.03)
    assert fields["lower"] == pytest.approx((-1.0 - zero) / scale, rel=0.03)
    rise, fall = 0.02 * (1 - zero / 0.8) / scale, 0.016 * (1 + zero) / scale
    assert fields["step"] == pytest.approx(max(rise, fall), rel=0.03)
    assert fields["asymmetry"] == pytest.approx(1 - fall / rise if rise > fall else rise / fall - 1,
                                                abs=0.03)  # fmt: skip


def test_goodness_is_that_of_its_formulas():
    """Readings off by 2 % of the range: residual and noise of reading within a fifth of that."""
    measurement = measured(soft_bounds(), 10, 150, reading=0.04)
    found = figures(fitted(measurement), measurement)
    variance = measurement.up.var(axis=2).mean()

    assert found["residual"] == pytest.approx(0.02, rel=0.2)
    assert found["reading_noise"] == pytest.approx(0.02, rel=0.2)
    assert found["r2_up"] == pytest.approx(1 - (0.04 * SCALE) ** 2 / variance, abs=2e-3)
    assert found["symmetry_point"] == pytest.approx(OFFSET, abs=0.05 * SCALE)
    assert found["on_off"] == pytest.approx((OFFSET + SCALE) / (OFFSET - SCALE), rel=0.1)


TIMES = np.logspace(0, 6, 25)
LOSSES = {
    "none": lambda t, g: g,
    "exponential": lambda t, g: g * np.exp(-t / 3e5),
    "relaxation": lambda t, g: 12 + (g - 12) * np.exp(-t / 1e4),
    "drift": lambda t, g: g * t**-0.05,
    "logarithmic": lambda t, g: g - 0.03 * g * np.log(t),
}


def kept(loss, head=("Time (s)", "Level", "G (uS)"), scale=1.0):
    """A table of three levels, off by 0.2 % each."""
    rng = np.random.default_rng(1)
    rows = [[float(t / scale), level, float(LOSSES[loss](t, level) * (1 + 0.002 * rng.normal()))]
            for level in (5, 10, 20) for t in TIMES]  # fmt: skip
    return table(head, rows)


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_are_told_apart(loss, tmp_path):
    (tmp_path / "retention.csv").write_text(kept(loss))
    found = fit_retention(read_traces(tmp_path / "retention.csv", FileOptions()))

    best = [row["model"] for row in found.rows if row["aic"] < 6]
    assert loss in best
    assert "drift" not in best or loss in {"none", "drift"}
    if loss == "drift":
        assert found.nu == pytest.approx(0.05, abs=0.001)
    if loss in {"exponential", "relaxation"}:
        assert found.tau_s == pytest.approx({"e": 3e5, "r": 1e4}[loss[0]], rel=0.1)
    assert (found.section is None) == (loss == "none")


def test_times_may_be_hours_or_stamps(tmp_path):
    hours, stamps = tmp_path / "hours.csv", tmp_path / "stamps.csv"
    hours.write_text(kept("exponential", ("t (h)", "Level", "G"), 3600.0))
    rows = [[f"2026-11-{1 + k:02} 00:00:00", 10 * np.exp(-k / 5)] for k in range(12)]
    stamps.write_text(table(["Date", "G (uS)"], rows))

    found = fit_retention(read_traces(hours, FileOptions()))
    assert found.tau_s == pytest.approx(3e5, rel=0.1)
    (trace,) = read_traces(stamps, FileOptions())
    assert trace.times_s[-1] == 11 * 86400


def test_a_device_file_holds_the_law_and_the_loss(tmp_path):
    (tmp_path / "pulses.csv").write_text(table(*wide(clean(8))))
    (tmp_path / "kept.csv").write_text(kept("exponential"))
    told = done("devices", "fit", "pulses.csv", "--retention", "kept.csv", "--law", "auto",
                folder=tmp_path)  # fmt: skip
    cell = load_cell(tmp_path / "pulses.yaml")

    assert cell.kind == "soft_bounds"
    assert cell.retention.time_s == pytest.approx(3e5, rel=0.1)
    ends = [1e-6 * way[:, 0, -1].mean() for way in (clean(8).up, clean(8).down)]
    found = [cell.electrical.on_siemens, cell.electrical.off_siemens]
    assert found == pytest.approx(ends, rel=0.05)
    assert "a (b - x)" in told.out
    assert "drift exponent" in told.out


def test_a_table_of_times_is_recognised(tmp_path):
    (tmp_path / "kept.csv").write_text(kept("relaxation"))
    (line,) = [line for line in done("devices", "fit", "kept.csv", folder=tmp_path).out.splitlines()
               if "--set" in line]  # fmt: skip
    setting = line.partition("--set '")[2].rstrip("'")

    assert load_config("digits", [setting]).tile.cell.retention.time_s == pytest.approx(
        1e4, rel=0.1
    )
    answer = done("devices", "fit", "--retention", "kept.csv", "--json", folder=tmp_path).answer
    assert answer["section"]["time_s"] == pytest.approx(1e4, rel=0.1)
    assert json.dumps(answer["rows"][0]).startswith('{"model": "relaxation"')


@pytest.mark.parametrize(
    ("words", "text", "rule"),
    [
        (
            (),
            "",
            "FILE must be given: a table of readings after pulses, such as crossmesh dev",
        ),
        (
            ("--retention", "a.csv"),
            "n,G\n1,2\n",
            "must have a column of times, such as Time (s)",
        ),
        (
            ("--retention", "a.csv"),
            "Time (s),G\n1,2\n2,0\n",
            "must have at least 3 readings above 0",
        ),
        (
            ("a.csv", "--law", "cubic"),
            "1,2\n",
            "--law must be table, auto, constant_step",
        ),
        (
            ("a.csv", "--read-voltage", "0"),
            "1,2\n",
            "--read-voltage must be finite and not 0",
        ),
    ],
)
def test_what_is_asked_wrongly_is_refused(words, text, rule, tmp_path):
    (tmp_path / "a.csv").write_text(text)
    assert rule in refused("devices", "fit", *words, folder=tmp_path)


def test_a_loss_needs_readings(tmp_path):
    (tmp_path / "a.csv").write_text("Time (s),G (uS)\n1,2\n2,3\n")
    with pytest.raises(ConfigError, match="must have at least 3 readings above 0 at times after 0"):
        read_traces(tmp_path / "a.csv", FileOptions())


def test_soft_bounds_are_found_where_most_pulses_come_after_the_end_of_the_range():
    n = np.arange(60)
    rng = np.random.default_rng(0)
    x = 1 - 0.65 * 0.6**n + 0.003 * rng.standard_normal((8, 60))

    fit = fit_law("soft_bounds", x, np.ones_like(x))

    assert np.exp(fit.parameters[:, 1]) == pytest.approx(0.4, rel=0.05)
