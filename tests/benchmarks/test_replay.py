"""The table of replays beside measurements."""

import json

import pytest

from benchmarks.replay import main


def scale(tmp_path, replayed, doubts=()):
    """A folder that ``crossmesh scale`` might have left."""
    points = [
        {
            "kind": "ray", "actors": actors, "is_crowded": actors > 2,
            "examples_per_s": {"median": 100.0 * actors, "low": 90.0 * actors, "high": 110.0},
            "predicted_examples_per_s": 100.0 * actors * (1 + error),
        }
        for actors, error in replayed.items()
    ]  # fmt: skip
    local = {"kind": "local", "actors": 0}
    left_out = {"median": 0.05, "largest": 0.08, "n": 2}
    known = {
        "name": "small", "cpus": 2, "repeats": 3, "measured": [local, *points],
        "model": {"errors": {"examples_per_s_left_out": left_out}}, "doubts": list(doubts),
    }  # fmt: skip
    (tmp_path / "scale.json").write_text(json.dumps(known))
    return tmp_path


@pytest.mark.parametrize(("error", "code"), [(-0.149, 0), (0.151, 1)])
def test_every_number_of_actors_is_a_row_and_a_large_error_fails(error, code, tmp_path, capsys):
    folder = scale(tmp_path, {1: 0.01, 2: 0.02, 4: error}, doubts=["the machine was busy"])
    with pytest.raises(SystemExit) as ended:
        main([folder], tmp_path / "replay.md")

    assert ended.value.code == code
    assert capsys.readouterr().out == f"largest error: {100 * abs(error):.1f} %\n"
    page = (tmp_path / "replay.md").read_text()
    assert "| small | 1 | 2 | 3 | 100 | 90 to 110 | 101 | +1.0 % |" in page
    assert f"| small | 4 (crowded) | 2 | 3 | 400 | 360 to 110 | {400 * (1 + error):,.0f} |" in page
    assert "small, left out: 8.0 % at most." in page
    assert "small, doubt: the machine was busy." in page
