"""``python -m crossmesh.emulator.chip.machines FILE``: write the page of published machines."""

import argparse
from pathlib import Path

from crossmesh.emulator.chip.machines.page import page

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the page of published machines.")
    parser.add_argument("file", type=Path, help="where to write it")
    parser.parse_args().file.write_text(page(), "utf-8")
