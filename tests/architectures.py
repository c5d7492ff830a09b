"""Small PyTorch models of ten architectures that people bring."""

import pytest

torch = pytest.importorskip("torch")
nn, functional = torch.nn, torch.nn.functional

TOKENS, STEPS, FEATURES = 13, 6, 12


def lenet():
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(24, 12), nn.Tanh(), nn.Linear(12, 10)),
    )


class ConvNorm(nn.Sequential):
    """A convolution, batch normalisation and a function."""

    def __init__(self, inputs, outputs, kernel, *, stride=1, groups=1, function=nn.Identity):
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outputs), function())


class Projected(nn.Module):
    """A residual block with a projection where sizes change."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.first = ConvNorm(inputs, outputs, 3, stride=stride, function=nn.ReLU)
        self.second = ConvNorm(outputs, outputs, 3)
        self.projection = ConvNorm(inputs, outputs, 1, stride=stride)

    def forward(self, x):
        return functional.relu(self.second(self.first(x)) + self.projection(x))


def _pooled(*layers, features):
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, 10))


def resnet():
    return _pooled(
        ConvNorm(3, 4, 3, function=nn.ReLU), Projected(4, 6, 1), Projected(6, 8, 2), features=8
    )


class SqueezeExcite(nn.Module):
    def __init__(self, channels, hidden):
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, channels, 1)

    def forward(self, x):
        gate = functional.relu(self.down(functional.adaptive_avg_pool2d(x, 1)))
        return x * functional.hardsigmoid(self.up(gate))


class InvertedResidual(nn.Module):
    """A block of MobileNetV3."""

    def __init__(self, channels, hidden):
        super().__init__()
        self.expand = ConvNorm(channels, hidden, 1, function=nn.Hardswish)
        self.depthwise = ConvNorm(hidden, hidden, 3, groups=hidden, function=nn.Hardswish)
        self.excite = SqueezeExcite(hidden, 4)
        self.project = ConvNorm(hidden, channels, 1)

    def forward(self, x):
        return x + self.project(self.excite(self.depthwise(self.expand(x))))


def mobilenet():
    stem = ConvNorm(3, 4, 3, stride=2, function=nn.Hardswish)
    return _pooled(stem, InvertedResidual(4, 8), features=4)


class ConvNext(nn.Module):
    """A block of ConvNeXt."""

    def __init__(self, channels):
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.up, self.down = nn.Linear(channels, 12), nn.Linear(12, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.5))

    def forward(self, x):
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.scale * self.down(functional.gelu(self.up(y)))
        return x + y.permute(0, 3, 1, 2)


def convnext():
    return _pooled(nn.Conv2d(3, 4, 2, 2), ConvNext(4), features=4)


class Transformer(nn.Module):
    """A block of a transformer, normalised first."""

    def __init__(self, *, causal=False):
        super().__init__()
        self.before, self.between = nn.LayerNorm(FEATURES), nn.LayerNorm(FEATURES)
        self.qkv = nn.Linear(FEATURES, 3 * FEATURES)
        self.out = nn.Linear(FEATURES, FEATURES)
        self.up, self.down = nn.Linear(FEATURES, 16), nn.Linear(16, FEATURES)
        self.causal = causal

    def forward(self, x):
        x = x + self.out(attended(self.qkv(self.before(x)).chunk(3, -1), causal=self.causal))
        return x + self.down(functional.gelu(self.up(self.between(x))))


def attended(parts, *, causal, turn=lambda x: x):
    """What two heads see, of queries, keys and values."""
    q, k, v = (part.unflatten(-1, (2, -1)).transpose(1, 2) for part in parts)
    y = functional.scaled_dot_product_attention(turn(q), turn(k), v, is_causal=causal)
    return y.transpose(1, 2).flatten(2)


class Vit(nn.Module):
    """A vision transformer that classifies by a token of its own."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, FEATURES, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, FEATURES))
        self.positions = nn.Parameter(torch.randn(1, 5, FEATURES))
        self.block, self.norm = Transformer(), nn.LayerNorm(FEATURES)
        self.head = nn.Linear(FEATURES, 10)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        return self.head(self.norm(self.block(x))[:, 0])


