"""Writes docs/logs: what launches on real machines say, as it is said.

python -m tests.cluster.launch.transcripts
"""

import contextlib
import re
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.cluster.launch.ssh_machines import LAPTOP, Launch, ssh_machines
from tests.cluster.launch.test_launch_ec2 import Cloud
from tests.cluster.launch.test_launch_ec2 import Launch as CloudLaunch
from tests.cluster.machines import ROOT, wait_for

FOLDER = ROOT / "docs" / "logs"
HEAD = """\
{what}, written by python -m tests.cluster.launch.transcripts.
{where}
Times are seconds since the command began, on a machine with two cores that others used as well.
"""
WHERE = """\
The laptop, n1 and n2 are hosts of namespaces with addresses, processes and disks of their own; n1
and n2 run sshd. The cluster's file is below."""
SHORT = ("--set", "training.epochs=3", "--set", "training.baseline=false")
LONG = ("--set", "training.epochs=4000", *SHORT[2:], "--set", "checkpoint.every_s=1")


class Page:
    """A page, as it grows."""

    def __init__(self, path: Path, head: str) -> None:
        self.path = path
        self.text = head
        self._hidden: dict[str, str] = {}

    def hide(self, text: object, shown: str) -> None:
        """Show one text in place of another, such as a folder of this test."""
        self._hidden[str(text)] = shown

    def title(self, text: str) -> None:
        """Begin a section."""
        self.text += f"\n\n{text}\n{'=' * len(text)}\n"

    def say(self, text: str) -> None:
        """Add lines."""
        self.text += text.rstrip() + "\n"

    def write(self) -> None:
        """Leave the page."""
        text = self.text.replace("/root/", "~/")
        for hidden, shown in self._hidden.items():
            text = text.replace(hidden, shown)
        self.path.parent.mkdir(exist_ok=True)
        lines = (line.rstrip() for line in text.splitlines())
        self.path.write_text("\n".join(lines) + "\n", "utf-8")


class Timed:
    """A command whose lines are noted with their times."""

    def __init__(self, page: Page, hosts, *words: object) -> None:
        self._page = page
        self.lines: list[str] = [f"laptop$ crossmesh {' '.join(map(str, words))}"]
        self._began = time.monotonic()
        self.process = hosts.crossmesh(*words)
        self._readers = [threading.Thread(target=self._read, args=(stream,))
                         for stream in (self.process.stdout, self.process.stderr)]  # fmt: skip
        for reader in self._readers:
            reader.start()

    def _read(self, stream) -> None:
        with stream:
            for line in stream:
                self.lines.append(f"{time.monotonic() - self._began:6.1f}  {line.rstrip()}")

    def await_word(self, word: str) -> None:
        """Wait until it says something."""
        wait_for(lambda: any(word in line for line in self.lines), 300, word)

    @property
    def name(self) -> str:
        """The launch's name."""
        self.await_word("end it with: ")
        return re.search(r"launch (\S+): ", "\n".join(self.lines))[1]

    def note(self, text: str) -> None:
        """Add a line about what befalls it."""
        self.lines.append(f"{time.monotonic() - self._began:6.1f}  -- {text}")

    def ended(self) -> None:
        """Wait for its end, and add all to the page."""
        code = self.process.wait(400)
        for reader in self._readers:
            reader.join()
        self.lines.append(f"{time.monotonic() - self._began:6.1f}  -- exit code {code}")
        self._page.say("\n".join(self.lines))


def on_premises(hosts) -> None:
    """Launches on machines with ssh servers."""
    head = HEAD.format(what="Launches on machines over ssh", where=WHERE)
    page = Page(FOLDER / "on-premises.txt", head)
    page.hide(hosts.machines.shared, "/shared")
    page.hide(ROOT, "/crossmesh")
    page.hide(Path(sys.executable).parent, "/venv/bin")
    page.say("\n" + hosts.cluster().read_text())
    for section in (results, interrupted, missing, refused, killed):
        assert section.__doc__ is not None
        page.title(section.__doc__.rstrip("."))
        section(page, hosts)
    page.write()


