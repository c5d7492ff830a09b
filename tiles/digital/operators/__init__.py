"""Operators: functions of tensors with any axes, by the names that configs use."""

from crossmesh.tiles.digital.operators.activations import ACTIVATION_OPERATORS
from crossmesh.tiles.digital.operators.assembly import ASSEMBLIES
from crossmesh.tiles.digital.operators.base import Axes, Operand, Operator, WithParameter
from crossmesh.tiles.digital.operators.convolution import CONVOLUTIONS
from crossmesh.tiles.digital.operators.elementwise import COMBINATIONS
from crossmesh.tiles.digital.operators.held import Held
from crossmesh.tiles.digital.operators.movement import MOVEMENTS
from crossmesh.tiles.digital.operators.norms import NORMS
from crossmesh.tiles.digital.operators.ordering import ORDERINGS
from crossmesh.tiles.digital.operators.places import BY_PLACES
from crossmesh.tiles.digital.operators.pointwise import POINTWISE
from crossmesh.tiles.digital.operators.pooling import POOLINGS
from crossmesh.tiles.digital.operators.products import PRODUCTS
from crossmesh.tiles.digital.operators.reductions import REDUCTIONS
from crossmesh.tiles.digital.operators.resampling import RESAMPLINGS
from crossmesh.tiles.digital.operators.thresholds import THRESHOLDS

_ALL: tuple[type[Operator], ...] = (
    *COMBINATIONS,
    *POINTWISE,
    *ACTIVATION_OPERATORS,
    *THRESHOLDS,
    Held,
    *MOVEMENTS,
    *BY_PLACES,
    *ASSEMBLIES,
    *REDUCTIONS,
    *ORDERINGS,
    *PRODUCTS,
    *POOLINGS,
    *CONVOLUTIONS,
    *RESAMPLINGS,
    *NORMS,
)
OPERATORS: dict[str, type[Operator]] = {operator.name: operator for operator in _ALL}

__all__ = ["OPERATORS", "Axes", "Operand", "Operator", "WithParameter"]
