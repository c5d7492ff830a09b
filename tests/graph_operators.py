"""Operators of random ONNX graphs, with random shapes, axes, attributes and constants."""

import math

import numpy as np

from tests.graphs import N

PLAIN = (
    "Relu", "Tanh", "Sigmoid", "Exp", "Log", "Sqrt", "Reciprocal", "Abs", "Neg", "Erf", "Sin",
    "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "Softplus",
    "Softsign", "Mish", "HardSwish", "Floor", "Ceil", "Round", "Sign", "Identity",
)  # fmt: skip
WITH_ALPHA = ("LeakyRelu", "Elu", "Celu", "ThresholdedRelu")
REDUCTIONS = (
    "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2",
    "ReduceLogSumExp", "ReduceSumSquare",
)  # fmt: skip


# Numbers at which a function is smooth and far from its poles.
DOMAINS = {
    **dict.fromkeys(["Acos", "Asin", "Atanh"], lambda x: (np.abs(x) < 0.95).all()),
    "Acosh": lambda x: (x > 1.05).all(),
    **dict.fromkeys(["Log", "Sqrt"], lambda x: (x > 0.05).all()),
    "Reciprocal": lambda x: (np.abs(x) > 0.05).all(),
    **dict.fromkeys(["Ceil", "Floor"], lambda x: (np.abs(x - np.round(x)) > 1e-3).all()),
    "Round": lambda x: (np.abs(x - np.floor(x) - 0.5) > 1e-3).all(),
    "Tan": lambda x: (np.abs(np.cos(x)) > 0.1).all(),
}


def plain(g, name):
    """A function of every number, where it is smooth."""
    if name not in DOMAINS:
        return g.add(name, name, [g.pick()])
    fits = [one for one, value in g.values.items() if DOMAINS[name](value)]
    return g.add(name, name, [g.any(*fits)]) if fits else None


def with_alpha(g, name):
    """A function of every number with a parameter."""
    return g.add(name, name, [g.pick()], alpha=float(g.draw.uniform(0.05, 1.5)))


def hard_sigmoid(g, name):
    """Lines with bounds."""
    alpha, beta = (float(one) for one in g.draw.uniform(0.1, 0.6, 2))
    return g.add(name, name, [g.pick()], alpha=alpha, beta=beta)


def gelu(g, name):
    """Exact or by tanh."""
    return g.add(name, name, [g.pick()], approximate=g.any("none", "tanh"))


def clip(g, name):
    """Bounds that may be left out."""
    low = g.constant(np.array(-0.5 - g.draw.random())) if g.chance(0.7) else ""
    return g.add(name, name, [g.pick(), low, g.constant(np.array(0.2 + g.draw.random()))])


def _beside(g, one):
    """A tensor or constant that is spread over another."""
    shape = list(g.values[one].shape)
    if g.chance(0.4):
        same = [n for n in g.values if _spreads(g.values[n].shape, shape)]
        if same:
            return g.any(*same)
    kept = shape[int(g.draw.integers(1, len(shape) + 1)) :]
    sizes = [1 if g.chance(0.3) or n == N else n for n in kept]
    return g.numbers(*sizes)


def _spreads(shape, other):
    try:
        result = np.broadcast_shapes(shape, tuple(other))
    except ValueError:
        return False
    return len(shape) == len(other) and math.prod(result) <= 400


def both(g, name):
    """A function of two tensors."""
    one = g.pick()
    other = _beside(g, one)
    pair = [one, other] if g.chance(0.8) else [other, one]
    return g.add(name, name, pair)


def power(g, name):
    """Numbers to some power."""
    one = g.pick()
    powers = (2.0, 3.0, 1.0, 0.5, -1.5) if (g.values[one] > 0.05).all() else (2.0, 3.0, 1.0)
    return g.add(name, name, [one, g.constant(np.array(g.any(*powers)))])


