"""The overview that `crossmesh chip --plot` draws: what is on its axes, for chips of any size."""

import dataclasses

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from typer.testing import CliRunner

from crossmesh.common.figures import styled
from crossmesh.common.prefixes import engineering
from crossmesh.emulator.chip import report as reports
from crossmesh.emulator.chip.breakdown import rungs
from crossmesh.emulator.chip.line_work import TileResource
from crossmesh.emulator.chip.pictures.flow import HUES, LANES, TRANSPORT, settled_work, shown_cycles
from crossmesh.emulator.chip.pictures.overview import overview
from crossmesh.emulator.chip.pictures.shapes import norm_of
from crossmesh.emulator.cli import chip as command
from crossmesh.emulator.cli.main import app
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import load_config

ONE_TILE = ("network=[{kind: linear, outputs: 10, activation: softmax}]", "tile.rows=70")
KINDS = {
    "asynchronous": ("digits", "--schedule", "asynchronous"),
    "synchronous": ("digits", "--schedule", "synchronous", "--set", "training.micro_batch=2"),
    "one tile": ("digits", "--set", ONE_TILE[0], "--set", ONE_TILE[1]),
    "tree": ("digits", "--set", "chip.topology=tree"),
    "torus": ("digits", "--set", "chip.topology=torus", "--set", "chip.width=4"),
    "point to point": ("digits", "--set", "chip.topology=point_to_point"),
    "two ports": ("digits", "--set", "chip.io_ports=2"),
    "sums in routers": ("digits", "--set", "chip.in_network_sums=true", "--set", "tile.rows=10"),
    "thousands of tiles": ("synthetic-4096-tiles", "--set", "chip.model=analytic"),
    "mnist": ("mnist-2018",),
    "inference": ("mnist-2018", "--inference"),
    "convolutions": ("cifar10-vgg8", "--set", "training.batch=1", "--set", "chip.model=packet"),
    "transformer": ("shakespeare-gpt-small", "--set", "chip.model=packet"),
}
OF_DATA = {"mnist", "inference", "convolutions", "transformer"}


@pytest.fixture(scope="module", params=KINDS)
def drawn(request, tmp_path_factory):
    """The report and the figure of the real command."""
    picture = tmp_path_factory.mktemp("chip") / "chip.png"
    options = [*KINDS[request.param], "--json", "--plot", str(picture)]
    if request.param in OF_DATA:
        options += ["--data-dir", str(request.getfixturevalue("shared") / "data")]
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", noted(Figure.savefig, seen, lambda of, figure: figure))
        patch.setattr(command, "chip_of", noted(command.chip_of, seen, lambda of, job: of))
        done = CliRunner().invoke(app, ["chip", *options])

    assert done.exit_code == 0, done.output
    assert picture.read_bytes().startswith(b"\x89PNG")
    return seen


def noted(function, seen, what):
    """The function; what it got or gave is appended to ``seen``."""

    def called(first, *args, **kwargs):
        result = function(first, *args, **kwargs)
        seen.append(what(result, first))
        return result

    return called


def panels(figure):
    """Its five panels, without the color scales."""
    found = [axes for axes in figure.axes if axes.get_title()]
    assert len(found) == 5
    return found


def collection(axes, name):
    [found] = [each for each in axes.collections if each.get_label() == name]
    return found


def test_the_panels_show_all_that_there_is(drawn):
    report, figure = drawn
    time = report.time
    floor, flow, bounds, energy, area = panels(figure)
    tiles = len(time.program.crossbars)

    assert len(collection(floor, "tiles").get_paths()) == tiles
    assert len(collection(floor, "routers").get_paths()) == time.topology.n_routers
    if time.link_load.any():
        links = collection(floor, "links")
        assert len(links.get_paths()) == len(time.topology.links) + 2 * tiles
        carried = links.get_array().max() * float(time.steady.interval_cycles)
        own = max(np.max(way) for way in time.own_ports)
        assert carried == pytest.approx(max(own, time.steady.timing.link_flits.max()))
    names = {each.get_label() for each in flow.collections}
    assert names <= {*HUES, "one micro-batch"}
    assert {"forward", "one micro-batch"} <= names
    is_loop = time.bound_by not in time.bounds
    assert len(bounds.patches) == is_loop + sum(map(bool, time.bounds.values()))
    assert bounds.patches[0].get_x() + bounds.patches[0].get_width() == pytest.approx(
        bounds.lines[0].get_xdata()[0], rel=2e-3
    )
    assert len(energy.patches) == 1 + sum(rung.joules > 0 for rung in rungs(report.energy))
    assert len(area.patches) == min(10, len(report.area.by_component_mm2))


def test_every_axis_has_a_unit_and_its_figures_lie_between_one_and_a_thousand(drawn):
    _, figure = drawn
    units = ("(s)", "(ms)", "(us)", "(ns)", "J)", "(mm)", "(um)", "(mm²)", "(um²)")
    for axes in panels(figure):
        label = axes.get_xlabel()
        assert any(unit in label.split(";")[0].split(",")[0] for unit in units), label
        if axes.get_xscale() == "linear":
            assert 0.5 < axes.get_xlim()[1] < 5_000
    labels = {axes.get_ylabel() for axes in figure.axes} - {""}
    assert {"busy share of a tile (%)"} <= labels


