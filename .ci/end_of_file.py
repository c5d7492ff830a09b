"""Refuse text files that do not end with one newline; names of files are the arguments."""

import sys
from pathlib import Path


def ends_well(path: Path) -> bool:
    """Whether a file is empty, or its last line ends and is not blank."""
    text = path.read_bytes()
    return not text or (text.endswith(b"\n") and not text.endswith(b"\n\n"))


if __name__ == "__main__":
    bad = [name for name in sys.argv[1:] if not ends_well(Path(name))]
    for name in bad:
        sys.stderr.write(f"{name} must end with one newline\n")
    sys.exit(bool(bad))
