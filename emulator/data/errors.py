"""Data that cannot be had or cannot be used."""

from collections.abc import Iterable
from dataclasses import dataclass

from crossmesh.common.errors import DataError

MOST_NAMED = 20  # names of columns or arrays in an error
MOST_LETTERS = 100  # of each


@dataclass(frozen=True, slots=True)
class Place:
    """A part of the data, as messages name it.

    Attributes:
        field: Field of the config, or option, that leads there.
        name: File, or key or column of a file.
    """

    field: str
    name: str

    def refusal(self, rule: str, got: object) -> DataError:
        """The error that says what this place must hold."""
        return DataError(f"{self.field} must hold {rule} in {self.name}, got {got}")


def listed(names: Iterable[str]) -> str:
    """Names with commas between, shortened where they are too many or too long for a line.

    >>> listed(["a", "b"]), listed([])
    ('a, b', 'none')
    """
    names = list(names)
    shown = [
        name if len(name) <= MOST_LETTERS else f"{name[:MOST_LETTERS]}..."
        for name in names[:MOST_NAMED]
    ]
    more = [f"{len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED else []
    return ", ".join(shown + more) or "none"
