"""Hardware-aware training: digital weights that learn behind the noise of the tiles to come."""

from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from crossmesh.common.frozen import Frozen
from crossmesh.common.random import Purpose, Stream
from crossmesh.tiles.analog.algorithms.base import Algorithm
from crossmesh.tiles.analog.cells import Cell
from crossmesh.tiles.analog.cells.ideal import Ideal
from crossmesh.tiles.analog.programmed import MODELS

Array = NDArray[np.float32]
_DRAWS = 2**32  # of one key


class WeightClip(Frozen):
    """Limit of the weights on a tile after each step, as aihwkit's ``WeightClipParameter``.

    Attributes:
        value: Largest magnitude [fixed_value]; or ``sigma``.
        sigma: Largest magnitude in standard deviations of the tile's weights [sigma].
    """

    value: float | None = Field(None, gt=0)
    sigma: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _has_one_limit(self) -> Self:
        if (self.value is None) == (self.sigma is None):
            raise ValueError("value or sigma must be given, and only one of them")
        return self

    def limit(self, weights: Array) -> None:
        """Change ``(rows, cols)`` weights of the network in place."""
        largest = self.value or (self.sigma or 0) * float(weights.std(dtype=np.float64))
        np.clip(weights, -largest, largest, out=weights)


class InputRange(Frozen):
    """A range of the inputs of each tile, in place of noise management.

    Inputs are clipped to it and fill the DAC. It begins as some standard deviations of the inputs,
    and then learns by the optimiser of the layer: clipped inputs that would lower the loss widen
    it, and a decay narrows it while few inputs are clipped. Rules and names as of aihwkit's
    ``InputRangeParameter`` (Rasch et al. 2023, doi 10.1038/s41467-023-40770-4).

    Attributes:
        learned: Whether it learns [learn_input_range].
        init_value: Range before the first update [init_value].
        init_from_data: Updates that it is the mean of the inputs' deviations over [init_from_data].
        init_std_alpha: Standard deviations of the inputs that it then has [init_std_alpha].
        decay: Part of the range that narrows it, in the gradient of an example [decay].
        input_min_percentage: Share of the inputs that must be within it for the decay to act
            [input_min_percentage].
    """

    learned: bool = True
    init_value: float = Field(3.0, gt=0)
    init_from_data: int = Field(100, ge=0)
    init_std_alpha: float = Field(3.0, gt=0)
    decay: float = Field(0.01, ge=0)
    input_min_percentage: float = Field(0.95, ge=0, le=1)


class HardwareAware(Algorithm):
    """Weights are numbers in training, read through the periphery of the tile and with noise.

    The forward pass goes through the tile's ``read`` with noisy weights, which stay the same for a
    batch; the backward pass through the same weights exactly; the layer's ``optimizer`` changes the
    weights without noise. Tests read them without noise, through the periphery. The cell of the
    tile is not used: ``crossmesh evaluate --after`` programs the weights.

    Source: Joshi et al. 2020, doi 10.1038/s41467-020-16108-9; Rasch et al. 2023, doi
    10.1038/s41467-023-40770-4.

    Attributes:
        weight_noise: Standard deviation of the noise, in the units of its kind [std_dev].
        noise_kind: ``additive``: in parts of the tile's largest weight [ADD_NORMAL];
            ``multiplicative``: in parts of each weight [MULT_NORMAL]; ``programming``: as a pair of
            memories is programmed, in parts of its scatter [PROG_NOISE].
        memory: Memories of ``programming``, by the names of ``evaluate --inference``.
        clip: Limit of the weights after each step; by default none.
        input_range: Range of the inputs; by default as the tile's noise management has it.
    """

    kind: Literal["hardware_aware"] = "hardware_aware"

    weight_noise: float = Field(0.0, ge=0)
    noise_kind: Literal["additive", "multiplicative", "programming"] = "additive"
    memory: Literal["pcm", "hermes", "hermes-2", "reram"] = "pcm"
    clip: WeightClip | None = None
    input_range: InputRange | None = None

    def cell(self, cell: Cell, batch: int = 1) -> Cell:
        """Numbers."""
        return Ideal()

    def perturbed(self, weights: Array, stream: Stream, update: int) -> Array:
        """A tile's ``(rows, cols)`` weights with the noise of an update.

        Args:
            weights: Without noise.
            stream: Random numbers of the tile.
            update: Number of the update's first example, which keys the noise.
        """
        largest = float(np.abs(weights).max(initial=0)) or 1.0
        if self.noise_kind == "programming":
            sides = (
                self._side(np.maximum(sign * weights / np.float32(largest), 0), stream, update, i)
                for i, sign in enumerate((np.float32(1), np.float32(-1)))
            )
            plus, minus = sides
            return np.float32(largest) * (plus - minus)
        noise = np.float32(self.weight_noise) * _normal(weights, stream, update, 0)
        return weights + noise * (
            weights if self.noise_kind == "multiplicative" else np.float32(largest)
        )

    def _side(self, target: Array, stream: Stream, update: int, side: int) -> Array:
        """Conductances of one polarity, relative to full scale."""
        model = MODELS[self.memory]
        scatter = np.float32(self.weight_noise) * _normal(target, stream, update, side)
        return model.programmed(target, scatter) / np.float32(model.full_scale_siemens)


def _normal(like: Array, stream: Stream, update: int, side: int) -> Array:
    part, draw = divmod(update, _DRAWS)
    shape = like.shape[0], like.shape[1]
    return stream.normal(Purpose.AWARE_NOISE, shape, draw=draw, part=2 * part + side)
