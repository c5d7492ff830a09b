"""Machines reached by OpenSSH: one connection each, through which commands and files go."""

import contextlib
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from crossmesh.cluster.launch.machines.ssh_login import CONNECT_S, file_word
from crossmesh.common.errors import RunError, RunLost
from crossmesh.common.supervision import interrupts, reports

BROKEN = 255  # how ssh says that it has no connection
_POLL_S = 0.05
_GREETING = b"connected"
_T = TypeVar("_T")


class Asked(Exception):  # noqa: N818  because it names what happened
    """A signal asks for the end, so what was being done on a machine is given up."""


class NotReached(RunLost):
    """No connection to a machine; the message says which rule that breaks."""


@dataclass(frozen=True)
class Answer:
    """What a command on a machine has said.

    Attributes:
        code: Its exit code.
        out: Its standard output.
        err: Its standard error.
    """

    code: int
    out: str
    err: str

    @property
    def last_words(self) -> str:
        """The last lines that it wrote."""
        lines = (self.err.strip() or self.out.strip()).splitlines()
        return " | ".join(line.strip() for line in lines[-3:]) or f"exit code {self.code}"


class SshMachine:
    """One machine; its connection is open until ``close``, or until this process ends.

    Args:
        address: Its address or name.
        field: The field of the cluster that names it.
        options: Options of ssh, by which it logs in.
        socket: Where the connection's socket will be, in a private folder.
    """

    def __init__(self, address: str, field: str, options: Sequence[str], socket: Path) -> None:
        self.address = address
        self.field = field
        self._options = options
        self._sockets = socket.parent
        self._socket = socket
        self._master: subprocess.Popen[bytes] | None = None

    def __str__(self) -> str:
        return self.address

    @property
    def is_connected(self) -> bool:
        """Whether the connection still stands, as far as ssh has noticed."""
        return self._master is not None and self._master.poll() is None

    def connect(self, *, heed: bool = True) -> None:
        """Open the connection. It closes when this process ends, however that happens.

        Args:
            heed: Whether a signal that asks for the end ends the wait.

        Raises:
            NotReached: With one line that says what was wrong.
            Asked: If a signal came.
        """
        if self.is_connected:
            return
        self.close()
        with tempfile.TemporaryFile(dir=self._sockets) as errors:
            # Its end of the pipe closes with this process; then `cat` ends, and ssh with it.
            command = f"echo {_GREETING.decode()}; exec cat > /dev/null"
            master = self._started(
                command, subprocess.PIPE, subprocess.PIPE, errors, is_master=True
            )
            self._master = master
            assert master.stdout is not None
            with ThreadPoolExecutor(1) as reader:
                greeting = reader.submit(master.stdout.readline)
                try:
                    _await(greeting.done, 4 * CONNECT_S, heed=heed)
                except (Asked, TimeoutError) as error:
                    _end(master)
                    if isinstance(error, Asked):
                        raise
            if greeting.result().strip() != _GREETING:
                _end(master)
                errors.seek(0)
                raise NotReached(self._refusal(errors.read().decode(errors="replace")))

    def close(self) -> None:
        """Close the connection."""
        if self._master is not None:
            for pipe in (self._master.stdin, self._master.stdout):
                assert pipe is not None
                with contextlib.suppress(OSError):
                    pipe.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._master.wait(1)
            _end(self._master)
            self._master = None
        self._socket.unlink(missing_ok=True)

    def run(
        self, command: str, *, send: Path | bytes = b"", within_s: float = 60, heed: bool = True
    ) -> Answer:
        """Have the machine's shell run a command.

        Args:
            command: The command.
            send: Its standard input.
            within_s: Longest time that it may take.
            heed: Whether a signal that asks for the end ends the wait.

        Raises:
            NotReached: If there is no connection.
            RunError: If it takes too long.
            Asked: If a signal came.
        """
        with contextlib.ExitStack() as stack:
            if isinstance(send, Path):
                source: IO[bytes] = stack.enter_context(send.open("rb"))
            else:
                source = stack.enter_context(tempfile.TemporaryFile(dir=self._sockets))
                source.write(send)
                source.seek(0)
            out, err = (
                stack.enter_context(tempfile.TemporaryFile(dir=self._sockets)) for _ in range(2)
            )
            process = self._started(command, source, out, err)
            stack.callback(_end, process)
            try:
                _await(lambda: process.poll() is not None, within_s, heed=heed)
            except TimeoutError:
                rule = f"took longer than {within_s:g} s on {self.address}"
                raise RunError(f"{command.split(chr(10))[0][:80]} {rule}") from None
            out.seek(0)
            err.seek(0)
            said = (stream.read().decode(errors="replace") for stream in (out, err))
            answer = Answer(process.returncode, *said)
        if answer.code == BROKEN:
            raise NotReached(self._refusal(answer.err))
        return answer

    def follow(
        self, command: str, line: Callable[[bytes], None], *, look: Callable[[], None]
    ) -> int:
        """Have a command's output passed on, piece by piece, until it ends.

        Args:
            command: The command.
            line: Takes a piece.
            look: Is called several times a second.

        Returns:
            Its exit code; ``BROKEN`` if the connection broke.
        """
        process = self._started(command, subprocess.DEVNULL, subprocess.PIPE, subprocess.DEVNULL)
        assert process.stdout is not None
        try:
            with ThreadPoolExecutor(1) as reader:
                read = process.stdout.read1  # type: ignore[attr-defined]  # a buffered reader
                pending = reader.submit(read)
                while True:
                    look()
                    if pending.done():
                        if not (piece := pending.result()):
                            break
                        line(piece)
                        pending = reader.submit(read)
                    else:
                        time.sleep(_POLL_S)
        finally:
            process.stdout.close()
            if process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(1)
            _end(process)
        return process.returncode

    def receive(self, command: str, folder: Path) -> None:
        """Unpack in a folder the archive that a command on the machine writes.

        Raises:
            NotReached: If the connection breaks.
            RunError: If the archive cannot be made, or written here.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self._sockets) as errors:
            process = self._started(command, subprocess.DEVNULL, subprocess.PIPE, errors)
            assert process.stdout is not None
            failure = ""
            try:
                with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                    for member in archive:
                        reports.renew()
                        archive.extract(member, folder, filter="data")
            except (tarfile.TarError, OSError, EOFError) as error:
                failure = str(error)
            process.stdout.close()
            code = process.wait()
            errors.seek(0)
            said = errors.read().decode(errors="replace")
        if code == BROKEN:
            raise NotReached(self._refusal(said))
        if code not in {0, 1} or failure:  # 1: a file has changed meanwhile
            reason = said.strip().splitlines()[-1:] or [failure]
            raise RunError(f"nothing could be fetched from {self.address}: {reason[0]}")

    def _started(
        self,
        command: str,
        stdin: int | IO[bytes],
        stdout: int | IO[bytes],
        stderr: int | IO[bytes],
        *,
        is_master: bool = False,
    ) -> subprocess.Popen[bytes]:
        sharing = ["-oControlMaster=yes" if is_master else "-oControlMaster=no",
                   f"-oControlPath={file_word(self._socket)}", "-oControlPersist=no"]  # fmt: skip
        return subprocess.Popen(
            ["ssh", *sharing, *self._options, "--", self.address, command],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )

    def _option(self, name: str) -> str:
        """The value of an option of ssh as it was meant, or nothing."""
        begin = f"-o{name}="
        found = (word.removeprefix(begin) for word in self._options if word.startswith(begin))
        return next(found, "").strip('"').replace("%%", "%")

    def _refusal(self, said: str) -> str:
        """What is wrong with the connection, as a rule that a field breaks."""
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        reason = lines[-1] if lines else f"no answer within {CONNECT_S} s"
        if "Permission denied" in reason:
            key = self._option("IdentityFile") or "the keys that ssh finds"
            login = f"{self._option('User')}@{self.address}"
            return f"ssh.private_key must be a key that {login} accepts, got {key}"
        if "Host key verification failed" in reason:
            known = self._option("UserKnownHostsFile") or "~/.ssh/known_hosts"
            return f"{self.field} must be a machine with the key in {known}, got {self.address}"
        reason = reason.removeprefix("ssh: ").rpartition(": ")[2].lower().rstrip(".")
        return f"{self.field} must be reachable by ssh, got {self.address} ({reason})"


def everywhere(machines: Sequence[SshMachine], work: Callable[[SshMachine], _T]) -> list[_T]:
    """Do some work on all machines at once, and wait for all.

    Raises:
        Exception: What was raised for the first of the machines for which something was.
    """
    with ThreadPoolExecutor(max(1, min(len(machines), 32))) as pool:
        pending = [pool.submit(work, machine) for machine in machines]
        while not all(each.done() for each in pending):
            reports.renew()
            time.sleep(_POLL_S)
    return [each.result() for each in pending]


def _await(is_over: Callable[[], bool], within_s: float, *, heed: bool) -> None:
    deadline = time.monotonic() + within_s
    while not is_over():
        if heed and interrupts.requested():
            raise Asked
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(_POLL_S)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
