"""The same bits everywhere: hosts in threads, actors in processes, any packing, any schedule."""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from crossmesh.common.errors import ConfigError, RunError
from crossmesh.common.version import PHYSICS
from crossmesh.emulator.executors.local import LocalExecutor
from crossmesh.emulator.training.training import train
from crossmesh.interconnect.transport.channels import Channels, ChannelStopped
from crossmesh.interconnect.transport.endpoints import Unix
from crossmesh.tiles.runtime.assignment import Assignment
from crossmesh.tiles.runtime.host import TileHost
from crossmesh.tiles.runtime.plan import edges, in_order, messages_in_flight
from tests.jobs import CELLS, SAME_BITS, SCHEDULES, small_config, small_job
from tests.pinned import PINNED, machine_type, pinned
from tests.zoo import BIASES, ZOO, zoo_job


def ignore(progress):
    pass


def local(job):
    """Digests, metrics and evaluation of two epochs in one host."""
    executor = LocalExecutor(job)
    executor.write_initial_weights()
    rows = [
        row[:3]
        for number in range(2)
        for span in (job.epoch(number), job.evaluation(number))
        for row in executor.run(span, ignore).rows
    ]
    digests = executor.digests()
    executor.close()
    return digests, rows


def connected(job, host_of, folder):
    """Channels of each host, connected as the program needs them."""
    n = max(host_of) + 1
    # ZeroMQ gives room back by halves of a queue, at both ends.
    capacity = max(1, 4 * messages_in_flight(job.program, job.epoch(0).schedule, host_of))
    channels = [Channels(generation=0, capacity=capacity) for _ in range(n)]
    pairs = {
        (edge.source, edge.target)
        for span in (job.epoch(0), job.evaluation(0))
        for edge in edges(in_order(job.program, span.schedule), host_of)
    }
    folder.chmod(0o700)
    for source, target in sorted(pairs):
        channels[source].connect(target, channels[target].listen(source, Unix(folder=folder)))
    return channels


