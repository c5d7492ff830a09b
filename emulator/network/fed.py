"""What a layer must be fed."""

from crossmesh.emulator.network.graph import Node
from crossmesh.emulator.network.layer_error import LayerError


def image_of(fed: Node) -> tuple[int, int]:
    """Height and width of a node's value.

    Raises:
        LayerError: If it is not an image.
    """
    if fed.shape.image is None:
        raise LayerError("", f"must be fed an image, got {fed.shape}")
    return fed.shape.image


def steps_of(fed: Node) -> int:
    """Steps of a node's value.

    Raises:
        LayerError: If it is not a sequence.
    """
    if fed.shape.steps is None:
        raise LayerError("", f"must be fed a sequence, got {fed.shape}")
    return fed.shape.steps
