"""The command that puts several networks on one chip."""

import json
import subprocess
import sys


def chip(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "crossmesh", "chip", *arguments, "--set", "chip.model=packet"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_one_network_twice_is_reported_for_each():
    ended = chip("digits", "digits", "--json")

    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert [each["name"] for each in found] == ["digits", "digits"]
    assert all(each["interval_s"] >= each["alone_interval_s"] > 0 for each in found)


def test_a_picture_of_several_is_refused(tmp_path):
    ended = chip("digits", "digits", "--plot", str(tmp_path / "chip.png"))

    assert ended.returncode == 2
    assert "--plot must be left out for several networks" in ended.stderr
