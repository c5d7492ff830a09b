"""Whatever happens on the line, every request is carried out once, and every answer is right."""

import contextlib

import numpy as np
import pytest

from crossmesh.tiles.boards.access import BoardError
from crossmesh.tiles.boards.addresses import address_of
from crossmesh.tiles.boards.client import BoardClient
from tests.tiles.boards.board_material import ALL, served, simulated
from tests.tiles.boards.faulty_lines import Faults, faulty_tcp, serial_pair

QUICK = {"answer_s": 0.03, "first_s": 0.05, "patience_s": 30.0}


@contextlib.contextmanager
def over_tcp(serving_of, faults):
    with serving_of("tcp:127.0.0.1:0") as serving, faulty_tcp(serving.address.number, faults) as at:
        yield serving, f"tcp:127.0.0.1:{at}"


@contextlib.contextmanager
def over_serial(serving_of, faults):
    with serial_pair(faults) as (here, there), serving_of(f"serial:{there}") as serving:
        yield serving, f"serial:{here}"


def requests(rng):
    """Requests at random, as a function of who does what ``BoardClient`` or ``Hardware`` does."""
    while True:
        n = int(rng.integers(1, 20))
        rows, cols = (rng.integers(0, most, n).astype(np.uint16) for most in (6, 5))
        counts = rng.integers(-9, 10, n).astype(np.int16)
        wanted = rng.uniform(20e-9, 60e-9, n).astype(np.float32)
        volts = rng.uniform(-0.2, 0.2, (3, 6)).astype(np.float32)
        yield int(rng.integers(4)), (rows, cols, counts, wanted, volts)


def asked(client, kind, rows, cols, counts, wanted, volts):
    if kind == 0:
        return client.pulse(rows, cols, counts, read=ALL)
    if kind == 1:
        return client.set(rows, cols, wanted)
    return client.read(*ALL) if kind == 2 else client.product(*ALL, volts)


def done(board, kind, rows, cols, counts, wanted, volts):
    """What a service does on the board for such a request."""
    if kind == 0:
        board.pulse(rows, cols, counts, 0.0, 0.0)
        return board.read(*ALL)
    if kind == 1:
        board.set(rows, cols, wanted)
        seen = np.zeros(len(rows), np.float32)
        for row in np.unique(rows):
            here = rows == row
            seen[here] = board.read(rows[here][:1], cols[here])[0]
        return seen
    return board.read(*ALL) if kind == 2 else board.product(*ALL, volts, backward=False)


@pytest.mark.parametrize(
    ("way", "faults"),
    [
        pytest.param(over_tcp, Faults(1, 200), marks=pytest.mark.slow),
        (over_serial, Faults(2, 40, kinds=("garbage", "half", "flip", "loss"))),
    ],
    ids=["tcp", "serial"],
)
def test_faults_lose_nothing_and_repeat_nothing(way, faults):
    board, twin = (simulated(read_noise=0.01, seed=3) for _ in range(2))
    asks, n = requests(np.random.default_rng(5)), 0
    with way(lambda at: served(at, board), faults) as (serving, at):
        access = serving.access(**QUICK)._replace(address=address_of(at))
        with contextlib.closing(_patient(access)) as client:
            while faults.left or n % 20:
                kind, what = next(asks)
                n += 1
                np.testing.assert_array_equal(
                    asked(client, kind, *what), done(twin, kind, *what), strict=True
                )
    for name, array in twin.saved().items():
        np.testing.assert_array_equal(board.saved()[name], array)
    assert set(faults.counts) == set(faults._kinds)


def _patient(access):
    """A client, whose first greeting may be lost, too."""
    while True:
        with contextlib.suppress(BoardError):
            return BoardClient(access)
