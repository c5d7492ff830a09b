"""A cluster for runs that meet faults, and the table of what became of them.

``CROSSMESH_FAULTS_TABLE=docs/faults.md`` has the times written into that page's table.
"""

import contextlib
import functools
import os
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults import ACTORS, EXAMPLES, OFTEN, SCHEDULES, Training, undisturbed
from tests.hosts import Hosts, wait_for, why_not

TABLE = os.environ.get("CROSSMESH_FAULTS_TABLE")
ENDLESS = "training.epochs=100000"
VICTIM = 1  # a host that is not the head


class Row(NamedTuple):
    """A fault in the table.

    Attributes:
        fault: What happened.
        noticed_s: Seconds until the run noticed.
        resumed_s: Seconds until it trained again.
        examples_lost: Examples trained again.
        what: What it said.
    """

    fault: str
    noticed_s: float
    resumed_s: float
    examples_lost: int | None
    what: str


@pytest.fixture(scope="module")
def hosts():
    if reason := why_not():
        pytest.skip(reason)
    with Hosts(3, is_timed=bool(TABLE)) as hosts:
        yield hosts


@pytest.fixture
def cluster(hosts):
    yield hosts
    hosts.repair()


def while_the_head_lives(test):
    """Try a test once more where the head's Ray has ended by itself, which no run survives."""

    @functools.wraps(test)
    def tried(*arguments, cluster, tmp_path, **others):
        try:
            test(*arguments, cluster=cluster, tmp_path=tmp_path, **others)
        except (AssertionError, RuntimeError, TimeoutError):
            with contextlib.suppress(TimeoutError):
                wait_for(lambda: cluster[0].is_over, 5)
            if not cluster[0].is_over:
                raise
            cluster.repair()  # which says why
            (tmp_path / "again").mkdir()
            test(*arguments, cluster=cluster, tmp_path=tmp_path / "again", **others)

    return tried


@pytest.fixture(scope="module")
def table():
    rows = []
    yield rows
    lines = [
        f"| {row.fault} | {row.noticed_s:.1f} | {row.resumed_s:.1f} "
        f"| {'' if row.examples_lost is None else f'{row.examples_lost:,}'} | {row.what} |"
        for row in rows
    ]
    print("", *lines, sep="\n")  # noqa: T201  because -s shows it
    if TABLE:
        write_rows(Path(TABLE), lines)


def write_rows(page, lines):
    """Put rows into the first table of a page, in place of those with the same fault."""
    kept = page.read_text().splitlines()
    begin = next(i for i, line in enumerate(kept) if line.startswith("|---")) + 1
    end = next(i for i in range(begin, len(kept)) if not kept[i].startswith("|"))
    rows = {line.split("|")[1]: line for line in [*kept[begin:end], *lines]}
    page.write_text("\n".join([*kept[:begin], *rows.values(), *kept[end:]]) + "\n")


def training(cluster, folder, schedule, *overrides):
    """A run that goes on until it is ended."""
    return Training(cluster, folder, ENDLESS, *SCHEDULES[schedule], *ACTORS, *OFTEN, *overrides)


def interrupted(run, number):
    """End a run in order; seconds that it took."""
    before = time.time()
    run.process.send_signal(number)
    assert run.stopped() == 130, run.all_notes
    ended_s = time.time() - before
    assert run.last_note.startswith("interrupted; resume with: crossmesh resume"), run.notes
    nothing_is_left(run)
    return ended_s


def ended_alike(run):
    """Have the local engine finish the epoch of a run that was ended; the summary.

    However fast the run was, its chip must be the one that would have been without any fault.
    """
    epochs = run.checkpoints()[-1] // EXAMPLES + 1
    run.resume("local", epochs)
    summary = run.end()
    assert summary["state_digest"] == undisturbed((*run.overrides, f"training.epochs={epochs}"))
    assert summary["emulation"]["recoveries"] == len(run.recoveries())
    return summary


def nothing_is_left(run):
    """No actor, no folder of sockets, no half a checkpoint."""
    wait_for(lambda: not run.hosts.actors(), 20, "the actors' end")
    assert not [path for host in run.hosts for path in host.folder.glob("crossmesh-*")]
    assert not list(run.storage.glob(".*"))
