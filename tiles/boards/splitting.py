"""Requests that are too large for a board, as several that are not."""

from collections.abc import Iterator


def parts(n: int, most: int) -> list[slice]:
    """Slices of ``n`` things in order, each of ``most`` at most; one empty slice of none.

    >>> parts(5, 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return [slice(start, min(start + most, n)) for start in range(0, max(n, 1), most)]


def blocks(n_rows: int, n_cols: int, most: int) -> Iterator[tuple[slice, slice]]:
    """Word lines and bit lines of blocks of ``most`` cells at most, word line after word line.

    >>> list(blocks(3, 4, 8))
    [(slice(0, 2, None), slice(0, 4, None)), (slice(2, 3, None), slice(0, 4, None))]
    """
    for rows in parts(n_rows, max(1, most // max(n_cols, 1))):
        for cols in parts(n_cols, most):
            yield rows, cols
