"""What all tests share."""

from collections import Counter
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
ON_PARTS = {"ray", "cluster"}
# Files whose tests take minutes on two cores, longest first. They begin before the others on Ray or
# on real parts, so that no worker is at work long after the others.
LONGEST = (
    "test_slurm_for_real.py",
    "test_launch_ssh.py",
    "test_slurm_losses.py",
    "test_launch_ec2_whole.py",
    "test_growth.py",
    "test_supervision.py",
    "test_faults.py",
    "test_launch_ec2.py",
    "test_ray.py",
    "test_plugins.py",
    "test_launch_local.py",
    "test_jobs.py",
    "test_faults_and_resumes.py",
    "test_local_endings.py",
    "test_executors.py",
    "test_soak.py",
    "test_scaling.py",
)


def pytest_collection_modifyitems(items):
    """Put files with tests on Ray or on real parts last, and the longest first of either sort.

    `make test` hands them out in this order. Elsewhere, the longest are those of most tests.
    """
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    sizes = Counter(item.path for item in items)
    on_parts = {
        item.path for item in items if ON_PARTS & {mark.name for mark in item.iter_markers()}
    }

    def turn(item):
        rank = ranks.get(item.path.name, len(ranks))
        return item.path in on_parts, rank, -sizes[item.path]

    items.sort(key=turn)


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
