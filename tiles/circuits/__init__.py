"""Circuits around an array, by the names of configs: what they cost, and how long they take."""

from typing import Annotated, Any

from crossmesh.common.registry import Kinds, Registry, kind_of
from crossmesh.tiles.circuits.adc import Adc
from crossmesh.tiles.circuits.dac import Dac, DurationDac, SerialDac, VoltageDac
from crossmesh.tiles.circuits.lines import Line
from crossmesh.tiles.circuits.logic import OPERATIONS, lane_price, operation_price
from crossmesh.tiles.circuits.measured import MeasuredAdc, MeasuredDac, MeasuredMemory
from crossmesh.tiles.circuits.memory import Edram, LowLeakageSram, Memory, Registers, Sram
from crossmesh.tiles.circuits.neurosim_adcs import NeurosimFlashAdc, NeurosimSarAdc
from crossmesh.tiles.circuits.published_adcs import IsaacAdc, PumaAdc, SurveyAdc
from crossmesh.tiles.circuits.ramp_adc import RampAdc


def _registry(group: str, base: type[Any], *own: type[Any]) -> Registry[Any]:
    def check(kind: type[Any]) -> None:
        if not (isinstance(kind, type) and issubclass(kind, base)):
            raise TypeError(f"must be a subclass of crossmesh.tiles.circuits.{base.__name__}")

    return Registry(group, {kind_of(cls): cls for cls in own}, check)


ADCS = _registry(
    "crossmesh.adcs", Adc,
    SurveyAdc, IsaacAdc, NeurosimSarAdc, NeurosimFlashAdc, RampAdc, PumaAdc, MeasuredAdc,
)  # fmt: skip
DACS = _registry("crossmesh.dacs", Dac, SerialDac, DurationDac, VoltageDac, MeasuredDac)
MEMORIES = _registry(
    "crossmesh.memories", Memory, Sram, LowLeakageSram, Edram, Registers, MeasuredMemory
)
AnyAdc = Annotated[Adc, Kinds(Adc, ADCS)]
AnyDac = Annotated[Dac, Kinds(Dac, DACS)]
AnyMemory = Annotated[Memory, Kinds(Memory, MEMORIES)]

__all__ = [
    "ADCS",
    "DACS",
    "MEMORIES",
    "OPERATIONS",
    "Adc",
    "AnyAdc",
    "AnyDac",
    "AnyMemory",
    "Dac",
    "DurationDac",
    "Edram",
    "IsaacAdc",
    "Line",
    "LowLeakageSram",
    "MeasuredAdc",
    "MeasuredDac",
    "MeasuredMemory",
    "Memory",
    "NeurosimFlashAdc",
    "NeurosimSarAdc",
    "PumaAdc",
    "RampAdc",
    "Registers",
    "SerialDac",
    "Sram",
    "SurveyAdc",
    "VoltageDac",
    "lane_price",
    "operation_price",
]
