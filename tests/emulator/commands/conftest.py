"""What the tests of commands share."""

from pathlib import Path

import pytest

from tests.emulator.commands.desk import furnish


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small config, data and a trained network; not to be written to."""
    return furnish(tmp_path_factory.mktemp("desk"))
