"""The networks of four shipped configs: ``python examples/networks/export.py FOLDER``."""

import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from crossmesh import from_torch

CHARACTERS, STEPS = 39, 32  # of Tiny Shakespeare without capitals
NAME_SCOPES = "pkg.torch.onnx.name_scopes"


class ConvNorm(nn.Sequential):
    """A convolution, batch normalisation and a function."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1,
        function: type[nn.Module] = nn.Identity,
    ) -> None:  # fmt: skip
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outputs), function())


class SqueezeExcite(nn.Module):
    """Channels weighed by what all of them are on average."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // 4
        self.down, self.up = nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Channels times their gates."""
        gate = functional.relu(self.down(functional.adaptive_avg_pool2d(x, 1)))
        return x * functional.hardsigmoid(self.up(gate))


class InvertedResidual(nn.Module):
    """A block of MobileNetV3 (Howard et al. 2019, arXiv 1905.02244)."""

    def __init__(self, inputs: int, hidden: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.expand = ConvNorm(inputs, hidden, 1, function=nn.Hardswish)
        self.depthwise = ConvNorm(
            hidden, hidden, 3, stride=stride, groups=hidden, function=nn.Hardswish
        )
        self.excite = SqueezeExcite(hidden)
        self.project = ConvNorm(hidden, outputs, 1)
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """The block, and around it where sizes stay."""
        y: Tensor = self.project(self.excite(self.depthwise(self.expand(x))))
        return x + y if self.is_residual else y


def mobilenet() -> nn.Module:
    """Four inverted residuals for images of 28 x 28."""
    blocks = [(16, 32, 16, 1), (16, 48, 24, 2), (24, 72, 24, 1), (24, 96, 40, 2)]
    return nn.Sequential(
        ConvNorm(1, 16, 3, stride=2, function=nn.Hardswish),
        *(InvertedResidual(*sizes) for sizes in blocks),
        ConvNorm(40, 96, 1, function=nn.Hardswish),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, 10)),
    )


class Block(nn.Module):
    """A block of a transformer, normalised first."""

    def __init__(self, features: int, heads: int) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(features), nn.LayerNorm(features)
        self.qkv, self.out = nn.Linear(features, 3 * features), nn.Linear(features, features)
        self.up, self.down = nn.Linear(features, 2 * features), nn.Linear(2 * features, features)
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        """Attention, then a perceptron, each added to what it is of."""
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.qkv(self.before(x)).chunk(3, -1)
        )
        shares = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(q.shape[-1]), -1)
        x = x + self.out((shares @ v).transpose(1, 2).flatten(2))
        y: Tensor = self.down(functional.gelu(self.up(self.between(x))))
        return x + y


class Vit(nn.Module):
    """A vision transformer (Dosovitskiy et al. 2020, arXiv 2010.11929) of patches of 7 x 7."""

    def __init__(self, features: int = 48) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, features, 7, 7)
        self.token = nn.Parameter(torch.zeros(1, 1, features))
        self.positions = nn.Parameter(0.02 * torch.randn(1, 17, features))
        self.blocks = nn.Sequential(Block(features, 4), Block(features, 4))
        self.norm, self.head = nn.LayerNorm(features), nn.Linear(features, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits by the class token."""
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        logits: Tensor = self.head(self.norm(self.blocks(x))[:, 0])
        return logits


class Bert(nn.Module):
    """An encoder (Devlin et al. 2018, arXiv 1810.04805) that classifies every character."""

    def __init__(self, features: int = 48) -> None:
        super().__init__()
        self.characters = nn.Embedding(CHARACTERS, features)
        self.positions = nn.Embedding(STEPS, features)
        self.norm = nn.LayerNorm(features)
        self.blocks = nn.Sequential(Block(features, 4), Block(features, 4))
        self.head = nn.Linear(features, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of every character."""
        y = self.norm(self.characters(x) + self.positions(torch.arange(STEPS)))
        logits: Tensor = self.head(self.blocks(y))
        return logits


class Tagger(nn.Module):
    """A recurrent network that reads in both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.characters = nn.Embedding(CHARACTERS, 24)
        self.lstm = nn.LSTM(24, 48, batch_first=True, bidirectional=True)
        self.head = nn.Linear(96, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of every character."""
        logits: Tensor = self.head(self.lstm(self.characters(x))[0])
        return logits


IMAGES, TEXT = torch.zeros(2, 1, 28, 28), torch.zeros(2, STEPS, dtype=torch.long)
NETWORKS: dict[str, tuple[Any, Tensor]] = {
    "fashion-mobilenet": (mobilenet, IMAGES),
    "fashion-vit": (Vit, IMAGES),
    "shakespeare-bert": (Bert, TEXT),
    "shakespeare-tagger": (Tagger, TEXT),
}


def write(name: str, path: Path) -> None:
    """Write the ONNX file of a network with weights as PyTorch draws them.

    Args:
        name: Name of the config that it is for.
        path: The file.
    """
    torch.manual_seed(0)
    make, example = NETWORKS[name]
    with tempfile.TemporaryDirectory() as folder:  # PyTorch keeps weights in a second file
        from_torch(make(), example, Path(folder) / "model.onnx")
        model = onnx.load(Path(folder) / "model.onnx")
    model.producer_version = ""
    for node in model.graph.node:
        scopes = [entry for entry in node.metadata_props if entry.key == NAME_SCOPES]
        del node.metadata_props[:]
        node.metadata_props.extend(scopes)
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    del model.graph.value_info[:], model.metadata_props[:], model.graph.metadata_props[:]
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
    path.write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    for one in NETWORKS:
        write(one, Path(sys.argv[1]) / f"{one}.onnx")