def prelu(g, name):
    """Slopes of channels."""
    one = g.pick()
    shape = g.values[one].shape
    slopes = [shape[1], *[1] * (len(shape) - 2)] if g.chance() and len(shape) > 1 else [1]
    return g.add(name, name, [one, g.numbers(*slopes, scale=0.3)])


def several(g, name):
    """Of three tensors."""
    one = g.pick()
    return g.add(name, name, [one, _beside(g, one), _beside(g, one)])


def transpose(g, name):
    """Axes in another order, the examples as a rule first."""
    one = g.pick()
    rest = [int(axis) for axis in g.draw.permutation(np.arange(1, g.values[one].ndim))]
    order = [0, *rest]
    if g.chance(0.15) and len(order) > 1:
        order[0], order[1] = order[1], order[0]
    return g.add(name, name, [one], perm=order)


def _factors(g, n):
    sizes = []
    while n > 1:
        divisors = [d for d in range(2, n + 1) if n % d == 0]
        sizes.append(g.any(*divisors))
        n //= sizes[-1]
    sizes.insert(int(g.draw.integers(len(sizes) + 1)), 1)
    return sizes if g.chance() or len(sizes) < 2 else [s for s in sizes if s > 1] or [1]


def reshape(g, name):
    """Other sizes; the examples may share their axis with others."""
    one = g.pick()
    if g.chance(0.2):
        return g.add("Flatten", "Flatten", [one], axis=1)
    shape = g.values[one].shape
    sizes = _factors(g, math.prod(shape[1:]))
    if g.chance(0.2):
        return g.add(name, name, [one, g.whole(-1, *sizes[1:])])
    return g.add(name, name, [one, g.whole(g.any(0, -1), *sizes)])


def unsqueeze(g, name):
    """New axes."""
    one = g.pick()
    return g.add(name, name, [one, g.whole(int(g.draw.integers(1, g.values[one].ndim + 1)))])


def squeeze(g, name):
    """Without axes of size 1."""
    one = g.pick()
    axes = [i for i, n in enumerate(g.values[one].shape) if n == 1 and i]
    return g.add(name, name, [one, g.whole(g.any(*axes))]) if axes else None


def slice_(g, name):
    """Parts, also backwards."""
    one = g.pick()
    axis = g.axis(one)
    n = 1 if axis is None else g.values[one].shape[axis]
    if n < 2:
        return None
    start, end = int(g.draw.integers(-n, n)), int(g.draw.integers(-n - 1, n + 3))
    step = g.any(1, 1, 2, -1, -2)
    return g.add(name, name, [one, *(g.whole(k) for k in (start, end, axis, step))])


def split(g, name):
    """Parts beside each other."""
    one = g.pick()
    axis = g.axis(one)
    if axis is None or (n := g.values[one].shape[axis]) < 2:
        return None
    first = int(g.draw.integers(1, n))
    return g.add(name, name, [one, g.whole(first, n - first)], 2, axis=axis)


def concat(g, name):
    """Tensors side by side, perhaps with a constant."""
    one = g.pick()
    axis = g.axis(one)
    if axis is None:
        return None

    def beside(shape):
        return [n for i, n in enumerate(shape) if i != axis % len(shape)]

    shape = g.values[one].shape
    fits = [
        other for other, value in g.values.items()
        if value.ndim == len(shape) and beside(value.shape) == beside(shape)
    ]  # fmt: skip
    others = [g.any(*fits) for _ in range(int(g.draw.integers(1, 3)))]
    return g.add(name, name, [one, *others], axis=axis)


def gather(g, name):
    """Places of an axis."""
    one = g.pick()
    axis = g.axis(one)
    if axis is None:
        return None
    n = g.values[one].shape[axis]
    places = g.draw.integers(-n, n, g.shape(int(g.draw.integers(0, 3)), 3))
    return g.add(name, name, [one, g.constant(places)], axis=axis)


