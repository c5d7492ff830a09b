"""Transfers between arrays: their random numbers, and what they do not depend on."""

import itertools

import numpy as np
import pytest

from crossmesh.common.random import Stream
from crossmesh.tiles.analog.algorithms import MixedPrecision, TikiTaka, TikiTaka2
from crossmesh.tiles.analog.algorithms.line_access import LinesWriter, LineWriter
from crossmesh.tiles.analog.algorithms.lines import Due, Lines, pieces
from crossmesh.tiles.analog.cells import SharedReference
from crossmesh.tiles.analog.devices import ConstantStep, Pcm, SoftBounds
from crossmesh.tiles.analog.pulser import Site
from crossmesh.tiles.analog.read import ReadConfig
from crossmesh.tiles.analog.update import UpdateConfig

SHAPE = (6, 10)
DEVICE = SoftBounds(step=0.01)
EXACT = ReadConfig(noise_management="none", bound_management="none", dac=None, adc=None)


def crossbar(algorithm, device=DEVICE, **site):
    here = {"shape": SHAPE, "stream": Stream(seed=1, owner=2), "update": UpdateConfig(), **site}
    made = algorithm.cell(device).crossbar(Site(**here, example_s=1e-6, read=EXACT))
    made.write(np.full(SHAPE, 0.1, np.float32))
    return made


def vectors(n):
    rng = np.random.default_rng(3)
    return (rng.normal(0, 0.5, (n, lines)).astype(np.float32) for lines in SHAPE)


def test_updates_and_writes_have_trains_of_their_own():
    chain = crossbar(TikiTaka(arrays=4))

    pulsers = [chain._arrays[0]._pulser, *(link._writer._pulser for link in chain._links)]

    keys = {tuple(key) for pulser in pulsers for key in pulser._keys.tolist()}
    assert len(keys) == 2 * len(pulsers)


@pytest.mark.parametrize("total", [5, 12])
@pytest.mark.parametrize("reads", [1, 2, 3, 5])
def test_a_line_knows_the_number_of_its_turn(total, reads):
    lines = Lines(total=total, first=1, own=3, every=2, reads=reads, start=2)
    for count in range(60):
        turns = {turn.line: turn.number for turn in lines.due(count)}
        if turns:
            runs = lines.runs(lines.first_turn(count))
            numbers = {at: n + at - start for start, stop, n in runs for at in range(start, stop)}
            assert turns.items() <= numbers.items()
            assert sorted(numbers) == list(range(lines.own))


@pytest.mark.parametrize("first", [0, 1, 5, 8])
@pytest.mark.parametrize("start", [0, 1, 3, 7])
def test_vectors_are_cut_after_those_at_whose_end_a_line_is_due(first, start):
    several = [
        Lines(total=7, first=2, own=3, every=2, reads=2, start=start),
        Lines(total=4, first=0, own=4, every=5, reads=4, start=start),
    ]
    for n in range(30):
        stops = [at for at in range(1, n) if any(lines.is_due(first + at) for lines in several)]
        cuts = [0, *stops, n]

        assert list(pieces(first, n, *several)) == list(itertools.pairwise(cuts))[: n and None]


def test_vectors_between_two_turns_cost_nothing():
    """A convolution has a thousand vectors in each example."""
    lines = Lines(total=4, first=0, own=4, every=4 * 10**11, reads=4, start=4 * 10**11)

    cuts = list(pieces(1, 10**12, lines))

    assert cuts == [(0, 4 * 10**11 - 1), (4 * 10**11 - 1, 8 * 10**11 - 1), (8 * 10**11 - 1, 10**12)]


@pytest.mark.parametrize("trains", ["stochastic", "deterministic", "counted"])
@pytest.mark.parametrize("of_outputs", [False, True])
@pytest.mark.parametrize("turn", [0, 4])
def test_lines_that_are_written_together_get_what_each_alone_does(trains, of_outputs, turn):
    """In one call of the array; its last lines may come before its first."""
    own = SHAPE[of_outputs]
    lines = Lines(total=12, first=2, own=own, every=1, reads=12, start=1)
    site = Site(SHAPE, Stream(seed=1, owner=2), UpdateConfig(trains=trains), 1e-6)
    wanted = np.random.default_rng(0).integers(-4, 5, SHAPE).astype(np.int16)
    wanted[1] = wanted[:, 2] = 0
    together, alone = Recorded(), Recorded()
    step = 0.01

    LinesWriter(together, step, site, lines, of_outputs=of_outputs).by_trains(turn, wanted, step)
    writer = LineWriter(alone, step, site, of_outputs=of_outputs)
    for line in range(own):
        values = (wanted[:, line] if of_outputs else wanted[line]).astype(np.float32)
        (number,) = (n + line - a for a, b, n in lines.runs(turn) if a <= line < b)
        writer.by_trains(Due(line, number, 0, is_last=False), values, step)

    assert len(together.calls) == 1
    np.testing.assert_array_equal(together.sums, alone.sums)


class Recorded:
    """A crossbar that keeps what it is sent."""

    def __init__(self):
        self.calls, self.sums = [], np.zeros(SHAPE, int)

    def pulse_counts(self, counts, rows, example):
        self.calls.append(example)
        self.sums[rows] += counts


def test_an_optimiser_steps_as_often_however_vectors_come():
    """Also while the lines of other tiles of the layer are due."""
    algorithm = MixedPrecision(lines=2, every=2, optimizer={"kind": "adam"})
    together, alone = (crossbar(algorithm, first=(6, 0), whole=(24, 10)) for _ in range(2))
    x, d = vectors(24)

    together.update(x, d, 0.05, 0)
    for e in range(len(x)):
        alone.update(x[e : e + 1], d[e : e + 1], 0.05, e)

    assert together.state()["steps"] == alone.state()["steps"] == [12]
    np.testing.assert_allclose(together.weights, alone.weights, atol=1e-4)


def test_automatic_granularity_is_the_same_whether_examples_or_vectors_are_counted():
    settings = {"auto_granularity": 20.0, "fast_rate": 0.2}
    examples, of_vectors = (
        crossbar(TikiTaka2(**settings, **counted), vectors=3)
        for counted in ({"every_counts": "examples"}, {"every": 3})
    )
    x, d = vectors(90)
    for made in (examples, of_vectors):
        made.update(x, d, 0.5, 0)

    np.testing.assert_array_equal(examples.weights, of_vectors.weights)
    assert (examples.weights != np.float32(0.1)).any()


def test_devices_that_move_one_way_are_refused_also_with_a_shared_reference():
    with pytest.raises(ValueError, match="its devices move one way only"):
        TikiTaka().cell(SharedReference(device=Pcm()))


def test_a_run_says_of_a_shared_reference_too_that_its_devices_have_no_symmetry_point():
    (doubt,) = TikiTaka().cell(SharedReference(device=ConstantStep())).doubts
    assert "steps are the same at every conductance" in doubt


def test_an_optimiser_costs_a_step_of_all_weights_whenever_some_lines_are_written():
    algorithm = MixedPrecision(lines=2, every=3, optimizer={"kind": "adam"})
    site = Site(SHAPE, Stream(seed=1, owner=2), UpdateConfig(), 1e-6)

    adding, step, writing = algorithm.cell(DEVICE).transfer_costs(site)

    assert adding.lines == SHAPE[0]
    assert step.lines == SHAPE[0] / 3
    assert writing.lines == pytest.approx(2 / 3)
    assert step.operations == 13
    assert step.words == 8  # accumulator, gradient and two means, to and from memory
