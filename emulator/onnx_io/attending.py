"""Attention: products of queries and keys, masks, shares, and what they weigh."""

from dataclasses import replace

import numpy as np

from crossmesh.emulator.onnx_io.building import common_features
from crossmesh.emulator.onnx_io.heads import Heads, Products, side_by_side
from crossmesh.emulator.onnx_io.values import (
    Array,
    Constant,
    Index,
    Refusal,
    Source,
    Use,
    Value,
    View,
)

MASKED = -1e4  # what is added to a score to leave its step out is at most this
PAIRS = "products"  # of queries and keys


def pairs(queries: View, keys: View) -> View:
    """``queries @ keys``, the keys' steps along their last axis."""
    factor = queries.factor * keys.factor
    leads = np.broadcast_shapes(queries.shape[:-2], keys.shape[:-2])
    q_index = np.broadcast_to(queries.index, (*leads, *queries.shape[-2:]))
    k_index = np.broadcast_to(keys.index, (*leads, *keys.shape[-2:])).swapaxes(-1, -2)
    if q_index.shape != k_index.shape:
        raise Refusal("queries and keys of different steps or features")
    example, q_heads = _heads(queries.source, q_index)
    k_example, k_heads = _heads(keys.source, k_index)
    if not np.array_equal(example, k_example):
        raise Refusal("queries and keys of different examples")
    steps, n_heads = q_index.shape[-2], len(q_heads.features)
    products = Products(queries=q_heads, keys=k_heads)
    source = queries.source.after(
        PAIRS,
        inputs=(queries.source, keys.source),
        layout="pairs",
        shape=(n_heads, steps, steps),
        settings={"products": products},
    )
    head = _rank_within(example)
    start = (example * n_heads + head) * steps**2
    order = start[:, None] + np.arange(steps**2)
    return View(source, order.reshape(*leads, steps, steps), factor)


def _heads(source: Source, index: Index) -> tuple[Index, Heads]:
    """Example of each head, and what the heads take, the same for every example."""
    if source.layout != "sequence":
        raise Refusal("attention over what is no sequence")
    steps, n = index.shape[-2:]
    rows = index.reshape(-1, steps, n)
    examples, features = [], []
    for head in rows:
        example, position, feature = common_features(View(source, head))
        if not np.array_equal(position, np.arange(source.n_positions)) or np.ptp(example):
            raise Refusal("attention over some of the steps")
        examples.append(example[0])
        features.append(feature)
    example = np.array(examples)
    by_example = [
        [f for e, f in zip(examples, features, strict=True) if e == i]
        for i in range(source.examples)
    ]
    if not all(np.array_equal(heads, by_example[0]) for heads in by_example):
        raise Refusal("heads that differ between examples")
    return example, Heads(source=source, features=np.array(by_example[0]))


def _rank_within(example: Index) -> Index:
    """Number of each head among those of its example."""
    return np.array([np.count_nonzero(example[:i] == e) for i, e in enumerate(example)])


def _products(view: View, stage: str) -> Products:
    products: Products = view.source.settings["products"]
    if products.stage != stage:
        raise Refusal(f"attention whose {products.stage} are used in another way")
    return products


def _changed(view: View, products: Products, factor: float = 1.0) -> View:
    source = view.source.changed(settings={"products": products})
    return View(source, view.order, factor)


def masked(view: View, array: Array) -> View:
    """Scores to which a mask is added: 0 for what is seen, very little for what is not."""
    if not ((array == 0) | (array <= MASKED)).all():
        raise Refusal("a constant that is added to scores")
    return _hidden(view, array == 0)


def _hidden(view: View, seen: Array) -> View:
    products = _products(view, "scores")
    heads, steps, _ = view.source.shape
    whole = np.ones((view.source.examples, heads, steps, steps), bool)
    whole.ravel()[view.index] = np.broadcast_to(seen, view.shape)
    if not (whole == whole[0, 0]).all():
        raise Refusal("masks that differ between examples or heads")
    before = products.seen
    both = whole[0, 0] if before is None else before & whole[0, 0]
    return _changed(view, replace(products, seen=both), view.factor)


def where(use: Use) -> list[Value]:
    """Scores where a step is seen, and very little where not."""
    condition = use.needed(0).astype(bool)
    yes, no = use.inputs[1:3]
    if isinstance(no, View) and isinstance(yes, Constant):
        yes, no, condition = no, yes, ~condition
    if not isinstance(yes, View):
        raise Refusal("")
    if condition.all() and np.broadcast_shapes(yes.shape, condition.shape) == yes.shape:
        return [yes]
    if not isinstance(no, Constant) or yes.source.layout != "pairs" or (no.array > MASKED).any():
        raise Refusal("values that depend on a condition")
    return [_hidden(yes, condition)]


