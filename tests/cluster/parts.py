"""Programs of Debian packages that tests on real parts need: found, installed, or a reason to skip.

``python -m tests.cluster.parts`` installs all of them; CI does so before its tests.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.cluster.machines import why_not

PACKAGES = {
    "ip": "iproute2",
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
    "munged": "munge",
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "rsync": "rsync",
    "chromium": "chromium",  # which opens reports in tests/emulator/reporting/test_browser.py
}
# Debian puts services there, which the path of a user may lack.
SEARCHED = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
_TIMEOUT_S = 900


def need(*programs: str) -> None:
    """Skip the test unless machines can be made and these programs are here or can be installed."""
    if reason := why_not():
        pytest.skip(reason)
    if reason := install(*programs):
        pytest.skip(reason)


def install(*programs: str) -> str | None:
    """Install what is missing; why that failed, or None."""
    with (Path(tempfile.gettempdir()) / "crossmesh-parts.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # apt-get refuses to run twice at a time
        missing = [name for name in programs if shutil.which(name, path=SEARCHED) is None]
        if not missing:
            return None
        needed = f"needs {', '.join(missing)}"
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            return f"{needed}, which only root can install, by apt-get"
        packages = [PACKAGES[name] for name in missing]
        return _apt(["update", "-qq"], needed) or _apt(
            ["install", "-y", "-qq", "--no-install-recommends", *packages], needed
        )


def _apt(words: list[str], needed: str) -> str | None:
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}  # which starts no service
    try:
        done = subprocess.run(
            ["apt-get", *words], capture_output=True, text=True, check=False,
            env={**os.environ, **quiet}, timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"{needed}: apt-get {words[0]} took over {_TIMEOUT_S} s"
    if done.returncode == 0:
        return None
    return f"{needed}: apt-get {words[0]}: {(done.stderr or done.stdout).strip()[-300:]}"


if __name__ == "__main__":
    sys.exit(install(*PACKAGES))
