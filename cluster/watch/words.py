"""A run that is watched, in words."""

import json
from collections.abc import Iterator
from pathlib import Path

from crossmesh.cluster.watch.state import RunState
from crossmesh.common.durations import duration
from crossmesh.common.hints import command
from crossmesh.emulator.runs.live_state import LiveHost, LiveState


def line(state: RunState, path: Path) -> str:
    """A state in one line."""
    if state.kind != "running" or state.live is None:
        return remark(state, path)
    live = state.live
    parts = [headline(live), *figures(live)]
    if len(live.hosts) > 1:
        parts.append(f"slowest: {named(live.slowest_first[0], live)}")
    return ", ".join(parts)


def headline(live: LiveState) -> str:
    """Phase, epoch and examples so far."""
    epoch = min(live.epoch + 1, live.epochs)
    done = f"{live.examples:,} of {live.total:,} examples" if live.total else ""
    return ", ".join(filter(None, (f"{live.phase}, epoch {epoch} of {live.epochs}", done)))


def figures(live: LiveState) -> Iterator[str]:
    """Speed, time left, loss, accuracy, age of the checkpoint, recoveries, and moves of tiles."""
    if live.examples_per_s is not None:
        yield f"{live.examples_per_s:,.0f} examples/s"
    if live.examples_per_s:
        left_s = max(0, live.total - live.examples) / live.examples_per_s
        yield f"{duration(left_s)} left"
    if live.loss is not None:
        yield f"loss {live.loss:.4f}"
    if live.accuracy is not None:
        yield f"accuracy {100 * live.accuracy:.1f} %"
    if live.checkpoint is None:
        yield "no checkpoint yet"
    else:
        ago = max(0, live.examples - live.checkpoint)
        rate = live.examples_per_s
        yield f"checkpoint {ago:,} examples ago" + (f" ({duration(ago / rate)})" if rate else "")
    if live.recoveries:
        yield f"{live.recoveries} recover{'y' if live.recoveries == 1 else 'ies'}"
    if live.moves:
        yield f"tiles moved {live.moves} time{'' if live.moves == 1 else 's'}"


def remark(state: RunState, path: Path) -> str:
    """State of a run that writes no updates, and the command that resumes it."""
    again = f"resume with: {command('resume', path)}"
    if state.kind == "stale" and state.is_held:
        return f"not updated for {state.age_s:.0f} s: the run is recovering or busy"
    if state.kind == "stale":
        return f"not updated for {state.age_s:.0f} s: the run may have ended; {again}"
    if state.kind == "quiet":
        return "the run is starting" if state.live is None else "the run is writing its summary"
    if state.kind == "gone":
        return f"the run stopped before its last epoch; {again}"
    return f"the run has ended: {_summed_up(path)}"


def _summed_up(path: Path) -> str:
    summary = json.loads((path / "summary.json").read_text("utf-8"))
    emulation, accuracy = summary["emulation"], summary["test_accuracy"]
    parts = [f"{summary['examples_trained']:,} examples", f"test loss {summary['test_loss']:.4f}"]
    if accuracy is not None:
        parts.append(f"test accuracy {100 * accuracy:.2f} %")
    return ", ".join([*parts, f"{emulation['examples_per_s']:,.0f} examples/s"])


def named(host: LiveHost, live: LiveState) -> str:
    """A host, and where its time goes."""
    shares = f"compute {100 * host.compute:.0f} %, messages {100 * host.message:.0f} %"
    return f"host {host.host} on {place(host, live)} ({shares}, waiting {100 * host.wait:.0f} %)"


def place(host: LiveHost, live: LiveState) -> str:
    """The machine of a host; by address, and by name where several share one."""
    nodes = {other.node for other in live.hosts if other.ip == host.ip}
    where = host.ip or "this machine"
    return f"{where} {host.node[:6]}" if len(nodes) > 1 else where
