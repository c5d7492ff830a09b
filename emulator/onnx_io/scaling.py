"""Factors and offsets that the weights of a layer take up."""

import numpy as np

from crossmesh.emulator.onnx_io.values import Array, Index, Refusal, Source, View

AFFINE = ("linear", "conv")


def settled(view: View) -> View:
    """The view without a factor, which the weights of its source take up."""
    if view.factor == 1:
        return view
    multiples = view.source.multiples
    if view.factor not in multiples:
        factors = np.full(view.source.n_features, view.factor, np.float32)
        multiples[view.factor] = scaled(view.source, factors)
    return View(multiples[view.factor], view.order)


def scaled(source: Source, factors: Array) -> Source:
    """A source whose features are multiplied, by its own weights."""
    arrays = source.arrays
    factors = factors.astype(np.float32)
    if source.kind in AFFINE:
        column = factors.reshape(-1, *[1] * (arrays["weight"].ndim - 1))
        changed = {"weight": arrays["weight"] * column}
    elif source.kind == "embedding" or source.kind in {"batch_norm", "layer_norm"}:
        changed = {"weight": arrays["weight"] * factors}
    else:
        raise Refusal(f"values of a layer {source.kind} that are multiplied")
    if "bias" in arrays:
        changed["bias"] = arrays["bias"] * factors
    return source.changed(arrays=arrays | changed)


def shifted(source: Source, offsets: Array, hint: str = "") -> Source | None:
    """A source to whose features something is added, by its own weights, if it has any."""
    if source.kind not in {*AFFINE, "batch_norm", "layer_norm"}:
        return None
    bias = offsets.astype(np.float32)
    if "bias" in source.arrays:
        bias = source.arrays["bias"] + bias
    return source.changed(arrays=source.arrays | {"bias": bias}, hint=source.hint or hint)


def by_feature(view: View, array: Array) -> Array | None:
    """What an array says of each feature of a view's source, if it says the same everywhere."""
    if view.has_zeros:
        return None
    feature = view.places[2]
    return _by(feature, view.source.n_features, np.broadcast_to(array, view.shape))


def by_place(view: View, array: Array) -> Array | None:
    """What an array says of each value of an example, if it says the same of every example."""
    if view.has_zeros:
        return None
    size = view.source.size
    return _by(view.index % size, size, np.broadcast_to(array, view.shape))


def _by(key: Index, size: int, values: Array) -> Array | None:
    found = np.full(size, np.nan)
    found[key.ravel()] = values.ravel()
    if np.isnan(found).any() or not np.array_equal(found[key], values):
        return None
    return found.astype(np.float32)
