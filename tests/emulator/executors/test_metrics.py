"""Metrics: what a run exports through Ray, and the Grafana board that shows it."""

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from crossmesh.cluster.launch.local import LocalNodes
from crossmesh.emulator.executors.executor import Figures
from crossmesh.emulator.executors.metrics import METRICS, Exported
from crossmesh.tiles.runtime.measure import HostReport

ROOT = Path(__file__).parents[3]
BOARD = ROOT / "docs/grafana/crossmesh.json"
LABELS = {
    f"ray_{name}{'_total' if each.kind == 'counter' else ''}": each.labels
    for name, each in METRICS.items()
}
EXPORTED = set(LABELS)


def expressions():
    board = json.loads(BOARD.read_text())
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


def test_the_board_shows_every_metric_and_nothing_else():
    shown = {name for each in expressions() for name in re.findall(r"ray_\w+", each)}

    assert shown == EXPORTED


def test_the_board_selects_by_labels_that_there_are():
    for each in expressions():
        for name, selected in re.findall(r"(ray_\w+)\{([^}]*)\}", each):
            assert set(re.findall(r"(\w+)[!=]=?~?", selected)) <= set(LABELS[name]), each


def test_the_panels_of_the_board_do_not_overlap():
    board = json.loads(BOARD.read_text())
    places = [panel["gridPos"] for panel in board["panels"]]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in board["panels"]}) == len(places)


class Taken:
    """A metric of Ray's kind, which keeps what it is given."""

    def __init__(self, name, description, tag_keys):
        self.values = {}
        self._keys = set(tag_keys)

    def set(self, value, tags):
        assert set(tags) == self._keys
        self.values[tuple(tags.values())] = value

    def inc(self, value, tags):
        self.set(self.values.get(tuple(tags.values()), 0) + value, tags)


def test_counters_go_on_where_a_host_begins_to_count_again(monkeypatch):
    from ray.util import metrics

    monkeypatch.setattr(metrics, "Counter", Taken)
    monkeypatch.setattr(metrics, "Gauge", Taken)
    exported = Exported("mine")
    figures = Figures(100, None, 0.5, None, 1, 0, 2, 0.25)

    def host(messages):
        return HostReport(0, "n", "10.0.0.1", 3, 4.0, 1.0, 1.0, messages, 10, 10)

    for messages in (5, 8, 2):
        exported.update(figures, 1, [host(messages)])

    found = {name: metric.values for name, metric in exported._metrics.items()}
    assert found["crossmesh_host_messages"] == {("mine", "0", "10.0.0.1"): 10}
    assert found["crossmesh_host_seconds"] == {
        ("mine", "0", "10.0.0.1", "compute"): 2.0,
        ("mine", "0", "10.0.0.1", "message"): 1.0,
        ("mine", "0", "10.0.0.1", "wait"): 1.0,
    }
    assert found["crossmesh_examples_per_second"] == found["crossmesh_moves"] == {}
    assert found["crossmesh_loss"] == {("mine",): 0.5}
    assert found["crossmesh_recoveries"] == {("mine",): 1}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.2", 0))
        return probe.getsockname()[1]


def read(port):
    """Samples of the endpoint that are ours, by name; empty while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.2:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    lines = re.findall(r"^(ray_crossmesh_\w+)\{(.*)\} (\S+)$", text, re.MULTILINE)
    return {name: (dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value))
            for name, labels, value in lines}  # fmt: skip


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.multinode
def test_a_run_is_seen_at_rays_endpoint_for_prometheus(tmp_path):
    missing = [name for name in ("aiohttp_cors", "opencensus", "opentelemetry.exporter.prometheus")
               if not found(name)]  # fmt: skip
    if missing:
        pytest.skip(f"needs ray[default], which exports metrics: no {', '.join(missing)}")
    port = free_port()
    with LocalNodes(1, metrics_port=port, cpus_per_node=2) as cluster:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        with (tmp_path / "said").open("wb") as said:
            run = subprocess.Popen(
                [sys.executable, "-m", "crossmesh", "train", "digits", "--engine", "ray",
                 "--address", cluster.address, "--epochs", "100000",
                 "--set=engine.metrics=true", "--set=checkpoint.every_s=1"],
                cwd=tmp_path, stdout=said, stderr=said,
                env={**kept, "PYTHONPATH": str(ROOT), **cluster.environment},
            )  # fmt: skip
        try:
            # Counters that are still 0 and figures that are not known are not exported.
            wanted = EXPORTED - {"ray_crossmesh_recoveries_total", "ray_crossmesh_moves_total"}
            deadline = time.monotonic() + 180
            while not wanted <= (samples := read(port)).keys():
                assert run.poll() is None, (tmp_path / "said").read_text()
                assert time.monotonic() < deadline, wanted - samples.keys()
                time.sleep(1)
            run.send_signal(signal.SIGINT)
            assert run.wait(120) == 130
        finally:
            run.kill()
            run.wait()

    for name in wanted:
        labels, value = samples[name]
        assert labels.keys() >= set(LABELS[name])
        assert labels["run"] == "digits"
        assert value >= 0
    assert samples["ray_crossmesh_nodes"][1] == 1
    assert samples["ray_crossmesh_examples"][1] > 0


def found(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
