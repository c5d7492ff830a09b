"""Pulses on the lines of a tile: how many lines and cells they reach."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Pulsing:
    """Pulses of a tile per example, if there were one in every slot of every train.

    Attributes:
        lines: Pulses on word lines and bit lines.
        passed: Cells that these lines pass, each time.
        crossed: Cells whose two lines are pulsed at once.
        counts_cells: Whether a run counts pulses of devices rather than of lines.
        named: Components of ``chip.table`` that a pulse on a line costs.
    """

    lines: int = 0
    passed: int = 0
    crossed: int = 0
    counts_cells: bool = False
    named: Counter[str] = field(default_factory=Counter)

    def add(self, *, word: float, bit: float, cells: tuple[int, int], crossed: float) -> None:
        """Add pulses.

        Args:
            word: Pulses on word lines.
            bit: Pulses on bit lines.
            cells: Cells along a word line, and along a bit line.
            crossed: Cells whose two lines are pulsed at once.
        """
        self.lines += round(word + bit)
        self.passed += round(word * cells[0] + bit * cells[1])
        self.crossed += round(crossed)

    def share(self, pulses: float) -> float:
        """Share of the slots that had a pulse, if so many were counted."""
        whole = self.crossed if self.counts_cells else self.lines
        return min(1.0, pulses / whole) if whole else 0.0

    def events(self, share: float) -> Counter[str]:
        """Events per example, if such a share of the slots has a pulse.

        Lines are pulsed independently of each other, so two meet in the square of that share; of
        what is counted by cells, all do.
        """
        crossed = share if self.counts_cells else share**2
        of_lines = round(share * self.lines)
        found = Counter(
            line_pulse=round(share * self.passed),
            cell_half=round(share * self.passed),
            cell_pulse=round(crossed * self.crossed),
        )
        found.update({name: n * of_lines for name, n in self.named.items()})
        return found
