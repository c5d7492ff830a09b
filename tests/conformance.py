"""Cases of the ONNX standard's own test suite, read and computed on exact matrices.

``python -m tests.conformance`` prints what came of them, and ``--write`` renews the list in
``docs/validation/onnx.md``.
"""

import argparse
import collections
import math
import re
import sys
import tempfile
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.onnx_io.reading import read_onnx
from tests.exact import outputs

PAGE = Path(__file__).parents[1] / "docs/validation/onnx.md"
TOLERANCE = 1e-3  # of the largest number, as the suite's own
RIGHT, REFUSED, WRONG, CRASH, OTHER = "right", "refused", "wrong", "crash", "not numbers"


class Outcome(NamedTuple):
    """What came of a case."""

    name: str
    operator: str
    status: str
    reason: str = ""


def cases():
    """The cases of single operators."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return collect_testcases(None)


def numbers(value):
    """A tensor of numbers, or None."""
    if not isinstance(value, np.ndarray | np.generic | float | int):
        return None
    array = np.asarray(value)
    return array if array.dtype.kind in "fiub" and array.dtype.names is None else None


def models(case):
    """Models of a case with fewer and fewer inputs that are data, and these data."""
    given, wanted = case.data_sets[0]
    names = [entry.name for entry in case.model.graph.input]
    arrays = {name: numbers(value) for name, value in zip(names, given, strict=False)}
    used = [i for i, value in enumerate(wanted) if numbers(value) is not None]
    if not arrays or any(array is None for array in arrays.values()) or not used:
        return
    first = next(iter(arrays))
    floats = [name for name, array in arrays.items() if array.dtype.kind == "f"]
    for data in dict.fromkeys((tuple(arrays), tuple(floats), (first,))):
        for is_wrapped in (False, True) if data else ():
            yield _model(case.model, arrays, data, is_wrapped=is_wrapped), [arrays[n] for n in data]


def _model(model, arrays, data, *, is_wrapped):
    """The model with some inputs as constants, the others perhaps behind an axis of one example."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    made.ir_version = max(made.ir_version, 4)  # from which on constants are no inputs
    if not any(entry.domain in {"", "ai.onnx"} for entry in made.opset_import):
        made.opset_import.append(helper.make_opsetid("", 18))
    graph = made.graph
    kept = [entry for entry in graph.input if entry.name in data]
    nodes = list(graph.node)
    constants = [
        numpy_helper.from_array(np.asarray(array), name)
        for name, array in arrays.items()
        if name not in data
    ]
    inputs = []
    for entry in kept:
        shape, kind = arrays[entry.name].shape, entry.type.tensor_type.elem_type
        if is_wrapped:
            sizes = np.array(shape, np.int64)
            constants.append(numpy_helper.from_array(sizes, f"shape of {entry.name}"))
            names = [f"given {entry.name}", f"shape of {entry.name}"]
            nodes.insert(0, helper.make_node("Reshape", names, [entry.name]))
            inputs.append(helper.make_tensor_value_info(f"given {entry.name}", kind, (1, *shape)))
        else:
            inputs.append(helper.make_tensor_value_info(entry.name, kind, shape))
    del graph.input[:]
    graph.input.extend(inputs)
    graph.initializer.extend(constants)
    del graph.node[:]
    graph.node.extend(nodes)
    return made


def run(case, folder):
    """What came of a case: right if any of its models is, wrong if any of them is."""
    node = case.model.graph.node
    operator = node[0].op_type if len(node) == 1 else "several"
    found = Outcome(case.name, operator, OTHER)
    for model, data in models(case) or ():
        for k, wanted in enumerate(case.data_sets[0][1]):
            array = numbers(wanted)
            if array is None:
                continue
            output = case.model.graph.output[k].name
            one = _one(model, data, output, array, folder)
            if one[0] in {WRONG, CRASH}:
                return Outcome(case.name, operator, *one)
            if found.status != RIGHT:
                found = Outcome(case.name, operator, *one)
            if one[0] == REFUSED:
                break
        if found.status == RIGHT:
            return found
    return found


