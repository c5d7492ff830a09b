"""Copies of tiles, vectors of convolutions and sequences, and ISAAC's closed form."""

import math

import pytest

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.chip.report import chip_of
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import merged, validated
from crossmesh.tiles.runtime.program import Kind
from tests.zoo import zoo_config, zoo_job

READ_S = 1.6e-6  # of ISAAC: 16 bits of the inputs, 100 ns each
# All that ISAAC overlaps with its array reads, or does beside them, costs next to nothing.
ISAAC = {
    "topology": "point_to_point", "model": "analytic", "flit_bits": 4096,
    "phases": {
        "dac_s": 0.0, "integration_s": READ_S, "conversion_s": 1e-9, "lines_per_adc": 1,
        "digital_lanes": 1 << 20,
    },
}  # fmt: skip
CHANNELS = (8, 8, 16, 16, 24, 24)


def vgg(**changes):
    """A VGG of six convolutions on images of 32 x 32, three of them behind pools."""
    network = []
    for i, channels in enumerate(CHANNELS):
        network.append(
            {"kind": "conv", "outputs": channels, "kernel": 3, "padding": 1, "activation": "relu"}
        )
        if i % 2:
            network.append({"kind": "max_pool", "kernel": 2})
    network.append({"kind": "linear", "outputs": 10, "activation": "softmax"})
    tree = {
        "name": "vgg",
        "data": {"source": "synthetic", "inputs": 1024, "examples": 4, "test_examples": 4},
        "network": network,
        "tile": {"rows": 40, "cols": 10},
        "chip": ISAAC,
        "engine": {"kind": "local"},
    }
    return merged(tree, changes)


@pytest.fixture
def image_job(tmp_path):
    """A job on images, since those of ``synthetic`` are flat."""
    import numpy as np

    file = tmp_path / "images.npz"
    random = np.random.default_rng(0)
    x = random.normal(size=(8, 1, 32, 32)).astype(np.float32)
    np.savez(file, x_train=x, y_train=np.arange(8) % 10)

    def make(**changes):
        data = {"source": "npz", "file": str(file)}
        tree = vgg(**changes) | {"data": data}
        return prepare(validated(tree))

    return make


VECTORS = (1024, 1024, 256, 256, 64, 64, 1)


@pytest.mark.parametrize("most", [None, 1024, 256, 100, 64])
def test_the_interval_of_a_vgg_is_that_of_isaacs_closed_form(most, image_job):
    """A layer's vectors shared by its copies, 1.6 us each; the slowest layer sets the pace."""
    job = image_job(mapping={"vectors_per_tile": most})
    copies = [1 if most is None else -(-vectors // most) for vectors in VECTORS]
    slowest = max(-(-v // n) for v, n in zip(VECTORS, copies, strict=True))

    report = chip_of(job, inference=True)

    assert report.time.interval_s == pytest.approx(slowest * READ_S, rel=2e-3)
    lines = [9 * c + 1 for c in (1, *CHANNELS[:-1])] + [16 * CHANNELS[-1] + 1]
    tiles = [
        math.ceil(rows / 40) * math.ceil(cols / 10) * n
        for rows, cols, n in zip(lines, (*CHANNELS, 10), copies, strict=True)
    ]
    assert len(job.program.crossbars) == sum(tiles)


def test_a_balanced_vgg_needs_copies_in_proportion_to_the_vectors(image_job):
    job = image_job(mapping={"vectors_per_tile": 64})
    copies = {block.layer: block.copies for block in job.program.crossbars}

    assert list(copies.values()) == [16, 16, 4, 4, 1, 1, 1]


def test_replication_makes_reads_faster_but_every_copy_takes_every_update(image_job):
    alone, shared = (
        chip_of(
            image_job(mapping={"vectors_per_tile": most}, training={"schedule": "asynchronous"})
        )
        for most in (None, 64)
    )
    assert shared.time.interval_s < 0.2 * alone.time.interval_s
    pulses = [report.energy.events["line_pulse"] for report in (alone, shared)]
    reads = [report.energy.events["cell_read"] for report in (alone, shared)]
    assert pulses[1] > 5 * pulses[0]
    assert reads[1] == reads[0]


def test_events_count_every_vector_of_convolutions_and_sequences():
    for name in ("lenet", "branches", "lstm", "transformer"):
        job = zoo_job(name)
        counted = chip_of(job).energy.events
        shapes = [block.shape for block in job.program.blocks]
        reads = [op for op in job.program.operations if op.kind in {Kind.READ, Kind.READ_BACK}]
        expected = sum(math.prod(shapes[op.tile]) * (op.span[1] - op.span[0]) for op in reads)
        assert counted["cell_read"] == expected


def test_an_lstm_drives_its_hidden_matrix_once_per_step():
    job = zoo_job("lstm")
    reads = [op for op in job.program.operations if op.kind is Kind.READ]
    per_tile = {op.tile: 0 for op in reads}
    for op in reads:
        per_tile[op.tile] += op.span[1] - op.span[0]

    recurrent = {b.tile for b in job.program.crossbars if b.layer.startswith("lstm")}
    assert {per_tile[tile] for tile in recurrent} == {8}


def test_more_copies_than_vectors_are_refused():
    layers = [{"kind": "linear", "outputs": 10, "activation": "softmax", "replicas": 2}]
    message = r"network\.0\.replicas must be at most 1, the vectors of an example, got 2 \(layer"
    with pytest.raises(ConfigError, match=message):
        prepare(zoo_config("lenet", network=layers))
