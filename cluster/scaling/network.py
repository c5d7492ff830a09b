"""The network between nodes: a fat tree of two levels, its links, and what they carry."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field, ValidationError

from crossmesh.common.bounded_yaml import read_mapping
from crossmesh.common.errors import ConfigError
from crossmesh.common.frozen import Frozen
from crossmesh.common.refusals import nearest, sentence

SHIPPED = Path(__file__).parent / "networks"
Link = tuple[str, int]  # what it leaves or enters, and its number


class NodeNetwork(Frozen):
    """Nodes below leaf switches, which a spine without contention joins.

    Attributes:
        bandwidth_bytes_per_s: Bandwidth of the link of a node, in each direction.
        latency_s: From the sending process to the receiving one below the same switch, without
            contention, of an empty message.
        hop_s: More for each further switch. Source: assumed, 0.5 us.
        nodes_per_switch: Nodes below a leaf switch. Source: assumed.
        oversubscription: Bandwidth of a switch's nodes over that of its uplinks. Source: assumed.
        frame_bytes: Bytes on the wire besides a payload. Source: assumed, headers of our messages,
            of TCP and of Ethernet.
        message_s: Processor time of each end of a message, more than within a node. Source: 4 us,
            TCP with encryption beside ipc at 1 KiB (``interconnect/transport/channels.py``).
        byte_s: Processor time of each end for each byte. Source: 0.5 ns, at 1 MiB, as above.
    """

    bandwidth_bytes_per_s: float = Field(gt=0, le=1e15)
    latency_s: float = Field(ge=0, le=10)
    hop_s: float = Field(0.5e-6, ge=0, le=1)
    nodes_per_switch: int = Field(32, ge=1, le=65536)
    oversubscription: float = Field(2.0, ge=1, le=1000)
    frame_bytes: float = Field(150.0, ge=0, le=1e6)
    message_s: float = Field(4e-6, ge=0, le=1)
    byte_s: float = Field(0.5e-9, ge=0, le=1e-3)

    def end_s(self, payload: float) -> float:
        """Processor seconds of an end of a message, more than within a node."""
        return self.message_s + self.byte_s * payload

    def path(self, source: int, target: int) -> Iterator[tuple[Link, float]]:
        """The links from a node to another, with the bytes per second of each."""
        rate = self.bandwidth_bytes_per_s
        leaf, other = source // self.nodes_per_switch, target // self.nodes_per_switch
        yield ("node {} -> network", source), rate
        if leaf != other:
            up = rate * self.nodes_per_switch / self.oversubscription
            yield ("switch {} -> spine", leaf), up
            yield ("spine -> switch {}", other), up
        yield ("network -> node {}", target), rate

    def lag_s(self, source: int, target: int) -> float:
        """Latency between two nodes."""
        far = source // self.nodes_per_switch != target // self.nodes_per_switch
        return self.latency_s + 2 * self.hop_s * far


class NodeLinks:
    """The links of a network, each of which serves one message after the other.

    Args:
        network: The network.
    """

    def __init__(self, network: NodeNetwork) -> None:
        self._network = network
        self._free: defaultdict[Link, float] = defaultdict(float)
        self.busy_s: defaultdict[Link, float] = defaultdict(float)

    def carried(self, now: float, source: int, target: int, payload: float) -> float:
        """Time at which a message is there that leaves ``now``; it goes on before it is whole."""
        size, slowest = payload + self._network.frame_bytes, 0.0
        for link, rate in self._network.path(source, target):
            now = max(now, self._free[link])
            self._free[link] = now + size / rate
            self.busy_s[link] += size / rate
            slowest = max(slowest, size / rate)
        return now + slowest + self._network.lag_s(source, target)


def load_network(source: str) -> NodeNetwork:
    """A shipped network by name, or one from a YAML file.

    Raises:
        ConfigError: With one line that names the field, the rule and the value.
    """
    shipped = {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}
    path = shipped.get(source, Path(source))
    if not path.is_file():
        names = ", ".join(shipped)
        hint = nearest(source, shipped)
        raise ConfigError(
            f"--network must be a file or a shipped name ({names}), got {source}{hint}"
        )
    try:
        return NodeNetwork.model_validate(read_mapping(path))
    except ValidationError as error:
        raise ConfigError(f"{source}: {sentence(error, NodeNetwork)}") from None
