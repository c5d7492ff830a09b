"""Training algorithms as users meet them: every kind with every cell, on every schedule."""

import numpy as np
import pytest
from pydantic import TypeAdapter

from crossmesh.common.errors import ConfigError
from crossmesh.common.random import Stream
from crossmesh.emulator.chip.report import chip_of
from crossmesh.emulator.compiler.trained import trained_notice
from crossmesh.emulator.executors.local import LocalExecutor
from crossmesh.emulator.training.baseline import FloatTwin
from crossmesh.tiles.analog.algorithms import ALGORITHMS, AnyAlgorithm
from crossmesh.tiles.analog.crossbar import build
from crossmesh.tiles.analog.devices import SoftBounds
from crossmesh.tiles.analog.update import UpdateConfig
from tests.emulator.executors.test_executors import ignore, in_threads, local
from tests.emulator.training.algorithm_kinds import KINDS, REFUSED
from tests.emulator.training.test_training import IDEAL_READ
from tests.jobs import CELLS, SCHEDULES, small_job

END = {"kind": "linear", "outputs": 10, "activation": "softmax"}
FEW_STEPS = {"kind": "soft_bounds", "step": 0.02}  # pulses of several examples never go together


def job_of(cell, algorithm, schedule="sequential", **changes):
    given = KINDS[algorithm] if isinstance(algorithm, str) else algorithm
    settings = {"algorithm": given, **changes}
    return small_job(cell, schedule, training=settings)


def is_refused(cell, algorithm):
    return cell == "ideal" or (cell == "pcm_3t1c" and KINDS[algorithm]["kind"] != "mixed_precision")


def test_every_kind_is_tested():
    assert {given["kind"] for given in KINDS.values()} | {"sgd", "hardware_aware"} == set(
        ALGORITHMS
    )


@pytest.mark.parametrize("algorithm", KINDS)
@pytest.mark.parametrize("cell", CELLS)
def test_actors_never_change_a_bit(cell, algorithm, tmp_path):
    if is_refused(cell, algorithm):
        with pytest.raises(ConfigError, match=REFUSED[cell]):
            job_of(cell, algorithm)
        return
    job = job_of(cell, algorithm)
    host_of = tuple(tile % 3 for tile in range(len(job.program.blocks)))

    digests, rows = local(job)

    assert in_threads(job, host_of, tmp_path) == (digests, rows)
    assert all(np.isfinite(row[1]) for row in rows)


