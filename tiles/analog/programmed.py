"""Memories that are programmed once and then read for a long time: scatter, drift, read noise.

Conductances are in siemens. Each weight is a pair of such memories, of which one is aimed at the
weight and the other at 0. Models by the name that ``evaluate --inference`` takes.
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.frozen import Frozen
from crossmesh.tiles.analog import phase_change

Array = NDArray[np.float32]
_SMALLEST = 1e-7  # of full scale; logarithms below it say nothing
_MICRO = 1e-6


def _polynomial(coefficients: tuple[float, ...], g: Array) -> Array:
    """``sum_k coefficients[k] * g**k``."""
    total = np.zeros_like(g)
    for coefficient in reversed(coefficients):
        total = total * g + np.float32(coefficient)
    return total


def _logarithmic(slope: float, offset: float, limits: tuple[float, float], g: Array) -> Array:
    """``slope * ln(g) + offset`` within limits."""
    return np.clip(slope * np.log(np.maximum(g, _SMALLEST)) + offset, *limits)


class InferenceModel(Frozen):
    """A kind of inference memory: its programming error, drift and read noise.

    In all methods ``g`` is a conductance relative to full scale, as it was aimed at or programmed.

    Attributes:
        full_scale_siemens: Conductance that the largest weight of a tile is aimed at.
        start_s: Time after programming from which drift is counted.
        read_s: Time that a read takes.
    """

    source: ClassVar[str]

    full_scale_siemens: float
    start_s: float
    read_s: float

    def scatter(self, g: Array, after_s: float) -> Array:
        """Standard deviation of a programmed conductance about its target, in siemens."""
        raise NotImplementedError

    def exponent(self, g: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the drift exponents of memories aimed at ``g``."""
        raise NotImplementedError

    def fluctuation(self, g: Array) -> Array:
        """Factor Q of the read noise of memories programmed to ``g``."""
        raise NotImplementedError

    def programmed(self, target: Array, normal: Array, after_s: float = 0.0) -> Array:
        """Conductances in siemens, given targets relative to full scale and a normal number each.

        ``after_s`` matters to models whose scatter was measured at several times.
        """
        aimed = target * np.float32(self.full_scale_siemens)
        return np.maximum(aimed + self.scatter(target, after_s) * normal, 0).astype(np.float32)

    def drifted(self, siemens: Array, target: Array, normal: Array, after_s: float) -> Array:
        """``siemens * ((t + start) / start) ** -nu``, nu drawn once for each memory."""
        mean, deviation = self.exponent(target)
        exponents = np.abs(mean + deviation * normal)
        left = np.exp(-exponents * np.float32(np.log1p(after_s / self.start_s)))
        return (siemens * left).astype(np.float32)

    def read_deviation(self, programmed: Array, now: Array, after_s: float) -> Array:
        """Standard deviation from read to read, in siemens.

        1/f noise over the time since programming: ``G Q sqrt(ln((t + t_read) / (2 t_read)))``, t
        counted from ``start_s`` before the end of programming.
        """
        g = programmed / np.float32(self.full_scale_siemens)
        elapsed = after_s + self.start_s
        factor = np.sqrt(np.log((elapsed + self.read_s) / (2 * self.read_s)))
        return (now * self.fluctuation(g) * np.float32(factor)).astype(np.float32)


class ProgrammedPcm(InferenceModel):
    """Phase-change memory, characterised on a million devices.

    Joshi et al., Nat. Commun. 11, 2473 (2020), doi 10.1038/s41467-020-16108-9, and Nandakumar et
    al., ICECS 2019, as in aihwkit's ``PCMLikeNoiseModel``.
    """

    source: ClassVar[str] = "Joshi et al. 2020, doi 10.1038/s41467-020-16108-9"

    full_scale_siemens: float = 25e-6
    start_s: float = 20.0
    read_s: float = 250e-9

    def scatter(self, g: Array, after_s: float) -> Array:
        """A parabola, in proportion to full scale."""
        scale = np.float32(self.full_scale_siemens / phase_change.SCALE_SIEMENS)
        return scale * phase_change.scatter(g)

    def exponent(self, g: Array) -> tuple[Array, Array]:
        """Falling with the logarithm of the conductance."""
        return phase_change.exponents(g)

    def fluctuation(self, g: Array) -> Array:
        """A power of the conductance."""
        return np.minimum(0.0088 / np.maximum(g, _SMALLEST) ** 0.65, 0.2)


class _Branches(Frozen):
    """Coefficients of a HERMES fit that differ between one and two devices per polarity."""

    scatter: tuple[float, float, float, float]
    spread_below: tuple[float, float, float, float]  # g, slope, offset, smallest
    spread_above: tuple[float, float, float]
    noise_below: tuple[float, float, float, float]
    noise_above: tuple[float, float, float, float]


