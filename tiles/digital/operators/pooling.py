"""Pooling over windows in one to three dimensions, channels last."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from crossmesh.tiles.digital.base import Array
from crossmesh.tiles.digital.operators.base import Axes, Operator
from crossmesh.tiles.digital.operators.windows import (
    Geometry,
    add_up,
    counts,
    largest,
    largest_error,
    share_out,
    taps,
)


@dataclass(frozen=True, kw_only=True)
class Windowed(Operator):
    """Base class: windows over the spatial axes of ``(*spatial, channels)``.

    Attributes:
        kernel: Taps of a window along each spatial axis.
        stride: Steps between windows; none: 1.
        dilation: Distances between taps; none: 1.
        before: Padding before the first pixel,
        after: and after the last; none: 0.
    """

    kernel: Axes
    stride: Axes = ()
    dilation: Axes = ()
    before: Axes = ()
    after: Axes = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= len(self.operands[0].axes) <= 4:
            raise ValueError(
                f"{self.name} must have one to three spatial axes and channels, "
                f"got {self.operands[0].axes}"
            )
        self.geometry.check(self.name)

    @property
    def geometry(self) -> Geometry:
        """Where the windows are."""
        sizes = self._spatial
        ones, zeros = (1,) * len(sizes), (0,) * len(sizes)
        steps = self.stride or ones, self.dilation or ones
        return Geometry(sizes, self.kernel, *steps, self.before or zeros, self.after or zeros)

    @property
    def _spatial(self) -> Axes:
        """Sizes of the image."""
        return self.operands[0].axes[:-1]

    @property
    def axes(self) -> Axes:
        """One pixel for each window."""
        return (*self.geometry.windows, self.operands[0].axes[-1])


def pixels(tensor: Array) -> Array:
    """``(examples, pixels, channels)`` of ``(examples, *spatial, channels)``, contiguous."""
    return np.ascontiguousarray(tensor).reshape(len(tensor), -1, tensor.shape[-1])


@dataclass(frozen=True, kw_only=True)
class Pooling(Windowed):
    """Base class: one number of each window and channel.

    Attributes:
        ceil: Whether the last window need not be full.
    """

    needs_inputs: ClassVar[bool] = True

    ceil: bool = False

    @property
    def geometry(self) -> Geometry:
        """Where the windows are."""
        return super().geometry._replace(ceil=self.ceil)

    @property
    def work(self) -> float:
        """One for each tap."""
        windows, taken = np.prod(self.axes[:-1]), np.prod(self._spatial)
        return float(windows * np.prod(self.kernel) / taken)

    def _shared(self, d: Array) -> Array:
        """Numbers of windows ``(examples, windows, channels)``, added to all pixels of each."""
        result = np.zeros((len(d), *self.operands[0].axes), np.float32)
        share_out(d, taps(self.geometry), pixels(result))
        return result


@dataclass(frozen=True, kw_only=True)
class MaxPooling(Pooling):
    """The largest number of each window, which padding never is."""

    name: ClassVar[str] = "max_pooling"

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Compare tap by tap."""
        largest(pixels(tensors[0]), taps(self.geometry), pixels(out))

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """To the largest number, the first of equal ones."""
        result = np.zeros((len(d), *self.operands[0].axes), np.float32)
        largest_error(pixels(d), pixels(tensors[0]), taps(self.geometry), pixels(result))
        return result


@dataclass(frozen=True, kw_only=True)
class AveragePooling(Pooling):
    """The mean of each window.

    Attributes:
        count_padding: Whether padding counts, as zeros; what ``ceil`` adds never does.
    """

    name: ClassVar[str] = "average_pooling"
    needs_inputs: ClassVar[bool] = False

    count_padding: bool = False

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Add tap by tap, and divide."""
        result = pixels(out)
        add_up(pixels(tensors[0]), taps(self.geometry), result)
        result /= counts(self.geometry, self.count_padding)

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """Shared out."""
        return self._shared(pixels(d) / counts(self.geometry, self.count_padding))


@dataclass(frozen=True, kw_only=True)
class LpPooling(Pooling):
    """The p-norm of each window.

    Attributes:
        p: Exponent, at least 1.
    """

    name: ClassVar[str] = "lp_pooling"
    needs_output: ClassVar[bool] = True

    p: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.p < 1:
            raise ValueError(f"lp_pooling.p must be at least 1, got {self.p}")

    def compute(self, tensors: Sequence[Array], out: Array) -> None:
        """Add powers tap by tap, and take the root."""
        result = pixels(out)
        add_up(np.abs(pixels(tensors[0])) ** self.p, taps(self.geometry), result)
        np.power(result, np.float32(1 / self.p), out=result)

    def error(self, d: Array, index: int, tensors: Sequence[Array], y: Array | None) -> Array:
        """``d * sign(x) * (abs(x) / y) ** (p - 1)``."""
        assert y is not None
        norm = pixels(y)
        share = np.where(norm == 0, np.float32(0), pixels(d) * norm ** (1 - self.p))
        x = tensors[0]
        return self._shared(share) * np.sign(x) * np.abs(x) ** (self.p - 1)


POOLINGS: tuple[type[Operator], ...] = (MaxPooling, AveragePooling, LpPooling)
