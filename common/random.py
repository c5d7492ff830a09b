"""Random numbers as a pure function of who asks for what: a counter-based generator.

Philox-4x32 with seven rounds (Salmon et al., SC 2011, doi 10.1145/2063384.2063405; seven is the
smallest number of rounds that its authors found to pass BigCrush). A block of four words is a
function of a 64-bit key, which stands for (seed, tile, purpose), and of a 128-bit counter, which
stands for (lane, row, example, draw). Nothing has a position, so order, process and packing
cannot change a number. Examples are counted in 64 bits, and the upper half changes the key; so
are the draws of arrays without examples, whose upper half takes the example's place.
"""

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.compiled import inlined, kernel, use_full_width

LANES = 8  # counters drawn together; each gives 4 words, i.e. 8 normals
CHUNK = 8 * LANES  # columns that share one draw of noise


class Purpose(IntEnum):
    """Purpose of a random number, a part of its key. Never renumber: runs would change."""

    INITIAL_WEIGHT = 0
    DEVICE = 1
    FORWARD_INPUT = 2
    FORWARD_OUTPUT = 3
    BACKWARD_INPUT = 4
    BACKWARD_OUTPUT = 5
    EVALUATE_INPUT = 6
    EVALUATE_OUTPUT = 7
    ROW_TRAIN = 8
    COLUMN_TRAIN = 9
    CYCLE_NOISE = 10
    WRITE_NOISE = 11
    REFERENCE = 12
    RETENTION = 13
    STUCK = 14
    TRANSFER = 15
    REWRITE = 16
    PROGRAMMING = 17
    DRIFT = 18
    INFERENCE_READ = 19
    DROPOUT = 20
    COUNTED_PULSES = 21
    TRANSFER_READ = 22
    CHOPPER = 23
    ROUNDING = 24
    CALIBRATION = 25
    AWARE_NOISE = 26
    PLACEMENT = 27


_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = np.uint64(0x9E3779B9)
_WEYL_1 = np.uint64(0xBB67AE85)
_ROUNDS = 7
_U16 = np.uint32(16)
_U32 = np.uint64(32)
_LOW_WORD = np.uint64(0xFFFFFFFF)


@inlined
def philox(c0, c1, c2, c3, k0, k1):
    """One block: four uint32 words from four counter words and two key words, all uint32.

    Words stand in the lower halves of 64 bits throughout, whatever stands above them: processors
    multiply these halves as vectors, and nothing is moved between lanes of different width.
    """
    c0, c1, c2, c3 = np.uint64(c0), np.uint64(c1), np.uint64(c2), np.uint64(c3)
    k0, k1 = np.uint64(k0), np.uint64(k1)
    for _ in range(_ROUNDS):
        p0 = (c0 & _LOW_WORD) * _MULTIPLIER_0
        p1 = (c2 & _LOW_WORD) * _MULTIPLIER_1
        c0, c1, c2, c3 = (p1 >> _U32) ^ c1 ^ k0, p1, (p0 >> _U32) ^ c3 ^ k1, p0
        k0, k1 = k0 + _WEYL_0, k1 + _WEYL_1
    return (
        np.uint32(c0 & _LOW_WORD),
        np.uint32(c1 & _LOW_WORD),
        np.uint32(c2 & _LOW_WORD),
        np.uint32(c3 & _LOW_WORD),
    )


@inlined
def of_example(number, k1):
    """The counter word of an example, and the second key word for it.

    Args:
        number: Number of the example, or vector where an example has several; below 2**63.
        k1: Second word of the key.
    """
    upper = np.uint32(np.uint64(number) >> _U32)
    return np.uint32(np.uint64(number) & _LOW_WORD), np.uint32(k1 ^ upper)


