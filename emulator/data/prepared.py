"""How the examples of a data set were prepared, so that other inputs can be without the data."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from crossmesh.emulator.data.columns import InputColumn
from crossmesh.emulator.data.examples import Dataset
from crossmesh.emulator.data.standard import Standard

Size = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What the inputs of a network must be like, besides what the config's data section says.

    Attributes:
        shape: Shape of an example.
        n_train: Number of training examples.
        tokens: Size of the vocabulary, if inputs are numbers of tokens.
        columns: Named inputs of an example, if there are several.
        means: Of each channel, taken off the inputs; empty where they are not standardised.
        deviations: Of each channel, by which inputs are divided then.
    """

    shape: tuple[Size, ...]
    n_train: Size
    tokens: Size | None = None
    columns: tuple[InputColumn, ...] = ()
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()

    @property
    def standard(self) -> Standard | None:
        """Means and deviations, if inputs are standardised."""
        if not self.means:
            return None
        return Standard(np.array(self.means, np.float32), np.array(self.deviations, np.float32))

    def as_json(self) -> dict[str, Any]:
        """As numbers, names and lists."""
        return asdict(self)


def prepared(dataset: Dataset) -> Prepared:
    """How the examples of a data set were prepared."""
    means, deviations = dataset.standard or ((), ())
    return Prepared(
        shape=dataset.shape,
        n_train=len(dataset.train),
        tokens=dataset.tokens,
        columns=dataset.columns,
        means=tuple(map(float, means)),
        deviations=tuple(map(float, deviations)),
    )


_PREPARED = TypeAdapter(Prepared)


def from_json(tree: Mapping[str, Any]) -> Prepared | None:
    """What ``as_json`` gave; None if it is something else."""
    try:
        found = _PREPARED.validate_python(tree)
    except ValidationError:
        return None
    return found if len(found.means) == len(found.deviations) else None
