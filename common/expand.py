"""Giving values out in order to the lanes of a vector that want one, in kernels.

Kernels are kept for these sources too, as for all that name ``crossmesh.common.compiled``.
"""

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

ir = cgutils.ir  # type: ignore[attr-defined]  # llvmlite's, which numba was built for
_LANES = 16
_FLOAT, _INT = ir.FloatType(), ir.IntType(64)
_VECTOR, _MASK = ir.VectorType(_FLOAT, _LANES), ir.VectorType(ir.IntType(1), _LANES)


@intrinsic
def _expand(context, out, row, wanting, wanting_row, values, first, n):
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def pointer(position: int, indices: list[Any]) -> Any:
            kind = signature.args[position]
            array = context.make_array(kind)(context, builder, arguments[position])
            return cgutils.get_item_pointer(context, builder, kind, array, indices)

        count = arguments[6].type
        name = f"llvm.masked.expandload.v{_LANES}f32"
        typed = ir.FunctionType(_VECTOR, [_FLOAT.as_pointer(), _MASK, _VECTOR])
        load = cgutils.get_or_insert_function(builder.module, typed, name)
        zeros = ir.Constant(_VECTOR, [0.0] * _LANES)
        taken = cgutils.alloca_once_value(builder, arguments[5])
        with cgutils.for_range_slice(builder, count(0), arguments[6], count(_LANES), count) as (
            lane,
            _,
        ):
            wants = builder.load(
                builder.bitcast(pointer(2, [arguments[3], lane]), _VECTOR.as_pointer()), align=4
            )
            mask = builder.fcmp_unordered("!=", wants, zeros)
            at = builder.load(taken)
            given = builder.call(load, [pointer(4, [at]), mask, zeros])
            builder.store(
                given,
                builder.bitcast(pointer(0, [arguments[1], lane]), _VECTOR.as_pointer()),
                align=4,
            )
            bits = builder.bitcast(mask, ir.IntType(_LANES))
            used = builder.zext(builder.ctpop(bits), count)
            builder.store(builder.add(at, used), taken)
        return builder.load(taken)

    return types.intp(
        out, types.intp, wanting, types.intp, values, types.intp, types.intp
    ), generate


def expand(
    out: Any, row: int, wanting: Any, wanting_row: int, values: Any, first: int, n: int
) -> int:
    """Write ``values[first:]`` in order to those lanes of ``out[row, :n]`` that want one.

    Args:
        out: Float32; lanes that want none become 0.
        row: Row of ``out``.
        wanting: Float32; a lane wants a value where ``wanting[wanting_row]`` is not 0.
        wanting_row: Row of ``wanting``.
        values: Float32, one-dimensional.
        first: The first to give.
        n: Lanes, a multiple of 16.

    Returns:
        Index of the first value that was not given.
    """
    for j in range(n):
        wants = wanting[wanting_row, j] != 0
        out[row, j] = values[first] if wants else 0
        first += int(wants)
    return first


@overload(expand, inline="always")
def _overloaded(out, row, wanting, wanting_row, values, first, n):
    return lambda out, row, wanting, wanting_row, values, first, n: _expand(
        out, row, wanting, wanting_row, values, first, n
    )  # type: ignore[call-arg]  # numba gives the context
