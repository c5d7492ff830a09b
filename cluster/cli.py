"""The command ``crossmesh``: where it begins and ends."""

import gc
import sys

from crossmesh.common.supervision import interrupts
from crossmesh.common.supervision.guard import guarded

# They may use Ray, which can end or hang the process that talks to it.
_GUARDED = {"train", "resume", "evaluate", "study", "scale", "launch"}


def main() -> None:
    """Run the command; from here on a signal ends it in order, also while it still loads."""
    if _GUARDED & set(sys.argv[1:2]) and not {"--help"} & set(sys.argv):
        sys.exit(guarded(_run))
    interrupts.install()
    try:
        code = _run()
    except (interrupts.Interrupted, KeyboardInterrupt):
        code = 130
    except Exception:
        if not interrupts.came():
            raise
        code = 130
    sys.exit(code)


def _run() -> int:
    gc.disable()  # what is imported stays: looking for garbage meanwhile takes a sixth of the time
    with interrupts.deferred():  # libraries make errors of their own of a signal that meets them
        from crossmesh.cluster.commands import run

    gc.freeze()
    gc.enable()
    return run()


if __name__ == "__main__":
    main()