# Least-squares coefficients over the ranges used: sin(2 pi t), |t| <= 1/4 (error 4e-8);
# -2 ln(1 + m), 1/sqrt(2) <= 1 + m <= sqrt(2) (error 2e-6).
_S0, _S1, _S2, _S3, _S4 = (
    np.float32(c) for c in (6.283185, -41.341663, 81.60163, -76.56463, 39.65245)
)
_L1, _L2, _L3, _L4, _L5, _L6, _L7 = (
    np.float32(c)
    for c in (-2.0000062, 1.0000196, -0.6660879, 0.4983718, -0.41248614, 0.37156898, -0.22698125)
)
_MINUS_2_LN_2 = np.float32(-2 * np.log(2))
_SQRT_HALF_BITS = np.int32(0x3F3504F3)
_MANTISSA = np.int32(23)
_QUARTER = np.float32(0.25)
_HALF = np.float32(0.5)
_ONE = np.float32(1)


@inlined
def _sin_2pi(t):
    q = t * t
    return t * (_S0 + q * (_S1 + q * (_S2 + q * (_S3 + q * _S4))))


@inlined
def normal_pair(word):
    """Two independent standard normals (float32) from one word, by Box and Muller's method.

    Radius from the upper, angle from the lower 16 bits: the largest magnitude is 4.85, and the
    distance to the normal distribution function is below 2e-4.
    """
    u = np.float32(np.int32(word >> _U16)) + _HALF  # 2^16 times a uniform number
    bits = np.float32(u).view(np.int32)
    exponent = np.int32(bits - _SQRT_HALF_BITS) >> _MANTISSA
    m = np.int32(bits - np.int32(exponent << _MANTISSA)).view(np.float32) - _ONE
    log = m * (_L1 + m * (_L2 + m * (_L3 + m * (_L4 + m * (_L5 + m * (_L6 + m * _L7))))))
    square = log + np.float32(np.int32(exponent - np.int32(16))) * _MINUS_2_LN_2
    radius = np.sqrt(max(square, np.float32(0)))
    angle = (np.float32(np.int32(word & np.uint32(0x7FFF))) + _HALF) * np.float32(2**-16)
    sine = _sin_2pi(min(angle, _HALF - angle))
    sine = sine if word & np.uint32(0x8000) == np.uint32(0) else -sine
    return radius * _sin_2pi(_QUARTER - angle), radius * sine


@inlined
def fill_words(words, chunk, row, example, draw, k0, k1):
    """Fill ``words[:CHUNK // 2]`` with random words; arguments as for ``fill_normals``."""
    word, k1 = of_example(example, k1)
    for lane in range(LANES):
        counter = np.uint32(chunk * LANES + lane)
        a, b, c, d = philox(counter, np.uint32(row), word, np.uint32(draw), k0, k1)
        words[lane] = a
        words[lane + LANES] = b
        words[lane + 2 * LANES] = c
        words[lane + 3 * LANES] = d


@inlined
def fill_normals(out, words, chunk, row, example, draw, k0, k1):
    """Fill ``out[:CHUNK]`` with standard normal numbers, float32, in a kernel.

    Args:
        out: Written; float32.
        words: ``(CHUNK // 2,)`` or more uint32, scratch.
        chunk: Number of the chunk in the row.
        row: Number of the row.
        example: Number of the example or vector.
        draw: Number of the array among those of one key.
        k0: First key word, of ``Stream.key``.
        k1: Second key word.
    """
    fill_words(words, chunk, row, example, draw, k0, k1)
    for lane in range(4 * LANES):
        x, y = normal_pair(words[lane])
        out[lane] = x
        out[lane + 4 * LANES] = y


