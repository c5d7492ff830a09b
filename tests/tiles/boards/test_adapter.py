"""The adapter that docs show serves a stand-in for the firmware that it talks to."""

import contextlib
import os
import subprocess
import sys
import threading
import time
import tty
from pathlib import Path

import numpy as np
import pytest

from crossmesh.tiles.boards.access import Access
from crossmesh.tiles.boards.addresses import address_of
from crossmesh.tiles.boards.client import BoardClient

ROOT = Path(__file__).parents[3]
ADAPTER = ROOT / "examples" / "boards" / "adapter.py"


def answer(port, counts):
    """OpenMENA's text commands, as its published source answers them; until the port is closed."""
    with contextlib.suppress(OSError), os.fdopen(os.dup(port), "rb") as lines:
        for line in lines:
            command, *words = line.split()
            if command == b"INFEREMULTIPLE:":
                levels = np.array(words[1:], float).reshape(int(words[0]), 8)
                driven = (levels > 2100).astype(float)  # above the virtual ground of 2047
                rows = ["\t".join(f"{x:.2f}" for x in row) + "\t\r\n" for row in driven @ counts]
                says = ["INFEREMULTIPLE ADC Averages:\r\n", *rows, "INFEREMULTIPLE complete.\r\n"]
                os.write(port, "".join(["Running inference...\r\n", *says]).encode())
            elif command == b"WEIGHTMODIF:":
                i, j, sign, pulses = map(int, words[:4])
                assert [float(word) for word in words[4:]] == [0.83, 0.67, 0.67, 0.83, 50]
                counts[i, j] += 10 * sign * pulses


def test_the_adapter_of_the_docs_serves_a_board(tmp_path):
    pytest.importorskip("serial", reason="the adapter needs pyserial")
    counts = np.arange(100.0, 164.0).reshape(8, 8)
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    threading.Thread(target=answer, args=(ours, counts), daemon=True).start()
    socket = tmp_path / "s"
    words = [sys.executable, ADAPTER, os.ttyname(theirs), f"unix:{socket}"]
    with subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(ROOT)}) as running:
        try:
            until = time.monotonic() + 60
            while not socket.exists() and time.monotonic() < until:
                time.sleep(0.05)
            client = BoardClient(Access(address_of(f"unix:{socket}"), patience_s=10))
            rows, cols = np.arange(8, dtype=np.uint16), np.arange(7, -1, -1, dtype=np.uint16)
            np.testing.assert_allclose(client.read(rows, cols), 1e-7 * counts[:, ::-1], rtol=1e-6)
            moved = client.pulse(rows[:2], cols[:2], np.array([3, -2], np.int16), read=(rows, rows))
            np.testing.assert_allclose(moved, 1e-7 * counts, rtol=1e-6)
            assert (counts[0, 7], counts[1, 6]) == (137, 94)
            client.close()
        finally:
            running.terminate()
    os.close(ours)
    os.close(theirs)


def test_the_docs_show_the_adapter_which_has_40_lines_at_most():
    text = ADAPTER.read_text("utf-8")
    page = (ROOT / "docs" / "board-adapter.md").read_text("utf-8")

    assert f"```python\n{text}```" in page
    assert len(text.splitlines()) <= 40
