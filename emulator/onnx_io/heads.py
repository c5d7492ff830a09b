"""Queries, keys and values of attention, and one source that gives all of them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from crossmesh.emulator.onnx_io.building import selected
from crossmesh.emulator.onnx_io.scaling import AFFINE
from crossmesh.emulator.onnx_io.values import Array, Index, Refusal, Source


@dataclass(frozen=True, eq=False, kw_only=True)
class Heads:
    """Queries, keys or values.

    Attributes:
        source: What makes them.
        features: (heads, features of a head), numbers of features of the source.
    """

    source: Source
    features: Index

    @property
    def flat(self) -> Index:
        """Its features, head by head."""
        return self.features.ravel()


@dataclass(frozen=True, eq=False, kw_only=True)
class Products:
    """Products of queries and keys on the way to shares.

    Attributes:
        queries: The queries.
        keys: The keys.
        scale: What the products are multiplied by.
        seen: (steps, steps), whether a row's step sees a column's; None: all.
        stage: Whether the softmax is done.
    """

    queries: Heads
    keys: Heads
    scale: float = 1.0
    seen: Array | None = None
    stage: Literal["scores", "shares"] = "scores"


def side_by_side(products: Products, values: Heads, factor: float) -> Source:
    """Queries, keys and values as the features of one source."""
    n = products.queries.features.shape[1]
    scale = products.scale * n**0.5  # the layer's own is 1 / sqrt(n)
    if abs(scale - 1) < 1e-4:
        scale = 1.0
    parts = [(products.queries, scale), (products.keys, 1.0), (values, factor)]
    first = values.source
    together = np.concatenate([heads.flat for heads, _ in parts])
    is_plain = all(part_factor == 1 for _, part_factor in parts)
    if (
        is_plain
        and all(heads.source is first for heads, _ in parts)
        and np.array_equal(together, np.arange(first.n_features))
    ):
        return first
    if all(heads.source.kind == "linear" for heads, _ in parts) and all(
        heads.source.inputs == first.inputs for heads, _ in parts
    ):
        return _merged(parts)
    sources = tuple(_as_source(heads, part_factor) for heads, part_factor in parts)
    shape = (first.shape[0], len(together))
    return first.after("concat", inputs=sources, shape=shape)


def _merged(parts: list[tuple[Heads, float]]) -> Source:
    """One linear layer in place of several, or of one in another order."""
    weights = [heads.source.arrays["weight"][heads.flat] * factor for heads, factor in parts]
    arrays = {"weight": np.concatenate(weights).astype(np.float32)}
    if any("bias" in heads.source.arrays for heads, _ in parts):
        biases = [
            heads.source.arrays.get("bias", np.zeros(heads.source.n_features))[heads.flat] * factor
            for heads, factor in parts
        ]
        arrays["bias"] = np.concatenate(biases).astype(np.float32)
    first = parts[0][0].source
    shape = (first.shape[0], len(arrays["weight"]))
    hints = [heads.source.hint for heads, _ in parts]
    return first.changed(shape=shape, arrays=arrays, settings={}, hint=common_name(hints))


def _as_source(heads: Heads, factor: float) -> Source:
    """A source of just these features."""
    if heads.source.kind in AFFINE:
        if factor == 1 and np.array_equal(heads.flat, np.arange(heads.source.n_features)):
            return heads.source
        return _merged([(heads, factor)])
    if factor != 1:
        raise Refusal("a scale other than the root of a head's features")
    if np.array_equal(heads.flat, np.arange(heads.source.n_features)):
        return heads.source
    return selected(heads.source, heads.flat)


def common_name(hints: list[str]) -> str:
    """What names have in common, up to a dot; the first, where that is nothing."""
    common = []
    for parts in zip(*(hint.split(".") for hint in hints), strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return ".".join(common) or hints[0]
