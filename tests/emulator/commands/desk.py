"""Where the tests of commands work: a folder with what a user may have in it."""

import json
from pathlib import Path

from tests.conftest import SHARED
from tests.emulator.commands.cases import BEGINNING
from tests.emulator.commands.material import own_data, real_data
from tests.emulator.commands.shell import done


def furnish(folder: Path) -> Path:
    """Put a config, data of every source, and a trained network into a folder."""
    (folder / "small.yaml").write_text(json.dumps(BEGINNING), "utf-8")  # JSON is YAML
    adc = {"per": "conversion", "energy_pj": {"8": 2.0, "10": 4.0}, "source": "mine"}
    (folder / "prices.yaml").write_text(json.dumps({"components": {"adc": adc}}), "utf-8")
    own_data(folder)
    if SHARED.is_dir():
        real_data(SHARED / "data", folder / "data")
    done("train", "small.yaml", "--run-dir", "trained", "--quiet", folder=folder)
    done("export", "trained", "--onnx", "trained.onnx", "--npz", "trained.npz", folder=folder)
    return folder
