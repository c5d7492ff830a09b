"""The 2PCM+3T1C cell of Ambrogio et al. 2018: its config."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from crossmesh.tiles.analog.array import FLOAT_BYTES, device_bytes
from crossmesh.tiles.analog.cells.base import UnitCell
from crossmesh.tiles.analog.cells.pcm_3t1c.crossbar import Pcm3T1CCrossbar
from crossmesh.tiles.analog.cells.pcm_3t1c.memory import PcmMemory
from crossmesh.tiles.analog.cells.pcm_3t1c.transfer import Transfer
from crossmesh.tiles.analog.costs import CellCosts, CellDevices
from crossmesh.tiles.analog.devices.capacitor import Capacitor
from crossmesh.tiles.analog.devices.unsupported import OF_3T1C
from crossmesh.tiles.analog.parameters import level_bytes
from crossmesh.tiles.analog.pulser import Site


class Pcm3T1C(UnitCell):
    """``W = F * (G_plus - G_minus) + p * (g - g_shared)``: the cell of Ambrogio et al. 2018.

    The capacitor cell g takes every update. Now and then the weight is written into the pair of
    phase-change memories, the capacitor goes back to its initial voltage and corrects what the
    write missed. With polarity inversion, p then changes its sign, so that what pushes g to one
    side pushes the weight to both in turn. All cells of a word line share one capacitor cell
    g_shared, which is never pulsed.

    One unit of normalised conductance is ``gain * pcm.range_siemens``, the reach of the pair.
    Source: doi 10.1038/s41586-018-0180-5; what is not public there is marked as assumed.

    Attributes:
        gain: Factor F of the pair. Source: 4 in NeuroSim's model of the cell; the paper's value
            is not public.
        polarity_inversion: Whether p changes its sign at every transfer.
        transfer: When and how weights are transferred; None: never.
        capacitor: Capacitor cells, which take every update.
        pcm: Phase-change memories, which transfers write.
        reference_leaks: Whether the shared cell leaks like the others, as it is one of them, or is
            held at its initial voltage. Source: assumed.
    """

    why_without: ClassVar[dict[str, str]] = OF_3T1C

    kind: Literal["pcm_3t1c"] = "pcm_3t1c"
    gain: float = Field(4.0, ge=1e-3, le=1e3)
    polarity_inversion: bool = True
    transfer: Transfer | None = Transfer()
    capacitor: Capacitor = Capacitor()
    pcm: PcmMemory = PcmMemory()
    reference_leaks: bool = True

    @model_validator(mode="after")
    def _steps_are_seen(self) -> Self:
        onset = self.capacitor.threshold_v + self.capacitor.softness_v
        if self.capacitor.initial_v <= onset:
            raise ValueError(
                "capacitor.initial_v must be above threshold_v + softness_v "
                f"({onset:g}), or pulses do nothing, got {self.capacitor.initial_v}"
            )
        return self

    @property
    def n_arrays(self) -> int:
        """Two memories, the capacitor cell, and the one that a word line shares."""
        return 4

    @property
    def largest_conductance(self) -> float:
        """The range of a memory."""
        return 1.0

    @property
    def planes(self) -> Mapping[str, int]:
        """The memories; capacitors are emulated."""
        return {"memories": 2}

    @property
    def costs(self) -> CellCosts:
        """Two memories and a capacitor cell; those that word lines share are one column."""
        capacitor = CellDevices(self.capacitor.electrical, is_written=True)
        return CellCosts(devices=(self.pcm.at_crosspoint(), capacitor))

    @property
    def transfers(self) -> Transfer | None:
        """As the config says."""
        return self.transfer

    @property
    def routes(self) -> Sequence[str]:
        """Capacitors are read, memories written."""
        if self.transfer is None:
            return []
        return [f"capacitors to memories: all word lines every {self.transfer.every}"]

    @property
    def unit_siemens(self) -> float:
        """Conductance of a normalised weight of 1."""
        return self.gain * self.pcm.range_siemens

    @property
    def granularity(self) -> float:
        """Mean change of the weight by one pulse."""
        return self.capacitor.step_v * self.capacitor.slope_siemens_per_v / self.unit_siemens

    @property
    def reach(self) -> float:
        """Largest weight that the pair holds in both directions, in normalised units."""
        return 1.0

    @property
    def cell_bytes(self) -> int:
        """Bytes that a crossbar keeps per cell.

        A capacitor, its transistor and its leak, two memories as written, the pair as it has
        drifted, the weight, and its variance.
        """
        cell, floats = self.capacitor, 4 + self.pcm.fluctuates
        spreads = (cell.slope_noise, cell.threshold_noise_v, cell.leak_s and cell.leak_noise)
        return device_bytes(cell) + level_bytes(sum(map(bool, spreads))) + FLOAT_BYTES * floats

    def crossbar(self, site: Site) -> Pcm3T1CCrossbar:
        """A crossbar of such cells."""
        return Pcm3T1CCrossbar(self, site)
