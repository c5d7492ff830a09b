"""Models, measurements, checkpoints, studies and clusters that are broken; paths of every kind."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from random import Random
from typing import Any

import msgpack
import numpy as np

from tests.fuzz.bytes import LETTERS, mutated, mutated_text
from tests.fuzz.data import command
from tests.jobs import TABLES, small_config, steps

NUMBERS = (-(2**63), -1, 0, 1, 2, 3, 7, 10**6, 2**31, 2**62, 2**63 - 1)


def onnx_model(rng: Random, folder: Path) -> list[str]:
    """A model of a few operators, with attributes, shapes and names that no exporter writes."""
    model = rng.choice([_plain, _convolution, _functions])(rng)
    for _ in range(rng.randint(0, 2)):
        _change(model, rng)
    content = model.SerializeToString()
    (folder / "m.onnx").write_bytes(mutated(content, rng) if rng.random() < 0.3 else content)
    network = {"onnx": "m.onnx"}
    arguments = command(folder, network=network)
    return [*arguments, "--examples", "8", "--set", "training.test_examples=4"]


def _plain(rng: Random) -> Any:
    from onnx import helper

    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"], transB=1),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "v", "c"], ["y"], transB=1),
    ]
    arrays = {"w": (9, 64), "b": (9,), "v": (10, 9), "c": (10,)}
    return _model(nodes, arrays, ("n", 64))


def _convolution(rng: Random) -> Any:
    from onnx import helper

    nodes = [
        helper.make_node("Conv", ["x", "k"], ["h"], strides=[1, 1], pads=[0, 0, 0, 0]),
        helper.make_node("MaxPool", ["h"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"], axis=1),
        helper.make_node("Gemm", ["f", "v"], ["y"]),
    ]
    return _model(nodes, {"k": (2, 1, 3, 3), "v": (18, 10)}, ("n", 1, 8, 8))


def _functions(rng: Random) -> Any:
    from onnx import helper

    model = _plain(rng)
    depth, times = rng.choice([(2, 2), (30, 2), (4, 50)])
    ends = [helper.make_node("Relu", ["a"], ["b"])]
    for n in range(depth):
        names = ["a", *(f"t{k}" for k in range(times - 1)), "b"]
        nodes = ends if n == 0 else [
            helper.make_node(f"f{n - 1}", [names[k]], [names[k + 1]], domain="mine")
            for k in range(times)
        ]  # fmt: skip
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
        model.functions.append(helper.make_function("mine", f"f{n}", ["a"], ["b"], nodes, opsets))
    model.opset_import.append(helper.make_opsetid("mine", 1))
    node = model.graph.node[1]
    node.op_type, node.domain = f"f{depth - 1 if rng.random() < 0.9 else 0}", "mine"
    return model


def _model(nodes: list[Any], arrays: dict[str, tuple[int, ...]], shape: tuple[Any, ...]) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", 10))],
        [numpy_helper.from_array(np.ones(s, np.float32), name) for name, s in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _change(model: Any, rng: Random) -> None:  # noqa: C901  because it is a list of changes
    from onnx import helper

    node, tensor = rng.choice(model.graph.node), rng.choice(model.graph.initializer)
    long = rng.choice(["x" * 70_000, "", "\x1b[2J", "a/../../b", "é", "x"])
    match rng.randrange(8):
        case 0:
            names = ("strides", "pads", "kernel_shape", "axis", "group", "dilations", "transB",
                     "num_outputs", "alpha", "ceil_mode", "auto_pad", "unknown")  # fmt: skip
            value = rng.choice([*NUMBERS, [0, 0], [2**62, 1], [-1, -1], [1] * 9, 1e38, "SAME", []])
            if value != []:
                node.attribute.append(helper.make_attribute(rng.choice(names), value))
        case 1:
            for attribute in node.attribute:
                for k in range(len(attribute.ints)):
                    attribute.ints[k] = rng.choice(NUMBERS)
        case 2:
            tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(NUMBERS)
        case 3:
            node.op_type = rng.choice(
                [
                    "Split",
                    "Tile",
                    "Pad",
                    "Resize",
                    "Expand",
                    "Loop",
                    "Sin",
                    "LSTM",
                    "Concat",
                    "Range",
                    "ConstantOfShape",
                    long,
                ]
            )
        case 4:
            node.name, tensor.name = long, rng.choice([long, tensor.name])
        case 5:
            dims = model.graph.input[0].type.tensor_type.shape.dim
            dims[rng.randrange(len(dims))].dim_value = rng.choice(NUMBERS)
        case 6:
            tensor.data_type = rng.randrange(0, 30)
        case 7:
            entry = tensor.external_data.add()
            entry.key, entry.value = "location", rng.choice(["../x", "/dev/zero", long, "c.yaml"])
            tensor.data_location = 1


def measurement(rng: Random, folder: Path) -> list[str]:
    """A measured pulse response with cells and lines that are something else."""
    rows = ["up,down"] + [f"{1e-6 * k:.3g},{1e-6 * (40 - k):.3g}" for k in range(40)]
    if rng.random() < 0.5:
        rows = ["device,direction,pulse,conductance"]
        rows += [f"a,{d},{k},{k if d == 'up' else 40 - k}" for d in ("up", "down")
                 for k in range(40)]  # fmt: skip
    values = ("nan", "inf", "1e400", "-1", "", "9" * 5000, "x", "1e-320", '"', "\0", "1e18", "0")
    for _ in range(rng.randint(0, 3)):
        k = rng.randrange(len(rows))
        cells = rows[k].split(",")
        cells[rng.randrange(len(cells))] = rng.choice(values)
        rows[k] = ",".join(cells)
    content = "\n".join(rows)
    if rng.random() < 0.4:
        content = mutated_text(content, rng)
    name = rng.choice(["m.csv", "m.csv", "m.csv", "m.parquet"])
    (folder / name).write_text(content, "utf-8", "surrogatepass")
    return ["devices", "fit", name, "--output", "fit.yaml"]


def device_file(rng: Random, folder: Path) -> list[str]:
    """A device file with other numbers, or that is no YAML."""
    trees: list[dict[str, Any]] = [
        {"kind": "jump_table", "tables": TABLES},
        {"kind": "soft_bounds", "step": 0.01, "stuck": {"fraction": 0.1}},
        {"kind": "pair", "device": {"kind": "pcm"}},
    ]
    text = json.dumps(json.loads(json.dumps(rng.choice(trees), default=_plainly)))
    (folder / "d.yaml").write_text(mutated_text(text, rng), "utf-8", "surrogatepass")
    tree = small_config().model_dump(mode="json")
    tree["tile"]["cell"] = {"extends": "d.yaml"}
    (folder / "c.yaml").write_text(json.dumps(tree))
    return [rng.choice(["map", "chip"]), "c.yaml"]


def _plainly(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else list(value)


def checkpoint(rng: Random, folder: Path) -> list[str]:
    """A run whose checkpoints, or what else it left, are changed."""
    shutil.copytree(folder.parent / "finished", folder / "run")
    files = [path for path in sorted((folder / "run").rglob("*")) if path.is_file()]
    match rng.randrange(4):
        case 0:
            _stray(folder / "run" / "checkpoints", rng)
        case 1:
            _signed(rng.choice(steps(folder / "run")), rng)
        case _:
            path = rng.choice(files)
            path.write_bytes(mutated(path.read_bytes(), rng))
    return ["resume", "run", "--epochs", "3", "--engine", "local", "--quiet"]


def _stray(folder: Path, rng: Random) -> None:
    path = folder / rng.choice(["step-999999999999", "step-x", "step-", ".step-000000000009.ab"])
    if rng.random() < 0.5:
        path.mkdir()
        path /= rng.choice(["manifest.msgpack", "tile-000000.arrow"])
    make = rng.choice(
        [
            os.mkfifo,
            Path.mkdir,
            lambda p: p.symlink_to(p),
            Path.touch,
            lambda p: p.symlink_to("/dev/zero"),
            lambda p: p.write_bytes(b"x" * 99),
        ]
    )
    make(path)


def _signed(step: Path, rng: Random) -> None:
    """Change a checkpoint and sign it, so that its checksums hold."""
    manifest = step / "manifest.msgpack"
    body = msgpack.unpackb(msgpack.unpackb(manifest.read_bytes())["body"])
    if rng.random() < 0.5:
        tile = rng.choice(sorted(step.glob("*.arrow")))
        tile.write_bytes(mutated(tile.read_bytes(), rng))
        body["files"][tile.name] = hashlib.sha256(tile.read_bytes()).hexdigest()
    else:
        where = rng.choice([body, body["history"]])
        where[rng.choice([*where])] = rng.choice([-1, -50, 10**18, 1e308, None, [], {}, "x", [[]]])
    packed = msgpack.packb(body)
    digest = hashlib.sha256(packed).hexdigest()
    manifest.write_bytes(msgpack.packb({"sha256": digest, "body": packed}))


def place(rng: Random, folder: Path) -> list[str]:
    """Something else than a file where a file, or a folder, is asked for."""
    name = rng.choice(["f", "é" * 100, "x" * 300, "a\x1b[2J", "-x"])
    path = folder / name
    kinds = (os.mkfifo, Path.mkdir, lambda p: p.symlink_to(p), Path.touch, lambda p: None,
             lambda p: p.symlink_to("/dev/zero"), lambda p: p.symlink_to("/proc/self/mem"),
             lambda p: p.symlink_to("/proc/kmsg"), lambda p: p.symlink_to("/proc/cpuinfo"),
             lambda p: p.symlink_to("/dev/full"))  # fmt: skip
    if len(name) < 256:
        rng.choice(kinds)(path)
    given = f"./{name}"
    fields = ("data={source: npz, file: F}", "data={source: parquet, file: F}", "weights=F",
              "data={source: text, file: F}", "data={source: idx, directory: F}",
              "data={source: mnist, directory: F}", "data={source: cifar10, directory: F}",
              "network={onnx: F}", "tile.cell={extends: F}", "chip.components=F",
              "checkpoint.storage=F")  # fmt: skip
    commands = [["map", "digits", "--set", field.replace("F", json.dumps(given))]
                for field in fields]  # fmt: skip
    commands += [["map", given], ["resume", given], ["devices", "fit", given, "--output", "o.yaml"],
                 ["study", given], ["launch", given, "digits", "--dry-run"], ["report", given],
                 ["evaluate", given], ["export", given, "--npz", "o.npz"],
                 ["watch", given, "--once"]]  # fmt: skip
    return rng.choice(commands)


def study(rng: Random, folder: Path) -> list[str]:
    """A study, or a cluster, that is broken."""
    tree = {"name": "s", "seeds": [0], "runs": [{"config": "nothing", "set": {"seed": 1}}]}
    texts = [json.dumps(tree), "kind: slurm\nnodes: 2\n", "kind: local\n", "extends: local\n"]
    text = mutated_text(rng.choice(texts), rng) + rng.choice(LETTERS)
    (folder / "s.yaml").write_text(text, "utf-8", "surrogatepass")
    commands = (["study", "s.yaml", "--output", "o"], ["launch", "s.yaml", "digits", "--dry-run"])
    return rng.choice(commands)
