"""Networks of PyTorch whose speed is compared: graphs without matrices, and a ResNet-18."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

IMAGE, SEQUENCE = (2, 32, 32), (128, 2)


class Graph(nn.Module):
    """Base class: a graph of digital functions.

    Attributes:
        takes: Shape of an example before the first layer, which makes ``features`` of its channels.
        features: Channels or features that the graph takes.
        gives: How many it gives.
    """

    takes: ClassVar[tuple[int, ...]] = IMAGE
    features: ClassVar[int] = 64
    gives: ClassVar[int] = 64


class Gates(Graph):
    """Half of the channels weigh the other half."""

    gives: ClassVar[int] = 32

    def forward(self, x: Tensor) -> Tensor:
        """Products, a sum, and clipped differences."""
        a, b = x.chunk(2, 1)
        y = torch.sigmoid(a) * torch.tanh(b) + a * 0.5
        return (functional.hardswish(y) - y * y).clamp(-1, 1)


class Activations(Graph):
    """Activation functions beside each other."""

    def forward(self, x: Tensor) -> Tensor:
        """Sums and products of five."""
        bell = torch.exp(-x * x)
        return functional.silu(x) + functional.leaky_relu(x, 0.1) * functional.softplus(x) - bell


class Shuffle(Graph):
    """Channels in another order, half of them (Zhang et al. 2017, arXiv 1707.01083)."""

    def forward(self, x: Tensor) -> Tensor:
        """Reshaped, turned, cut and put together."""
        n, channels, height, width = x.shape
        y = x.view(n, 4, channels // 4, height, width).transpose(1, 2).reshape(x.shape)
        half = channels // 2
        return functional.relu(torch.cat([y[:, :half], x[:, half:]], 1))


class Norm(Graph):
    """Normalisation by hand."""

    takes: ClassVar[tuple[int, ...]] = SEQUENCE
    features: ClassVar[int] = 256
    gives: ClassVar[int] = 256

    def forward(self, x: Tensor) -> Tensor:
        """Mean and variance of the features."""
        apart = x - x.mean(-1, keepdim=True)
        return apart / torch.sqrt((apart**2).mean(-1, keepdim=True) + 1e-5)


class Attention(Graph):
    """Attention of four heads between given queries, keys and values."""

    takes: ClassVar[tuple[int, ...]] = SEQUENCE
    features: ClassVar[int] = 384
    gives: ClassVar[int] = 128

    def forward(self, x: Tensor) -> Tensor:
        """Heads are taken apart and put together again."""
        q, k, v = (part.reshape(*part.shape[:2], 4, -1).transpose(1, 2) for part in x.chunk(3, -1))
        return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


GRAPHS: dict[str, type[Graph]] = {
    "gates": Gates,
    "activations": Activations,
    "shuffled channels": Shuffle,
    "normalisation": Norm,
    "attention": Attention,
}


class Between(nn.Module):
    """A graph between a small first layer and a last one, so that something learns.

    Args:
        graph: Its class.
    """

    def __init__(self, graph: type[Graph]) -> None:
        super().__init__()
        is_image = len(graph.takes) == 3
        self.over = (2, 3) if is_image else (1,)
        self.first = nn.Conv2d(2, graph.features, 1) if is_image else nn.Linear(2, graph.features)
        self.graph, self.last = graph(), nn.Linear(graph.gives, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits by the mean of what the graph gives."""
        logits: Tensor = self.last(self.graph(self.first(x)).mean(self.over))
        return logits


def _conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class Residual(nn.Module):
    """A block of a ResNet (He et al. 2015, arXiv 1512.03385)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = _conv_norm(inputs, outputs, 3, stride)
        self.second = _conv_norm(outputs, outputs, 3)
        is_plain = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if is_plain else _conv_norm(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Two convolutions, added to the input."""
        return functional.relu(self.second(functional.relu(self.first(x))) + self.shortcut(x))


def resnet18() -> nn.Module:
    """A ResNet-18 of ten classes."""
    layers: list[nn.Module] = [_conv_norm(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for outputs in (64, 128, 256, 512):
        layers += [Residual(inputs, outputs, 1 if outputs == 64 else 2)]
        layers += [Residual(outputs, outputs, 1)]
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))
