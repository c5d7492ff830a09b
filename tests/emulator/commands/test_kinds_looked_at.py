"""Every kind through ``crossmesh``: chip, map, program, configs."""

import json

import pytest

from tests.conftest import SHARED
from tests.emulator.commands.cases import CASES, Case
from tests.emulator.commands.shell import checked_chip, done

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_kind_is_looked_at(case: Case, desk):
    """Its chip, its floor plan, its program, and its config written out and read again."""
    if case.needs and not SHARED.is_dir():
        pytest.skip(f"needs the folder {case.needs}/ beside the repository")
    asked = ("small.yaml", *case.options)
    checked_chip(done("chip", *asked, "--json", folder=desk).answer)
    layout = done("map", *asked, "--json", folder=desk).answer
    assert layout["layers"]
    program = done("program", *asked, "--micro-batches", 1, "--json", folder=desk).out
    operations = {json.loads(line)["operation"] for line in program.splitlines()}
    assert {"input", "read"} <= operations
    shown = done("configs", "show", *asked, folder=desk).out
    (desk / "shown.yaml").write_text(shown)
    again = done("configs", "show", "shown.yaml", folder=desk).out
    assert again.replace(f"{desk.resolve()}/", "") == shown  # paths begin at a file's folder
