"""Attention as ONNX has it in one operator, and positions turned into its vectors."""

import math
from collections.abc import Sequence

import numpy as np

from crossmesh.emulator.onnx_io.combining import combine
from crossmesh.emulator.onnx_io.joining import concatenated
from crossmesh.emulator.onnx_io.matrices import matmul_of
from crossmesh.emulator.onnx_io.moving import reshaped
from crossmesh.emulator.onnx_io.padding import expanded_to
from crossmesh.emulator.onnx_io.parts import sliced
from crossmesh.emulator.onnx_io.pointwise import mapped
from crossmesh.emulator.onnx_io.reducing import shares
from crossmesh.emulator.onnx_io.sketch import Sketch
from crossmesh.emulator.onnx_io.values import Constant, Refusal, Use, Value, View


def attention(sketch: Sketch, use: Use) -> list[Value | None]:
    """Scores of queries and keys, their softmax, and its product with values."""
    q, k, v = (use.view(i) for i in range(3))
    is_flat = q.rank == 3
    heads = [int(use.attributes.get(name, 0)) for name in ("q_num_heads", "kv_num_heads")]
    if is_flat:
        q, k, v = (
            _by_head(sketch, one, n) for one, n in ((q, heads[0]), (k, heads[1]), (v, heads[1]))
        )
    for i, what in ((4, "keys of before"), (5, "values of before"), (6, "lengths")):
        if use.has(i):
            raise Refusal(what)
    if any(use.outputs[1:]):
        raise Refusal("more than one output")
    use.attributes.get("softmax_precision"), use.attributes.get("qk_matmul_output_mode")
    if k.shape[1] != q.shape[1]:
        k, v = (_repeated(sketch, one, q.shape[1]) for one in (k, v))
    scale = float(use.attributes.get("scale", 1 / math.sqrt(q.shape[3])))
    scored = matmul_of(
        sketch, mapped(sketch, q, "affine", {"factor": scale}), k.permuted([0, 1, 3, 2])
    )
    cap = float(use.attributes.get("softcap", 0.0))
    if cap:
        scored = mapped(sketch, scored, "affine", {"factor": 1 / cap})
        scored = mapped(sketch, mapped(sketch, scored, "tanh"), "affine", {"factor": cap})
    scored = _masked(sketch, use, scored)
    seen = matmul_of(sketch, shares(sketch, scored, 3), v)
    if is_flat:
        n, count, steps, width = seen.shape
        seen = reshaped(sketch, seen.permuted([0, 2, 1, 3]), [n, steps, count * width])
    return [seen, *[None] * (len(use.outputs) - 1)]


def _by_head(sketch: Sketch, view: View, heads: int) -> View:
    n, steps, width = view.shape
    if not heads or width % heads:
        raise Refusal(f"{heads} heads of {width} features")
    return reshaped(sketch, view, [n, steps, heads, width // heads]).permuted([0, 2, 1, 3])


def _repeated(sketch: Sketch, view: View, heads: int) -> View:
    """Heads that several queries share, each as often as it is used."""
    n, own, steps, width = view.shape
    if heads % own:
        raise Refusal(f"{own} heads of keys for {heads} of queries")
    wide = view.expanded([2])
    spread = expanded_to(sketch, wide, [n, own, heads // own, steps, width])
    return reshaped(sketch, spread, [n, heads, steps, width])


def _masked(sketch: Sketch, use: Use, scored: View) -> View:
    """Scores of keys that are seen; minus infinity for those that are not.

    Raises:
        Refusal: If some query may see none, which the standard's own function knows what to do of.
    """
    unseen = np.zeros((1, 1), np.float32)
    if use.attributes.get("is_causal", 0):
        unseen = np.where(np.tri(scored.shape[2], scored.shape[3]) > 0, 0, -np.inf).astype(
            np.float32
        )
    mask = use.constant(3)
    if mask is not None:
        if mask.shape[-1] < scored.shape[-1]:
            raise Refusal("a mask that is shorter than the keys")
        unseen = unseen + (np.where(mask, 0, -np.inf) if mask.dtype.kind == "b" else mask)
    if np.isneginf(unseen).all(-1).any():
        raise Refusal("a mask that hides all keys from a query")
    if not unseen.any():
        return scored
    return combine(sketch, "add", [scored, Constant(unseen.astype(np.float32))])


def rotary(sketch: Sketch, use: Use) -> list[Value]:
    """Pairs of features turned by angles that grow with the step."""
    view = use.view(0)
    is_flat = view.rank == 3
    heads = int(use.attributes.get("num_heads", 0))
    if is_flat:
        view = _by_head(sketch, view, heads)
    tables = [use.needed(i) for i in (1, 2)]
    if use.has(3):
        tables = [table[use.needed(3)] for table in tables]
    cos, sin = (Constant(table[:, None]) for table in tables)  # (examples, heads, steps, pairs)
    width = int(use.attributes.get("rotary_embedding_dim", 0)) or view.shape[3]
    turned = sliced(sketch, view, 3, 0, width)
    if use.attributes.get("interleaved", 0):
        pairs = reshaped(sketch, turned, [*view.shape[:3], width // 2, 2])
        parts = [sliced(sketch, pairs, 4, i, i + 1) for i in range(2)]
        both = _joined(sketch, _turned(sketch, parts, cos, sin, 4), 4)
        whole = reshaped(sketch, both, [*view.shape[:3], width])
    else:
        half = width // 2
        parts = [sliced(sketch, turned, 3, i * half, (i + 1) * half) for i in range(2)]
        whole = _joined(sketch, _turned(sketch, parts, cos, sin), 3)
    if width < view.shape[3]:
        whole = _joined(sketch, [whole, sliced(sketch, view, 3, width, view.shape[3])], 3)
    if is_flat:
        whole = reshaped(sketch, whole.permuted([0, 2, 1, 3]), use.view(0).shape)
    return [whole]


def _turned(
    sketch: Sketch, parts: Sequence[View], cos: Constant, sin: Constant, gone: int | None = None
) -> list[View]:
    """The two numbers of each pair, turned; ``gone`` is an axis of size 1 behind the pairs."""
    a, b = parts if gone is None else (part.squeezed([gone]) for part in parts)
    real = combine(sketch, "subtract", [_times(sketch, a, cos), _times(sketch, b, sin)])
    other = combine(sketch, "add", [_times(sketch, a, sin), _times(sketch, b, cos)])
    return [real, other] if gone is None else [part.expanded([gone]) for part in (real, other)]


def _joined(sketch: Sketch, parts: Sequence[View], axis: int) -> View:
    whole = concatenated(sketch, parts, axis)
    assert isinstance(whole, View)  # as its parts
    return whole


def _times(sketch: Sketch, view: View, factor: Constant) -> View:
    return combine(sketch, "multiply", [view, factor])
