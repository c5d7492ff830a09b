"""Layers that views ask for: linear layers, selections, flattened images, last steps."""

import numpy as np

from crossmesh.emulator.onnx_io.scaling import settled
from crossmesh.emulator.onnx_io.values import ZERO, Array, Index, Refusal, Source, View


def linear(view: View, weight: Array, hint: str) -> View:
    """A linear layer of the last axis.

    Args:
        view: What feeds it.
        weight: (inputs, outputs).
        hint: What it may be called.
    """
    n_inputs, n_outputs = weight.shape
    if view.shape[-1:] != (n_inputs,):
        raise Refusal(f"{n_inputs} inputs from a tensor of shape {view.shape}")
    weight = weight.astype(np.float32) * np.float32(view.factor)
    rows = View(view.source, view.index.reshape(-1, n_inputs))
    source = view.source
    if source.layout in {"tokens", "pairs"}:
        raise Refusal(f"an input of {source.layout}")
    if _takes_whole_examples(rows):
        order = _per_example(rows, weight, hint)
    else:
        order = _per_position(rows, weight, hint)
    return View(order.source, order.index.reshape(*view.shape[:-1], n_outputs))


def _takes_whole_examples(rows: View) -> bool:
    source = rows.source
    if source.layout == "flat" or (source.layout == "image" and source.n_positions == 1):
        return True
    position = np.ma.masked_array(rows.index, rows.index == ZERO) % source.size
    position = (
        position % source.n_positions
        if source.layout == "image"
        else (position // source.n_features)
    )
    return bool((position.max(axis=1) != position.min(axis=1)).any())


def _per_example(rows: View, weight: Array, hint: str) -> View:
    source, index = rows.source, rows.index
    taken = np.where(index == ZERO, ZERO, index % source.size)
    examples = np.arange(source.examples)[:, None]
    if (
        index.shape[0] != source.examples
        or not ((taken == taken[0]) & ((index == ZERO) | (index // source.size == examples))).all()
    ):
        raise Refusal("rows that are not the values of one example each")
    full = _spread(weight, taken[0], source.size)
    if source.layout == "sequence":
        full = full[channel_by_channel(source)]
        source = flattened(source)
    made = source.after(
        "linear", layout="flat", shape=(weight.shape[1],), arrays={"weight": full.T}, hint=hint
    )
    return View(made)


def _per_position(rows: View, weight: Array, hint: str) -> View:
    source = rows.source
    example, position, feature = common_features(rows)
    if source.layout == "sequence" and _is_last_step(source, example, position):
        source = last(source)
        position = np.zeros_like(position)
    elif not _is_every_position(source, example, position):
        raise Refusal("some of the steps or pixels only")
    full = _spread(weight, feature, source.n_features).T
    n_outputs = weight.shape[1]
    if source.layout == "image":
        made = source.after(
            "conv",
            shape=(n_outputs, *source.shape[1:]),
            settings={"kernel": 1},
            arrays={"weight": full[:, :, None, None]},
            hint=hint,
        )
    else:
        shape = (*source.shape[:-1], n_outputs)
        made = source.after("linear", shape=shape, arrays={"weight": full}, hint=hint)
    return View(made, made.number(example[:, None], position[:, None], np.arange(n_outputs)))


def common_features(rows: View) -> tuple[Index, Index, Index]:
    """Example and position of each row, and the features that all rows have; ZERO for none."""
    index = rows.index
    zeros = index == ZERO
    some = index.max(axis=1, keepdims=True)
    example, position, feature = View(rows.source, np.where(zeros, some, index)).places
    feature = np.where(zeros, ZERO, feature)
    if not (
        (example == example[:, :1]) & (position == position[:, :1]) & (feature == feature[0])
    ).all():
        raise Refusal("rows that mix steps or pixels")
    return example[:, 0], position[:, 0], feature[0]


def _is_last_step(source: Source, example: Index, position: Index) -> bool:
    return (
        source.n_positions > 1
        and np.array_equal(example, np.arange(source.examples))
        and bool((position == source.n_positions - 1).all())
    )


def _is_every_position(source: Source, example: Index, position: Index) -> bool:
    places = np.sort(example * source.n_positions + position)
    return np.array_equal(places, np.arange(source.examples * source.n_positions))


def _spread(weight: Array, taken: Index, n_inputs: int) -> Array:
    """Rows of a weight at the inputs that they belong to."""
    full = np.zeros((n_inputs, weight.shape[1]), np.float32)
    np.add.at(full, taken[taken != ZERO], weight[taken != ZERO])
    return full


def flattened(source: Source) -> Source:
    """An image or a sequence as one vector, channel by channel."""
    return source.after("flatten", layout="flat", shape=(source.size,))


def channel_by_channel(source: Source) -> Index:
    """Numbers of the values of an example in the order of ``flattened``."""
    features, positions = np.indices((source.n_features, source.n_positions))
    return source.number(np.int64(0), positions.ravel(), features.ravel())


def last(source: Source) -> Source:
    """The last step of a sequence."""
    return source.after("last", layout="flat", shape=source.shape[1:])


def selected(source: Source, features: Index, stride: tuple[int, int] = (1, 1)) -> Source:
    """Some features of a source, or zeros: of every position, by a layer that never learns."""
    fixed = {"digital": True, "frozen": True}
    weight = np.zeros((len(features), source.n_features), np.float32)
    kept = features != ZERO
    weight[kept, features[kept]] = 1
    if source.layout != "image":
        shape = (*source.shape[:-1], len(features))
        return source.after("linear", shape=shape, settings=fixed, arrays={"weight": weight})
    height, width = ((n - 1) // s + 1 for n, s in zip(source.shape[1:], stride, strict=True))
    return source.after(
        "conv",
        shape=(len(features), height, width),
        settings=fixed | {"kernel": 1, "stride": one_or_two(stride)},
        arrays={"weight": weight[:, :, None, None]},
    )


def one_or_two(value: int | tuple[int, int]) -> int | tuple[int, int]:
    """One number where height and width agree."""
    if isinstance(value, int):
        return value
    return value[0] if value[0] == value[1] else value


def natural(view: View) -> View:
    """All of a source as it comes, which may be a selection made for it."""
    view = settled(view)
    if view.is_whole:
        return View(view.source)
    layout = view.source.layout
    if layout == "image" and len(view.shape) == 4:
        source, padding = image(view)
        if padding == (0, 0):
            return View(source)
    if len(view.shape) == 2:
        return flat(view)
    if layout == "sequence" and len(view.shape) == 3:
        example, position, feature = common_features(
            View(view.source, view.index.reshape(-1, view.shape[-1]))
        )
        steps = np.arange(len(position))
        if np.array_equal(example * view.source.n_positions + position, steps):
            return View(selected(view.source, feature))
    raise Refusal("values in an order that no layer has")


def flat(view: View) -> View:
    """A view (examples, features) of a flat source, which may be made for it."""
    view = settled(view)
    source, rows = view.source, view.index.reshape(view.shape[0], -1)
    if source.layout == "flat":
        example, _, feature = common_features(View(source, rows))
        if np.array_equal(example, np.arange(source.examples)):
            whole = np.array_equal(feature, np.arange(source.n_features))
            return View(source if whole else selected(source, feature))
    elif np.array_equal(rows, _rows(source, channel_by_channel(source))):
        return View(flattened(source))
    elif source.layout == "sequence":
        example, position, feature = common_features(View(source, rows))
        whole = np.array_equal(feature, np.arange(source.n_features))
        if whole and _is_last_step(source, example, position):
            return View(last(source))
    raise Refusal("values in an order that no layer has")


def _rows(source: Source, within: Index) -> Index:
    return np.arange(source.examples)[:, None] * source.size + within


def image(view: View) -> tuple[Source, tuple[int, int]]:
    """An image that a view shows, which may be a selection made for it, and zeros around it."""
    view = settled(view)
    if view.is_whole and view.source.layout == "image":
        return view.source, (0, 0)
    if view.source.layout != "image" or len(view.shape) != 4:
        raise Refusal(f"a tensor of shape {view.shape} that is no image")
    inner, padding = _without_border(view.index)
    source = view.source
    if View(source, inner).is_whole:
        return source, padding
    made = _strided(source, inner)
    if made is None:
        raise Refusal("pixels in an order that no layer has")
    return made, padding


def _without_border(index: Index) -> tuple[Index, tuple[int, int]]:
    """What is left within a border of zeros of the same width on opposite sides."""
    padding = []
    for axis in (2, 3):
        others = tuple(i for i in range(4) if i != axis)
        filled = np.flatnonzero((index != ZERO).any(axis=others))
        if not len(filled):
            raise Refusal("nothing but zeros")
        before, after = int(filled[0]), int(index.shape[axis] - 1 - filled[-1])
        if before != after:
            raise Refusal(f"padding {before} on one side and {after} on the other")
        padding.append(before)
    height, width = (slice(p, -p or None) for p in padding)
    return index[:, :, height, width], (padding[0], padding[1])


def _strided(source: Source, index: Index) -> Source | None:
    """Every pixel of a coarser grid, with some of the channels, if that is what it is."""
    channels = np.where(index[0] == ZERO, ZERO, index[0] // source.n_positions).max(axis=(1, 2))
    strides = range(1, max(source.shape[1:]) + 1)
    for vertical in strides:
        if (source.shape[1] - 1) // vertical + 1 != index.shape[2]:
            continue
        for horizontal in strides:
            if (source.shape[2] - 1) // horizontal + 1 != index.shape[3]:
                continue
            whole = View(source).index[:, :, ::vertical, ::horizontal]
            padded = np.concatenate([whole, np.full_like(whole[:, :1], ZERO)], axis=1)
            if np.array_equal(padded[:, channels], index):
                return selected(source, channels, (vertical, horizontal))
    return None


def is_along(view: View, axis: int) -> bool:
    """Whether an axis holds all features of each place, in order."""
    if view.has_zeros or view.shape[axis] != view.source.n_features:
        return False
    example, position, feature = (np.moveaxis(part, axis, -1) for part in view.places)
    constant = (example == example[..., :1]).all() and (position == position[..., :1]).all()
    return bool(constant and (feature == np.arange(feature.shape[-1])).all())