class Hermes(InferenceModel):
    """Phase-change memory of the HERMES chip, one device per polarity.

    Le Gallo et al., Nat. Electron. 6, 680 (2023), doi 10.1038/s41928-023-01010-1, as fitted in
    aihwkit's ``PCMNoiseModel`` for that chip.
    """

    source: ClassVar[str] = "Le Gallo et al. 2023, doi 10.1038/s41928-023-01010-1"
    _fit: ClassVar[_Branches] = _Branches(
        scatter=(0.15782, 2.32444, -2.16311, 0.68842),
        spread_below=(0.3039, -0.0120, -0.0023, 0.0124),
        spread_above=(0.0104, 0.0116, -0.0165),
        noise_below=(0.1591, -0.0078, 0.0038, 0.0179),
        noise_above=(0.0088, 0.0768, -0.1352, 0.0664),
    )

    full_scale_siemens: float = 10.35e-6
    start_s: float = 200.0
    read_s: float = 512e-9

    def scatter(self, g: Array, after_s: float) -> Array:
        """A polynomial of third degree."""
        return np.float32(_MICRO) * np.maximum(_polynomial(self._fit.scatter, g), 0)

    def exponent(self, g: Array) -> tuple[Array, Array]:
        """Two branches each."""
        mean = np.where(
            g < 0.0945,
            _logarithmic(-0.0387, -0.0182, (0.072, 0.13), g),
            _polynomial((0.0736, -0.0126, -0.0436), g),
        )
        below, slope, offset, least = self._fit.spread_below
        spread = np.where(
            g < below,
            _logarithmic(slope, offset, (least, 0.04), g),
            _polynomial(self._fit.spread_above, g),
        )
        return mean, np.maximum(spread, 0)

    def fluctuation(self, g: Array) -> Array:
        """Two branches."""
        below, slope, offset, least = self._fit.noise_below
        return np.where(
            g < below,
            _logarithmic(slope, offset, (least, 0.04), g),
            _polynomial(self._fit.noise_above, g),
        )


class Hermes2(Hermes):
    """Phase-change memory of the HERMES chip, two devices per polarity."""

    _fit: ClassVar[_Branches] = _Branches(
        scatter=(0.16603, 4.71806, -8.48101, 4.68961),
        spread_below=(0.3055, -0.0117, -0.0057, 0.0091),
        spread_above=(0.0073, 0.0093, -0.0118),
        noise_below=(0.16, -0.0117, -0.0069, 0.015),
        noise_above=(0.0123, 0.0211, -0.0280, 0.0069),
    )

    full_scale_siemens: float = 20.7e-6
    start_s: float = 300.0


class Reram(InferenceModel):
    """Resistive memory: no drift of the mean, but a scatter that grows with time.

    Wan et al., Nature 608, 504 (2022), doi 10.1038/s41586-022-04992-8, as fitted in aihwkit's
    ``ReRamWan2022NoiseModel`` at one second, one day and two days; between these the scatter is
    interpolated in the logarithm of time, and outside it is held.
    """

    source: ClassVar[str] = "Wan et al. 2022, doi 10.1038/s41586-022-04992-8"
    _times_s: ClassVar[tuple[float, ...]] = (1.0, 86400.0, 172800.0)
    _scatter: ClassVar[tuple[tuple[float, ...], ...]] = (
        (0.348, 16.030, -43.853, 45.393, -16.815),
        (0.701, 22.086, -50.773, 47.095, -16.458),
        (0.782, 20.274, -43.507, 37.062, -11.934),
    )

    full_scale_siemens: float = 40e-6
    start_s: float = 1.0
    read_s: float = 1e-6

    def scatter(self, g: Array, after_s: float) -> Array:
        """Interpolated between the measured times."""
        logarithms = np.log(self._times_s)
        at = float(np.interp(np.log(max(after_s, 1e-9)), logarithms, np.arange(3.0)))
        first = min(int(at), 1)
        one, other = (_polynomial(c, g) for c in self._scatter[first : first + 2])
        share = np.float32(at - first)
        return np.float32(_MICRO) * np.maximum(one + share * (other - one), 0)

    def exponent(self, g: Array) -> tuple[Array, Array]:
        """None."""
        return np.zeros_like(g), np.zeros_like(g)

    def fluctuation(self, g: Array) -> Array:
        """None was measured apart from the scatter."""
        return np.zeros_like(g)


MODELS: dict[str, InferenceModel] = {
    "pcm": ProgrammedPcm(),
    "hermes": Hermes(),
    "hermes-2": Hermes2(),
    "reram": Reram(),
}
