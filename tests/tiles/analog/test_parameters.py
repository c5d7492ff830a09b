"""Parameters in 16 bits: how far off they may be, and what stays exact."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmesh.common.random import Stream
from crossmesh.tiles.analog.devices import DEVICES
from crossmesh.tiles.analog.parameters import Parameters


@given(
    seed=st.integers(0, 2**32), rows=st.integers(1, 4), cols=st.integers(1, 70),
    least=st.floats(-10, 10), spread=st.floats(0, 10),
)  # fmt: skip
def test_every_value_is_within_half_a_level(seed, rows, cols, least, spread):
    rng = np.random.default_rng(seed)
    values = (least + spread * rng.random((3, rows, cols))).astype(np.float32)
    kept = Parameters.packed(values)
    for p in range(3):
        level = np.ptp(values[p]) / 65535
        rounding = 4e-7 * np.abs(values[p]).max() + 1e-36
        np.testing.assert_allclose(kept.values(p), values[p], rtol=0, atol=level / 2 + rounding)


def test_what_all_devices_share_is_exact():
    values = np.full((1, 3, 5), 0.1234567, np.float32)
    assert np.array_equal(Parameters.packed(values).values(0), values[0])


@pytest.mark.parametrize("device", [cls() for cls in DEVICES.values()])
def test_default_devices_lose_less_than_a_ten_thousandth_of_their_spread(device):
    sample = device.sample((256, 256), Stream(seed=3, owner=1), 0)
    kept = Parameters.packed(sample)
    for p in range(device.n_parameters):
        spread = sample[p].std()
        assert np.abs(kept.values(p) - sample[p]).max() <= 1e-4 * spread
