"""Files that users sent load with one command, and give the law of the clean table."""

import numpy as np
import pytest

from crossmesh.emulator.characterisation.tables import read_measurement
from tests.conftest import SHARED
from tests.emulator.characterisation.fit_material import fitted
from tests.emulator.commands.shell import done

CASES = SHARED / "faults" / "cases"
LIKE_CLEAN = ["lab-wide", "lab-analyser-preamble", "lab-long-ltp"]

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="needs the files that users sent")


def clean(names, cycles):
    whole = read_measurement(CASES / "lab-clean.csv")
    kept = [whole.names.index(name) for name in names]
    return whole._replace(names=names, up=whole.up[kept][:, :cycles],
                          down=whole.down[kept][:, :cycles])  # fmt: skip


@pytest.mark.parametrize("name", LIKE_CLEAN)
def test_a_file_gives_the_readings_of_the_clean_table(name):
    """And so its law: to the digits that the file has."""
    read = read_measurement(CASES / f"{name}.csv")
    same = clean(read.names, read.up.shape[1])

    np.testing.assert_allclose(read.up, same.up, rtol=2e-4)
    np.testing.assert_allclose(read.down, same.down, rtol=2e-4)
    tables, wanted = (fitted(m, unit="µS").device.tables for m in (read, same))
    for mine, right in zip(tables, wanted, strict=True):
        np.testing.assert_allclose(mine.up, right.up, rtol=0.02, atol=2e-4)
        np.testing.assert_allclose(mine.down, right.down, rtol=0.02, atol=2e-4)


def test_set_and_reset_in_two_files(tmp_path):
    """Soft bounds of 64 pulses from 10 to 100, five rows of pulses of one device."""
    files = (CASES / "fit-crosssim-set.csv", CASES / "fit-crosssim-reset.csv")
    found = done("devices", "fit", *files, "--json", folder=tmp_path).answer

    assert (found["devices"], found["cycles"], found["up_pulses"]) == (1, 5, 64)
    assert found["range"] == pytest.approx([10, 100], rel=0.02)
    assert found["laws"][0]["law"] in {"soft_bounds", "exponential"}
    assert found["r2_up"] > 0.995
