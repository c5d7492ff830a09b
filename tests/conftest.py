"""What all tests share."""

from pathlib import Path

import pytest
from hypothesis import settings

# The first call of a kernel compiles it, which takes longer than Hypothesis allows an example.
# Tests try the same examples every time; `make search` looks for new ones.
settings.register_profile("crossmesh", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("crossmesh")

collect_ignore = ["plugins"]  # another package, installed and tested by test_plugins.py
SHARED = Path(__file__).parents[1].parent / "shared"


@pytest.fixture(scope="session", autouse=True)
def state_home(tmp_path_factory):
    """The user's own list of launches stays as it is; it is not where tests look for theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder beside the repository with data sets and published measurements."""
    if not SHARED.is_dir():
        pytest.skip("needs the folder shared/ beside the repository (data sets, measurements)")
    return SHARED
