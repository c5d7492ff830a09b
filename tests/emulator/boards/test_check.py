"""``crossmesh board check`` finds the faults that were put on a board, and no others."""

import numpy as np
import pytest

from crossmesh.emulator.boards.checking import swept
from crossmesh.emulator.boards.findings import found
from crossmesh.tiles.boards.access import BoardRestarted
from crossmesh.tiles.boards.maps import LineMap, read_map
from tests.emulator.boards.law_board import ON, LawBoard, client, served
from tests.emulator.commands.shell import crossmesh, done, refused


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with short names for sockets."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def faulty(*, can):
    """A board with a dead line each way, stuck cells, an open line that reads 0, a short."""
    board = LawBoard(20, 16, step=0.02, cycle_noise=0.3, read_noise=2e-8, can=can)
    board.stuck[3, :] = board.stuck[:, 5] = board.stuck[7, 2] = board.stuck[0, 0] = True
    board.g[3, :], board.g[7, 2], board.g[0, 0] = 0, 9e-6, 1e-2
    board.offset[9] = 1e-5
    return board


@pytest.mark.parametrize("can", [(), ("set",)])
def test_faults_are_found_and_mapped(can, place):
    board = faulty(can=can)
    before = board.g.copy()
    with served(board, "b"):
        found_ = done("board", "check", "unix:b", "--output", "map.yaml", "--json").answer
    rows, cols = ([k for k in range(n) if k != dead] for n, dead in ((20, 3), (16, 5)))
    dead = [(line["kind"], line["number"]) for line in found_["dead"]]
    assert dead == [("word line", 3), ("bit line", 5)]
    assert found_["dead"][0]["siemens"] == pytest.approx(0, abs=1e-7)
    usable = read_map(place / "map.yaml")
    assert (usable.rows, usable.cols) == (tuple(rows), tuple(cols))
    assert [(i, j) for i, j, _ in usable.stuck] == [(0, 0), (7, 2)]
    assert [g for _, _, g in usable.stuck] == pytest.approx([1e-2, 9e-6], rel=0.02)
    ((bit_line, away),) = found_["offsets"]
    assert bit_line == 9
    assert away == pytest.approx(1e-5, rel=0.3)
    assert found_["noise"] == pytest.approx(2e-8, rel=0.3)
    assert found_["restored"] == ("set" in can)
    moved = np.abs(board.g - before)[rows][:, [j for j in cols if j != 9]]
    assert (moved.max() < 2e-7) == ("set" in can)


def test_a_board_without_faults_is_told_so_and_its_cells_are_back(place):
    with served(LawBoard(6, 6, can=("set",)), "b"):
        said = done("board", "check", "unix:b", "--output", "map.yaml", "--pulses", 4)
    assert "nothing is wrong" in said.out
    assert "set back, within" in said.out
    assert "checking: 36 requests" in said.err
    assert read_map(place / "map.yaml") == LineMap(tuple(range(6)), tuple(range(6)))


def test_a_drift_is_seen(place):
    with client(LawBoard(6, 6, read_noise=1e-9), "b") as board:
        reads = swept(board, 10)
    still, lost = (
        found(each, ON, 10) for each in (reads, reads._replace(later=reads.later - 3e-8))
    )
    assert abs(still.drift) < 4 * still.drift_error
    assert lost.drift == pytest.approx(still.drift - 3e-8, rel=1e-3)


def test_a_restart_repeats_the_word_line(place):
    with client(LawBoard(3, 3), "b") as board:
        pulse, calls = board.pulse, []

        def lost_once(*arguments, **more):
            calls.append(arguments)
            if len(calls) == 2:
                raise BoardRestarted("the board has started anew")
            return pulse(*arguments, **more)

        board.pulse = lost_once
        findings = found(swept(board, 10), ON, 10)
    assert len(calls) == 8
    assert findings.usable == LineMap((0, 1, 2), (0, 1, 2))


def test_pulses_that_noise_hides_are_too_few_and_how_many_are_enough_is_said(place):
    board = LawBoard(8, 8, step=0.001, read_noise=1e-7)
    with served(board, "b"):
        said = crossmesh("board", "check", "unix:b", "--pulses", 2, "--quiet")
        assert said.code == 1
        more = int(said.err.rpartition("try --pulses ")[2])
        enough = done("board", "check", "unix:b", "--pulses", more + more // 4, "--json").answer
    assert enough["usable"]["stuck"] == enough["dead"] == []
    board.stuck[:], board.read_noise = True, 0
    with served(board, "b"):
        still = crossmesh("board", "check", "unix:b", "--quiet")
    assert still.err == "error: no cell of the board moves with 20 pulses up and down\n"


@pytest.mark.parametrize(
    "text", ["[1]", "rows: [0]", "rows: [0, 0]\ncols: [1]", "rows: [-1]\ncols: [1]",
             "rows: [0]\ncols: [1]\nstuck: [[0, 1]]", "rows: [0]\ncols: [x", "rows: []\ncols: [1]"],
)  # fmt: skip
def test_what_is_no_map_is_refused(text, tmp_path):
    file = tmp_path / "map.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match="must be a map that crossmesh board check has written"):
        read_map(file)


def test_a_map_that_cannot_be_written_and_an_address_that_is_none_are_refused(place):
    with served(LawBoard(2, 2), "b"):
        said = refused("board", "check", "unix:b", "--output", "no/map.yaml", "--quiet")
    assert said == "error: --output must be writable, got no/map.yaml: No such file or directory"
    assert refused("board", "check", "b").startswith("error: ADDRESS must be unix:PATH, tcp:")
