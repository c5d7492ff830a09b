"""Settings that a device or a cell cannot have, and the reasons given in refusals."""

from typing import Any, ClassVar

from pydantic import model_validator

from crossmesh.common.frozen import Frozen

FEATURES = (
    "stuck", "retention", "write_noise", "symmetry_referenced", "reference_mean", "reference_noise",
)  # fmt: skip


class Without(Frozen):
    """Parameters of something that lacks features which others have.

    Attributes:
        why_without: The reason by feature.
    """

    why_without: ClassVar[dict[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _names_no_missing_feature(cls, section: Any) -> Any:
        for name, why in cls.why_without.items():
            if isinstance(section, dict) and name in section and name not in cls.model_fields:
                raise ValueError(f"{name} must be left out, since {why}, got {section[name]!r}")
        return section


OF_3T1C = {
    "stuck": "nothing is published on stuck cells of this kind",
    "retention": "its capacitor leaks by cell.capacitor.leak_s, its memories drift by "
    "cell.pcm.drift",
    "write_noise": "a capacitor has none, and that of its memories is cell.pcm.write_noise",
    "symmetry_referenced": "it is read against the cell that its word line shares",
    "reference_mean": "it is read against the cell that its word line shares",
    "reference_noise": "it is read against the cell that its word line shares",
}


def of_devices(place: str) -> dict[str, str]:
    """Why a cell of several devices has no feature itself."""
    return dict.fromkeys(FEATURES, f"it belongs to the devices of a cell: {place}")
