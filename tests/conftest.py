"""What all tests share."""

from pathlib import Path

import pytest
from hypothesis import settings

# The first call of a kernel compiles it, which takes longer than Hypothesis allows an example.
settings.register_profile("crossmesh", deadline=None)
settings.load_profile("crossmesh")

SHARED = Path(__file__).parents[1].parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder beside the repository with data sets and published measurements."""
    if not SHARED.is_dir():
        pytest.skip("needs the folder shared/ beside the repository (data sets, measurements)")
    return SHARED
