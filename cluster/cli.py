"""The command ``crossmesh``: where it begins and ends."""

import sys

from emulator import interrupt


def main() -> None:
    """Run the command; from here on a signal ends it in order, also while it still loads."""
    interrupt.install()
    try:
        from cluster.commands import run

        code = run()
    except (interrupt.Interrupted, KeyboardInterrupt):
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
