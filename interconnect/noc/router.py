"""The router: an input-buffered switch with virtual channels, credits and separable allocators."""

from dataclasses import dataclass, fields

_LAWS = {  # field: least and most
    "virtual_channels": (1, 64),
    "buffer_flits": (1, 4_096),
    "routing_cycles": (0, 64),
    "vc_allocation_cycles": (1, 64),
    "switch_allocation_cycles": (1, 64),
    "switch_traversal_cycles": (1, 64),
    "credit_cycles": (0, 64),
}
_ENDS = 3  # cycles: into the network, out of it, and one to enter the books


@dataclass(frozen=True, kw_only=True)
class Router:
    """Timing and buffers of every router.

    The pipeline is that of BookSim 2 (Jiang et al., ISPASS 2013), whose defaults these are.

    Attributes:
        virtual_channels: Virtual channels per link.
        buffer_flits: Flits that the buffer of a virtual channel holds.
        routing_cycles: Route computation; 0 where the router before has looked ahead.
        vc_allocation_cycles: Allocation of the next router's virtual channel.
        switch_allocation_cycles: Allocation of the switch.
        switch_traversal_cycles: From the buffer to the link.
        credit_cycles: Handling of a credit that comes back.
        speculative: Whether the switch is asked for while the virtual channel is being allocated.
        rotates: Whether packets take the free channel after the one that the last packet took, as
            in BookSim 2. Otherwise each begins with a channel by its number and keeps it where it
            is free: where channels rotate at every hop, traffic that recurs meets others in
            another order each time, and its timing may take long to recur.
    """

    virtual_channels: int = 16
    buffer_flits: int = 8
    routing_cycles: int = 1
    vc_allocation_cycles: int = 1
    switch_allocation_cycles: int = 1
    switch_traversal_cycles: int = 1
    credit_cycles: int = 0
    speculative: bool = False
    rotates: bool = True

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in _LAWS:
                if type(value) is not bool:
                    raise ValueError(f"Router.{field.name} must be true or false, got {value!r}")
                continue
            least, most = _LAWS[field.name]
            if type(value) is not int or not least <= value <= most:
                rule = f"a whole number in [{least}, {most}]"
                raise ValueError(f"Router.{field.name} must be {rule}, got {value!r}")

    @property
    def hop_cycles(self) -> int:
        """Cycles that a head flit spends in an idle router."""
        vc, switch = self.vc_allocation_cycles, self.switch_allocation_cycles
        allocation = max(vc, switch) if self.speculative else vc + switch
        return self.routing_cycles + allocation + self.switch_traversal_cycles

    def zero_load_cycles(self, hops: int, flits: int, link_cycles: int = 1) -> int:
        """Latency of a packet that is alone, from its creation until its tail has left.

        >>> Router().zero_load_cycles(hops=3, flits=4)
        25
        """
        head = (hops + 1) * self.hop_cycles + hops * link_cycles + _ENDS
        return head + self.stream_cycles(flits, hops, link_cycles)

    def stream_cycles(self, flits: int, hops: int = 1, link_cycles: int = 1) -> int:
        """Cycles from a packet's head to its tail, where nothing else is in their way.

        Exact, but where a stage that takes several cycles meets another or a lack of buffers, or
        where a traversal takes more than two.
        A traversal of several cycles takes flits in batches. Where nothing but the allocation lies
        before it, flits that reach a router one after the other miss each other's batch: at every
        link, one more does.

        >>> Router().stream_cycles(16), Router(buffer_flits=4).stream_cycles(16)
        (15, 18)
        """
        every = self.switch_allocation_cycles
        batch = max(0, self.switch_traversal_cycles - every) if flits > 1 else 0
        if self.hop_cycles == self.switch_traversal_cycles + 1:
            batch *= 1 + min(hops, max(0, flits - 2))
        loop = self.credit_loop_cycles(link_cycles if hops else 1)  # a tile takes a cycle as well
        stall = max(0, loop - every * self.buffer_flits)
        return (flits - 1) * every + batch + (flits - 1) // self.buffer_flits * stall

    def credit_loop_cycles(self, link_cycles: int = 1) -> int:
        """Cycles from a flit's leave to the credit for the next one; fewer buffers stall a packet.

        >>> Router().credit_loop_cycles()
        5
        """
        pipeline = self.switch_allocation_cycles + self.switch_traversal_cycles
        return pipeline + 2 * link_cycles + self.credit_cycles + 1

    @property
    def turn_cycles(self) -> int:
        """Cycles that a lone channel stands still between two packets."""
        waits = self.hop_cycles - self.switch_traversal_cycles - 1
        return waits if self.virtual_channels == 1 else 0