def gather_elements(g, name):
    """A place for every number, the same for all examples."""
    one = g.pick()
    axis = g.axis(one)
    if axis is None:
        return None
    shape = list(g.values[one].shape[1:])
    places = g.draw.integers(0, g.values[one].shape[axis], shape)
    wide = np.broadcast_to(places, (len(g.values[one]), *shape))
    return None if g.is_open else g.add(name, name, [one, g.constant(wide.copy())], axis=axis)


def pad(g, name):
    """Numbers around, of every mode."""
    one = g.pick()
    rank = g.values[one].ndim
    pads = [0 if i == 0 else int(g.draw.integers(-1, 3)) for i in range(rank)]
    behind = [0 if i == 0 else int(g.draw.integers(-1, 3)) for i in range(rank)]
    mode = g.any("constant", "constant", "reflect", "edge", "wrap")
    if mode != "constant":
        pads, behind = ([max(0, min(p, 1)) for p in some] for some in (pads, behind))
    value = g.constant(np.array(0.7)) if g.chance() and mode == "constant" else ""
    return g.add(name, name, [one, g.whole(*pads, *behind), value], mode=mode)


def expand(g, name):
    """Axes of size 1 made longer."""
    one = g.pick()
    sizes = [1, *(g.any(2, 3) if n == 1 else n for n in g.values[one].shape[1:])]
    return g.add(name, name, [one, g.whole(*sizes)])


def tile(g, name):
    """Repeated."""
    one = g.pick()
    return g.add(name, name, [one, g.whole(1, *(g.any(1, 1, 2) for _ in g.values[one].shape[1:]))])


def trilu(g, name):
    """A triangle."""
    one = g.pick(3, 4)
    return one and g.add(
        name, name, [one, g.constant(np.array(g.any(-1, 0, 1)))], upper=g.any(0, 1)
    )


def blocks(g, name):
    """Channels and pixels."""
    one = g.pick(4)
    mode = {"mode": g.any("DCR", "CRD")} if name == "DepthToSpace" else {}
    return one and g.add(name, name, [one], blocksize=2, **mode)


def reduction(g, name):
    """One number of those along some axes."""
    one = g.pick()
    rank = g.values[one].ndim
    axes = [i for i in range(1, rank) if g.chance()] or [rank - 1]
    if axes == [0]:
        return None
    return g.add(name, name, [one, g.whole(*axes)], keepdims=g.any(0, 1))


def along(g, name):
    """Shares along an axis."""
    one = g.pick()
    axis = g.axis(one)
    return None if axis is None else g.add(name, name, [one], axis=axis)


def cumulative(g, name):
    """Sums of what is before."""
    one = g.pick()
    axis = g.axis(one)
    flags = {"exclusive": g.any(0, 1), "reverse": g.any(0, 1)}
    return None if axis is None else g.add(name, name, [one, g.constant(np.array(axis))], **flags)


def lp_norm(g, name):
    """Over the norm along an axis."""
    one = g.pick()
    axis = g.axis(one)
    fits = axis is not None and g.values[one].shape[axis] > 1
    return g.add(name, name, [one], axis=axis, p=2) if fits else None


def layer_norm(g, name):
    """Over the last axes."""
    one = g.pick(2, 3, 4)
    if one is None:
        return None
    rank = g.values[one].ndim
    axis = int(g.draw.integers(1, rank))
    sizes = g.values[one].shape[axis:]
    if math.prod(sizes) < 2:
        return None
    return g.add(name, name, [one, g.numbers(*sizes), g.numbers(*sizes)], axis=axis, epsilon=0.1)


def channel_norm(g, name):
    """With numbers of channels."""
    one = g.pick(3, 4)
    if one is None or g.values[one][0, 0].size < 2:
        return None
    n = g.values[one].shape[1]
    if name == "BatchNormalization":
        spread = g.constant(g.draw.uniform(0.5, 2, n))
        parts = [g.numbers(n), g.numbers(n), g.numbers(n), spread]
        return g.add(name, name, [one, *parts], epsilon=1e-3)
    groups = {"num_groups": g.any(*[d for d in range(1, n + 1) if n % d == 0])}
    own = groups if name == "GroupNormalization" else {}
    return g.add(name, name, [one, g.numbers(n), g.numbers(n)], epsilon=0.1, **own)