def is_nan(use: Use) -> list[Value]:
    """Shares are numbers, as every step sees at least itself."""
    view = use.view(0)
    if view.source.layout != "pairs":
        raise Refusal("")
    _products(view, "shares")
    return [Constant(np.zeros(view.shape, bool))]


def shares(view: View, axis: int) -> View:
    """The softmax over the steps that a step sees."""
    products = _products(view, "scores")
    _, steps, _ = view.source.shape
    if axis != len(view.shape) - 1 or not _are_rows(view, steps):
        raise Refusal("an axis that is not the steps of the keys")
    scale = products.scale * view.factor
    return _changed(view, replace(products, scale=scale, stage="shares"))


def _are_rows(view: View, steps: int) -> bool:
    rows = view.index.reshape(-1, view.shape[-1])
    return rows.shape[1] == steps and bool((rows == rows[:, :1] + np.arange(steps)).all())


def weighed(view: View, values: View) -> View:
    """``shares @ values``: a layer of scores, fed by queries, keys and values side by side."""
    products = _products(view, "shares")
    n_heads, steps, _ = view.source.shape
    leads = np.broadcast_shapes(view.shape[:-2], values.shape[:-2])
    places = np.broadcast_to(view.index, (*leads, *view.shape[-2:])).reshape(-1, steps, steps)
    index = np.broadcast_to(values.index, (*leads, *values.shape[-2:]))
    example, heads = _heads(values.source, index)
    start = (example * n_heads + _rank_within(example)) * steps**2
    if not np.array_equal(places.reshape(len(start), -1), start[:, None] + np.arange(steps**2)):
        raise Refusal("shares in another order than their values")
    if heads.features.shape != products.queries.features.shape:
        raise Refusal("values of other sizes than the queries")
    together = side_by_side(products, heads, values.factor)
    n = heads.features.shape[1]
    settings = {"heads": n_heads, "causal": _is_causal(products.seen)}
    made = together.after("scores", shape=(steps, n_heads * n), settings=settings)
    feature = _rank_within(example)[:, None, None] * n + np.arange(n)
    order = made.number(example[:, None, None], np.arange(steps)[:, None], feature)
    return View(made, order.reshape(*leads, steps, n))


def _is_causal(seen: Array | None) -> bool:
    if seen is None or seen.all():
        return False
    if not np.array_equal(seen, np.tri(len(seen), dtype=bool)):
        raise Refusal("a mask that is neither causal nor none")
    return True


def attention(use: Use) -> list[Value]:
    """ONNX's own operator, from version 23 on."""
    queries, keys, values = (use.view(i) for i in range(3))
    if any(value is not None for value in use.inputs[4:]) or any(use.outputs[1:]):
        raise Refusal("states of the past")
    if use.attributes.get("softcap", 0.0):
        raise Refusal("softcap")
    is_flat = len(queries.shape) == 3
    n_heads = int(use.attributes.get("q_num_heads", queries.shape[1]))
    n_kv = int(use.attributes.get("kv_num_heads", keys.shape[1]))
    if is_flat:
        queries = _by_head(queries, n_heads)
        keys, values = _by_head(keys, n_kv), _by_head(values, n_kv)
    if n_heads != n_kv:
        keys, values = (v.moved(v.index.repeat(n_heads // n_kv, axis=1)) for v in (keys, values))
    n = queries.shape[-1]
    scale = float(use.attributes.get("scale", n**-0.5))
    scores = pairs(queries, keys.moved(keys.index.swapaxes(-1, -2)))
    scores = View(scores.source, scores.order, scores.factor * scale)
    mask = use.constant(3)
    if use.attributes.get("is_causal", 0):
        scores = _hidden(scores, np.tri(scores.shape[-1], dtype=bool))
    if mask is not None:
        scores = _hidden(scores, mask) if mask.dtype == bool else masked(scores, mask)
    made = weighed(shares(scores, len(scores.shape) - 1), values)
    if is_flat:
        made = made.moved(made.index.swapaxes(1, 2).reshape(*made.shape[:1], made.shape[2], -1))
    return [made]


def _by_head(view: View, heads: int) -> View:
    """(examples, steps, features) as (examples, heads, steps, features of a head)."""
    examples, steps, features = view.shape
    parts = view.index.reshape(examples, steps, heads, features // heads)
    return view.moved(parts.swapaxes(1, 2))
