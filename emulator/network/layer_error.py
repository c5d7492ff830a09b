"""A layer that does not fit, before its place in the network is known."""


class LayerError(Exception):
    """A layer does not fit what feeds it.

    Args:
        field: The layer's field that could be otherwise; empty: its input.
        rule: The rule, and the value that breaks it.
    """

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(rule)
        self.field = field
        self.rule = rule