def in_threads(job, host_of, folder):
    """The same with the tiles on several hosts, one thread each, connected by real channels."""
    channels = connected(job, host_of, folder)
    config, rows, hosts = job.config, {}, []
    for number, channel in enumerate(channels):
        assignment = Assignment(program=job.program, seed=config.seed, host_of=host_of, host=number)
        hosts.append(TileHost(assignment, job.feeds, channel))
    spans = [span for number in range(2) for span in (job.epoch(number), job.evaluation(number))]

    def work(host):
        with stopping_all(channels):
            host.write(job.initial())
            rows[host.host] = [row[:3] for span in spans for row in host.run(span).rows]

    threads = [threading.Thread(target=work, args=(host,)) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    digests = {tile: digest for host in hosts for tile, digest in host.digests().items()}
    for channel in channels:
        channel.close()
    measured = [part for part in rows.values() if part]
    return [digests[tile] for tile in sorted(digests)], *measured


@contextlib.contextmanager
def stopping_all(channels):
    """Let no host wait for one that failed."""
    try:
        yield
    except ChannelStopped:
        pass
    except BaseException:
        for channel in channels:
            channel.stop()
        raise


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("tiles_per_host", [1, 2, 3])
def test_packing_of_tiles_never_changes_a_bit(cell, schedule, tiles_per_host, tmp_path):
    job = small_job(cell, schedule)
    host_of = tuple(tile // tiles_per_host for tile in range(len(job.program.blocks)))

    assert in_threads(job, host_of, tmp_path) == local(job)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("stride", [3, 5, 7])
def test_scattered_tiles_change_nothing(schedule, stride, tmp_path):
    job = small_job("constant_step", schedule)
    host_of = tuple((stride * tile + tile // 3) % 4 for tile in range(len(job.program.blocks)))

    assert in_threads(job, host_of, tmp_path) == local(job)


def test_a_long_test_or_save_says_that_it_goes_on(tmp_path, monkeypatch):
    job, said = small_job(), []
    executor = LocalExecutor(job)
    executor.write_initial_weights()
    monkeypatch.setattr("crossmesh.emulator.executors.local.renew", lambda: said.append(1))
    monkeypatch.setattr("crossmesh.emulator.executors.local.WATCH_EVERY_S", 0.0)

    executor.run(job.evaluation(0), ignore)
    assert len(said) > 1
    said.clear()
    files = executor.save(str(tmp_path))
    assert len(said) == len(files) > 1


def test_a_run_repeats_itself_and_a_seed_changes_it():
    first, second, other = (
        train(small_config(seed=seed)).summary["state_digest"] for seed in (1, 1, 2)
    )
    assert first == second
    assert first != other


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("cell", CELLS)
def test_bits_are_those_of_other_days(cell, schedule):
    """Pinned by ``python -m tests.emulator.executors.test_executors`` after a change on purpose."""
    known = (pinned() or {}).get(f"{cell} {SAME_BITS.get(schedule, schedule)}")
    if known is None:
        pytest.skip(f"no bits of {cell} are pinned for {machine_type()}")
    assert known == digest_of(cell, schedule)


@pytest.mark.parametrize(("schedule", "same"), SAME_BITS.items())
def test_a_schedule_that_updates_at_the_end_of_a_batch_leaves_the_bits_of_others_that_do(
    schedule, same
):
    assert local(small_job("soft_bounds", schedule)) == local(small_job("soft_bounds", same))


def digest_of(cell, schedule):
    """Of devices, with the bias on a line; that of a digital one is pinned by networks."""
    return digest_of_job(small_job(cell, schedule, tile={"bias": "line"}))


def digest_of_job(job):
    digests, rows = local(job)
    return hashlib.sha256(b"".join(digests) + repr(rows).encode()).hexdigest()


WIRED = {  # what wires take, to first order and exactly, of devices with and without references
    "wired": ("constant_step", 1e-5),
    "wired exactly": ("constant_step", 1e-3),
    "wired references": (
        {"kind": "pair", "device": {"kind": "soft_bounds", "step": 0.01, "reference_mean": 0.3}},
        1e-4,
    ),
    "wired shared references": ("shared_reference", 1e-4),
}


@pytest.mark.parametrize("name", WIRED)
def test_bits_behind_wires_are_those_of_other_days(name):
    """A change of these without a new version of the physics would make hybrids of resumed runs."""
    known = pinned()
    if known is None:
        pytest.skip(f"no bits are pinned for {machine_type()}")
    assert known[f"physics {PHYSICS}, {name}"] == digest_of_wired(name)


def digest_of_wired(name):
    cell, resistance = WIRED[name]
    return digest_of_job(
        small_job(cell, tile={"bias": "line", "read": {"wire_resistance": resistance}})
    )


def digest_of_zoo(name, schedule, bias):
    return digest_of_job(zoo_job(name, schedule=schedule, tile={"bias": bias}))


@pytest.mark.slow
def test_two_processes_give_the_same_bits():
    program = (
        "from tests.emulator.executors.test_executors import digest_of;"
        "print(digest_of('constant_step', 'asynchronous'))"
    )
    again = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert again.stdout.strip() == digest_of("constant_step", "asynchronous")


@pytest.fixture(scope="module")
def ray_instance():
    """One private Ray instance for all tests of this module."""
    ray = pytest.importorskip("ray")
    import logging

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        object_store_memory=200 << 20,
    )
    yield ray
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(
    ("cell", "schedule", "tiles_per_actor"),
    [
        ("constant_step", "sequential", "all"),
        ("constant_step", "synchronous", 6),
        ("constant_step", "asynchronous", 4),
        ("soft_bounds", "asynchronous", 6),
        ("pair", "asynchronous", 6),
        ("ideal", "synchronous", "all"),
        ("pcm_3t1c", "asynchronous", 6),
        ("pcm", "sequential", 6),
        ("constant_step", "synchronous", 1),
    ],
)
def test_ray_equals_local(ray_instance, cell, schedule, tiles_per_actor):
    engine = {"kind": "ray", "tiles_per_actor": tiles_per_actor}
    fewer = {"tile": {"rows": 80, "cols": 10}} if tiles_per_actor == 1 else {}
    there = train(small_config(cell, schedule, engine=engine, **fewer))
    here = train(small_config(cell, schedule, **fewer))

    for key in ("state_digest", "train_loss", "test_loss", "test_accuracy", "config_digest"):
        assert there.summary[key] == here.summary[key]
    assert there.history.select(["loss", "test_loss"]) == here.history.select(["loss", "test_loss"])
    n_tiles = here.summary["emulation"]["tiles"]
    each = n_tiles if tiles_per_actor == "all" else tiles_per_actor
    assert there.summary["emulation"]["actors"] == -(-n_tiles // each)


DIVERGES = {
    "training": {"learning_rate": 1e30},
    "tile": {"read": {"dac": None, "adc": None}},
    "network": [{"kind": "linear", "outputs": 10}],
    "loss": "mean_squared_error",
}
DIVERGED = r"tile \d+ \(linear.*\) failed to loss: the loss must be finite, got .* examples"


def test_an_error_inside_a_tile_is_one_clear_message():
    with pytest.raises(RunError, match=DIVERGED):
        train(small_config("ideal", **DIVERGES))


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_an_error_inside_a_tile_ends_every_actor(ray_instance):
    engine = {"kind": "ray", "tiles_per_actor": 4}
    with pytest.raises(RunError, match=DIVERGED):
        train(small_config("ideal", engine=engine, **DIVERGES))

    deadline = time.monotonic() + 10
    while ray_instance.available_resources().get("CPU") != 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert ray_instance.available_resources()["CPU"] == 2


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "ray://127.0.0.1:10001", "a:b"])
def test_an_address_at_which_nothing_answers_is_refused_at_once(address):
    with pytest.raises(ConfigError, match=r"engine\.address must be host:port .* got "):
        train(small_config(engine={"kind": "ray", "address": address}))


if __name__ == "__main__":
    own = [schedule for schedule in SCHEDULES if schedule not in SAME_BITS]
    digests = {f"{cell} {schedule}": digest_of(cell, schedule)
               for cell in CELLS for schedule in own}  # fmt: skip
    digests |= {f"{name} {schedule} {bias}": digest_of_zoo(name, schedule, bias)
                for name in ZOO for schedule in own for bias in BIASES}  # fmt: skip
    digests |= {f"physics {PHYSICS}, {name}": digest_of_wired(name) for name in WIRED}
    known = json.loads(PINNED.read_text("utf-8")) if PINNED.exists() else {}
    text = json.dumps({**known, machine_type(): digests}, indent=2)
    PINNED.write_text(text + "\n", "utf-8")
