"""Two names for the same numbers: weights as PyTorch has them, and matrices as tiles hold them.

Published weights have PyTorch's names and layout, outputs first. A matrix has word lines as rows:
the inputs, and one more for the bias where a layer has one; its columns are bit lines.

=============  =========================================  =====================================
layer          published                                  matrices
=============  =========================================  =====================================
linear         NAME.weight (m, n), .bias (m)              NAME (n + 1, m)
conv           NAME.weight (m, c / groups, h, w), .bias   NAME (h * w * c + 1, m): rows by kernel
                                                          row, kernel column, channel; with
                                                          groups NAME.0, NAME.1 and so on
lstm, gru      NAME.weight_ih, .weight_hh, .bias_ih,      NAME.input, NAME.hidden
               .bias_hh; gates i, f, g, o or r, z, n
attention      NAME.qkv.weight, .qkv.bias,                NAME.qkv, NAME.out
               .out.weight, .out.bias
embedding      NAME.weight (v, d)                         NAME (v, d)
position       NAME.weight (t, d)                         NAME (t, d)
batch_norm     NAME.weight, .bias, .running_mean,         NAME (4, c)
               .running_var
layer_norm     NAME.weight, .bias                         NAME (2, d)
=============  =========================================  =====================================
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossmesh.common import free_memory
from crossmesh.common.errors import ConfigError
from crossmesh.common.whole_files import is_file
from crossmesh.emulator.config.layers import Layer
from crossmesh.emulator.config.operators import OperatorLayer
from crossmesh.emulator.data.archive import stored_arrays
from crossmesh.emulator.data.errors import listed
from crossmesh.emulator.data.filling import filled
from crossmesh.emulator.data.stored import Stored
from crossmesh.emulator.onnx_io.layouts import parts
from crossmesh.emulator.onnx_io.published_arrays import Array, Shape


def published_names(layers: Sequence[Layer]) -> tuple[str, ...]:
    """Names of every published array of a network, in the order of its layers."""
    return tuple(name for part in parts(layers) for name in part.names)


def published_shapes(
    layers: Sequence[Layer], matrix_shapes: Mapping[str, tuple[int, int]]
) -> dict[str, Shape]:
    """Shape of every published array, from those of the matrices."""
    shapes: dict[str, Shape] = {}
    for part in parts(layers):
        shapes |= part.shapes(part.size_of_matrix(matrix_shapes[part.matrix_names[0]]))
    return shapes


def matrices(layers: Sequence[Layer], published: Mapping[str, Array]) -> dict[str, Array]:
    """What tiles and digital memories hold.

    Raises:
        ConfigError: If an array is missing, unknown or has another shape than its layer.
    """
    check(layers, published)
    held: dict[str, Array] = {}
    for part in parts(layers):
        held |= part.to_matrices(published)
    return held


def check(layers: Sequence[Layer], published: Mapping[str, Any]) -> None:
    """Check that published weights fit the layers, as far as these say their sizes.

    Raises:
        ConfigError: If an array is missing, unknown or has another shape than its layer.
    """
    _check_names(layers, published)
    for part in parts(layers):
        _check_shapes(published, part.shapes(part.size_of_published(published)))


def published(layers: Sequence[Layer], matrices: Mapping[str, Array]) -> dict[str, Array]:
    """The weights under PyTorch's names and in its layout."""
    arrays: dict[str, Array] = {}
    for part in parts(layers):
        arrays |= part.to_published(matrices)
    return arrays


def write_npz(path: Path, published: Mapping[str, Array]) -> None:
    """Write published weights to a NumPy archive."""
    with path.open("wb") as file:
        arrays: dict[str, Any] = dict(published)
        np.savez(file, **arrays)


def read_npz(
    path: Path,
    layers: Sequence[Layer],
    matrix_shapes: Mapping[str, tuple[int, int]] | None = None,
) -> dict[str, Array]:
    """Published weights from a NumPy archive; nothing in it is unpickled.

    Args:
        path: The archive.
        layers: The network that they belong to.
        matrix_shapes: Rows and columns of the network's matrices, if they are known.

    Raises:
        ConfigError: If it is no archive, or an array is missing, unknown, not finite or has
            another shape than its layer.
    """

    def refusal(reason: object) -> ConfigError:
        return ConfigError(f"weights must be an npz archive, got {path} ({reason})")

    if not is_file(path):
        raise ConfigError(f"weights must be a file, got {path}")
    arrays = stored_arrays(path, refusal)
    _check_names(layers, arrays)
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu":
            raise ConfigError(f"{name} must be finite numbers, got {array.dtype} in {path}")
    if matrix_shapes is not None:
        _check_shapes(arrays, published_shapes(layers, matrix_shapes))
    check(layers, arrays)
    needed = sum(4 * math.prod(array.shape) for array in arrays.values())
    if (free := free_memory.lacking(needed)) is not None:
        raise ConfigError(
            f"weights must fit in the {free_memory.in_words(free)} of memory that are free, got "
            f"{path}, which takes {free_memory.in_words(needed)}"
        )
    held = held_names(layers)
    return {
        name: _read(arrays[name], name, path, is_held=name in held)
        for name in published_names(layers)
    }


def held_names(layers: Sequence[Layer]) -> set[str]:
    """Names of the arrays that are a part of the network, not learnt; they may be infinite."""
    held = (layer for layer in layers if isinstance(layer, OperatorLayer) and layer.frozen)
    return {f"{layer.name}.weight" for layer in held}


def _read(array: Stored, name: str, path: Path, *, is_held: bool) -> Array:
    """A published array in float32."""

    def finite(values: NDArray[Any]) -> Array:
        with np.errstate(over="ignore"):
            converted = values.astype(np.float32)
        known = ~np.isnan(converted) if is_held else np.isfinite(converted)
        if not known.all():
            raise ConfigError(f"{name} must be finite numbers, got {array.dtype} in {path}")
        return converted

    return filled(array, np.float32, [None], finite)[0]


def _check_names(layers: Sequence[Layer], arrays: Mapping[str, NDArray[Any] | Stored]) -> None:
    names = published_names(layers)
    for name in names:
        if name not in arrays:
            got = listed(sorted(arrays))
            raise ConfigError(f"weights must hold {name}, got {got}")
    for name in arrays:
        if name not in names:
            raise ConfigError(f"weights must be of the network ({listed(names)}), got {name}")


def _check_shapes(arrays: Mapping[str, NDArray[Any] | Stored], shapes: Mapping[str, Shape]) -> None:
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ConfigError(f"{name} must have shape {shape}, got {arrays[name].shape}")
