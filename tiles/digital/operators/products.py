"""Operators that multiply and add up: products of matrices, and of tensors by named axes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from crossmesh.tiles.digital.base import Array
from crossmesh.tiles.digital.operators.base import Axes, Operand, Operator, gathered, spread


@dataclass(frozen=True, kw_only=True)
class Matmul(Operator):
    """Products of matrices, which are the last two axes; the others are spread as in NumPy."""

    name: ClassVar[str] = "matmul"
    n_operands: ClassVar[int | None] = 2
    needs_inputs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        a, b = (operand.axes for operand in self.operands)
        if min(len(a), len(b)) < 2 or a[-1] != b[-2]:
            raise ValueError(f"matmul: axes must be (..., m, k) and (..., k, n), got {a} and {b}")

    @property
    def axes(self) -> Axes:
        """Those of the outer axes, rows and columns."""
        a, b = self._equally_many
        outer = spread((Operand(a[:-2]), Operand(b[:-2])))
        return (*outer, a[-2], b[-1])

    @property
    def _equally_many(self) -> tuple[Axes, Axes]:
        """Axes of both operands, the shorter ones preceded by 1."""
        a, b = (operand.axes for operand in self.operands)
        n = max(len(a), len(b))
        return (1,) * (n - len(a)) + a, (1,) * (n - len(b)) + b

    @property
    def work(self) -> float:
        """A multiplication and addition for each inner place of each result."""
        taken = sum(math.prod(operand.axes) for operand in self.operands)
        return math.prod(self.axes) * self.operands[0].axes[-1] / taken

    def _equal(self, tensors: Sequence[Array]) -> list[Array]:
        """Views of the operands with equally many axes."""
        missing = (tuple(range(1, 1 + len(self.axes) - (t.ndim - 1))) for t in tensors)
        return [np.expand_dims(t, axes) for t, axes in zip(tensors, missing, strict=True)]

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Multiply the matrices of each example by themselves, so that its bits stay the same."""
        a, b = self._equal(tensors)
        np.matmul(a, b, out=out)

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """The error times the other one, transposed, on the side where that was."""
        a, b = self._equal(tensors)
        error: Array = (
            np.matmul(a.swapaxes(-1, -2), d) if index else np.matmul(d, b.swapaxes(-1, -2))
        )
        whole = gathered(error, Operand(self._equally_many[index]))
        return whole.reshape(len(whole), *self.operands[index].axes)


@dataclass(frozen=True, kw_only=True)
class Einsum(Operator):
    """Products of any number of tensors, added up over axes that the result does not have.

    Attributes:
        equation: A letter for each axis without that of the examples, as ``ij,jk->ik``; the letters
            of an operand, and of the result, differ from each other.
    """

    name: ClassVar[str] = "einsum"
    n_operands: ClassVar[int | None] = None
    needs_inputs: ClassVar[bool] = True

    equation: str

    def __post_init__(self) -> None:
        super().__post_init__()
        taken, result = self._letters
        named = [*taken, result]
        if not all(len(set(letters)) == len(letters) for letters in named) or not all(
            letters.isalpha() or not letters for letters in named
        ):
            raise ValueError(
                f"einsum.equation must have different letters for the axes of a tensor, and an "
                f"arrow, got {self.equation}"
            )
        axes = [operand.axes for operand in self.operands]
        if [len(letters) for letters in taken] != [len(sizes) for sizes in axes]:
            raise ValueError(f"einsum.equation must fit axes {axes}, got {self.equation}")
        for letters, sizes in zip(taken, axes, strict=True):
            if any(self._sizes[letter] != n for letter, n in zip(letters, sizes, strict=True)):
                raise ValueError(f"einsum: a letter must have one size, got {axes}")
        if not set(result) <= set("".join(taken)):
            raise ValueError(f"einsum: the result's letters must be operands', got {self.equation}")

    @property
    def _letters(self) -> tuple[list[str], str]:
        """Letters of each operand and of the result."""
        taken, _, result = self.equation.replace(" ", "").partition("->")
        return taken.split(","), result if "->" in self.equation else "??"

    @property
    def _sizes(self) -> dict[str, int]:
        taken = zip(self._letters[0], self.operands, strict=True)
        return {
            x: n for letters, operand in taken for x, n in zip(letters, operand.axes, strict=True)
        }

    @property
    def axes(self) -> Axes:
        """Sizes of the result's letters."""
        sizes = self._sizes
        return tuple(sizes[letter] for letter in self._letters[1])

    @property
    def work(self) -> float:
        """A multiplication and addition for each place of all letters and operand but the first."""
        taken = sum(math.prod(operand.axes) for operand in self.operands)
        return math.prod(self._sizes.values()) * max(1, len(self.operands) - 1) / taken

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Example by example."""
        for e in range(len(out)):
            out[e] = _einsum(self.equation, [t[min(e, len(t) - 1)] for t in tensors])

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """The product of the error with the other operands; alike along axes that only this has."""
        taken, result = self._letters
        others = [i for i in range(len(taken)) if i != index]
        known = "".join([taken[i] for i in others] + [result])
        kept = "".join(letter for letter in taken[index] if letter in known)
        equation = f"{','.join([taken[i] for i in others] + [result])}->{kept}"
        sizes = self._sizes
        shape = [sizes[letter] if letter in kept else 1 for letter in taken[index]]
        back = np.empty((len(d), *self.operands[index].axes), np.float32)
        for e in range(len(d)):
            parts = [tensors[i][min(e, len(tensors[i]) - 1)] for i in others]
            back[e] = _einsum(equation, [*parts, d[e]]).reshape(shape)
        return back


def _einsum(equation: str, tensors: list[Array]) -> Array:
    path = _path(equation, tuple(t.shape for t in tensors))
    result: Array = np.einsum(equation, *tensors, optimize=path)
    return result


@lru_cache(maxsize=256)
def _path(equation: str, shapes: tuple[Axes, ...]) -> Any:
    """In which order tensors of some shapes are multiplied."""
    tensors = [np.broadcast_to(np.float32(0), shape) for shape in shapes]
    return np.einsum_path(equation, *tensors, optimize="greedy")[0]


PRODUCTS: tuple[type[Operator], ...] = (Matmul, Einsum)
