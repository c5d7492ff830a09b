"""Recorded traces of aihwkit's training algorithms, and their settings in our terms."""

import csv
import json
from pathlib import Path

import numpy as np

from crossmesh.tiles.analog.algorithms import (
    Agad,
    ChoppedTikiTaka2,
    MixedPrecision,
    Sgd,
    TikiTaka,
    TikiTaka2,
)
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.cells import Pair, Refresh
from crossmesh.tiles.analog.devices import ConstantStep, LinearStep, SoftBounds
from crossmesh.tiles.analog.read import ReadConfig
from crossmesh.tiles.analog.tile import Tile
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.analog.update import UpdateConfig

IN, OUT = 6, 4
EXACT_READ = ReadConfig(
    noise_management="none", bound_management="none", dac=None, adc=None, output_noise=0.0
)
KINDS = {
    "TransferCompound": TikiTaka,
    "BufferedTransferCompound": TikiTaka2,
    "ChoppedTransferCompound": ChoppedTikiTaka2,
    "DynamicTransferCompound": Agad,
}
_ALIKE = {
    "device_noise": 0.0, "cycle_noise": 0.0, "asymmetry_device_noise": 0.0,
    "upper_device_noise": 0.0, "lower_device_noise": 0.0,
}  # fmt: skip


def cases(folder: Path) -> dict[str, dict]:
    """Settings of every case, by name."""
    return json.loads((folder / "cases.json").read_text())


def recorded(folder: Path, name: str, mode: str):
    """Arrays by step and name, ``(out, in)``, and the errors of each step."""
    steps: dict[int, dict[str, np.ndarray]] = {}
    with (folder / f"{name}__{mode}.csv").open() as file:
        for row in csv.reader(file):
            if row[0] != "step":
                array = np.array(row[2:], np.float32).reshape(OUT, IN)
                steps.setdefault(int(row[0]), {})[row[1]] = array
    d = np.loadtxt(folder / f"{name}__{mode}__d.csv", delimiter=",", dtype=np.float32)
    return steps, d


def _update(given: dict) -> UpdateConfig:
    return UpdateConfig(
        trains="counted",
        length=given["desired_bl"],
        update_management=given["update_management"],
        length_management=given["update_bl_management"],
    )


def device(given: dict):
    """A device without spread."""
    common = {
        **_ALIKE, "step": given["dw_min"], "asymmetry": given["up_down"],
        "upper": given["w_max"], "lower": given["w_min"],
    }  # fmt: skip
    if given["class"] == "ConstantStepDevice":
        return ConstantStep(**common)
    if given["class"] == "LinearStepDevice":
        return LinearStep(
            **common, gamma_up=given["gamma_up"], gamma_down=given["gamma_down"],
            gamma_device_noise=0.0, multiplicative_noise=given["mult_noise"],
        )  # fmt: skip
    return SoftBounds(**common, symmetry_referenced=given["subtract_symmetry_point"])


def _transfers(given: dict) -> dict:
    gamma = given["gamma"]
    every = given["transfer_every_vec"] or [given["transfer_every"]]
    rates = given["transfer_lr_vec"] or [given["transfer_lr"]]
    n = len(given["unit_cell_devices"])
    settings = {
        "visible": float(gamma), "fast_rate": given["fast_lr"],
        "every": tuple(int(e) for e in every[: n - 1]), "reads": given["n_reads_per_transfer"],
        "transfer_rate": tuple(float(r) for r in rates[: n - 1]),
        "rate_scales": given["scale_transfer_lr"], "average_granularity": True,
        "read": EXACT_READ, "write": _update(given["transfer_update"]),
    }  # fmt: skip
    if given["class"] in ("TransferCompound", "BufferedTransferCompound"):
        settings |= {"arrays": n, "line": "word" if given["transfer_columns"] else "bit"}
    if given["class"] != "TransferCompound":
        settings |= {
            "momentum": given["momentum"], "forget": given["forget_buffer"],
            "longest": given["transfer_update"]["desired_bl"],
        }  # fmt: skip
    if given["class"] == "BufferedTransferCompound":
        settings |= {"granularity": given["thres_scale"]}
    elif given["class"] != "TransferCompound":
        settings |= {
            "granularity": given["buffer_granularity"], "chop": given["in_chop_prob"],
            "auto_granularity": float(given["auto_granularity"]),
            "auto_rate": given["auto_scale"], "auto_momentum": given["auto_momentum"],
            "follows_fast_rate": given["correct_gradient_magnitudes"],
        }  # fmt: skip
    if given["class"] == "DynamicTransferCompound":
        settings |= {"tail": given["tail_weightening"], "buffer_cap": given["buffer_cap"]}
    return settings


