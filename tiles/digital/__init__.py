"""Functions of digital units: activations, pooling, normalisation, attention, losses and others."""

from crossmesh.tiles.digital.attention import Scores
from crossmesh.tiles.digital.aware import AwareTile
from crossmesh.tiles.digital.base import NO_PARAMETERS, Array, Call, Function, Learned
from crossmesh.tiles.digital.batch_norm import BatchNorm
from crossmesh.tiles.digital.bias import add_bias, bias_error, learn_bias
from crossmesh.tiles.digital.constant import Zeros
from crossmesh.tiles.digital.dropout import Dropout
from crossmesh.tiles.digital.layer_norm import LayerNorm
from crossmesh.tiles.digital.learner import Learner, learner_bytes
from crossmesh.tiles.digital.losses import (
    LOSSES,
    BinaryCrossEntropy,
    CrossEntropy,
    Loss,
    MeanSquaredError,
)
from crossmesh.tiles.digital.matrix import DigitalMatrix
from crossmesh.tiles.digital.memory import EXACT, Digital, DigitalMemory, held_bytes
from crossmesh.tiles.digital.pointwise import (
    ACTIVATIONS,
    Gelu,
    Identity,
    Relu,
    Sigmoid,
    Softmax,
    Tanh,
)
from crossmesh.tiles.digital.pooling import AveragePool, GlobalPool, MaxPool
from crossmesh.tiles.digital.recurrent import GruCell, LstmCell
from crossmesh.tiles.digital.rule import Clip, Rule
from crossmesh.tiles.digital.shapes import Flatten
from crossmesh.tiles.digital.tokens import Embedding, OneHot, Position
from crossmesh.tiles.optimizers import OPTIMIZERS, AnyOptimizer, GradientDescent, Optimizer

__all__ = [
    "ACTIVATIONS",
    "EXACT",
    "LOSSES",
    "NO_PARAMETERS",
    "OPTIMIZERS",
    "AnyOptimizer",
    "Array",
    "AveragePool",
    "AwareTile",
    "BatchNorm",
    "BinaryCrossEntropy",
    "Call",
    "Clip",
    "CrossEntropy",
    "Digital",
    "DigitalMatrix",
    "DigitalMemory",
    "Dropout",
    "Embedding",
    "Flatten",
    "Function",
    "Gelu",
    "GlobalPool",
    "GradientDescent",
    "GruCell",
    "Identity",
    "LayerNorm",
    "Learned",
    "Learner",
    "Loss",
    "LstmCell",
    "MaxPool",
    "MeanSquaredError",
    "OneHot",
    "Optimizer",
    "Position",
    "Relu",
    "Rule",
    "Scores",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "Zeros",
    "add_bias",
    "bias_error",
    "held_bytes",
    "learn_bias",
    "learner_bytes",
]