def _one(model, arrays, output, wanted, folder):
    file = Path(folder) / "case.onnx"
    try:
        onnx.save(model, file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read = read_onnx(file, softmax=False, output=output)
            if len(read.inputs) != len(arrays):
                return REFUSED, "inputs that nothing depends on"
            n = max(1, arrays[0].size // max(1, math.prod(read.inputs[0].shape)))
            rows = [np.asarray(a, np.float32).reshape(n, -1) for a in arrays]
            x = np.concatenate(rows, 1).reshape(n, *read.input_shape)
            with np.errstate(all="ignore"):
                y = outputs(read, x)
    except ConfigError as error:
        return REFUSED, str(error)
    except Exception as error:
        return CRASH, f"{type(error).__name__}: {error}"[:300]
    return (RIGHT, "") if _is_close(y, wanted) else (WRONG, f"{y.shape} for {wanted.shape}")


def _is_close(y, wanted):
    if y.size != wanted.size:
        return False
    a, b = y.reshape(wanted.shape).astype(float), wanted.astype(float)
    finite = b[np.isfinite(b)]
    scale = max(1e-3, float(np.abs(finite).max(initial=0)))
    return bool(np.allclose(a, b, rtol=0, atol=TOLERANCE * scale, equal_nan=True))


def run_all(chosen=None):
    """Outcomes of all cases."""
    with tempfile.TemporaryDirectory() as folder:
        return [run(case, folder) for case in cases() if chosen is None or chosen(case)]


def page(found):
    """What came of all cases, as a page of the documentation."""
    counts = collections.Counter(outcome.status for outcome in found)
    n = len(found) - counts[OTHER]
    refused = collections.defaultdict(list)
    for outcome in found:
        if outcome.status == REFUSED:
            refused[_reason(outcome.reason)].append(f"`{outcome.name.removeprefix('test_')}`")
    reasons = sorted(refused.items(), key=lambda item: (-len(item[1]), item[0]))
    rows = [f"| {reason} | {', '.join(sorted(names))} |" for reason, names in reasons]
    figures = " | ".join(f"{counts[status]:,}" for status in (RIGHT, REFUSED, WRONG, CRASH, OTHER))
    return PAGE_TEXT.format(
        version=onnx.__version__, cases=len(found), n=n, tolerance=TOLERANCE, figures=figures,
        rows="\n".join(rows),
    )  # fmt: skip


PAGE_TEXT = """# Operators of the ONNX standard

The standard's own test suite (onnx {version}) has {cases:,} cases of single operators and of
functions that it writes for them, {n:,} of which are of numbers alone. Each is read as by
`network.onnx` and computed on exact matrices; a value is right within {tolerance:g} of the largest.
`python -m tests.conformance --write` renews this page.

| right | refused | wrong | crashed | not of numbers |
|---|---|---|---|---|
| {figures} |

## Refused

| reason | cases |
|---|---|
{rows}
"""


def _reason(text):
    """Why a file was refused, without the names of its nodes."""
    text = text.removeprefix("network.onnx must use supported operators, got ")
    text = re.sub(r" at node [^ ;]*", "", text.split("; ")[0])
    text = re.sub(r"got \S+/case.onnx", "got the file", text)
    return text.replace("|", ",")


def main():
    """Print what came of all cases, or of those that are named, and renew the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help="of names of cases; all cases without")
    parser.add_argument("--write", action="store_true", help="renew the page, from all cases")
    options = parser.parse_args()
    if options.write and options.parts:
        parser.error("--write must come without names of cases")
    found = run_all(lambda case: not options.parts or any(p in case.name for p in options.parts))
    for outcome in found:
        if outcome.status in {WRONG, CRASH} or options.parts:
            sys.stdout.write(f"{outcome}\n")
    sys.stdout.write(f"{collections.Counter(outcome.status for outcome in found)}\n")
    if options.write:
        PAGE.write_text(page(found))


if __name__ == "__main__":
    main()
