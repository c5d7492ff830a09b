"""Requests for more devices than a board takes at once are split, and keep their order."""

import numpy as np
import pytest

from crossmesh.tiles.boards.hardware import Description
from tests.tiles.boards.board_material import Steps, served

ROWS, COLS = np.arange(6, dtype=np.uint16), np.arange(5, dtype=np.uint16)
EVERY = np.divmod(np.arange(30)[::-1], 5)  # of a board that takes 16 devices


class Multiplying(Steps):
    description = Description(
        name="products", rows=6, cols=5, off_siemens=0, on_siemens=1e-4, max_cells=16,
        can=("product",),
    )  # fmt: skip

    def product(self, rows, cols, volts, *, backward):
        siemens = self.read(rows, cols)
        return volts @ (siemens.T if backward else siemens)


@pytest.fixture
def board():
    return Multiplying()


@pytest.fixture
def client(board, tmp_path):
    with (
        served(f"unix:{tmp_path}/s", board) as serving,
        serving.met() as client,
    ):
        yield client


def test_reads_are_put_together(board, client):
    board.siemens[:] = 1e-6 * np.arange(30).reshape(6, 5)

    np.testing.assert_array_equal(client.read(ROWS[::-1], COLS), board.siemens[::-1])
    np.testing.assert_array_equal(
        client.read(ROWS[:1], np.tile(COLS, 7)), np.tile(board.siemens[:1], 7)
    )
    assert client.status().done == 2 + 3


def test_pulses_keep_their_order(board, client):
    rows, cols = EVERY
    read = client.pulse(rows, cols, np.ones(30, np.int16), read=(ROWS, COLS))

    np.testing.assert_array_equal(read, board.siemens)
    assert board.pulsed == list(zip(rows, cols, strict=True))
    assert client.status().done == 2 + 2


def test_what_is_set_is_answered_in_order(board, client):
    rows, cols = EVERY
    targets = 1e-6 * np.arange(30, dtype=np.float32)

    np.testing.assert_allclose(client.set(rows, cols, targets), targets, atol=1e-6)
    assert client.status().done == 2


@pytest.mark.parametrize("backward", [False, True])
def test_products_are_put_together(board, client, backward):
    board.siemens[:] = 1e-6 * np.arange(30).reshape(6, 5)
    volts = np.linspace(-1, 1, 35 if backward else 42, dtype=np.float32).reshape(7, -1)
    right = volts @ (board.siemens.T if backward else board.siemens)

    found = client.product(ROWS, COLS, volts, backward=backward)
    np.testing.assert_allclose(found, right, rtol=1e-6)
    assert client.status().done == 4


def test_a_board_that_takes_no_whole_line_makes_no_products():
    with pytest.raises(ValueError, match=r"max_cells must be at least .* products, 20, got 16"):
        Description(name="", rows=20, cols=5, off_siemens=0, on_siemens=1, max_cells=16,
                    can=("product",))  # fmt: skip