class Gpt(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.places = nn.Embedding(TOKENS, FEATURES), nn.Embedding(STEPS, FEATURES)
        self.block, self.norm = Transformer(causal=True), nn.LayerNorm(FEATURES)
        self.head = nn.Linear(FEATURES, TOKENS)

    def forward(self, x):
        x = self.tokens(x) + self.places(torch.arange(STEPS))
        return self.head(self.norm(self.block(x)))


class RmsNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(FEATURES))

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


def rotated(x):
    """Queries or keys ``(n, heads, steps, features)``, turned by their step."""
    half = x.shape[-1] // 2
    angles = torch.arange(STEPS)[:, None] * 10.0 ** -torch.arange(half)
    sine, cosine = torch.sin(angles).repeat(1, 2), torch.cos(angles).repeat(1, 2)
    return x * cosine + torch.cat([-x[..., half:], x[..., :half]], -1) * sine


class Llama(nn.Module):
    """A block of Llama: rotary positions, and a gated layer."""

    def __init__(self):
        super().__init__()
        self.tokens, self.head = nn.Embedding(TOKENS, FEATURES), nn.Linear(FEATURES, TOKENS)
        self.before, self.between, self.after = RmsNorm(), RmsNorm(), RmsNorm()
        for name in ("q", "k", "v", "o"):
            self.add_module(name, nn.Linear(FEATURES, FEATURES, bias=False))
        self.gate, self.up = (nn.Linear(FEATURES, 16, bias=False) for _ in range(2))
        self.down = nn.Linear(16, FEATURES, bias=False)

    def forward(self, x):
        x = self.tokens(x)
        y = self.before(x)
        x = x + self.o(attended([self.q(y), self.k(y), self.v(y)], causal=True, turn=rotated))
        y = self.between(x)
        x = x + self.down(functional.silu(self.gate(y)) * self.up(y))
        return self.head(self.after(x))


class Tagger(nn.Module):
    """A recurrent network in both directions."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(TOKENS, 8)
        self.lstm = nn.LSTM(8, 6, batch_first=True, bidirectional=True)
        self.head = nn.Linear(12, TOKENS)

    def forward(self, x):
        return self.head(self.lstm(self.tokens(x))[0])


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.outer, self.inner = ConvNorm(3, 4, 3, function=nn.ReLU), nn.Conv2d(4, 6, 3, padding=1)
        self.up, self.joined = nn.ConvTranspose2d(6, 4, 2, 2), nn.Conv2d(8, 4, 3, padding=1)
        self.head = nn.Conv2d(4, 10, 1)

    def forward(self, x):
        y = self.outer(x)
        z = self.up(functional.relu(self.inner(functional.max_pool2d(y, 2))))
        return self.head(functional.relu(self.joined(torch.cat([y, z], 1))))


class Shared(nn.Module):
    """One module at three depths."""

    def __init__(self):
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(20, 8), nn.Linear(8, 8), nn.Linear(8, 10)

    def forward(self, x):
        x = torch.tanh(self.first(x))
        for _ in range(3):
            x = x + torch.tanh(self.middle(x))
        return self.last(x)


IMAGE = (3, 8, 8)
MODELS = {  # and the shape of an example; None: tokens
    "lenet": (lenet, (1, 8, 8)),
    "resnet": (resnet, IMAGE),
    "mobilenet": (mobilenet, IMAGE),
    "convnext": (convnext, IMAGE),
    "vit": (Vit, IMAGE),
    "gpt": (Gpt, None),
    "llama": (Llama, None),
    "tagger": (Tagger, None),
    "unet": (UNet, IMAGE),
    "shared": (Shared, (20,)),
}


def example_of(name, n=2):
    """A batch of examples."""
    shape = MODELS[name][1]
    return torch.randint(0, TOKENS, (n, STEPS)) if shape is None else torch.randn(n, *shape)


def built(name):
    """A model whose norms and biases are neither zero nor one."""
    torch.manual_seed(7)
    model = MODELS[name][0]()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, 0.5, 0.3)
    return model
