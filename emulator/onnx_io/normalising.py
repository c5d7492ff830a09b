"""Means and normalisation, also where an exporter took them apart."""

import numpy as np

from crossmesh.emulator.onnx_io.building import flat
from crossmesh.emulator.onnx_io.scaling import by_feature, settled
from crossmesh.emulator.onnx_io.values import Array, Refusal, Source, Use, Value, View

# Steps on the way to a normalisation of layers; the first is also a layer's mean.
MEAN, CENTRED, SQUARED, VARIANCE, SHIFTED, DEVIATION = (
    "mean", "centred", "squared", "variance", "variance with epsilon", "deviation",
)  # fmt: skip


def batch_norm(use: Use) -> list[Value]:
    """Normalisation of every feature; exported for training or not, it is the same layer."""
    if any(use.outputs[1:]):
        raise Refusal("new means as outputs")
    view = settled(use.view(0))
    parts = [use.needed(i) for i in range(1, 5)]
    try:
        arrays = _by_axis_1(view, parts)
    except Refusal:
        view = flat(view)
        arrays = _by_axis_1(view, parts)
    weight, bias, mean, variance = arrays
    settings = {"epsilon": _number(use.attributes.get("epsilon", 1e-5))}
    momentum = _number(1 - use.attributes.get("momentum", 0.9), digits=6)
    if 0 < momentum <= 1:
        settings["momentum"] = momentum
    made = view.source.after(
        "batch_norm",
        settings=settings,
        arrays={"weight": weight, "bias": bias, "running_mean": mean, "running_var": variance},
        hint=use.name_of(1, 2, 3, 4),
    )
    return [view.onto(made)]


def _number(value: float, digits: int = 7) -> float:
    """A float32 as people write it."""
    return float(f"{value:.{digits}g}")


def _by_axis_1(view: View, parts: list[Array]) -> list[Array]:
    trailing = [1] * (len(view.shape) - 2)
    if any(part.shape != view.shape[1:2] for part in parts):
        raise Refusal(f"parts of shape {parts[0].shape} for a tensor of shape {view.shape}")
    arrays = [by_feature(view, part.reshape(-1, *trailing)) for part in parts]
    found = [array for array in arrays if array is not None]
    if len(found) < len(parts):
        raise Refusal("an axis that is not the features")
    return found


def layer_norm(use: Use) -> list[Value]:
    """Normalisation over the features of each step, pixel or vector."""
    view = settled(use.view(0))
    axis = int(use.attributes.get("axis", -1)) % len(view.shape)
    if any(use.outputs[1:]):
        raise Refusal("means and deviations as outputs")
    view = _with_all_features(view, axis)
    return [
        _layer_norm(
            view,
            use.attributes.get("epsilon", 1e-5),
            {"weight": use.needed(1), "bias": _or_zeros(use)},
            use.name_of(1, 2),
        )
    ]


def _or_zeros(use: Use) -> Array:
    bias = use.constant(2)
    return np.zeros(1, np.float32) if bias is None else bias


def _with_all_features(view: View, axis: int) -> View:
    """The view, if all axes from ``axis`` on hold all features of a place; perhaps flattened."""
    if has_all_features(view, tuple(range(axis, len(view.shape)))):
        return view
    flattened = flat(view)
    if axis == 1 and has_all_features(flattened, (1,)):
        return View(flattened.source, flattened.index.reshape(view.shape))
    raise Refusal("axes that are not the features")


def has_all_features(view: View, axes: tuple[int, ...]) -> bool:
    """Whether these axes hold the features of one place, each once."""
    if view.has_zeros or view.source.layout in {"tokens", "pairs"}:
        return False
    example, position, feature = (_at_end(part, axes) for part in view.places)
    features = np.sort(feature, axis=1)
    return (
        feature.shape[1] == view.source.n_features
        and bool((example == example[:, :1]).all())
        and bool((position == position[:, :1]).all())
        and bool((features == np.arange(feature.shape[1])).all())
    )


def _at_end(array: Array, axes: tuple[int, ...]) -> Array:
    """(the rest, these axes)."""
    size = int(np.prod([array.shape[axis] for axis in axes]))
    return np.moveaxis(array, axes, range(-len(axes), 0)).reshape(-1, size)


