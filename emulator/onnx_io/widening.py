"""Windows over tensors whose first axis is not that of the examples."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from crossmesh.emulator.onnx_io.sketch import Sketch
from crossmesh.emulator.onnx_io.values import Constant, Use, Value, View

# What an attribute says of the axis that is put before the others.
ONE_MORE = {"kernel_shape": 1, "strides": 1, "dilations": 1, "output_padding": 0}


def by_example(
    translation: Callable[[Sketch, Use], list[Value]],
) -> Callable[[Sketch, Use], list[Value]]:
    """A translation that also takes tensors whose first axis is not that of the examples.

    It is one more axis to move over: windows of size 1 along it see each part by itself.
    """

    def translated(sketch: Sketch, use: Use) -> list[Value]:
        view = use.tensor(0)
        if not isinstance(view, View) or view.batch is not None or view.shape[0] == 1:
            return translation(sketch, use)
        order = [0, 2, 1, *range(3, view.rank + 1)]
        inputs: list[Any] = [view.expanded([0]).permuted(order), *use.inputs[1:]]
        if use.has(1) and isinstance(weight := use.tensor(1), Constant):
            inputs[1] = replace(weight, array=weight.array[:, :, None])
        attributes = type(use.attributes)(_widened(use.attributes, view.shape[0]))
        made = translation(sketch, replace(use, inputs=tuple(inputs), attributes=attributes))
        for name in getattr(attributes, "seen", ()):
            use.attributes.get(name)
        return [one.permuted(order).squeezed([0]) if isinstance(one, View) else one for one in made]

    return translated


def _widened(attributes: dict[str, Any], size: int) -> dict[str, Any]:
    """Attributes for one more axis of ``size``, before the others."""
    wide = dict(attributes)
    for name, value in ONE_MORE.items():
        if name in wide:
            wide[name] = [value, *wide[name]]
    if "pads" in wide:
        half = len(wide["pads"]) // 2
        wide["pads"] = [0, *wide["pads"][:half], 0, *wide["pads"][half:]]
    if "output_shape" in wide:
        wide["output_shape"] = [size, *wide["output_shape"]]
    return wide
