"""Small PyTorch models of the kinds that people bring, and inputs for them."""

import math

import pytest

torch = pytest.importorskip("torch")
nn, functional = torch.nn, torch.nn.functional

TOKENS, STEPS, FEATURES = 13, 6, 16


class Residual(nn.Module):
    """A block of a ResNet for CIFAR-10; where sizes change, padded with zeros (option A)."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.added = outputs - inputs

    def forward(self, x):
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.added:
            half = self.added // 2
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, half))
        return functional.relu(x + y)


class Projected(Residual):
    """The same with a convolution where sizes change (option B)."""

    def __init__(self, inputs, outputs, stride):
        super().__init__(inputs, outputs, stride)
        self.shortcut = nn.Sequential()
        if self.added:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


def resnet20(block=Residual):
    blocks, inputs = [], 4
    for outputs, stride in ((4, 1), (8, 2), (16, 2)):
        for number in range(3):
            blocks.append(block(inputs, outputs, 1 if number else stride))
            inputs = outputs
    stem = [nn.Conv2d(3, 4, 3, 1, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)]
    return nn.Sequential(*stem, *blocks, *head)


def lenet5():
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten()),
        *(nn.Linear(16 * 3 * 3, 20), nn.Tanh(), nn.Linear(20, 10)),
    )


def vgg8():
    layers, inputs = [], 3
    for outputs in (4, 8, 8):
        for _ in range(2):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
            inputs = outputs
        layers.append(nn.MaxPool2d(2))
    head = [nn.Flatten(), nn.Linear(8 * 4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout()]
    return nn.Sequential(*layers, *head, nn.Linear(16, 10))


def separable():
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 8, 3, 1, 2, dilation=2, groups=8, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 12, 1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 10)),
    )


class Recurrent(nn.Module):
    """A character model; with ``last``, a classifier of sequences."""

    def __init__(self, kind=nn.LSTM, *, last=False):
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, 8)
        self.recurrent = kind(8, 12, num_layers=2, batch_first=True)
        self.head = nn.Linear(12, TOKENS)
        self.last = last

    def forward(self, x):
        y, _ = self.recurrent(self.embedding(x))
        return self.head(y[:, -1] if self.last else y)


class Block(nn.Module):
    """A block of nanoGPT."""

    def __init__(self, *, fused):
        super().__init__()
        self.ln_1 = nn.LayerNorm(FEATURES)
        self.c_attn = nn.Linear(FEATURES, 3 * FEATURES)
        self.c_proj = nn.Linear(FEATURES, FEATURES)
        self.ln_2 = nn.LayerNorm(FEATURES)
        self.fc = nn.Linear(FEATURES, 32)
        self.proj = nn.Linear(32, FEATURES)
        self.fused = fused
        self.register_buffer("mask", torch.tril(torch.ones(STEPS, STEPS))[None, None])

    def forward(self, x):
        n, steps, features = x.shape
        parts = self.c_attn(self.ln_1(x)).split(features, dim=2)
        q, k, v = (part.view(n, steps, 4, features // 4).transpose(1, 2) for part in parts)
        if self.fused:
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            a = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
            y = functional.softmax(a.masked_fill(self.mask == 0, float("-inf")), dim=-1) @ v
        x = x + self.c_proj(y.transpose(1, 2).contiguous().view(n, steps, features))
        return x + self.proj(functional.gelu(self.fc(self.ln_2(x))))


class NanoGpt(nn.Module):
    """A causal transformer, whose first and last weights are the same."""

    def __init__(self, *, fused=True):
        super().__init__()
        self.wte = nn.Embedding(TOKENS, FEATURES)
        self.wpe = nn.Embedding(STEPS, FEATURES)
        self.h = nn.ModuleList([Block(fused=fused) for _ in range(2)])
        self.ln_f = nn.LayerNorm(FEATURES)
        self.lm_head = nn.Linear(FEATURES, TOKENS, bias=False)
        self.wte.weight = self.lm_head.weight

    def forward(self, x):
        y = self.wte(x) + self.wpe(torch.arange(x.size(1)))
        for block in self.h:
            y = block(y)
        return self.lm_head(self.ln_f(y))


class Encoder(nn.Module):
    """A classifier of sequences on ``nn.TransformerEncoder``."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, FEATURES)
        self.positions = nn.Parameter(torch.randn(1, STEPS, FEATURES))
        layer = nn.TransformerEncoderLayer(FEATURES, 2, 32, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(FEATURES, 5)

    def forward(self, x):
        y = self.embedding(x) * math.sqrt(FEATURES) + self.positions
        return self.head(self.encoder(y).mean(dim=1))


class MultiHead(nn.Module):
    """``nn.MultiheadAttention`` alone."""

    def __init__(self, *, weights=False):
        super().__init__()
        self.attention = nn.MultiheadAttention(FEATURES, 4, batch_first=True)
        self.head = nn.Linear(FEATURES, 5)
        self.weights = weights

    def forward(self, x):
        return self.head(x + self.attention(x, x, x, need_weights=self.weights)[0])


class BothWays(nn.Module):
    """A tagger of characters that reads them in both directions."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, 8)
        self.recurrent = nn.LSTM(8, 6, bidirectional=True, batch_first=True)
        self.head = nn.Linear(12, 3)

    def forward(self, x):
        return self.head(self.recurrent(self.embedding(x))[0])


class Vision(nn.Module):
    """A transformer of patches with a class token."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, FEATURES, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, FEATURES))
        self.positions = nn.Parameter(torch.randn(1, 10, FEATURES))
        self.block = nn.TransformerEncoderLayer(
            FEATURES, 4, 24, activation="gelu", batch_first=True, norm_first=True
        )
        self.head = nn.Linear(FEATURES, 5)

    def forward(self, x):
        y = self.patches(x).flatten(2).transpose(1, 2)
        y = torch.cat([self.token.expand(x.size(0), -1, -1), y], 1) + self.positions
        return self.head(self.block(y)[:, 0])


def mlp():
    return nn.Sequential(
        *(nn.Linear(7, 9), nn.ReLU(), nn.LayerNorm(9)),
        *(nn.Linear(9, 8, bias=False), nn.Sigmoid(), nn.Linear(8, 5), nn.LogSoftmax(dim=1)),
    )


MODELS = {
    "mlp": (mlp, (7,)),
    "lenet5": (lenet5, (1, 20, 20)),
    "resnet20": (resnet20, (3, 16, 16)),
    "resnet20-b": (lambda: resnet20(Projected), (3, 16, 16)),
    "vgg8": (vgg8, (3, 16, 16)),
    "separable": (separable, (3, 12, 12)),
    "lstm": (Recurrent, None),
    "gru-last": (lambda: Recurrent(nn.GRU, last=True), None),
    "nanogpt": (NanoGpt, None),
    "nanogpt-by-hand": (lambda: NanoGpt(fused=False), None),
    "encoder": (Encoder, None),
    "both-ways": (BothWays, None),
    "vision": (Vision, (3, 12, 12)),
    "multihead": (MultiHead, (STEPS, FEATURES)),
    "multihead-weights": (lambda: MultiHead(weights=True), (STEPS, FEATURES)),
}


def built(name):
    """A model in evaluation mode, with nothing zero or one in it, and a batch of examples."""
    torch.manual_seed(7)
    make, shape = MODELS[name]
    model = make()
    for parameter in model.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, 0.5, 0.3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
    x = torch.randint(0, TOKENS, (3, STEPS)) if shape is None else torch.randn(3, *shape)
    return model.eval(), x
