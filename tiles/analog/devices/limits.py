"""Bounds of device parameters: what they can mean, and what 32-bit numbers can hold."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

LARGEST_SPREAD = 1.0


def _small(value: float) -> float:
    if value > LARGEST_SPREAD:
        raise PydanticCustomError(
            "spread", "must be a spread of at most 100 %", {"likely": float(f"{value / 100:.4g}")}
        )
    return value


# A standard deviation relative to a mean: above 1, most of what is drawn would be folded back.
Spread = Annotated[
    float, Field(ge=0, json_schema_extra={"maximum": LARGEST_SPREAD}), AfterValidator(_small)
]
# A standard deviation in steps, or a factor of one; 75 steps have been measured.
Noise = Annotated[float, Field(ge=0, le=1e6)]
# A number of the order of the range of a device, which is about 1.
Level = Annotated[float, Field(ge=-1e6, le=1e6)]
# A mean change per pulse in parts of the range; smaller ones are lost in a 32-bit conductance.
Step = Annotated[float, Field(ge=1e-7, le=1)]
# A conductance, from 1 pS on.
Siemens = Annotated[float, Field(ge=1e-12, le=1)]
SiemensOrNone = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=1e-12, le=1e12)]
Volts = Annotated[float, Field(ge=-1e3, le=1e3)]
Count = Annotated[int, Field(ge=1, le=2**53)]  # of examples
Pulses = Annotated[int, Field(ge=1, le=10**6)]  # for one write of a device