def test_energy_bars_follow_each_other_and_come_to_the_whole(drawn):
    report, figure = drawn
    *parts, whole = panels(figure)[3].patches
    ends = np.array([bar.get_x() + bar.get_width() for bar in parts])

    np.testing.assert_allclose([bar.get_x() for bar in parts], [0, *ends[:-1]], rtol=1e-9)
    assert ends[-1] == pytest.approx(whole.get_width())
    words = figure.get_suptitle()
    assert report.lever in words.replace("\n", " ")
    assert engineering(report.energy.per_example_j.value, "J") in words


def test_words_lie_beside_each_other(drawn):
    """No name of a panel's bars lies on another, and none beyond the picture."""
    _, figure = drawn
    canvas = FigureCanvasAgg(figure)
    with styled():
        canvas.draw()
    width = figure.bbox.width
    for axes in panels(figure)[2:]:
        texts = [*axes.get_yticklabels(), *axes.texts]
        boxes = [text.get_window_extent(canvas.get_renderer()) for text in texts]
        assert all(box.x0 >= 0 and box.x1 <= width for box in boxes)
        for k, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[k + 1 :])


# The pipeline when it is full


def timed(*overrides):
    config = load_config("digits", ["training.examples=16", *overrides])
    return reports.chip_of(prepare(config)).time


@pytest.mark.parametrize(
    "overrides",
    [
        ("training.schedule=asynchronous",),
        ("training.schedule=synchronous", "training.micro_batch=2"),
        ("training.schedule=sequential",),
        ("chip.model=analytic", "tile.cols=8"),  # messages of several packets, which arrive as one
    ],
)
def test_the_pipeline_is_as_busy_in_any_period_as_the_report_says(overrides):
    time = timed(*overrides)
    period = time.steady.cycles
    busy = sum(
        task.cycles
        for task, step in zip(time.pipeline.flow.tasks, time.pipeline.steps, strict=True)
        if step.part not in {TileResource.PORT, None}
    )
    work = settled_work(time, 3 * period)
    is_tile = work.row % len(LANES) != TRANSPORT
    for k in range(3):
        start, stop = (
            np.clip(ends, k * period, (k + 1) * period) for ends in (work.start, work.stop)
        )
        assert (stop - start)[is_tile].sum() == busy * time.steady.micro_batches


def test_several_micro_batches_are_in_flight_from_the_first_moment():
    work = settled_work(full := timed("training.schedule=asynchronous"), 100.0)

    assert len(set(work.micro_batch.tolist())) >= 2
    assert work.micro_batch.min() < 0  # entered before
    assert shown_cycles(full) >= full.latency_s * full.chip.clock_hz


def test_a_pipeline_that_never_recurs_is_shown_as_it_was_timed():
    time = timed("training.schedule=asynchronous")
    steady = dataclasses.replace(time.steady, recurs=False)
    work = settled_work(dataclasses.replace(time, steady=steady), 3.0 * steady.cycles)

    assert work.start.min() < 0 < work.stop.max()
    m, task = work.micro_batch == 0, work.row == 0
    assert set((work.stop - work.start)[m & task]) <= {t.cycles for t in time.pipeline.flow.tasks}


def test_adders_of_routers_and_ports_have_colors_of_their_own():
    names = list(HUES)
    plain = settled_work(timed(), 1e4)
    added = settled_work(timed("chip.in_network_sums=true", "tile.rows=10"), 1e4)

    assert {"ports", "messages"} <= {names[hue] for hue in plain.hue}
    assert {names[hue] for hue in added.hue} - {names[hue] for hue in plain.hue} == {
        "sums in routers"
    }


def test_what_follows_each_other_is_one_box():
    time = timed("training.schedule=asynchronous")
    work = settled_work(time, 2.0 * time.steady.cycles)
    merged = work.merged(0)
    kinds = {*zip(work.row, work.hue, work.micro_batch, strict=True)}

    assert {*zip(merged.row, merged.hue, merged.micro_batch, strict=True)} == kinds
    assert len(merged.start) < len(work.start)
    for kind in kinds:
        covered = [
            {
                cycle
                for start, stop, *of in zip(*each, strict=True)
                if (of[1], of[2], of[0]) == kind
                for cycle in range(start, stop)
            }
            for each in (work, merged)
        ]
        assert covered[0] == covered[1]


def test_colors_go_to_what_is_there():
    assert norm_of(np.zeros(3)) is None
    assert norm_of(np.array([0.0, 0.2, 0.1])).vmax == 0.2
    over_decades = norm_of(np.array([1e-3, 0.0, 0.5]))
    assert isinstance(over_decades, LogNorm)
    assert (over_decades.vmin, over_decades.vmax) == (1e-3, 0.5)


def test_digital_work_is_named_by_plain_words():
    report = reports.chip_of(prepare(load_config("digits", ["training.examples=16"])))

    assert {type(name) for name in report.summary["digital_ops_per_example"]} == {str}
    assert "<Kind" not in repr(report)
    assert overview(report).get_suptitle().startswith("sequential")
