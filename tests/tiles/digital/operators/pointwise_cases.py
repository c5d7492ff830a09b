"""Cases of operators of every number by itself."""

import numpy as np

from tests.tiles.digital.operators.operator_material import (
    Case,
    normal,
    positive,
    proper,
    torch,
    whole,
)

f = torch.nn.functional


def wide(rng, shape):
    return rng.normal(size=shape) * 8


def beyond_one(rng, shape):
    return rng.uniform(1.2, 5.0, size=shape)


def special(rng, shape):
    return rng.choice([np.nan, np.inf, -np.inf, 0.0, 1.5], size=shape)


def each(name, reference, draw=normal, **settings):
    return [Case(name, reference, (axes,), settings, (draw,)) for axes in ((3, 4, 5), (2,), ())]


def truth(name, reference, draw):
    return each(name, lambda x: reference(x).double(), draw)


PLAIN = {
    "identity": lambda x: x * 1,
    "negate": torch.neg,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "silu": f.silu,
    "hard_swish": f.hardswish,
    "softplus": f.softplus,
    "softsign": f.softsign,
    "mish": f.mish,
    "exp": torch.exp,
    "abs": torch.abs,
    "erf": torch.erf,
    "sin": torch.sin,
    "cos": torch.cos,
    "atan": torch.atan,
    "sinh": torch.sinh,
    "cosh": torch.cosh,
    "asinh": torch.asinh,
    "sign": torch.sign,
    "floor": torch.floor,
    "ceil": torch.ceil,
    "round": torch.round,
    "whole": torch.trunc,
}
WITHIN = {
    "tan": (torch.tan, proper),
    "asin": (torch.asin, proper),
    "acos": (torch.acos, proper),
    "atanh": (torch.atanh, proper),
    "acosh": (torch.acosh, beyond_one),
    "log": (torch.log, positive),
    "sqrt": (torch.sqrt, positive),
    "reciprocal": (torch.reciprocal, positive),
}
BOUNDED = ("relu", "sigmoid", "tanh", "silu", "hard_swish", "softplus", "softsign", "mish", "erf")


def leaky(x):
    return f.leaky_relu(x, 0.2)


POINTWISE_CASES = [
    *(case for name, reference in PLAIN.items() for case in each(name, reference)),
    *(case for name, (reference, draw) in WITHIN.items() for case in each(name, reference, draw)),
    *(Case(name, PLAIN[name], ((40, 50),), draws=(wide,)) for name in BOUNDED),
    Case("round", torch.round, ((40,),), draws=(lambda *a: whole(-9, 9)(*a) / 2,)),
    *truth("truth", torch.Tensor.bool, whole(-1, 2)),
    *truth("logical_not", torch.logical_not, whole(-1, 2)),
    *truth("is_nan", torch.isnan, special),
    *truth("is_inf", torch.isinf, special),
    Case(
        "is_inf", lambda x: (x == np.inf).double(), settings={"negative": False}, draws=(special,)
    ),
    *each("affine", lambda x: x * 1.5 - 0.25, factor=1.5, offset=-0.25),
    *each("clip", lambda x: x.clamp(-0.5, 0.75), low=-0.5, high=0.75),
    *each("clip", lambda x: x.clamp(min=0.0), low=0.0),
    *each("clip", lambda x: x.clamp(max=0.5), high=0.5),
    *each("leaky_relu", leaky, slope=0.2),
    *each("elu", lambda x: f.elu(x, 1.5), wide, alpha=1.5),
    *each("selu", f.selu, wide),
    *each("celu", lambda x: f.celu(x, 2.0), wide, alpha=2.0),
    *each("swish", lambda x: x * torch.sigmoid(1.7 * x), wide, beta=1.7),
    *each("hard_sigmoid", lambda x: (0.3 * x + 0.4).clamp(0, 1), alpha=0.3, beta=0.4),
    *each("gelu", f.gelu),
    *each("gelu", lambda x: f.gelu(x, approximate="tanh"), wide, approximate="tanh"),
    *each("thresholded_relu", lambda x: f.threshold(x, 0.3, 0.0), alpha=0.3),
    *each("shrink", lambda x: f.softshrink(x, 0.4), bias=0.4, lambd=0.4),
    *each("shrink", lambda x: f.hardshrink(x, 0.4), lambd=0.4),
]
