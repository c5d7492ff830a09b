"""Where a board is: its address as one text."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["unix", "tcp", "curve", "serial", "replay"]
FORMS = {
    "unix": "unix:PATH", "tcp": "tcp:HOST:PORT", "curve": "curve:HOST:PORT",
    "serial": "serial:DEVICE or serial:DEVICE@BAUD", "replay": "replay:FILE",
}  # fmt: skip
_BAUD = 115200
LOOPBACK = ("localhost", "::1")


@dataclass(frozen=True)
class Address:
    """One of the forms of ``FORMS``.

    Attributes:
        kind: What comes before the first colon.
        place: Path, device, or host without brackets.
        number: Port, or baud; 0: it has none.
    """

    kind: Kind
    place: str
    number: int = 0

    @property
    def is_outside(self) -> bool:
        """Whether other machines can reach what listens there."""
        on_this = self.place in LOOPBACK or self.place.startswith("127.")
        return self.kind in {"tcp", "curve"} and not on_this

    def __str__(self) -> str:
        """As it is written."""
        host = f"[{self.place}]" if ":" in self.place else self.place
        if self.kind in {"tcp", "curve"}:
            return f"{self.kind}:{host}:{self.number}"
        if self.kind == "serial":
            return f"serial:{self.place}@{self.number}"
        return f"{self.kind}:{self.place}"


def address_of(text: str) -> Address:
    """The address that a text is.

    Raises:
        ValueError: If it has none of the forms.

    >>> str(address_of("serial:/dev/ttyUSB0"))
    'serial:/dev/ttyUSB0@115200'
    """
    kind, _, rest = text.partition(":")
    if kind not in FORMS or not rest:
        raise ValueError(f"must be {', '.join(FORMS.values())}, got {text!r}")
    if kind in {"tcp", "curve"}:
        host, _, port = rest.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise ValueError(f"must be {FORMS[kind]} with a port up to 65535, got {text!r}")
        return Address(kind, host.removeprefix("[").removesuffix("]"), int(port))  # type: ignore[arg-type]
    if kind == "serial":
        device, at, baud = rest.rpartition("@")
        if at and not (baud.isascii() and baud.isdigit() and int(baud)):
            raise ValueError(f"must be {FORMS[kind]}, got {text!r}")
        return Address("serial", device if at else rest, int(baud) if at else _BAUD)
    return Address(kind, rest)  # type: ignore[arg-type]