@inlined
def normal_at(column, row, example, draw, k0, k1):
    """The one normal number of ``fill_normals`` that belongs to a column, its ``out[column]``."""
    word, k1 = of_example(example, k1)
    lane = np.uint32(column) % np.uint32(CHUNK)
    counter = np.uint32(column) // np.uint32(CHUNK) * np.uint32(LANES) + lane % np.uint32(LANES)
    a, b, c, d = philox(np.uint32(counter), np.uint32(row), word, np.uint32(draw), k0, k1)
    quarter = lane // np.uint32(LANES) % np.uint32(4)
    early = a if quarter == np.uint32(0) else b
    late = c if quarter == np.uint32(2) else d
    x, y = normal_pair(np.uint32(early if quarter < np.uint32(2) else late))
    return x if lane < np.uint32(CHUNK // 2) else y


@kernel
def _normals(
    out: NDArray[np.float32],  # (rows, cols), written
    k0: np.uint32,
    k1: np.uint32,
    draw: int,
    first: tuple[int, int],  # row and column of out[0, 0] in the array that is drawn from
) -> None:
    use_full_width()
    buffer = np.empty(CHUNK, np.float32)
    words = np.empty(CHUNK // 2, np.uint32)
    upper, lower = draw >> 32, draw & 0xFFFFFFFF
    for i in range(out.shape[0]):
        filled = -1
        for j in range(out.shape[1]):
            column = first[1] + j
            if column // CHUNK != filled:
                filled = column // CHUNK
                fill_normals(buffer, words, filled, first[0] + i, upper, lower, k0, k1)
            out[i, j] = buffer[column % CHUNK]


@kernel
def _uniforms(
    out: NDArray[np.float32],  # (rows, cols), written with numbers in (0, 1)
    k0: np.uint32,
    k1: np.uint32,
    draw: int,
    first: tuple[int, int],
) -> None:
    upper, lower = np.uint32(draw >> 32), np.uint32(draw & 0xFFFFFFFF)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            column = np.uint32(first[1] + j)
            row = np.uint32(first[0] + i)
            word = philox(column, row, upper, lower, k0, k1)[0]
            out[i, j] = (np.float32(np.int32(word >> np.uint32(8))) + _HALF) * np.float32(2**-24)


@kernel
def _key(
    seed_low: np.uint32, seed_high: np.uint32, purpose: int, owner: int, part: int, plane: int
) -> tuple[np.uint32, np.uint32]:
    words = philox(
        np.uint32(purpose), np.uint32(owner), np.uint32(part), np.uint32(plane), seed_low, seed_high
    )
    return words[0], words[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream:
    """The random numbers of one owner: a tile, or a layer of the network.

    Attributes:
        seed: The run's seed, 0 to 2**64 - 1.
        owner: Number of the tile or layer, 0 to 2**32 - 1.
        plane: Which of the owner's arrays of cells, where it has several.
    """

    seed: int
    owner: int
    plane: int = 0

    def of_plane(self, plane: int) -> "Stream":
        """The random numbers of one of the owner's arrays of cells."""
        return replace(self, plane=plane)

    def key(self, purpose: Purpose, part: int = 0) -> NDArray[np.uint32]:
        """The two key words for a purpose; ``part`` separates several users of one purpose."""
        low, high = np.uint32(self.seed & 0xFFFFFFFF), np.uint32(self.seed >> 32)
        return np.array(_key(low, high, int(purpose), self.owner, part, self.plane), np.uint32)

    def normal(
        self,
        purpose: Purpose,
        shape: tuple[int, int],
        *,
        draw: int = 0,
        part: int = 0,
        first: tuple[int, int] = (0, 0),
    ) -> NDArray[np.float32]:
        """Standard normal numbers: a window into an array without end.

        Args:
            purpose: What the numbers are for.
            shape: Rows and columns of the window.
            draw: Number of the array among those of one key.
            part: Separates several users of one purpose.
            first: First row and column of the window.

        Returns:
            Float32 array of ``shape``.
        """
        out = np.empty(shape, np.float32)
        k0, k1 = self.key(purpose, part)
        _normals(out, k0, k1, draw, first)
        return out

    def uniform(
        self,
        purpose: Purpose,
        shape: tuple[int, int],
        *,
        draw: int = 0,
        part: int = 0,
        first: tuple[int, int] = (0, 0),
    ) -> NDArray[np.float32]:
        """Uniform numbers in (0, 1), float32, with the arguments of ``normal``.

        Uniform and normal numbers of equal purpose, part and draw are not independent.
        """
        out = np.empty(shape, np.float32)
        k0, k1 = self.key(purpose, part)
        _uniforms(out, k0, k1, draw, first)
        return out
