"""Every kind of layer: the same bits in any packing, under every schedule, on other days."""

import pytest

import crossmesh.emulator.training.spans
import crossmesh.emulator.training.whole_run
from crossmesh.emulator.training.training import train
from tests.emulator.executors.test_executors import digest_of_zoo, in_threads, local, ray_instance
from tests.emulator.training.test_loop import losing
from tests.jobs import SAME_BITS, SCHEDULES
from tests.pinned import machine_type, pinned
from tests.zoo import BIASES, ZOO, zoo_config, zoo_job

__all__ = ["ray_instance"]  # a fixture


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", ZOO)
def test_packing_of_tiles_never_changes_a_bit(name, schedule, bias, tmp_path):
    job = zoo_job(name, schedule=schedule, tile={"bias": bias})
    n_tiles = len(job.program.blocks)
    scattered = tuple((3 * tile + tile // 3) % 4 for tile in range(n_tiles))

    assert in_threads(job, scattered, tmp_path) == local(job)


@pytest.mark.parametrize(("name", "bias"), [("lenet", "digital"), ("transformer", "line")])
def test_one_tile_per_host_is_the_same(name, bias, tmp_path):
    job = zoo_job(name, schedule="asynchronous", tile={"bias": bias})
    host_of = tuple(range(len(job.program.blocks)))

    assert in_threads(job, host_of, tmp_path) == local(job)


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("name", ["lenet", "residual", "branches"])
def test_replicas_are_the_same_in_any_packing(name, bias, tmp_path):
    mapping, tile = {"vectors_per_tile": 10}, {"bias": bias}
    job = zoo_job(name, schedule="synchronous", mapping=mapping, tile=tile)
    host_of = tuple(tile % 3 for tile in range(len(job.program.blocks)))

    assert any(block.copies > 1 for block in job.program.blocks)
    assert in_threads(job, host_of, tmp_path) == local(job)


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", ZOO)
def test_bits_are_those_of_other_days(name, schedule, bias):
    """Pinned by ``python -m tests.emulator.executors.test_executors`` after a change on purpose."""
    known = (pinned() or {}).get(f"{name} {SAME_BITS.get(schedule, schedule)} {bias}")
    if known is None:
        pytest.skip(f"no such bits are pinned for {machine_type()}")
    assert known == digest_of_zoo(name, schedule, bias)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "schedule", "bias"),
    [
        (name, list(SCHEDULES)[i % len(SCHEDULES)], BIASES[1 - i % 4 // 3])
        for i, name in enumerate(ZOO)
    ],
)
def test_no_loss_changes_a_bit(name, schedule, bias, tmp_path, monkeypatch):
    monkeypatch.setattr(crossmesh.emulator.training.spans, "SPAN_S", 0.0)
    config = zoo_config(name, schedule=schedule, tile={"bias": bias})
    whole = train(config)
    monkeypatch.setattr(crossmesh.emulator.training.whole_run, "create", losing({1, 3, 4}))

    result = train(config, tmp_path / "run")

    assert result.emulation.recoveries == 3
    assert result.state_digest == whole.state_digest
    assert result.history["test_loss"] == whole.history["test_loss"]


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(
    ("name", "schedule", "bias", "engine"),
    [
        ("residual", "asynchronous", "digital", {"tiles_per_actor": 4}),
        ("branches", "synchronous", "line", {"actors": 3}),
        ("gru", "sequential", "digital", {"actors": 2}),
        ("transformer", "asynchronous", "digital", {"actors": 3}),
    ],
)
def test_ray_equals_local(ray_instance, name, schedule, bias, engine):
    tile = {"bias": bias}
    there = train(zoo_config(name, schedule=schedule, tile=tile, engine={"kind": "ray", **engine}))
    here = train(zoo_config(name, schedule=schedule, tile=tile))

    for key in ("state_digest", "train_loss", "test_loss", "test_accuracy", "config_digest"):
        assert there.summary[key] == here.summary[key]


def test_a_branch_may_be_added_to_itself(tmp_path):
    layers = [
        {"kind": "linear", "outputs": 8, "activation": "tanh", "name": "a"},
        {"kind": "add", "inputs": ["a", "a"]},
        {"kind": "linear", "outputs": 10, "activation": "softmax"},
    ]
    job = zoo_job("lenet", network=layers)

    assert in_threads(job, (0, 1) * 9, tmp_path) == local(job)
