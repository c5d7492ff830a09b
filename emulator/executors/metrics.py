"""Counters and gauges of a run, which Ray exports for Prometheus with its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from crossmesh.emulator.config.engine import Engine
from crossmesh.emulator.executors.executor import Figures
from crossmesh.tiles.runtime.measure import HostReport


@dataclass(frozen=True, kw_only=True)
class Described:
    """A metric.

    Attributes:
        kind: A counter only grows; Prometheus knows it by its name with ``_total``.
        text: What it says.
        labels: Labels besides those that Ray adds.
    """

    kind: Literal["counter", "gauge"]
    text: str
    labels: tuple[str, ...] = ("run",)


_HOST = ("run", "host", "node")
METRICS: Mapping[str, Described] = {
    "crossmesh_examples": Described(kind="gauge", text="Examples trained"),
    "crossmesh_examples_per_second": Described(kind="gauge", text="Recent training speed"),
    "crossmesh_loss": Described(kind="gauge", text="Recent training loss"),
    "crossmesh_accuracy": Described(kind="gauge", text="Recent training accuracy"),
    "crossmesh_recoveries": Described(kind="counter", text="Losses survived"),
    "crossmesh_moves": Described(kind="counter", text="So often tiles moved between hosts"),
    "crossmesh_checkpoints": Described(kind="counter", text="Checkpoints written"),
    "crossmesh_checkpoint_seconds": Described(kind="counter", text="Seconds spent writing them"),
    "crossmesh_hosts": Described(kind="gauge", text="Tile hosts"),
    "crossmesh_nodes": Described(kind="gauge", text="Nodes that they are on"),
    "crossmesh_host_tiles": Described(kind="gauge", text="Tiles of a host", labels=_HOST),
    "crossmesh_host_seconds": Described(
        kind="counter",
        text="Seconds of a host by what: compute, message or wait",
        labels=(*_HOST, "what"),
    ),
    "crossmesh_host_messages": Described(kind="counter", text="Messages sent", labels=_HOST),
    "crossmesh_host_bytes": Described(kind="counter", text="Bytes sent", labels=_HOST),
}


def remark(engine: Engine, is_ours: bool) -> str:
    """What a user should know who wants metrics of a connection, or instance, of ours."""
    if engine.metrics and engine.address is None and is_ours:
        return "engine.metrics has no effect: a private Ray instance exports none"
    return ""


class Exported:
    """Gives Ray the metrics of a run.

    Args:
        run: Name of the run, a label of all of them.
    """

    def __init__(self, run: str) -> None:
        from ray.util import metrics

        kinds = {"counter": metrics.Counter, "gauge": metrics.Gauge}
        self._run = run
        self._known: dict[tuple[str, ...], float] = {}
        self._metrics: dict[str, Any] = {
            name: kinds[each.kind](name, description=each.text, tag_keys=each.labels)
            for name, each in METRICS.items()
        }

    def update(self, figures: Figures, n_nodes: int, hosts: Sequence[HostReport]) -> None:
        """Take the present figures."""
        for name, value in figures._asdict().items():
            if value is not None:
                self._set(f"crossmesh_{name}", value)
        self._set("crossmesh_hosts", len(hosts))
        self._set("crossmesh_nodes", n_nodes)
        for host in hosts:
            where = {"host": str(host.host), "node": host.ip}
            self._set("crossmesh_host_tiles", host.tiles, **where)
            self._set("crossmesh_host_messages", host.messages, **where)
            self._set("crossmesh_host_bytes", host.bytes, **where)
            spent = {"compute": host.compute_s, "message": host.message_s, "wait": host.wait_s}
            for what, seconds in spent.items():
                self._set("crossmesh_host_seconds", seconds, **where, what=what)

    def _set(self, name: str, value: float, **labels: str) -> None:
        """Take a value; of a counter it begins at 0 again when a host joins its channels again."""
        tags = {"run": self._run, **labels}
        if METRICS[name].kind == "gauge":
            self._metrics[name].set(value, tags=tags)
            return
        key = (name, *labels.values())
        before, self._known[key] = self._known.get(key, 0.0), value
        more = value - before if value >= before else value
        if more > 0:
            self._metrics[name].inc(more, tags=tags)
