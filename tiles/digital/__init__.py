"""What digital units compute: activations, pooling, normalisation, attention, losses and others."""

from tiles.digital.attention import Scores
from tiles.digital.base import NO_NUMBERS, Array, Call, Function, Learned
from tiles.digital.bias import add_bias, learn_bias
from tiles.digital.constant import Zeros
from tiles.digital.dropout import Dropout
from tiles.digital.losses import (
    LOSSES,
    BinaryCrossEntropy,
    CrossEntropy,
    Loss,
    MeanSquaredError,
)
from tiles.digital.memory import DigitalMemory
from tiles.digital.norms import BatchNorm, LayerNorm
from tiles.digital.pointwise import (
    ACTIVATIONS,
    Gelu,
    Identity,
    Relu,
    Sigmoid,
    Softmax,
    Tanh,
)
from tiles.digital.pooling import AveragePool, GlobalPool, MaxPool
from tiles.digital.recurrent import GruCell, LstmCell
from tiles.digital.shapes import Flatten
from tiles.digital.tokens import Embedding, OneHot, Position

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "NO_NUMBERS",
    "Array",
    "AveragePool",
    "BatchNorm",
    "BinaryCrossEntropy",
    "Call",
    "CrossEntropy",
    "DigitalMemory",
    "Dropout",
    "Embedding",
    "Flatten",
    "Function",
    "Gelu",
    "GlobalPool",
    "GruCell",
    "Identity",
    "LayerNorm",
    "Learned",
    "Loss",
    "LstmCell",
    "MaxPool",
    "MeanSquaredError",
    "OneHot",
    "Position",
    "Relu",
    "Scores",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "Zeros",
    "add_bias",
    "learn_bias",
]
