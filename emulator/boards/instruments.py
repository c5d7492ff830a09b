"""Which instruments make a board, and what is sent to them: the file of ``crossmesh board serve``.

Commands are texts in which ``{row}``, ``{volts}`` and others of ``WORDS`` stand for values, each
under the name of the instrument that it goes to. One that ends in a question mark is answered.
Under ``wait`` stands a time in seconds.
"""

from collections.abc import Mapping
from pathlib import Path
from string import Formatter
from typing import Annotated

from pydantic import Field, ValidationError, model_validator

from crossmesh.common.bounded_yaml import read_mapping
from crossmesh.common.errors import ConfigError
from crossmesh.common.frozen import Frozen, Keyed, Many
from crossmesh.common.refusals import sentence
from crossmesh.tiles.boards.hardware import Description

WAIT = "wait"
WORDS = {"row": 1, "col": 1, "volts": 0.1, "width_s": 1e-6, "limit_a": 1e-3}
Positive = Annotated[float, Field(gt=0)]
Command = Keyed[str, str]  # of one entry: an instrument, and what it is sent


class Instrument(Frozen):
    """An instrument and how it is talked to.

    Attributes:
        resource: Its VISA resource, such as ``GPIB0::16::INSTR``.
        timeout_s: Seconds to wait for an answer.
        ending: What ends a line in both directions.
        baud: Of a serial port; None: its own.
    """

    resource: str
    timeout_s: Positive = 5.0
    ending: str = "\n"
    baud: Annotated[int, Field(gt=0)] | None = None


class Commands(Frozen):
    """What instruments are sent.

    Attributes:
        start: Once, before anything else.
        close: To connect the device at a row and a column.
        read: To apply the voltage of a read; then ``measure`` is asked.
        measure: The question whose answer is the current in amperes.
        pulse: For one pulse.
        open: To disconnect all devices, with no voltage left; also after a failure.
        end: Once, at the end.
    """

    start: Many[Command] = ()
    close: Many[Command]
    read: Many[Command] = ()
    measure: Command
    pulse: Many[Command]
    open: Many[Command]
    end: Many[Command] = ()

    def all(self) -> list[tuple[str, Mapping[str, str]]]:
        """Every command, with where it stands."""
        return [
            (f"commands.{name}", entry)
            for name in type(self).model_fields
            for entry in ([self.measure] if name == "measure" else getattr(self, name))
        ]


class InstrumentBoard(Frozen):
    """A source-measure unit and a switch matrix, or what else can read and pulse one device.

    Attributes:
        name: For people.
        rows: Word lines.
        cols: Bit lines.
        off_siemens: Smallest conductance of a typical device.
        on_siemens: Largest conductance of a typical device.
        read_v: Voltage of a read.
        up_v: Amplitude of an up pulse; its sign is that of all up pulses.
        down_v: Amplitude of a down pulse; its sign is that of all down pulses.
        most_v: Largest amplitude that a client may ask for.
        pulse_s: Width of a pulse, unless another one is asked for.
        limit_a: Largest current, to which instruments are set and readings are cut.
        first_row: Number that commands have for the first word line.
        first_col: Number that commands have for the first bit line.
        item: Which of the numbers of an answer is the current, from 0.
        max_cells: Devices of a request at most: what takes some seconds.
        row_read_s: Seconds that reading a word line takes; 0: unknown.
        row_write_s: Seconds that pulsing the devices of a word line takes; 0: unknown.
        visa: The VISA library, as PyVISA names it: ``@py``, a file, or nothing for the one there.
        instruments: By the names that commands use.
        commands: What they are sent.
    """

    name: str
    rows: Annotated[int, Field(ge=1, le=65536)]
    cols: Annotated[int, Field(ge=1, le=65536)]
    off_siemens: Annotated[float, Field(ge=0)]
    on_siemens: Positive
    read_v: float
    up_v: float
    down_v: float
    most_v: Positive
    pulse_s: Positive
    limit_a: Positive
    first_row: Annotated[int, Field(ge=0)] = 1
    first_col: Annotated[int, Field(ge=0)] = 1
    item: Annotated[int, Field(ge=0)] = 0
    max_cells: Annotated[int, Field(ge=1, le=4096)] = 64
    row_read_s: Annotated[float, Field(ge=0)] = 0.0
    row_write_s: Annotated[float, Field(ge=0)] = 0.0
    visa: str = ""
    instruments: Keyed[str, Instrument]
    commands: Commands

    @model_validator(mode="after")
    def _can_be_used(self) -> "InstrumentBoard":
        if not self.read_v:
            raise ValueError("read_v must not be 0, got 0")
        for name in ("up_v", "down_v"):
            volts = getattr(self, name)
            if not 0 < abs(volts) <= self.most_v:
                raise ValueError(f"{name} must be between 0 and most_v, {self.most_v:g} V, "
                                 f"got {volts:g}")  # fmt: skip
        _ = self.description
        for place, entry in self.commands.all():
            self._check(place, entry)
        return self

    def _check(self, place: str, entry: Mapping[str, str]) -> None:
        """Refuse a command that goes nowhere, or with words that stand for nothing."""
        known = [*self.instruments, WAIT]
        if len(entry) != 1 or not set(entry) <= set(known):
            raise ValueError(f"{place} must name one of {', '.join(known)}, got {dict(entry)}")
        ((name, text),) = entry.items()
        try:
            words = {word for _, word, _, _ in Formatter().parse(text) if word is not None}
            sent = text.format(**WORDS) if words <= WORDS.keys() else None
            if sent is None or (name == WAIT and float(sent) < 0):
                raise ValueError("unknown")
        except (ValueError, IndexError):
            raise ValueError(
                f"{place} must be {'seconds' if name == WAIT else 'a text'} in which words such as "
                f"{{row}} are of {', '.join(WORDS)}, got {text!r}"
            ) from None

    @property
    def description(self) -> Description:
        """As clients see it."""
        return Description(
            name=self.name, rows=self.rows, cols=self.cols, off_siemens=self.off_siemens,
            on_siemens=self.on_siemens, read_v=abs(self.read_v), pulse_v=self.most_v,
            pulse_s=self.pulse_s, max_cells=self.max_cells, row_read_s=self.row_read_s,
            row_write_s=self.row_write_s,
        )  # fmt: skip


def instrument_board(path: Path) -> InstrumentBoard:
    """The board that a file describes.

    Raises:
        ConfigError: With one line that names the field, the rule and the value.
    """
    tree = read_mapping(path)
    try:
        return InstrumentBoard.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(f"{path}: {sentence(error, InstrumentBoard)}") from None
