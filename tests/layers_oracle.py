"""What layers compute, naively, in float64 and with channels first: (examples, *shape)."""

import math

import numpy as np

from crossmesh.emulator.config.layers import pair

FUNCTIONS = {
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: x * (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2))) / 2,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}


def evaluate(layers, weights, x):
    """Output of a network whose layers all have names, for inputs (examples, *shape)."""
    values = {"input": np.asarray(x)}
    before = "input"
    for layer in layers:
        own = {
            name.removeprefix(f"{layer.name}."): np.asarray(array, float)
            for name, array in weights.items()
            if name.startswith(f"{layer.name}.")
        }
        names = getattr(layer, "inputs", None) or [layer.input or before]
        value = KINDS[layer.kind](layer, own, *(values[name] for name in names))
        values[layer.name] = activation(getattr(layer, "activation", "identity"), value)
        before = layer.name
    return values[before]


def activation(kind, x):
    return softmax(x, 1 if x.ndim == 4 else -1) if kind == "softmax" else FUNCTIONS[kind](x)


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def linear(layer, w, x):
    x = x.reshape(len(x), -1) if x.ndim == 4 else x
    return x @ w["weight"].T + w.get("bias", 0)


def windows(x, kernel, stride, padding, dilation=(1, 1), fill=0.0):
    """(examples, channels, kernel rows, kernel columns, rows, columns)."""
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = kernel, stride, padding, dilation
    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=fill)
    height = (x.shape[2] - (kh - 1) * dh - 1) // sh + 1
    width = (x.shape[3] - (kw - 1) * dw - 1) // sw + 1
    taps = [
        [
            x[:, :, i * dh :, j * dw :][:, :, : (height - 1) * sh + 1 : sh][..., ::sw][..., :width]
            for j in range(kw)
        ]
        for i in range(kh)
    ]
    return np.array(taps).transpose(2, 3, 0, 1, 4, 5)


def conv(layer, w, x):
    places = (pair(p) for p in (layer.kernel, layer.stride, layer.padding, layer.dilation))
    seen = np.split(windows(x, *places), layer.groups, axis=1)
    kernels = np.split(w["weight"], layer.groups)
    parts = [np.einsum("ncijhw,ocij->nohw", s, k) for s, k in zip(seen, kernels, strict=True)]
    return np.concatenate(parts, 1) + w.get("bias", np.zeros(1))[:, None, None]


def pool(layer, w, x):
    is_max = layer.kind == "max_pool"
    places = (pair(p) for p in (layer.kernel, layer.stride or layer.kernel, layer.padding))
    seen = windows(x, *places, fill=-np.inf if is_max else 0)
    return seen.max((2, 3)) if is_max else seen.mean((2, 3))


def recurrent(layer, w, x):
    h = c = np.zeros((len(x), layer.outputs))
    zeros = np.zeros(len(w["weight_hh"]))
    steps = []
    for t in range(x.shape[1]):
        a = x[:, t] @ w["weight_ih"].T + w.get("bias_ih", zeros)
        b = h @ w["weight_hh"].T + w.get("bias_hh", zeros)
        if layer.kind == "lstm":
            i, f, g, o = np.split(a + b, 4, axis=1)
            c = FUNCTIONS["sigmoid"](f) * c + FUNCTIONS["sigmoid"](i) * np.tanh(g)
            h = FUNCTIONS["sigmoid"](o) * np.tanh(c)
        else:
            (r, z, n), (hr, hz, hn) = np.split(a, 3, axis=1), np.split(b, 3, axis=1)
            r, z = FUNCTIONS["sigmoid"](r + hr), FUNCTIONS["sigmoid"](z + hz)
            h = (1 - z) * np.tanh(n + r * hn) + z * h
        steps.append(h)
    return np.stack(steps, axis=1)


def scores(layer, w, x):
    steps = x.shape[1]
    q, k, v = (
        part.reshape(len(x), steps, layer.heads, -1).swapaxes(1, 2) for part in np.split(x, 3, -1)
    )
    products = q @ k.swapaxes(2, 3) / math.sqrt(q.shape[-1])
    if layer.causal:
        products = np.where(np.tri(steps, dtype=bool), products, -np.inf)
    return (softmax(products) @ v).swapaxes(1, 2).reshape(len(x), steps, -1)


def attention(layer, w, x):
    qkv = x @ w["qkv.weight"].T + w.get("qkv.bias", 0)
    return scores(layer, w, qkv) @ w["out.weight"].T + w.get("out.bias", 0)


def batch_norm(layer, w, x):
    x = np.moveaxis(x, 1, -1) if x.ndim == 4 else x
    y = (x - w["running_mean"]) / np.sqrt(w["running_var"] + layer.epsilon)
    y = y * w["weight"] + w["bias"]
    return np.moveaxis(y, -1, 1) if x.ndim == 4 else y


def layer_norm(layer, w, x):
    x = np.moveaxis(x, 1, -1) if x.ndim == 4 else x
    y = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + layer.epsilon)
    y = y * w["weight"] + w["bias"]
    return np.moveaxis(y, -1, 1) if x.ndim == 4 else y


def flatten(layer, w, x):
    return (x.swapaxes(1, 2) if x.ndim == 3 else x).reshape(len(x), -1)


KINDS = {
    "linear": linear,
    "conv": conv,
    "max_pool": pool,
    "average_pool": pool,
    "lstm": recurrent,
    "gru": recurrent,
    "scores": scores,
    "attention": attention,
    "batch_norm": batch_norm,
    "layer_norm": layer_norm,
    "embedding": lambda layer, w, x: w["weight"][x],
    "position": lambda layer, w, x: x + w["weight"],
    "dropout": lambda layer, w, x: x,
    "global_pool": lambda layer, w, x: x.mean((2, 3) if x.ndim == 4 else 1),
    "flatten": flatten,
    "last": lambda layer, w, x: x[:, -1],
    "add": lambda layer, w, *x: sum(x),
    "concat": lambda layer, w, *x: np.concatenate(x, 1 if x[0].ndim == 4 else -1),
    **{
        kind: lambda layer, w, x: activation(layer.kind, x)
        for kind in ("identity", "relu", "gelu", "tanh", "sigmoid", "softmax")
    },
}
