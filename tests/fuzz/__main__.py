"""Mutated inputs by one command: ``python -m tests.fuzz --count 4000 --seed 0``."""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.fuzz.running import KINDS, kinds, prepare, tried


def main() -> int:
    """Try inputs, say what is wrong with each, and give 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="how many inputs")
    parser.add_argument("--seed", type=int, default=0, help="of the first")
    parser.add_argument("--kind", choices=[*KINDS], help="only these")
    options = parser.parse_args()
    ends, bad = Counter[str](), 0
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        prepare(base)
        for number, kind in enumerate(kinds(options.count)):
            outcome = tried(options.kind or kind, f"{options.seed + number}", base)
            ends[f"{outcome.kind}: {outcome.code}"] += 1
            if outcome.faults:
                bad += 1
                said = f"{outcome.kind} {outcome.seed}: {'; '.join(outcome.faults)}"
                command = f"crossmesh {' '.join(outcome.arguments)[:300]}"
                sys.stdout.write(f"{said}\n  {command}\n  {outcome.said[-700:]}\n")
                sys.stdout.flush()
            if (number + 1) % 100 == 0:
                sys.stdout.write(f"{number + 1} inputs, {bad} at fault\n")
                sys.stdout.flush()
    sys.stdout.write(f"{options.count} inputs, {bad} at fault; {dict(sorted(ends.items()))}\n")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