def tile_of(case: dict) -> Tile:
    """The tile of a case."""
    config = case["config"]
    given, update = config["device"], _update(config["update"])
    algorithm = Sgd()
    if given["class"] in KINDS:
        fast, *_, slow = (device(each) for each in given["unit_cell_devices"])
        algorithm = KINDS[given["class"]](**_transfers(given), fast_cell=fast)
        cell = slow
    elif given["class"] == "MixedPrecisionCompound":
        every = given["transfer_every"]
        algorithm = MixedPrecision(
            every=every, start=every + 1, line="bit", granularity=given["granularity"] or None,
            lines=None if given["n_rows_per_transfer"] < 0 else given["n_rows_per_transfer"],
            input_bins=given["n_x_bins"], error_bins=given["n_d_bins"],
            rounding="stochastic" if given["stoc_round_x"] else "nearest", write=update,
            longest=2**15 - 1,
        )  # fmt: skip
        cell = device(given["device"])
    elif given["class"] == "OneSidedUnitCell":
        cell = Pair(
            device=device(given["unit_cell_devices"][0]).model_copy(update={"one_way": True}),
            refresh=Refresh(
                every=given["refresh_every"], saturation=given["refresh_upper_thres"],
                difference=None, smaller=given["refresh_lower_thres"], reset=0.0, exact=True,
            ),
        )  # fmt: skip
    else:
        cell = device(given)
    tile = TileConfig(cell=algorithm.cell(cell), read=EXACT_READ, update=update)
    return Tile(tile, Block(tile=0, layer="", row=0, col=0, shape=(IN, OUT)), 1.0, seed=0)


def arrays(tile: Tile) -> dict[str, np.ndarray]:
    """What the traces record, under their names."""
    state = {name: array.T for name, array in tile.crossbar.state().items()}
    found = {"W": tile.weights.T}
    if "array0_conductance_0" in state:
        found |= _of_chain(tile, state)
    if "accumulator" in state:
        found["hidden_weights_chi"] = -state["accumulator"]
    if "conductance_1" in state:
        found["hidden_weights_0"] = state["conductance_1"]
        found["hidden_weights_1"] = state["conductance_0"]
    return found


def _of_chain(tile: Tile, state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    cell = tile.crossbar._cell
    algorithm = cell.algorithm
    found = {}
    for k in range(len(cell.cells)):
        conductance = state[f"array{k}_conductance_0"]
        found[f"hidden_weights_{k}"] = state.get(f"array{k}_seen_0", conductance)
    if isinstance(algorithm, TikiTaka2):
        buffer = state["link0_buffer"]
        if not isinstance(algorithm, ChoppedTikiTaka2):  # which count in pulses
            buffer = buffer * algorithm.granularity * cell.slow.granularity
        name = "buffered_FP_weight" if isinstance(algorithm, Agad) else "buffered_FP_weight_0"
        found[name] = buffer
    if isinstance(algorithm, Agad):
        found["running_mean_weight"] = state["link0_mean"]
        found["past_mean_weight"] = state["link0_past"]
    return found


__all__ = ["arrays", "cases", "recorded", "tile_of"]
