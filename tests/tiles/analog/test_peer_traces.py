"""Every array after every step, as aihwkit 1.1.0 recorded it, for every training algorithm."""

import numpy as np
import pytest

from tests.tiles.analog.peer_traces import arrays, cases, recorded, tile_of

NAMES = [
    "sgd_constant", "sgd_softbounds_asym", "sgd_softbounds_symref", "ttv1_constant",
    "ttv1_softbounds_asym", "ttv1_gamma_2reads", "ttv1_rows", "ttv1_three_arrays",
    "ttv2_constant_forget", "ttv2_softbounds_keep_bl5", "ttv2_paper_like", "ttv2_gamma_bl5",
    "cttv2_regular4", "cttv2_auto", "cttv2_auto_every2_keep", "cttv2_correct_magnitudes",
    "agad_regular4", "agad_auto", "agad_keep", "mp_constant", "mp_softbounds_asym_every3_row",
    "mp_granularity", "mp_bins", "onesided_refresh",
]  # fmt: skip
IN_PULSES = 1e-4  # a buffer counts in pulses where there are choppers
IN_WEIGHTS = 1e-5


@pytest.fixture(scope="module")
def folder(shared):
    return shared / "reference" / "algorithms" / "traces"


def test_all_cases_are_here(folder):
    assert sorted(cases(folder)) == sorted(NAMES)


@pytest.mark.parametrize("mode", ["fixed_d", "regression"])
@pytest.mark.parametrize("name", NAMES)
def test_every_array_is_as_recorded(name, mode, folder):
    case = cases(folder)[name]
    steps, d = recorded(folder, name, mode)
    x = np.loadtxt(folder / "x.csv", delimiter=",", dtype=np.float32)
    tile = tile_of(case)
    tile.write(steps[0]["W"].T)
    is_chopped = name.startswith(("cttv2", "agad"))

    for t in range(len(d) + 1):
        found = arrays(tile)
        for array, wanted in steps[t].items():
            in_pulses = is_chopped and array.startswith("buffered")
            tolerance = IN_PULSES if in_pulses else IN_WEIGHTS
            np.testing.assert_allclose(
                found[array], wanted, rtol=0, atol=tolerance, err_msg=f"{array} after step {t}"
            )
        if t < len(d):
            tile.update(x[t : t + 1], -d[t : t + 1], case["lr"], t)
