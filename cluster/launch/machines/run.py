"""One training on machines reached by ssh: started, followed, fetched, machines given back."""

import codecs
import contextlib
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path

import typer

from crossmesh.cluster.launch import scripts
from crossmesh.cluster.launch.launched import Launched
from crossmesh.cluster.launch.machines.site import LaunchSite
from crossmesh.cluster.launch.machines.ssh import BROKEN, Asked, NotReached, SshMachine
from crossmesh.common.errors import RunError
from crossmesh.common.supervision import interrupts, reports

RUN = "run"  # in the launch's folder: the run directory, once it has been fetched
LOST_S = 120.0  # so long a head may be out of reach before it is given up
_FETCH_TRIES = 3
_RETRY_S = 2.0
_WORD_S = 60.0  # longest wait for an answer of a script that takes no computing


class Machinery(ABC):
    """How a kind of cluster gets its machines, and gives them back."""

    @abstractmethod
    def started(self, site: LaunchSite) -> SshMachine:
        """The head, when Ray runs on it, and on the others or will by itself."""

    @abstractmethod
    def head(self, site: LaunchSite) -> SshMachine:
        """The head of a launch that has been started, perhaps by another process.

        Raises:
            NotReached: If there is none any more.
        """

    @abstractmethod
    def given_back(self, site: LaunchSite) -> bool:
        """End what was started, and give back what was taken; what cannot be is said.

        Returns:
            Whether nothing is left.
        """


class RemoteTraining:
    """The training on a head, which runs apart from any connection."""

    def __init__(self, site: LaunchSite, head: SshMachine) -> None:
        self._site = site
        self._head = head
        self._written = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._is_asked = False

    def start(self, *, again: bool) -> None:
        """Start it; again: from its last checkpoint, also if its run directory is lost."""
        words = "job.sh start again" if again else "job.sh start"
        self._site.script(self._head, words, "starting the training", within_s=_WORD_S)

    def status(self, *, heed: bool = False) -> tuple[str, int | None, bool]:
        """``none``, ``running`` or ``ended``; its exit code; whether the head's Ray lives."""
        command = self._site.inside(f"bash {self._site.there}/job.sh status")
        words = self._head.run(command, heed=heed, within_s=_WORD_S).out.split()
        if words[:1] == ["ended"]:
            return "ended", int(words[1]), "ray" in words
        return (words[0] if words else "none"), None, "ray" in words

    def stop(self) -> None:
        """Ask it to save its state and to end."""
        command = self._site.inside(f"bash {self._site.there}/job.sh stop")
        self._head.run(command, heed=False, within_s=_WORD_S)
        self._is_asked = True

    def followed(self) -> tuple[int, bool]:
        """Show what it says until it has ended; its exit code, and whether the head's Ray lives.

        A broken connection is opened again; a signal asks the training to end.

        Raises:
            NotReached: If the head stays out of reach.
        """
        command = f"bash {self._site.there}/job.sh follow"
        while True:
            words = self._site.inside(f"{command} {self._written + 1}")
            code = self._head.follow(words, self._take, look=self._look)
            with contextlib.suppress(NotReached):
                if code != BROKEN:
                    what, ended, ray_lives = self.status()
                    if what == "ended":
                        assert ended is not None
                        return ended, ray_lives
                    if what == "none":
                        raise RunError(f"the training is gone from {self._head}")
                    continue
            typer.echo("connection lost; training continues; reconnecting", err=True)
            self._reconnect()

    def skip(self) -> None:
        """Leave out what it has said so far."""
        command = self._site.inside(f"stat -c %s {self._site.there}/train.log")
        self._written = int(self._head.run(command).out)

    def show(self, *, to_end: bool) -> None:
        """Show what it says, with ``to_end`` until it has ended."""
        if to_end and self.status()[0] == "running":
            self.followed()
        else:
            command = f"tail -c +1 {self._site.there}/train.log"
            self._take(self._head.run(self._site.inside(command)).out.encode())

    def _reconnect(self) -> None:
        deadline = time.monotonic() + LOST_S
        self._head.close()
        while True:
            reports.renew()
            try:
                return self._head.connect(heed=False)
            except NotReached:
                if time.monotonic() > deadline:
                    raise
            time.sleep(_RETRY_S)

    def _look(self) -> None:
        reports.renew()
        if interrupts.requested() and not self._is_asked:
            with contextlib.suppress(NotReached):  # then once it is back
                self.stop()

    def _take(self, piece: bytes) -> None:
        self._written += len(piece)
        sys.stdout.write(self._decoder.decode(piece))
        sys.stdout.flush()