def _layer_norm(view: View, epsilon: float, parts: dict[str, Array], hint: str) -> View:
    arrays = {name: by_feature(view, part) for name, part in parts.items()}
    if any(array is None for array in arrays.values()):
        raise Refusal("factors that differ between places")
    made = view.source.after(
        "layer_norm",
        settings={"epsilon": _number(epsilon)},
        arrays={name: array for name, array in arrays.items() if array is not None},
        hint=hint,
    )
    return view.onto(made)


def mean(use: Use) -> list[Value]:
    """A mean over all pixels or steps, or over the features as a step to a layer norm."""
    view = settled(use.view(0))
    rank = len(view.shape)
    axes = tuple(axis % rank for axis in use.numbers("axes", 1) or range(rank))
    keeps = bool(use.attributes.get("keepdims", 1))
    shape = tuple(1 if a in axes else n for a, n in enumerate(view.shape) if keeps or a not in axes)
    return [_mean(view, tuple(sorted(axes)), shape)]


def global_average_pool(use: Use) -> list[Value]:
    """The mean over all axes behind the features."""
    view = settled(use.view(0))
    rank = len(view.shape)
    return [_mean(view, tuple(range(2, rank)), view.shape[:2] + (1,) * (rank - 2))]


def _mean(view: View, axes: tuple[int, ...], shape: tuple[int, ...]) -> View:
    source = view.source
    if view.has_zeros or source.layout == "tokens":
        raise Refusal("a mean of tokens or zeros")
    if source.layout in {"image", "sequence"} and _has_all_positions(view, axes):
        made = source.after("global_pool", layout="flat", shape=(source.n_features,))
        example, _, feature = (_at_end(part, axes)[:, 0] for part in view.places)
        return View(made, made.number(example, np.int64(0), feature).reshape(shape))
    if has_all_features(view, axes):
        kind = VARIANCE if source.kind == SQUARED else MEAN
        pooled = source.after(kind, settings=source.settings)
        return View(pooled, _at_end(view.index, axes)[:, 0].reshape(shape))
    raise Refusal("a mean that is not over all pixels, steps or features")


def _has_all_positions(view: View, axes: tuple[int, ...]) -> bool:
    example, position, feature = (_at_end(part, axes) for part in view.places)
    n = view.source.n_positions
    return (
        position.shape[1] == n
        and bool((np.sort(position, axis=1) == np.arange(n)).all())
        and bool((example == example[:, :1]).all())
        and bool((feature == feature[:, :1]).all())
    )


def _are_beside(left: View, right: View) -> bool:
    """Whether the means at the right are those of the values at the left."""
    pairs = zip(left.places[:2], right.places[:2], strict=True)
    return all(np.array_equal(a, np.broadcast_to(b, a.shape)) for a, b in pairs)


def _of(source: Source) -> Source:
    """The source whose features are normalised."""
    return source.inputs[0]


def centred(left: View, right: View) -> View | None:
    """``x - mean(x)``."""
    is_mean = right.source.kind == MEAN and _of(right.source) is left.source
    if is_mean and left.factor == right.factor == 1 and _are_beside(left, right):
        return left.onto(left.source.after(CENTRED))
    return None


def squared(view: View) -> View | None:
    """``(x - mean(x)) ** 2``."""
    if view.source.kind == CENTRED and view.factor == 1:
        return view.onto(view.source.after(SQUARED))
    return None


def with_epsilon(view: View, epsilon: float) -> View | None:
    """``variance + epsilon``."""
    if view.source.kind == VARIANCE and view.factor == 1:
        return view.onto(view.source.after(SHIFTED, settings={"epsilon": epsilon}))
    return None


def deviation(use: Use) -> list[Value]:
    """The root of a variance."""
    view = use.view(0)
    if view.source.kind != SHIFTED or view.factor != 1:
        raise Refusal("")
    return [view.onto(view.source.after(DEVIATION, settings=view.source.settings))]


def normalised(left: View, right: View) -> View | None:
    """``(x - mean(x)) / deviation``, as a layer norm whose factors are one."""
    root = right.source
    if root.kind != DEVIATION or left.source.kind != CENTRED:
        return None
    variance = _of(_of(root))
    if _of(_of(variance)) is not left.source or left.factor != 1 or right.factor != 1:
        return None
    if not _are_beside(left, right):
        return None
    view = left.onto(_of(left.source))
    ones = {"weight": np.ones(1), "bias": np.zeros(1)}
    return _layer_norm(view, root.settings["epsilon"], ones, "")
