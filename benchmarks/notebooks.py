"""Run notebooks from the first cell to the last, and keep what they print and draw.

python -m benchmarks.notebooks examples/notebooks/first-steps.ipynb
"""

import argparse
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

_LONGEST_S = 300  # of a cell


def executed(path: Path, folder: Path) -> nbformat.NotebookNode:
    """A notebook with the outputs of its cells, run in a folder.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell raised.
    """
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, kernel_name="python3", timeout=_LONGEST_S, resources=place)
    client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when each cell began and ended
    return notebook


def main() -> None:
    """Run the notebooks that are named, and write their outputs into them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("notebooks", nargs="+", type=Path, help="Files of the form .ipynb.")
    for path in parser.parse_args().notebooks:
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(executed(path, Path(folder)), path)


if __name__ == "__main__":
    main()
