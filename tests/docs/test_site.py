"""The documentation site builds without a warning, and its pages load nothing from elsewhere."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import crossmesh
from crossmesh.emulator.config.schema import file_schema

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LOADS = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Folder of the site, as `make docs` builds it."""
    pytest.importorskip("sphinx", reason="builds the site: pip install 'crossmesh[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", folder / "trees"]
    built = subprocess.run(
        [*command, "docs", folder / "pages"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return folder / "pages"


class Loaded(HTMLParser):
    """What a page loads when it is opened."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attrs):
        if dict(attrs).get("rel") not in {"search", "next", "prev", "canonical"}:
            self.addresses += [value for name, value in attrs if name == LOADS.get(tag)]


def test_no_page_loads_anything_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 60
    for page in pages:
        loaded = Loaded()
        loaded.feed(page.read_text("utf-8"))
        assert loaded.addresses
        for address in loaded.addresses:
            assert not re.match(r"(https?:)?//", address), (page.name, address)
            assert (page.parent / address.partition("?")[0].partition("#")[0]).exists(), address
    for style in site.rglob("*.css"):
        assert not re.search(r"@import|url\([\"']?(https?:)?//", style.read_text("utf-8")), style


def test_every_field_of_a_config_is_described(site):
    text = (site / "reference" / "config.html").read_text("utf-8")
    schema = file_schema()
    objects = [v for k, v in schema["$defs"].items() if not k.endswith("Part")] + [schema["else"]]
    fields = {name for each in objects for name, field in each["properties"].items()}
    assert len(fields) > 200
    assert not [name for name in fields - {"kind"} if f">{name}</span>" not in text]


def test_every_public_name_and_command_is_described(site):
    text = (site / "reference" / "python.html").read_text("utf-8")
    assert not [name for name in crossmesh.__all__ if name not in text]
    text = (site / "reference" / "commands.html").read_text("utf-8")
    for command in ("train", "chip", "devices fit", "launch", "watch"):
        assert f"crossmesh {command}<" in text
