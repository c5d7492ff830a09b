"""The map: its table, its objects and its picture say what the program does."""

import json
import math
import sys
import time

import pytest
from matplotlib.text import Text

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.cli import main
from crossmesh.emulator.config.loading import dumped
from crossmesh.emulator.layout.layout import lay_out
from crossmesh.emulator.layout.plot import draw_layout, drawn
from crossmesh.emulator.layout.table import HEAD, grouped, layout_json, rows, total_lines
from crossmesh.interconnect.schedule import Phase
from crossmesh.tiles.digital import Digital
from crossmesh.tiles.runtime.program import Kind, Value
from tests.jobs import small_config, small_job
from tests.zoo import ZOO, zoo_config, zoo_job


@pytest.fixture
def run(monkeypatch, capsys):
    """The command within this process: exit code, standard output, standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["crossmesh", *map(str, arguments)])
        return main.run(), *capsys.readouterr()

    return run


@pytest.mark.parametrize("vectors", [None, 10])
@pytest.mark.parametrize("name", ZOO)
def test_every_block_is_on_the_map_once(name, vectors):
    job = zoo_job(name, mapping={"vectors_per_tile": vectors})
    layout = lay_out(job)

    shown = [
        block for layer in layout.layers for mapped in layer.matrices for block in mapped.blocks
    ]
    learned = [
        block
        for block in job.program.blocks
        if job.program.holders[block.tile] is Digital.PARAMETERS
    ]
    assert sorted(block.tile for block in [*shown, *learned]) == list(
        range(len(job.program.blocks))
    )
    assert layout.n_tiles == len(job.program.crossbars)
    for mapped in layout.on_tiles:
        assert len(mapped.blocks) == math.prod(mapped.grid) * mapped.matrix.replicas
        assert mapped.tiles[1] - mapped.tiles[0] == len(mapped.blocks) - 1
    used = sum(mapped.weights * mapped.matrix.replicas for mapped in layout.on_tiles)
    assert layout.used == pytest.approx(used / (layout.n_tiles * 19 * 7))
    held = sum(math.prod(block.shape) for block in job.program.blocks if block.home is not None)
    assert layout.parameters == held


@pytest.mark.parametrize("name", ZOO)
def test_places_stages_and_shapes_are_those_of_the_program(name):
    job = zoo_job(name)
    layout, operations = lay_out(job), job.program.operations

    for layer in layout.layers:
        for mapped in layer.matrices:
            reads = [op for op in operations if op.kind is Kind.READ and op.tile in
                     {block.tile for block in mapped.blocks}]  # fmt: skip
            assert {op.stage for op in reads} == {mapped.stage}
            driven = sum(op.span[1] - op.span[0] for op in reads if op.tile == mapped.tiles[0])
            assert driven == mapped.matrix.vectors == mapped.busiest
        last = [node for node in job.network.nodes if node.name.split(".")[0] == layer.name][-1]
        made = next(op for op in operations
                    if op.gives == Value("x", last.name) and op.phase is Phase.FORWARD)  # fmt: skip
        unit = job.program.units[made.tile]
        assert job.program.crossbars[unit].tile == layer.home
        assert (layer.shape, layer.stages[1]) == (last.shape, made.stage)
    assert [(layer.name, layer.kind) for layer in layout.layers] == [
        (layer.name or f"{layer.kind}{i}", layer.kind) for i, layer in enumerate(job.config.network)
    ]


def table(job):
    return [" | ".join(row) for row in rows(lay_out(job))]


def test_rows_of_a_network_with_copies():
    job = zoo_job("lenet", mapping={"vectors_per_tile": 20})

    assert len(HEAD) == 10
    assert table(job) == [
        "input |  | 1 x 8 x 8 |  |  |  |  |  |  | ",
        "conv0 | conv | 4 x 8 x 8 | 10 x 4 | 64 | 1 x 1 x 4 | 30 % | 0 | tiles 0-3 | 40",
        "max_pool1 | max_pool | 4 x 4 x 4 |  |  |  |  | 0 | digital at tile 0 | ",
        "conv2 | conv | 9 x 2 x 3 | 25 x 9 | 6 | 2 x 2 | 42 % | 1 | tiles 4-7 | 225",
        "linear3 | linear | 12 | 55 x 12 | 1 | 3 x 2 | 83 % | 2 | tiles 8-13 | 660",
        "linear4 | linear | 10 | 13 x 10 | 1 | 1 x 2 | 49 % | 3 | tiles 14-15 | 130",
    ]


def test_rows_of_frozen_digital_and_several_matrices():
    lines = table(zoo_job("features"))
    assert lines[1:3] == [
        "conv0 | conv | 5 x 6 x 6 | 10 x 5 | 36 |  |  | 0 | digital at tile 2, frozen | 50",
        "batch_norm1 | batch_norm | 5 x 6 x 6 |  |  |  |  | 0 | digital at tile 2, frozen | 20",
    ]
    assert lines[5].endswith(" | 0 | tiles 2-7, frozen | 368")
    lines = table(zoo_job("attention"))
    assert lines[2:5] == [
        "b | attention | 8 steps x 8 |  |  |  |  | 0-1 |  | ",
        "  .qkv |  |  | 9 x 24 | 8 | 1 x 4 | 41 % | 0 | tiles 1-4 | 216",
        "  .out |  |  | 9 x 8 | 8 | 1 x 2 | 27 % | 1 | tiles 5-6 | 72",
    ]


def test_groups_that_are_alike_share_a_row():
    depthwise = {"kind": "conv", "outputs": 4, "kernel": 3, "groups": 4, "name": "deep"}
    layers = [{"kind": "conv", "outputs": 4, "kernel": 1}, depthwise]
    job = small_job(network=[*layers, {"kind": "linear", "outputs": 10, "activation": "softmax"}])

    (group,) = grouped(lay_out(job).layers[1].matrices)
    assert (group.name, len(group.every)) == ("deep.0..3", 4)
    assert table(job)[2] == (
        "deep | conv | 4 x 6 x 6 | 4 of 10 x 1 | 36 | 4 of 1 x 1 | 8 % | 1 | tiles 1-4 | 40"
    )


def test_total_lines():
    on_chip, in_memory = total_lines(lay_out(zoo_job("features")))
    assert on_chip == (
        "8 tiles of 19 x 7, 43 % of the crosspoints used; 458 weights; 142 digital parameters; "
        "2 stages"
    )
    assert in_memory == "activations up to 5.6 KiB in training, 11.5 KiB in tests"
    own = {"kind": "linear", "outputs": 10, "activation": "softmax", "tile": {"rows": 128}}
    job = small_job(network=[{"kind": "linear", "outputs": 9}, own])
    assert total_lines(lay_out(job))[0].startswith("10 tiles, ")


def test_objects_are_json_and_say_the_same():
    layout = lay_out(zoo_job("transformer"))
    reported = json.loads(json.dumps(layout_json(layout)))

    assert reported["input"] == {"features": 1, "image": None, "steps": 7}
    attention = reported["layers"][3]
    assert (attention["kind"], attention["stages"]) == ("attention", [0, 1])
    assert attention["matrices"][0] == {
        "name": "b.qkv", "word_lines": 12, "bit_lines": 36, "vectors": 7, "vectors_per_tile": 7,
        "rows_of_blocks": 1, "columns_of_blocks": 6, "replicas": 1, "tiles": [3, 8],
        "digital_at_tile": None, "crosspoints_used": pytest.approx(432 / (6 * 19 * 7)),
        "stage": 0, "weights": 432, "bias": None, "frozen": False,
    }  # fmt: skip
    assert reported["total"] == {
        "tiles": 25, "weights": 2028, "digital_numbers": 1068, "stages": 5,
        "crosspoints_used": pytest.approx(2028 / (25 * 19 * 7)),
        "activation_bytes": {
            "training": layout.activations.training[0],
            "evaluation": layout.activations.evaluation[0],
        },
    }  # fmt: skip


def written(job):
    """All that is written in the picture."""
    texts = drawn(lay_out(job), job).findobj(Text)
    return [text.get_text() for text in texts if text.get_text()]


def test_the_picture_names_every_tile_and_what_copies_are_good_for(tmp_path):
    job = zoo_job("lenet", mapping={"vectors_per_tile": 20})
    found = written(job)

    for block in job.program.blocks:
        assert f"{block.tile}\n{block.layer}" in found
    assert "64 / 4 = 16" in found
    assert "matrix (stage); outlined: without copies" in found
    assert {"copy", "used crosspoints", "crosspoints not used"} <= set(found)
    assert "parameters in the digital unit" not in found

    for name in ("one.svg", "two.svg"):
        draw_layout(lay_out(job), job, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_what_is_drawn_is_to_scale():
    """The pale rectangles are tiles, the full ones what is used: one beside the other."""
    own = {"kind": "linear", "outputs": 10, "activation": "softmax",
           "tile": {"rows": 38, "cols": 10}}  # fmt: skip
    job = small_job(network=[{"kind": "linear", "outputs": 9}, own])
    sizes = []
    for collection in drawn(lay_out(job), job).axes[0].collections:
        for path in collection.get_paths():
            corners = path.vertices / 0.9  # the rest is the gap between tiles
            sizes.append(tuple((corners.max(axis=0) - corners.min(axis=0)).round(3).tolist()))
    tiles = [((10, 38) if block.layer == "linear1" else (7, 19)) for block in job.program.blocks]
    used = [(block.shape[1], block.shape[0]) for block in job.program.blocks]
    free = [(10, 38)] * (math.prod(job.config.chip.grid(len(tiles))) - len(tiles))
    expected = [(round(w / 10, 3), round(h / 38, 3)) for w, h in [*tiles, *used, *free]]
    assert sorted(sizes) == sorted(expected)


@pytest.mark.parametrize("topology", ["mesh", "torus", "tree", "point_to_point", "circuit_mesh"])
@pytest.mark.parametrize("name", ["residual", "transformer"])
def test_pictures_of_all_topologies(name, topology):
    job = zoo_job(name, chip={"topology": topology})
    found = written(job)

    assert "parameters in the digital unit" in found
    for mapped in lay_out(job).on_tiles:
        assert f"{mapped.name}  ({mapped.stage})" in found


def test_tiles_without_room_for_names_show_stages_or_one_name_each():
    end = {"kind": "linear", "outputs": 10, "activation": "softmax"}
    wide = [{"kind": "linear", "outputs": 400, "bias": False}] * 2
    snake = {"placement": "snake"}  # which leaves the tiles of a layer beside each other
    found = written(small_job(network=[*wide, end], tile={"rows": 40, "cols": 20}, chip=snake))
    assert "matrices on the tiles" in found
    assert {"linear0", "linear1", "linear2"} <= set(found)

    many = [{"kind": "linear", "outputs": 80, "name": f"quite-a-long-name-{i}"} for i in range(14)]
    found = written(small_job(network=[*many, end], tile={"rows": 27, "cols": 20}))
    assert "stage of every tile" in found
    assert found.count("13") == 3 * 4


@pytest.mark.slow
def test_a_thousand_tiles_take_seconds(tmp_path):
    layers = [{"kind": "linear", "outputs": 512, "bias": False}] * 4
    end = {"kind": "linear", "outputs": 10, "activation": "softmax"}
    job = small_job(network=[*layers, end], tile={"rows": 32, "cols": 32})
    started = time.perf_counter()
    draw_layout(lay_out(job), job, tmp_path / "map.png")

    assert len(job.program.blocks) > 800
    assert time.perf_counter() - started < 30


def test_a_chip_that_is_too_small_is_refused(tmp_path):
    job = small_job(chip={"width": 2, "height": 2})
    rule = r"chip\.width \* chip\.height must be at least the 16 tiles of the program, got 2 \* 2"
    with pytest.raises(ConfigError, match=rule):
        draw_layout(lay_out(job), job, tmp_path / "map.png")


def test_the_command(run, tmp_path):
    config, picture = tmp_path / "small.yaml", tmp_path / "map.png"
    config.write_text(dumped(zoo_config("lenet")))

    code, reported, _ = run(
        "map", config, "--set", "mapping.vectors_per_tile=20", "--plot", picture
    )
    assert code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert [line.split()[0] for line in reported.splitlines() if line][:3] == [
        "layer",
        "input",
        "conv0",
    ]
    assert "1 x 1 x 4" in reported
    assert reported.splitlines()[-1].startswith("activations up to ")

    code, reported, _ = run("map", config, "--json")
    assert (code, json.loads(reported)["total"]["tiles"]) == (0, 13)


def test_mistakes_are_one_line(run, tmp_path):
    config = tmp_path / "small.yaml"
    config.write_text(dumped(small_config()))

    refused = (2, "", "error: --plot must end in .png, .svg, .pdf, got map.txt\n")
    assert run("map", config, "--plot", "map.txt") == refused
    code, reported, error = run("map", "no-such-config")
    assert (code, reported, len(error.splitlines())) == (2, "", 1)
