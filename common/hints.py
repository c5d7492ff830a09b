"""Commands in messages, as they can be pasted into a shell whatever a file is called."""

import json
import shlex
from pathlib import Path

import yaml

from crossmesh.common.bounded_yaml import parsed


def command(*words: object) -> str:
    """A command of ours, quoted where a shell would read it otherwise.

    >>> command("resume", "my runs/digits")
    "crossmesh resume 'my runs/digits'"
    """
    return shlex.join(["crossmesh", *map(str, words)])


def extending(field: str, device: Path) -> str:
    """An assignment for ``--set`` that takes a device file, quoted where YAML would not read it so.

    >>> extending("tile.cell", Path("mine.yaml")), extending("tile.cell", Path("a, b.yaml"))
    ('tile.cell={extends: mine.yaml}', 'tile.cell={extends: "a, b.yaml"}')
    """
    name = str(device)
    plain = f"{{extends: {name}}}"
    try:
        is_read_so = parsed(plain) == {"extends": name}
    except yaml.YAMLError:
        is_read_so = False
    return f"{field}={plain if is_read_so else f'{{extends: {json.dumps(name)}}}'}"