def local_response(g, name):
    """Over channels beside it."""
    one = g.pick(4)
    return one and g.add(name, name, [one], size=3, alpha=0.3, beta=0.75, bias=1.0)


def matmul(g, name):
    """With a matrix on either side, or of two tensors."""
    one = g.pick(2, 3, 4)
    if one is None:
        return None
    shape = g.values[one].shape
    turn = g.draw.random()
    if turn < 0.5:
        return g.add(name, name, [one, g.numbers(shape[-1], int(g.draw.integers(1, 6)), scale=0.5)])
    if turn < 0.75 and len(shape) > 2:
        return g.add(name, name, [g.numbers(int(g.draw.integers(1, 6)), shape[-2], scale=0.5), one])
    fits = [o for o, v in g.values.items() if v.ndim == len(shape) > 2 and v.shape[-2] == shape[-1]]
    return g.add(name, name, [one, g.any(*fits)]) if fits else None


def gemm(g, name):
    """With a bias, factors and turned matrices."""
    one = g.pick(2)
    if one is None:
        return None
    rows, columns = g.values[one].shape[1], int(g.draw.integers(1, 6))
    is_turned = g.any(0, 1)
    weight = g.numbers(*((columns, rows) if is_turned else (rows, columns)), scale=0.5)
    bias = [g.numbers(columns)] if g.chance() else []
    factors = {"alpha": 0.5, "beta": 2.0} if g.chance(0.3) else {}
    return g.add(name, name, [one, weight, *bias], transB=is_turned, **factors)


def einsum(g, name):
    """By letters, with a constant."""
    one = g.pick(3)
    if one is None:
        return None
    _, b, c = g.values[one].shape
    equation, shape = g.any(
        ("abc,ce->abe", (c, 2)),
        ("abc,dbc->ad", (2, b, c)),
        ("abc,bd->adc", (b, 3)),
        ("abc,bc->ab", (b, c)),
    )
    return g.add(name, name, [one, g.numbers(*shape, scale=0.5)], equation=equation)


def _windows(g, sizes):
    kernel = [int(g.draw.integers(1, min(n, 3) + 1)) for n in sizes]
    attributes = {"strides": [g.any(1, 1, 2) for _ in sizes]}
    if g.chance(0.3):
        attributes["auto_pad"] = g.any("SAME_UPPER", "SAME_LOWER", "VALID")
    elif g.chance():
        attributes["pads"] = [int(g.draw.integers(0, k)) for k in (*kernel, *kernel)]
    return kernel, attributes