def left(page, hosts) -> None:
    wait_for(lambda: hosts.left() == [], 60)
    page.say("-- on n1 and n2, no process and no folder of it is left")


def results(page, hosts) -> None:
    """A launch, and its results."""
    launch = Timed(page, hosts, "launch", hosts.cluster(), "digits", *SHORT)
    launch.ended()
    left(page, hosts)
    Timed(page, hosts, "fetch", launch.name, "--to", "here").ended()
    page.say("-- the same on one machine:")
    words = ("train", "digits", "--engine", "local", *SHORT, "--run-dir", "alone")
    Timed(page, hosts, *words).ended()
    files = ("here/summary.json", "alone/summary.json")
    found = hosts.laptop.run("grep", "state_digest", *files).stdout
    page.say(f"laptop$ grep state_digest {' '.join(files)}\n{found}")


def interrupted(page, hosts) -> None:
    """Ctrl-C while machines are set up."""
    launch = Timed(page, hosts, "launch", hosts.cluster(), "digits", *SHORT)
    launch.await_word("starting Ray")
    launch.note("Ctrl-C")
    launch.process.send_signal(signal.SIGINT)
    launch.ended()
    left(page, hosts)


def missing(page, hosts) -> None:
    """Data that the head lacks."""
    Timed(page, hosts, "launch", hosts.cluster(data_dir="/no/such"), "mnist-2018").ended()
    (hosts.storage / "empty").mkdir()
    there = hosts.cluster(data_dir=str(hosts.storage / "empty"))
    Timed(page, hosts, "launch", there, "mnist-2018").ended()
    left(page, hosts)


def refused(page, hosts) -> None:
    """A wrong key, and a dead host."""
    other = hosts.machines.shared / "other"
    hosts.laptop.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other)
    ssh = {"user": "root", "private_key": str(other), "known_hosts": str(hosts.known_hosts)}
    Timed(page, hosts, "launch", hosts.cluster(ssh=ssh), "digits").ended()
    Timed(page, hosts, "launch", hosts.cluster(workers=["10.79.0.99"]), "digits").ended()


def killed(page, hosts) -> None:
    """The launching process is killed."""
    launch = Timed(page, hosts, "launch", hosts.cluster(), "digits", *LONG)
    launch.await_word("epoch 2:")
    launch.note("kill -9 of the launch and its parent")
    Launch.kill_processes(hosts)
    launch.ended()
    for words in (("status",), ("fetch", "--to", "so-far"), ("cancel",), ("status",)):
        Timed(page, hosts, words[0], launch.name, *words[1:]).ended()
    left(page, hosts)


def aws(cloud, home: Path) -> None:
    """A start on EC2 that is interrupted."""
    where = "EC2 is moto's. Nothing answers by ssh there, so this is as far as it goes."
    page = Page(FOLDER / "aws.txt", HEAD.format(what="A launch on EC2", where=where))
    page.hide(home, "~")
    launch = CloudLaunch(cloud, home)
    page.say("\nlaptop$ crossmesh launch mine.yaml digits")
    launch.await_word("Fetched IP")
    page.say(launch.text)
    page.say(f"-- instances that cost money: {', '.join(cloud.alive())}\n-- Ctrl-C")
    shown = len(launch.text)
    launch.process.send_signal(signal.SIGINT)
    code = launch.process.wait(200)
    page.say(launch.text[shown:])
    page.say(
        f"-- exit code {code}\n-- instances that cost money: {', '.join(cloud.alive()) or 'none'}"
    )
    page.write()


def main() -> None:
    """Write both pages."""
    with ssh_machines("n1", "n2") as hosts:
        assert hosts.laptop.name == LAPTOP
        on_premises(hosts)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        home = Path(folder) / "home"
        home.mkdir()
        (Path(folder) / "cloud").mkdir()
        cloud = Cloud(Path(folder) / "cloud")
        stack.callback(cloud.close)
        with cloud.reached():
            aws(cloud, home)


if __name__ == "__main__":
    main()
