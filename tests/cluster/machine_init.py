"""First process of a machine made of namespaces: sets it up, and lives as long as its test.

    machine_init.py SETTINGS

It says ``ready``, then reads its input to the end, which comes also when the test is killed. With
this process end all others of its PID namespace, and with them the namespaces.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path


def main(settings: dict) -> None:
    """Set up, then wait."""
    socket.sethostname(settings["name"])
    stage = Path(settings["stage"])
    for folder in map(Path, settings["own"]):
        mode = folder.stat().st_mode & 0o7777
        options = f"size={settings['bytes']},mode={mode:o}"
        shell("mount", "-n", "-t", "tmpfs", "-o", options, "machine", str(stage))
        put(stage, folder, settings["kept"])
    for source, place in settings["binds"]:
        shell("mount", "-n", "--bind", source, str(stage))
        put(stage, Path(place), settings["kept"])
    Path("/run/hosts").write_text("127.0.0.1 localhost\n" + settings["hosts"])
    shell("mount", "-n", "--bind", "/run/hosts", "/etc/hosts")
    for folder in ("/run/lock", "/run/sshd", "/run/munge"):
        Path(folder).mkdir(mode=0o755)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # orphans leave no zombies
    os.write(1, b"ready\n")
    while os.read(0, 1024):
        pass


def put(stage: Path, folder: Path, kept: list[str]) -> None:
    """Move a file system to the place of a folder; what is kept stays visible below it."""
    for path in map(Path, kept):
        if path.is_relative_to(folder):
            place = stage / path.relative_to(folder)
            place.mkdir(parents=True, exist_ok=True)
            shell("mount", "-n", "--rbind", str(path), str(place))
    shell("mount", "-n", "--move", str(stage), str(folder))


def shell(*command: str) -> None:
    """Run a command; the first that fails ends the machine."""
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