def conv(g, name):
    """Of one to three axes, in groups, with steps and gaps."""
    one = g.pick(3, 4, 5)
    if one is None:
        return None
    channels, *sizes = g.values[one].shape[1:]
    kernel, attributes = _windows(g, sizes)
    groups = g.any(1, 1, channels, *[d for d in range(1, channels + 1) if channels % d == 0])
    if name == "ConvTranspose":
        attributes.pop("auto_pad", None)
        weight = g.numbers(channels, int(g.draw.integers(1, 4)), *kernel, scale=0.4)
        outputs = g.array(weight).shape[1] * groups
    else:
        outputs = groups * int(g.draw.integers(1, 3))
        weight = g.numbers(outputs, channels // groups, *kernel, scale=0.4)
        if g.chance(0.3) and "auto_pad" not in attributes:
            attributes["dilations"] = [g.any(1, 2) for _ in sizes]
    bias = [g.numbers(outputs)] if g.chance() else []
    return g.add(name, name, [one, weight, *bias], group=groups, **attributes)


def pool(g, name):
    """Of one to three axes."""
    one = g.pick(3, 4, 5)
    if one is None:
        return None
    kernel, attributes = _windows(g, g.values[one].shape[2:])
    if name == "AveragePool":
        attributes["count_include_pad"] = g.any(0, 1)
    return g.add(name, name, [one], kernel_shape=kernel, **attributes)


def global_pool(g, name):
    """Of all places; the reference gives other axes than the standard but of images."""
    one = g.pick(4)
    return one and g.add(name, name, [one])


def resize(g, name):
    """Longer images."""
    one = g.pick(4)
    if one is None:
        return None
    sizes = [int(n) for n in g.values[one].shape[2:]]
    scales = g.constant(np.array([1, 1, *(g.any(1, 2) for _ in sizes)], np.float32))
    mode = g.any("nearest", "linear", "cubic")
    where = g.any("half_pixel", "asymmetric", "align_corners")
    return g.add(name, name, [one, "", scales], mode=mode, coordinate_transformation_mode=where)


def recurrent(g, name):
    """Steps along the first axis, the examples along the second."""
    one = g.pick(3)
    if one is None:
        return None
    steps = g.add("Transpose", "Transpose", [one], perm=[1, 0, 2])
    if steps is None:
        return None
    n, hidden = g.values[one].shape[2], int(g.draw.integers(1, 4))
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[name]
    direction = g.any("forward", "reverse", "bidirectional")
    ways = 2 if direction == "bidirectional" else 1
    parts = [g.numbers(ways, gates * hidden, k, scale=0.5) for k in (n, hidden)]
    bias = [g.numbers(ways, 2 * gates * hidden, scale=0.3)] if g.chance() else []
    own = {"linear_before_reset": g.any(0, 1)} if name == "GRU" else {}
    made = g.add(name, name, [steps, *parts, *bias], hidden_size=hidden, direction=direction, **own)
    return made and g.add("Transpose", "Transpose", [made], perm=[2, 1, 0, 3])


def where(g, name):
    """One of two, by whether others are larger."""
    one = g.pick()
    condition = g.add_hidden(g.any("Greater", "LessOrEqual"), [one, _beside(g, one)])
    return g.add(name, name, [condition, one, _beside(g, one)])


OPERATORS = {
    **dict.fromkeys(PLAIN, plain),
    **dict.fromkeys(WITH_ALPHA, with_alpha),
    "HardSigmoid": hard_sigmoid,
    "Gelu": gelu,
    "Clip": clip,
    **dict.fromkeys(["Add", "Sub", "Mul", "Div"], both),
    "Pow": power,
    "PRelu": prelu,
    **dict.fromkeys(["Sum", "Mean", "Max", "Min"], several),
    "Where": where,
    "Transpose": transpose,
    "Reshape": reshape,
    "Unsqueeze": unsqueeze,
    "Squeeze": squeeze,
    "Slice": slice_,
    "Split": split,
    "Concat": concat,
    "Gather": gather,
    "GatherElements": gather_elements,
    "Pad": pad,
    "Expand": expand,
    "Tile": tile,
    "Trilu": trilu,
    **dict.fromkeys(["DepthToSpace", "SpaceToDepth"], blocks),
    **dict.fromkeys(REDUCTIONS, reduction),
    **dict.fromkeys(["Softmax", "LogSoftmax", "Hardmax"], along),
    "CumSum": cumulative,
    "LpNormalization": lp_norm,
    "LayerNormalization": layer_norm,
    "BatchNormalization": channel_norm,
    **dict.fromkeys(["InstanceNormalization", "GroupNormalization"], channel_norm),
    "LRN": local_response,
    "MatMul": matmul,
    "Gemm": gemm,
    "Einsum": einsum,
    **dict.fromkeys(["Conv", "ConvTranspose"], conv),
    **dict.fromkeys(["AveragePool", "MaxPool"], pool),
    **dict.fromkeys(["GlobalAveragePool", "GlobalMaxPool"], global_pool),
    "Resize": resize,
    **dict.fromkeys(["LSTM", "GRU", "RNN"], recurrent),
}  # fmt: skip