@pytest.mark.parametrize("schedule", [name for name in SCHEDULES if name != "sequential"])
@pytest.mark.parametrize("algorithm", KINDS)
def test_schedules_train_and_actors_never_change_a_bit(algorithm, schedule, tmp_path):
    job = job_of("soft_bounds", algorithm, schedule)
    host_of = tuple(tile // 2 % 2 for tile in range(len(job.program.blocks)))

    assert in_threads(job, host_of, tmp_path) == local(job)


@pytest.mark.parametrize("algorithm", KINDS)
def test_micro_batches_never_change_the_physics(algorithm):
    few, many = (
        job_of(FEW_STEPS, algorithm, "synchronous", batch=12, micro_batch=size) for size in (4, 12)
    )
    weights = [state_of(job) for job in (few, many)]
    for name, array in weights[0].items():
        # sums of several vectors are added in another order: a rare pulse may come earlier
        off = np.abs(array - weights[1][name]) > 1e-5
        assert off.mean() < 0.02, name


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("algorithm", ["sgd", *KINDS])
def test_steps_of_a_recurrent_layer_are_counted_alike_whatever_the_micro_batch(algorithm, kind):
    network = [{"kind": kind, "outputs": 5}, {"kind": "last"}, END]
    training = {"algorithm": KINDS.get(algorithm, {"kind": algorithm}), "batch": 12}
    few, many = (
        state_of(
            small_job(
                FEW_STEPS, "synchronous", network=network,
                training={**training, "micro_batch": size}, tile={"read": IDEAL_READ},
            )
        )
        for size in (3, 12)
    )  # fmt: skip
    for name, array in few.items():
        off = np.abs(array - many[name]) > 1e-5  # roundings of sums, as above
        assert off.mean() < 0.02, name


def state_of(job):
    """Weights of every tile after an epoch."""
    executor = LocalExecutor(job)
    executor.write_initial_weights()
    executor.run(job.epoch(0), ignore)
    weights = {n: tile.weights.copy() for n, tile in executor.host.tiles.items()}
    executor.close()
    return weights


@pytest.mark.parametrize("algorithm", KINDS)
def test_a_tile_that_is_loaded_goes_on_as_if_nothing_had_happened(algorithm):
    job = job_of("soft_bounds", algorithm)
    whole, half = LocalExecutor(job), LocalExecutor(job)
    for executor in (whole, half):
        executor.write_initial_weights()
        executor.run(job.epoch(0), ignore)
    states = {
        n: {name: array.copy() for name, array in tile.state().items()}
        for n, tile in half.host.tiles.items()
    }
    other = LocalExecutor(job)
    other.write_initial_weights()
    for n, tile in other.host.tiles.items():
        tile.load(states[n])
    for executor in (whole, other):
        executor.run(job.epoch(1), ignore)
    assert whole.digests() == other.digests()
    for executor in (whole, half, other):
        executor.close()


@pytest.mark.parametrize("where", ["digital", "frozen"])
def test_an_algorithm_of_a_layer_that_learns_nothing_on_tiles_is_refused(where):
    said = r"network\.0\.algorithm must be left out of a layer that learns nothing on tiles"
    first = {"kind": "linear", "outputs": 5, where: True, "algorithm": {"kind": "agad"}}
    with pytest.raises(ConfigError, match=said):
        small_job("soft_bounds", "sequential", network=[first, END])


@pytest.mark.parametrize("own", [{}, {"algorithm": {"kind": "agad"}}])
def test_a_refusal_names_the_algorithm_once(own):
    training = {"algorithm": {"kind": "sgd" if own else "agad"}}
    first = {"kind": "linear", "outputs": 5, **own}
    with pytest.raises(ConfigError) as error:
        small_job("ideal", "sequential", network=[first, END], training=training)

    place = "network.0.algorithm" if own else "training.algorithm"
    assert str(error.value).startswith(f"{place} must be one for which the cell ideal will do")


@pytest.mark.parametrize(
    ("optimizer", "rule"),
    [
        ({"kind": "adamw"}, r"weight_decay must be 0: weights lie in the array, .* got 0\.01"),
        ({"kind": "sgd", "learning_rate": 0.5}, r"learning_rate must not be given: .* got 0\.5"),
    ],
)
def test_an_optimiser_of_gradients_has_neither_decay_nor_a_rate(optimizer, rule):
    training = {"algorithm": {"kind": "mixed_precision", "optimizer": optimizer}}
    with pytest.raises(ConfigError, match=rf"^training\.algorithm\.optimizer\.{rule}$"):
        small_job("soft_bounds", "sequential", training=training)


def test_a_chip_sends_no_trains_where_updates_add_up_in_digital_memory():
    jobs = small_job("soft_bounds", "sequential"), job_of("soft_bounds", "mixed_precision")
    kinds = [{step.kind for step in chip_of(job).time.pipeline.steps} for job in jobs]

    assert "pulse" in kinds[0] - kinds[1]
    assert "transfer" in kinds[1] - kinds[0]


@pytest.mark.parametrize(
    ("algorithm", "said"),
    [
        ("tiki_taka", "4 arrays of devices"),
        ("agad", "4 arrays of devices and 3 digital numbers"),
        ("mixed_precision", "2 arrays of devices and 1 digital number"),
    ],
)
def test_a_run_says_what_a_weight_takes(algorithm, said):
    lines = trained_notice(job_of("soft_bounds", algorithm).program)

    assert any(line.startswith("a weight takes ") and line.endswith(f": {said}") for line in lines)


@pytest.mark.parametrize("kind", ["tiki_taka", "tiki_taka_2", "chopped_tiki_taka_2", "agad"])
@pytest.mark.parametrize(
    ("settings", "reads", "every"),
    [
        ({"every": 2, "reads": 3}, 3, "2 vectors"),
        ({"every_counts": "examples", "reads": 4}, 4, "vector"),
        ({"every": 10, "reads": 500}, 65, "10 vectors"),  # lines of the first layer
        ({"every": 65, "reads": 500}, 0, ""),
        ({"every": 3, "reads": 3}, 0, ""),
    ],
)
def test_a_run_says_where_more_lines_are_due_than_vectors_go_by(kind, settings, reads, every):
    """Of the lines that the layer has, and in its vectors, whatever ``every`` counts."""
    program = job_of("soft_bounds", {"kind": kind, **settings}).program
    said = [line for line in trained_notice(program, 10**6) if "wait" in line]

    layer = program.crossbars[0].layer
    assert said == [
        f"{layer}: {kind}: {reads} lines of A are transferred every {every} (reads, every); a chip "
        "waits for all that is more than one line per vector"
    ] * (reads > 0)


def test_a_run_says_that_it_is_too_short_for_its_lines():
    program = job_of("soft_bounds", {"kind": "agad", "chop": 0.02}).program
    total = program.crossbars[0].whole[0]

    (line, *_) = [line for line in trained_notice(program, 52 * total) if "turns" in line]

    assert line == (
        f"{program.crossbars[0].layer}: agad: each line has 52 turns in this run, of which the "
        "first 51 write nothing, so weights move by at most 0.83 % of their range; more epochs, "
        "reads or longest move them further, and so does a larger chop"
    )
    assert not any("turns" in line for line in trained_notice(program, 10_000 * total))


@pytest.mark.parametrize(("every", "often"), [(1, "every vector"), (3, "every 3 vectors")])
def test_turns_are_told_in_words(every, often):
    job = job_of("soft_bounds", {"kind": "tiki_taka", "every": every})
    (route,) = job.program.tiles[0].cell.routes

    assert route == f"A to C: 1 word line {often}"


@pytest.mark.parametrize(
    "optimizer", [{"kind": "sgd", "momentum": 0.9, "nesterov": True}, {"kind": "adam"}]
)
def test_the_float_twin_learns_by_the_optimiser_of_the_algorithm(optimizer):
    """As that of hardware-aware training, whose tiles learn by ``training.optimizer``."""
    mixed = {"kind": "mixed_precision", "every_counts": "batches", "optimizer": optimizer}
    trained = []
    for algorithm in (mixed, {"kind": "hardware_aware"}, {"kind": "sgd"}):
        twin = FloatTwin(job_of("soft_bounds", algorithm, optimizer=optimizer))
        twin.train(0)
        trained.append(np.concatenate([each.ravel() for each in twin.weights.values()]))

    np.testing.assert_array_equal(trained[0], trained[1])
    assert not np.allclose(trained[0], trained[2])


@pytest.mark.parametrize("algorithm", KINDS)
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(algorithm, wrong):
    cell = TypeAdapter(AnyAlgorithm).validate_python(KINDS[algorithm]).cell(SoftBounds())
    crossbar = build(cell, (3, 4), Stream(seed=0, owner=0), UpdateConfig())
    x, d = np.ones((1, 3), np.float32), np.full((1, 4), wrong, np.float32)

    with pytest.raises(ValueError, match="must be finite"):
        crossbar.update(x, d, 0.01, 0)
