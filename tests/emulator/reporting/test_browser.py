"""The report in a browser: it is drawn, and asks nothing of any network."""

import json
import shutil
import subprocess

import numpy as np
import pytest
from matplotlib.image import imread

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
# Without what the browser itself asks of its makers.
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
OF_BROWSER = "not an origin"  # that a request was begun by
pytestmark = [
    pytest.mark.skipif(not BROWSER, reason="needs Chromium: apt-get install chromium"),
    pytest.mark.slow,
]


def opened(page, folder, picture):
    """Addresses that a page asks for in the browser, which leaves a picture of it."""
    log = folder / "net.json"
    words = [BROWSER, *OPTIONS, f"--user-data-dir={folder / 'user'}", f"--log-net-log={log}",
             f"--screenshot={picture}", "--window-size=1200,1600", page.as_uri()]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    logged = json.loads(log.read_text())
    begun = logged["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    params = [event.get("params", {}) for event in logged["events"] if event["type"] == begun]
    return [p["url"] for p in params if p.get("initiator", OF_BROWSER) != OF_BROWSER]


def test_it_is_drawn_and_asks_for_nothing(reported, tmp_path):
    picture = tmp_path / "page.png"

    assert opened(reported, tmp_path, picture) == []
    shown = imread(picture)[..., :3]
    assert shown.shape == (1600, 1200, 3)
    assert len(np.unique((255 * shown).astype(np.uint8).reshape(-1, 3), axis=0)) > 100


def test_what_a_page_asks_for_is_seen(tmp_path):
    page, address = tmp_path / "page.html", "http://127.0.0.1:9/a.png"
    page.write_text(f'<img src="{address}">')

    assert opened(page, tmp_path, tmp_path / "page.png") == [address]
