"""Data that cannot be had or cannot be used."""

from dataclasses import dataclass


class DataError(ValueError):
    """The user's to mend: one line that names the field, the law and the value."""


@dataclass(frozen=True, slots=True)
class Place:
    """A part of the data, as messages name it.

    Attributes:
        field: Field of the config that leads there.
        name: File, or key or column of a file.
    """

    field: str
    name: str

    def refusal(self, law: str, got: object) -> DataError:
        """The error that says what this place must hold."""
        return DataError(f"data.{self.field} must hold {law} in {self.name}, got {got}")
