"""What a chip counts of digital work, messages and tables without costs."""

import math

import pytest
import yaml

from crossmesh.emulator.chip.components import EVENTS, PARTS
from crossmesh.emulator.chip.report import chip_of
from crossmesh.emulator.chip.use import ArrayUse, TileUse
from crossmesh.tiles.analog.costs import WORD_BITS
from tests.emulator.commands.shell import done
from tests.jobs import small_job

ONE = [{"kind": "linear", "outputs": 10, "activation": "softmax"}]
DIGITAL = [{"kind": "linear", "outputs": 16, "activation": "tanh", "digital": True}, *ONE]
TILE = {"rows": 80, "cols": 80}  # all on one


def test_products_in_digital_memory_multiply_and_add_and_an_update_reads_and_writes():
    chip = chip_of(small_job("soft_bounds", network=DIGITAL, tile=TILE))
    weights = 65 * 16  # with the bias, read forward, and updated
    stored = sum(chip.time.pipeline.stored.moved)

    assert chip.time.pipeline.digital["products in digital memory"] == 2 * 2 * weights
    assert chip.energy.events["memory"] - stored == (1 + 2) * weights * WORD_BITS


@pytest.mark.parametrize(("batch", "buffers"), [(1, 1), (1, 2), (4, 1), (4, 3)])
def test_a_memory_holds_the_largest_messages_of_a_micro_batch(batch, buffers):
    chip = chip_of(
        small_job(
            "soft_bounds",
            network=ONE,
            tile=TILE,
            training={"batch": batch},
            chip={"phases": {"input_buffers": buffers}},
        )
    )
    inputs = 65 * chip.time.chip.activation_bits
    sums = 10 * chip.time.chip.partial_sum_bits

    assert chip.area.held.messages == (batch * (buffers * inputs + sums),)


def test_a_table_without_costs_leaves_out_what_is_per_joule_and_area(tmp_path):
    nothing = {"per": "event", "source": "assumed"}
    table = tmp_path / "nothing.yaml"
    table.write_text(yaml.safe_dump({"components": dict.fromkeys({*EVENTS, *PARTS}, nothing)}))
    free = ("--set", f"chip.table={table}")

    answer = done("chip", "digits", "--json", *free).answer
    assert answer["energy_j_per_example"] == answer["area_mm2"] == 0
    assert answer["ops_per_s_per_w"] is answer["ops_per_s_per_mm2"] is None
    assert answer["largest_lever"] == "none: nothing costs energy"
    picture = tmp_path / "chip.png"
    shown = done("chip", "digits", "--plot", str(picture), *free).out
    assert "operations per s and W" in shown
    assert picture.exists()


# Pulses, transfers and writes of each array


def events_of(chip):
    """Events of the only tile, by component and by the array that they meet."""
    (tile,) = chip.energy.tile_events
    found = {}
    for event, count in tile.items():
        key = (event.name, event.cells and event.cells.array)
        found[key] = found.get(key, 0) + count
    return found


def job_of(cell="soft_bounds", **changes):
    return small_job(cell, network=ONE, tile=TILE | changes.pop("tile", {}), **changes)


CHAIN = {
    "training": {"algorithm": {"kind": "tiki_taka_2", "every": 1, "longest": 3}, "batch": 1},
}


def used(job, **arrays):
    """The chip of a run that counted so many pulses per example of each array."""
    found = {name: ArrayUse(pulses, 0.0) for name, pulses in arrays.items()}
    return chip_of(job, (TileUse(pulses=sum(arrays.values()), arrays=found),))


def test_pulses_that_a_run_counts_by_devices_are_shares_of_crosspoints():
    """Half a percent of all, so that lines are pulsed in the root of that."""
    job = job_of(tile={"update": {"trains": "counted", "length": 31}})
    crossed = 31 * 65 * 10
    found = events_of(chip_of(job, (TileUse(pulses=0.005 * crossed),)))

    assert found["cell_pulse", ""] == pytest.approx(0.005 * crossed)
    passed = 31 * (65 + 10) * 80
    assert found["line_pulse", ""] == pytest.approx(math.sqrt(0.005) * passed)


