"""The ONNX operators that have a layer, or that only move values."""

from collections.abc import Callable, Sequence

from crossmesh.emulator.onnx_io import arithmetic, attending, images, moving, normalising, sequences
from crossmesh.emulator.onnx_io.values import Use, Value

Operator = Callable[[Use], Sequence[Value | None]]

OPERATORS: dict[str, Operator] = {
    **dict.fromkeys(moving.MOVES, moving.move),
    "Add": arithmetic.add,
    "Attention": attending.attention,
    "AveragePool": images.average_pool,
    "BatchNormalization": normalising.batch_norm,
    "Cast": moving.cast,
    "CastLike": moving.cast_like,
    "Clip": arithmetic.clip,
    "Concat": moving.concat,
    "Conv": images.conv,
    "Div": arithmetic.divide,
    "Dropout": arithmetic.dropout,
    "Erf": arithmetic.erf,
    "GRU": sequences.recurrent,
    "Gather": sequences.gather,
    "Gelu": arithmetic.function("gelu"),
    "Gemm": arithmetic.gemm,
    "GlobalAveragePool": normalising.global_average_pool,
    "GlobalMaxPool": images.global_max_pool,
    "Identity": moving.same,
    "IsNaN": attending.is_nan,
    "LSTM": sequences.recurrent,
    "LayerNormalization": normalising.layer_norm,
    "LogSoftmax": arithmetic.softmax,
    "MatMul": arithmetic.matmul,
    "MaxPool": images.max_pool,
    "Mul": arithmetic.multiply,
    "Pad": moving.pad,
    "Pow": arithmetic.power,
    "ReduceMean": normalising.mean,
    "Relu": arithmetic.function("relu"),
    "SequenceAt": moving.sequence_at,
    "Shape": moving.measure,
    "Sigmoid": arithmetic.function("sigmoid"),
    "Size": moving.measure,
    "Softmax": arithmetic.softmax,
    "SplitToSequence": moving.split_to_sequence,
    "Sqrt": normalising.deviation,
    "Sub": arithmetic.subtract,
    "Sum": arithmetic.sum_of,
    "Tanh": arithmetic.function("tanh"),
    "Where": attending.where,
}
