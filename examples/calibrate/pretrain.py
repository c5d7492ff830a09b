"""Train a ResNet-18 or a GPT-2 of two layers in PyTorch, to be calibrated for noisy tiles.

``python examples/calibrate/pretrain.py resnet18 --data-dir DIR`` writes ``resnet18.onnx`` here,
``gpt2`` likewise; then ``crossmesh calibrate resnet18.yaml --data-dir DIR``. It takes PyTorch
(``make torch``).
"""

import argparse
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from crossmesh import from_torch
from crossmesh.emulator.data import DataConfig, load

HERE = Path(__file__).parent
STEPS = 64


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride > 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One block."""
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


def resnet18() -> nn.Module:
    """ResNet-18 of grey images, which it enlarges to 64 x 64 (He et al. 2015, arXiv 1512.03385)."""
    blocks: list[nn.Module] = []
    inputs = 64
    for outputs in (64, 128, 256, 512):
        blocks += [Block(inputs, outputs, 1 if outputs == 64 else 2), Block(outputs, outputs, 1)]
        inputs = outputs
    return nn.Sequential(
        nn.Upsample((64, 64), mode="bilinear"),
        nn.Conv2d(1, 64, 7, 2, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(512, 10),
    )


class Layer(nn.Module):
    """A block of GPT-2: attention and two linear layers, each behind a norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc, self.out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One block."""
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.qkv(self.ln1(x)).chunk(3, dim=-1)
        )
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(seen.transpose(1, 2).flatten(2))
        return x + self.out(functional.gelu(self.fc(self.ln2(x)), approximate="tanh"))


class Gpt2(nn.Module):
    """GPT-2 of two layers, 128 features and 4 heads."""

    def __init__(self, tokens: int, width: int = 128) -> None:
        super().__init__()
        self.wte = nn.Embedding(tokens, width)
        self.wpe = nn.Parameter(0.02 * torch.randn(STEPS, width))
        self.h = nn.Sequential(Layer(width, 4), Layer(width, 4))
        self.ln = nn.LayerNorm(width)
        self.head = nn.Linear(width, tokens, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the next token at every step."""
        return self.head(self.ln(self.h(self.wte(x) + self.wpe)))


def trained(model: nn.Module, x: torch.Tensor, y: torch.Tensor, epochs: int, rate: float) -> None:
    """Train with AdamW and a rate that falls to 0; print the loss of every epoch."""
    batch, steps = 64, len(x) // 64
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, epochs * steps)
    for epoch in range(epochs):
        order, total = torch.randperm(len(x)), 0.0
        for i in range(steps):
            some = order[i * batch : (i + 1) * batch]
            scores = model(x[some]).flatten(0, -2)
            loss = functional.cross_entropy(scores, y[some].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total / steps:.4f}", flush=True)


def main() -> None:
    """Train, test and write one of the two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=["resnet18", "gpt2"])
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--examples", type=int, default=12_000)
    parser.add_argument("--epochs", type=int, default=2)
    given = parser.parse_args()
    torch.manual_seed(0)
    is_text = given.network == "gpt2"
    source = {"source": "text", "steps": STEPS} if is_text else {"source": "fashion-mnist"}
    data = load(DataConfig(**source, directory=given.data_dir))
    x, y = (torch.from_numpy(a) for a in (data.train.inputs, data.train.targets.astype("int64")))
    x_test, y_test = torch.from_numpy(data.test.inputs), torch.from_numpy(data.test.targets)
    x, y, x_test, y_test = x[: given.examples], y[: given.examples], x_test[:500], y_test[:500]
    if is_text:
        model: nn.Module = Gpt2(data.tokens or 0)
        x, x_test = x.long(), x_test.long()
    else:
        model = resnet18()
        x, x_test = (part.reshape(-1, 1, 28, 28) for part in (x, x_test))
    trained(model, x, y, given.epochs, 3e-3 if is_text else 1e-3)
    model.eval()
    with torch.no_grad():
        right = (model(x_test).argmax(-1) == y_test).float().mean()
    print(f"test accuracy of 500 examples: {100 * right:.2f} %")
    from_torch(model, x_test[:2], HERE / f"{given.network}.onnx")


if __name__ == "__main__":
    main()
