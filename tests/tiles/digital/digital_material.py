"""What several tests of digital need."""

import math

import numpy as np

from crossmesh.common.random import Stream
from crossmesh.tiles.digital import (
    Dropout,
)

STREAM = Stream(seed=5, owner=3)


def logistic(u):
    return 1 / (1 + np.exp(-u))


def softmax(u):
    share = np.exp(u - u.max(axis=-1, keepdims=True))
    return share / share.sum(axis=-1, keepdims=True)


def gelu(u):
    return u * (1 + np.vectorize(math.erf)(u / math.sqrt(2))) / 2


def batch_normalised(x, numbers, epsilon=1e-5):
    deviation = np.sqrt(x.var(axis=0) + epsilon)
    return (x - x.mean(axis=0)) / deviation * numbers[0] + numbers[1]


def layer_normalised(x, numbers, epsilon=1e-5):
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / np.sqrt(x.var(axis=1, keepdims=True) + epsilon) * numbers[0] + numbers[1]


NAIVE = {
    "identity": lambda u: u,
    "relu": lambda u: np.maximum(u, 0),
    "gelu": gelu,
    "tanh": np.tanh,
    "sigmoid": logistic,
    "softmax": softmax,
}


def slopes(value, at):
    """Derivative of a scalar by every element of ``at``, from central differences in float64."""
    result = np.zeros(at.shape)
    for k in np.ndindex(at.shape):
        step = np.zeros(at.shape)
        step[k] = 1e-5
        result[k] = (value(at + step) - value(at - step)) / 2e-5
    return result


POSITIONS = 3


def mask(call, rows, number=2, rate=0.25, features=50):
    f = Dropout(rate=rate, number=number, positions=POSITIONS)
    out = np.empty((rows, features), np.float32)
    f.forward([np.ones_like(out)], out, call)
    return out