def test_each_array_of_a_chain_pays_for_its_own_pulses():
    job = job_of(**CHAIN)
    lines = job.config.tile.update.length * (65 + 10)
    one, two = (events_of(used(job, A=0.1 * lines, C=n)) for n in (1.5, 3.0))

    assert one["line_pulse", "A"] == two["line_pulse", "A"] == pytest.approx(0.1 * lines * 80)
    assert [found["cell_pulse", "C"] for found in (one, two)] == [1.5, 3.0]
    # Each crosses a line of 80 cells; a word line is written in one slot for each, at most three.
    assert one["line_pulse", "C"] == pytest.approx((1.5 + 1.5) * 80)
    assert two["line_pulse", "C"] == pytest.approx((3.0 + 3.0) * 80)
    counted = events_of(used(job, A=0.1 * lines, C=20.0))
    assert counted["line_pulse", "C"] == pytest.approx((20 + 3) * 80)


def test_a_transfer_reads_the_array_that_hands_on_and_pulses_the_next():
    """Of a fast cell that conducts a hundred times as well, which reads of the weight never see."""
    fast = {"kind": "soft_bounds", "electrical": {"off_siemens": 1e-6, "on_siemens": 1e-5}}
    slow = {"kind": "soft_bounds", "electrical": {"off_siemens": 1e-8, "on_siemens": 1e-7}}
    algorithm = {"kind": "tiki_taka", "fast_cell": fast}
    chip = chip_of(job_of(slow, training={"algorithm": algorithm, "batch": 1}))
    (tile,) = chip.energy.tile_events
    joules = {
        (event.name, event.cells.array): chip.energy.prices.event(
            event, chip.time.tiles[0], 1, None
        ).energy_j
        for event in tile
        if event.cells is not None and event.name in {"cell_read", "cell_half"}
    }
    reads = [event for event in tile if event.name == "cell_read" and event.cells.array == "A"]

    assert joules["cell_half", "A"] == pytest.approx(100 * joules["cell_half", "C"])
    assert 10 in {tile[event] for event in reads}  # a line of ten cells per vector


def test_a_transfer_of_the_2018_cell_reads_the_weight_and_what_its_memories_miss():
    job = job_of({"kind": "pcm_3t1c", "transfer": {"every": 30}})
    lines = 65 / 30  # all word lines every 30 examples
    plain = job_of({"kind": "pcm_3t1c", "transfer": None})
    more = {
        name: chip_of(job).energy.events[name] - chip_of(plain).energy.events[name]
        for name in ("dac", "adc", "cell_read", "line_read", "cell_write")
    }

    assert more["dac"] == pytest.approx(2 * lines)
    assert more["adc"] == pytest.approx(2 * lines * 10)
    assert more["cell_read"] == pytest.approx(2 * lines * 10)
    assert more["line_read"] == pytest.approx(2 * lines * 80)
    assert more["cell_write"] == pytest.approx(lines * 10 * 3)
    writes = 0.25 * more["cell_write"]
    half = chip_of(job, (TileUse(writes=writes),)).energy.events
    assert half["cell_write"] == writes
    assert half["dac"] - chip_of(plain).energy.events["dac"] == pytest.approx(0.5 * lines)


def test_a_refresh_reads_both_devices_of_lines_and_writes_what_is_full():
    def cell(**refresh):
        return {"kind": "pair", "device": {"kind": "pcm"}, "refresh": refresh or None}

    plain, often, seldom = (
        chip_of(job_of(each)).energy.events for each in (cell(), cell(every=5), cell(every=10))
    )
    assert often["dac"] - plain["dac"] == pytest.approx(2 * 65 / 5)
    assert seldom["adc"] - plain["adc"] == pytest.approx(2 * 65 / 10 * 10)
    assert plain["cell_write"] == 0
    assert often["cell_write"] == seldom["cell_write"] > 0


def test_carries_read_and_write_neighboring_pairs():
    plain = {"kind": "pair", "device": {"kind": "soft_bounds", "step": 0.01}}
    one, carrying = (chip_of(job_of(each)).energy.events for each in (plain, "pairs"))
    lines = 65 / 10  # of a step between two pairs, every 10 examples

    assert carrying["dac"] - one["dac"] == pytest.approx(3 * lines)
    assert carrying["cell_write"] == pytest.approx(lines * 10 * 4)