class MachineRun:
    """A launch on machines.

    Args:
        machinery: How machines are got and given back.
        site: The machines.
        launched: The launch.
        relaunches: How often a lost head is replaced.
    """

    def __init__(
        self, machinery: Machinery, site: LaunchSite, launched: Launched, relaunches: int
    ) -> None:
        self._machinery = machinery
        self._site = site
        self._launched = launched
        self._relaunches = relaunches

    def result(self, *, keep: bool) -> int:
        """Train; the exit code. Machines are given back however it ends, unless they are kept."""
        code = 130
        try:
            with contextlib.suppress(Asked):
                code = self._trained()
        finally:
            if self._launched.remembered("phase") == "running":  # also if it cannot be followed
                self.fetch_what_is_there()
            if keep:
                self._note(is_kept=True)
                typer.echo(
                    f"machines are kept; give them back with: crossmesh cancel {self._site.name}",
                    err=True,
                )
            else:
                typer.echo("giving the machines back", err=True)
                self._give_back()
        return code

    def _trained(self) -> int:
        for relaunch in range(self._relaunches + 1):
            if relaunch:
                typer.echo(
                    f"the head is lost; starting again from the last checkpoint "
                    f"({relaunch} of {self._relaunches})",
                    err=True,
                )
                self._machinery.given_back(self._site)
            head = self._machinery.started(self._site)
            self._launched.remember(phase="running")
            job = RemoteTraining(self._site, head)
            job.start(again=relaunch > 0)
            try:
                code, ray_lives = job.followed()
            except NotReached:
                if interrupts.requested() or relaunch == self._relaunches:
                    raise
                continue
            if code in {0, 2, 130} or ray_lives or interrupts.requested():
                return code
        return code

    def wind_up(self) -> int:
        """End what a killed launch has left: state saved, run fetched, machines given back."""
        code = 1
        try:
            head = self._machinery.head(self._site)
            job = RemoteTraining(self._site, head)
            what, ended, _ = job.status()
            if what == "running":
                job.skip()
                job.stop()
                ended, _ = job.followed()
            code = 1 if ended is None else ended
            self.fetch_what_is_there()
        except NotReached as error:
            typer.echo(f"warning: {error}", err=True)
        finally:
            self._give_back()
        return code

    def _give_back(self) -> None:
        """Give the machines back; until they are, it is noted that ``cancel`` has to."""
        self._note(is_kept=True)
        self._note(is_kept=not self._machinery.given_back(self._site))

    def _note(self, *, is_kept: bool) -> None:
        with contextlib.suppress(OSError):  # the launch's folder may be gone; the machines are not
            self._launched.remember(kept=is_kept)

    def fetch_what_is_there(self) -> None:
        """Bring the run directory into the launch's folder, if there is one."""
        for left in reversed(range(_FETCH_TRIES)):
            reports.renew()
            try:
                head = self._machinery.head(self._site)
                if fetched(self._site, head, self._launched.run_dir, self._launched.folder / RUN):
                    typer.echo(f"run in {self._launched.folder / RUN}", err=True)
                return
            except RunError as error:
                if not left:
                    typer.echo(f"warning: {error}", err=True)
                time.sleep(_RETRY_S)


def fetched(
    site: LaunchSite, head: SshMachine, run_dir: str, to: Path, *, whole: bool = True
) -> bool:
    """Bring a run directory here, with its checkpoints or without; whether there is one."""
    run = scripts.path(run_dir)
    if head.run(site.inside(f"test -e {run}/config.yaml"), heed=False).code:
        return False
    leave = "" if whole else "--exclude=./checkpoints "
    head.receive(site.inside(f"exec tar -C {run} {leave}-cf - ."), to)
    return True
