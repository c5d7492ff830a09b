"""The config of the cell of 2018."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from tiles.array import FLOAT_BYTES, Site, device_bytes
from tiles.cells.pcm_3t1c.crossbar import Pcm3T1CCrossbar
from tiles.cells.pcm_3t1c.memory import PcmMemory
from tiles.devices.capacitor import Capacitor
from tiles.devices.limits import Count, SiemensOrNone
from tiles.devices.without import OF_3T1C, Without
from tiles.frozen import Frozen
from tiles.parameters import level_bytes


class Transfer(Frozen):
    """When and how weights go from the capacitors to the phase-change memories.

    Attributes:
        every: Examples between two transfers; vectors, where an example drives a tile with several.
            Source: Ambrogio et al. 2018, Extended Data Fig. 2.
        examples_per_row: Examples that pass between the transfers of two word lines; 0: training
            waits until the whole array is transferred. Source: assumed.
        offset_siemens: Taken off the weight before it is written, so that most errors need the
            capacitor to go up, where it has more room. Source: the same, Extended Data Fig. 9.
        read_noise_siemens: Deviation of the measured weight. Source: assumed.
    """

    every: Count = 8000
    examples_per_row: int = Field(0, ge=0, le=10**9)
    offset_siemens: SiemensOrNone = 2e-6
    read_noise_siemens: SiemensOrNone = 0.1e-6


class Pcm3T1C(Without):
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
        capacitor: The capacitor cells.
        pcm: The phase-change memories.
        reference_leaks: Whether the shared cell leaks like the others, as it is one of them, or is
            held at its initial voltage. Source: assumed.
    """

    why_without: ClassVar[dict[str, str]] = OF_3T1C

    n_arrays: ClassVar[int] = 4
    largest_conductance: ClassVar[float] = 1.0

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
    def unit_siemens(self) -> float:
        """Conductance of a normalised weight of 1."""
        return self.gain * self.pcm.range_siemens

    @property
    def granularity(self) -> float:
        """Mean change of the weight by one pulse."""
        return self.capacitor.step_v * self.capacitor.slope_siemens_per_v / self.unit_siemens

    @property
    def reach(self) -> float:
        """What the pair holds in both directions."""
        return 1.0

    @property
    def cell_bytes(self) -> int:
        """Bytes that a crossbar keeps per cell.

        A capacitor, its transistor and its leak, two memories as written, the pair as it has
        drifted, the weight, and its variance.
        """
        cell = self.capacitor
        spreads = (cell.slope_noise, cell.threshold_noise_v, cell.leak_s and cell.leak_noise)
        floats = 4 + self.pcm.fluctuates
        n_varying = sum(map(bool, spreads))
        return device_bytes(cell) + level_bytes(n_varying) + FLOAT_BYTES * floats

    def crossbar(self, site: Site) -> Pcm3T1CCrossbar:
        """A crossbar of such cells."""
        return Pcm3T1CCrossbar(self, site)
