"""Which lines of an array are transferred when: a pure function of the number of vectors seen.

The vectors that a layer's matrix is driven with are counted: examples, or the positions of an
image or sequence one after the other. After every so many of them, some lines are due, in turn;
when the last was, the next pass begins with the first. The lines of a layer are counted as one,
however it is cut into tiles, so a cut changes no turn: a tile has nothing to do where the line that
is due lies on another. Tiles that work in parallel count their own lines instead.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

ALL = 2**53  # lines that are due together, where all are


class LineSettings(NamedTuple):
    """How the turns of lines are counted; see ``TikiTaka``.

    Attributes:
        every: Vectors or examples between two turns.
        counts_examples: Whether examples are counted rather than vectors.
        reads: Lines that are due together.
        of_outputs: Whether lines are bit lines.
        in_parallel: Whether every tile counts its own lines.
        start: Vectors before the first turn; None: ``every``.
    """

    every: int
    counts_examples: bool
    reads: int
    of_outputs: bool
    in_parallel: bool
    start: int | None = None

    def in_words(self, what: str) -> str:
        """Which lines have their turn when: ``what: 1 word line every 2 vectors``."""
        lines = (
            f"{self.reads if self.reads < ALL else 'all'} {'bit' if self.of_outputs else 'word'}"
        )
        unit = "example" if self.counts_examples else "vector"
        often = unit if self.every == 1 else f"{self.every} {unit}s"
        return f"{what}: {lines} line{'s' * (self.reads > 1)} every {often}"


class Due(NamedTuple):
    """A line that is due.

    Attributes:
        line: Its number on the tile.
        number: How many turns of any line came before it.
        passes: How often each line of the layer had its turn before this pass.
        is_last: Whether it is the last line of a pass.
    """

    line: int
    number: int
    passes: int
    is_last: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Lines:
    """Turns of the lines of a tile.

    Attributes:
        total: Lines that are counted as one.
        first: Number among them of the tile's first.
        own: Lines of the tile.
        every: Vectors between two turns.
        reads: Lines that are due together, at most ``total``.
        start: Vectors before the first turn.
    """

    total: int
    first: int
    own: int
    every: int
    reads: int
    start: int

    def due(self, count: int) -> Iterator[Due]:
        """Lines of the tile that are due when ``count`` vectors have been applied.

        >>> lines = Lines(total=5, first=2, own=3, every=2, reads=2, start=2)
        >>> [[turn.line for turn in lines.due(count)] for count in range(1, 9)]
        [[], [], [], [0, 1], [], [2], [], [0]]
        """
        first = self.first_turn(count)
        if first is None:
            return
        for number in range(first, first + self.reads):
            passes, line = divmod(number, self.total)
            if self.first <= line < self.first + self.own:
                yield Due(line - self.first, number, passes, line == self.total - 1)

    @property
    def per_vector(self) -> float:
        """Turns of the tile's lines for each vector, in the mean."""
        return self.reads / self.every * self.own / self.total

    def first_turn(self, count: int) -> int | None:
        """Number of the first turn of all that are due then; None: none is, on any tile."""
        n, between = divmod(count - self.start, self.every)
        return None if between or n < 0 else n * self.reads

    def runs(self, first: int) -> list[tuple[int, int, int]]:
        """The tile's lines, and the number of the turn of those that are due.

        Args:
            first: The first turn of all that are due then.

        Returns:
            First line, one past the last, and the number of the first's turn; numbers rise with
            lines.

        >>> Lines(total=5, first=2, own=3, every=2, reads=2, start=2).runs(14)
        [(0, 2, 17), (2, 3, 14)]
        """
        wrap = (first - self.first) % self.total
        cuts = [0, wrap, self.own] if 0 < wrap < self.own else [0, self.own]
        return [
            (start, stop, first + (self.first + start - first) % self.total)
            for start, stop in itertools.pairwise(cuts)
        ]

    def is_due(self, count: int) -> bool:
        """Whether any line of the tile is due then."""
        if self.first_turn(count) is None:
            return False
        return self.reads == self.total or any(True for _ in self.due(count))

    def counts(self, first: int, last: int) -> Iterator[int]:
        """Numbers of vectors, from ``first`` to ``last``, at which a line of the tile is due."""
        begin = max(first, self.start)
        begin += (self.start - begin) % self.every
        return (count for count in range(begin, last + 1, self.every) if self.is_due(count))


def pieces(first: int, n: int, *lines: Lines) -> Iterator[tuple[int, int]]:
    """Cut ``n`` vectors from number ``first`` on after those at whose end a line is due.

    >>> lines = Lines(total=4, first=0, own=4, every=3, reads=1, start=3)
    >>> list(pieces(1, 7, lines))
    [(0, 2), (2, 5), (5, 7)]
    """
    stops = {count - first for each in lines for count in each.counts(first + 1, first + n)}
    start = 0
    for stop in sorted({*stops, n} if n else ()):
        yield start, stop
        start = stop


def lines_of(
    settings: LineSettings,
    shape: tuple[int, int],
    vectors: int = 1,
    first: tuple[int, int] = (0, 0),
    whole: tuple[int, int] = (0, 0),
) -> Lines:
    """The turns of a tile's lines.

    Args:
        settings: How they are counted.
        shape: Word lines and bit lines of the tile.
        vectors: Vectors of an example that the tile is driven with.
        first: Its first word line and bit line in its layer's matrix.
        whole: Word lines and bit lines of that matrix; 0: those of the tile.
    """
    side = int(settings.of_outputs)
    own = shape[side]
    is_alone = settings.in_parallel or not whole[side]
    total = own if is_alone else whole[side]
    every = settings.every * (vectors if settings.counts_examples else 1)
    return Lines(
        total=total,
        first=0 if is_alone else first[side],
        own=own,
        every=every,
        reads=min(settings.reads, total),
        start=every if settings.start is None else settings.start,
    )
