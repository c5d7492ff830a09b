"""A network that is being made of an ONNX graph: layers so far, and how tensors become operands."""

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossmesh.emulator.onnx_io.values import (
    Array,
    Axes,
    Constant,
)

INPUT = "input"
ON_TILES = {"linear", "conv"}  # also where they share the tiles of others
Array32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False, kw_only=True)
class SketchedLayer:
    """A layer of the network.

    Attributes:
        kind: Its kind.
        name: Its name.
        inputs: Names of the layers that feed it.
        axes: Sizes of the axes of its value as it lies, the examples not counted.
        settings: Fields of the layer.
        arrays: Its weights by the end of their names.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    axes: Axes
    settings: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, Array32] = field(default_factory=dict)


class Sketch:
    """Layers so far.

    Args:
        n: Examples that the shapes of the file stand for.
        axes: Axes of an example of the input, as it lies.
        trained: Names of the parameters that training changes; None: inferred from their use.
        tokens: Whether an example of the input is tokens.

    Attributes:
        hint: What the next layers may be called.
        counts_examples: Whether something may follow from the number of examples.
    """

    def __init__(
        self, n: int, axes: Axes, trained: frozenset[str] | None = None, *, tokens: bool = False
    ) -> None:
        self.n = n
        self.tokens = tokens
        self.steps: dict[str, SketchedLayer] = {
            INPUT: SketchedLayer(kind=INPUT, name=INPUT, inputs=(), axes=axes),
        }
        self.hint = ""
        self.counts_examples = False
        self._trained = trained
        self._learning: set[str] = set()  # layers behind something that learns
        self._held: dict[int, tuple[Constant, str]] = {}
        self._shared: dict[tuple[str, str], list[str]] = {}  # layers by kind and parameter

    def fingerprint(self) -> list[tuple[Any, ...]]:
        """What the layers are, to compare with those of another sketch."""
        return [
            (
                *(step.name, step.inputs, step.axes, repr(step.settings)),
                *(zlib.crc32(array.tobytes()) for array in step.arrays.values()),
            )
            for step in self.steps.values()
        ]

    # Layers

    def add(
        self,
        kind: str,
        inputs: Sequence[str],
        axes: Sequence[int],
        *,
        hint: str = "",
        settings: Mapping[str, Any] | None = None,
        arrays: Mapping[str, Array] | None = None,
    ) -> str:
        """Add a layer, whose name is returned."""
        name = self._new_name(hint or self.hint or f"{kind}{len(self.steps) - 1}")
        self.steps[name] = SketchedLayer(
            kind=kind,
            name=name,
            inputs=tuple(inputs),
            axes=tuple(axes),
            settings=dict(settings or {}),
            arrays={suffix: _as_weights(array) for suffix, array in (arrays or {}).items()},
        )
        frozen = bool((settings or {}).get("frozen"))
        if kind in ON_TILES or (arrays and not frozen) or self._learning & set(inputs):
            self._learning.add(name)
        return name

    def _new_name(self, hint: str) -> str:
        wanted = re.sub(r"[^A-Za-z0-9_-]", "-", hint).strip("-_") or "layer"
        name, count = wanted, 1
        while name in self.steps:
            count += 1
            name = f"{wanted}-{count}"
        return name

    def called(self, operator: str) -> str:
        """What a layer of an operator may be called: after its module, if that is known."""
        if not self.hint:
            return f"{operator}{len(self.steps) - 1}"
        return self.hint if operator in self.hint else f"{self.hint}-{operator}"

    def learns(self, made: str) -> bool:
        """Whether a layer has something that learns, or is behind something that does."""
        return made in self._learning

    def is_trained(self, constant: Constant, made: str) -> bool:
        """Whether training changes a constant that meets the value of a layer."""
        if constant.kind != "f" or not constant.name or not np.isfinite(constant.array).all():
            return False
        if self._trained is not None:
            return constant.name in self._trained
        is_named = constant.name.rpartition(".")[2] in {"weight", "bias", "gamma", "beta"}
        if not is_named and _is_mask(constant.array):
            return False
        return self.learns(made) and (constant.array.size > 1 or is_named)

    def held(self, constant: Constant) -> str | None:
        """The layer that gives a constant, if there is one."""
        known = self._held.get(id(constant))
        return None if known is None else known[1]

    def hold(self, constant: Constant, name: str) -> None:
        """Note which layer gives a constant."""
        self._held[id(constant)] = constant, name

    def is_owner(self, name: str) -> bool:
        """Whether other layers share the tiles of a layer."""
        return any(step.settings.get("share") == name for step in self.steps.values())

    def shared(self, kind: str, parameter: str, arrays: Mapping[str, Array]) -> str | None:
        """The layer that has the same parameters of the file, if there is one."""
        for name in self._shared.get((kind, parameter), ()):
            there = self.steps[name].arrays
            if there.keys() == arrays.keys() and all(
                np.array_equal(there[suffix], array) for suffix, array in arrays.items()
            ):
                return name
        return None

    def remember(self, kind: str, parameter: str, name: str) -> None:
        """Note which layer has a parameter of the file, so that others can share its tiles."""
        if parameter:
            self._shared.setdefault((kind, parameter), []).append(name)

    def give_bias(self, name: str, bias: Array) -> None:
        """Give a linear layer the bias that it lacks; it may then be like one before it."""
        step = self.steps[name]
        settings = step.settings | {"bias": True}
        arrays = step.arrays | {"bias": _as_weights(bias)}
        for (kind, parameter), names in self._shared.items():
            if name in names:
                names.remove(name)
                shared = self.shared(kind, parameter, arrays)
                if shared is None:
                    names.append(name)
                else:
                    settings, arrays = settings | {"share": shared}, {}
                break
        self.steps[name] = replace(step, settings=settings, arrays=arrays)


def _is_mask(array: Array) -> bool:
    """Whether numbers say what is left out: 0 and 1, or 0 and one that is far below."""
    values = np.unique(array)
    return len(values) == 2 and (set(values) == {0.0, 1.0} or values[0] <= -1e4)


def _as_weights(array: Array) -> Array32:
    return np.asarray(array, np.float32, order="C")
