"""What every part of a config is: frozen, complete, and checked when it is made."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Parameters that validate themselves; no other names or types, nothing infinite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)
