"""Networks of the zoo in plain PyTorch, from the layers of a config and published weights."""

import pytest

torch = pytest.importorskip("torch")
nn, functional = torch.nn, torch.nn.functional

ACTIVATIONS = {
    "identity": lambda x: x,
    "relu": torch.relu,
    "gelu": functional.gelu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softmax": lambda x: x,  # in the loss
}
ALIASES = {"weight_ih_l0": "weight_ih", "weight_hh_l0": "weight_hh",
           "bias_ih_l0": "bias_ih", "bias_hh_l0": "bias_hh"}  # fmt: skip


class Linear(nn.Linear):
    """Of an image, all of it at once."""

    def __init__(self, layer, weights):
        outputs, inputs = weights["weight"].shape
        super().__init__(inputs, outputs, layer.get("bias", True))

    def forward(self, x):
        return super().forward(x.flatten(1) if x.ndim == 4 else x)


class Conv(nn.Conv2d):
    def __init__(self, layer, weights):
        names = ("stride", "padding", "dilation", "groups", "bias")
        given = {name: layer[name] for name in names if name in layer}
        outputs, per_group, *kernel = weights["weight"].shape
        super().__init__(per_group * layer.get("groups", 1), outputs, kernel, **given)


class Recurrent(nn.Module):
    """The states of all steps."""

    def __init__(self, layer, weights):
        super().__init__()
        kind = nn.LSTM if layer["kind"] == "lstm" else nn.GRU
        inputs, bias = weights["weight_ih"].shape[1], layer.get("bias", True)
        self.rnn = kind(inputs, layer["outputs"], bias=bias, batch_first=True)

    def forward(self, x):
        return self.rnn(x)[0]


class Attention(nn.Module):
    def __init__(self, layer, weights):
        super().__init__()
        features, bias = len(weights["out.weight"]), layer.get("bias", True)
        self.heads, self.causal = layer["heads"], layer.get("causal", False)
        self.qkv = nn.Linear(features, 3 * features, bias)
        self.out = nn.Linear(features, features, bias)

    def forward(self, x):
        heads = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.qkv(x).chunk(3, dim=-1)
        )
        y = functional.scaled_dot_product_attention(*heads, is_causal=self.causal)
        return self.out(y.transpose(1, 2).flatten(2))


class Position(nn.Module):
    def __init__(self, layer, weights):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(weights["weight"].shape))

    def forward(self, x):
        return x + self.weight


class Flatten(nn.Module):
    """Channel by channel, or feature by feature."""

    def forward(self, x):
        return (x.transpose(1, 2) if x.ndim == 3 else x).flatten(1)


class GlobalPool(nn.Module):
    def forward(self, x):
        return x.mean((2, 3) if x.ndim == 4 else 1)


class Last(nn.Module):
    def forward(self, x):
        return x[:, -1]


class Concat(nn.Module):
    def forward(self, *values):
        return torch.cat(values, dim=1 if values[0].ndim == 4 else -1)


class Add(nn.Module):
    def forward(self, first, *others):
        return sum(others, first)


class Activation(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, x):
        return ACTIVATIONS[self.kind](x)


def _pool(kind):
    return lambda layer, weights: kind(
        layer["kernel"], layer.get("stride"), layer.get("padding", 0)
    )


def _norm(kind):
    return lambda layer, weights: kind(len(weights["weight"]))


KINDS = {
    "linear": Linear,
    "conv": Conv,
    "lstm": Recurrent,
    "gru": Recurrent,
    "attention": Attention,
    "embedding": lambda layer, weights: nn.Embedding(*weights["weight"].shape),
    "position": Position,
    "max_pool": _pool(nn.MaxPool2d),
    "average_pool": _pool(nn.AvgPool2d),
    "batch_norm": _norm(nn.BatchNorm2d),
    "layer_norm": _norm(nn.LayerNorm),
    "dropout": lambda layer, weights: nn.Dropout(layer["rate"]),
    "flatten": lambda layer, weights: Flatten(),
    "global_pool": lambda layer, weights: GlobalPool(),
    "last": lambda layer, weights: Last(),
    "concat": lambda layer, weights: Concat(),
    "add": lambda layer, weights: Add(),
    **{kind: lambda layer, weights: Activation(layer["kind"]) for kind in ACTIVATIONS},
}


class TorchNet(nn.Module):
    """The network of a config; its output is what goes into the softmax.

    Args:
        layers: Layers as a config file has them.
        weights: Published weights.
    """

    def __init__(self, layers, weights):
        super().__init__()
        names = [layer.get("name", f"{layer['kind']}{i}") for i, layer in enumerate(layers)]
        self.layers = dict(zip(names, layers, strict=True))
        self.fed_by = {
            name: layer.get("inputs") or [layer.get("input", before)]
            for before, (name, layer) in zip(["input", *names], self.layers.items(), strict=False)
        }
        self.parts = nn.ModuleDict(
            {name: _part(name, layer, weights) for name, layer in self.layers.items()}
        )
        self.train()

    def train(self, mode=True):
        """Frozen layers stay as they are in tests."""
        super().train(mode)
        for name in self.layers:
            if self.layers[name].get("frozen"):
                self.parts[name].eval().requires_grad_(False)
        return self

    def forward(self, x):
        values = {"input": x}
        for name, part in self.parts.items():
            y = part(*(values[feeder] for feeder in self.fed_by[name]))
            values[name] = ACTIVATIONS[self.layers[name].get("activation", "identity")](y)
        return values[name]

    def losses(self, x, targets):
        """The loss of every example, which is the mean over its positions; and all hits."""
        logits = self(x)
        loss = functional.cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction="none")
        return loss.reshape(len(x), -1).mean(1), int((logits.argmax(-1) == targets).sum())

    @property
    def published(self):
        """Copies of all weights."""
        return {
            _alias(key.removeprefix("parts.")): value.numpy().copy()
            for key, value in self.state_dict().items()
            if not key.endswith("num_batches_tracked")
        }


def _alias(key):
    *names, last = [name for name in key.split(".") if name != "rnn"]
    return ".".join([*names, ALIASES.get(last, last)])


def _part(name, layer, weights):
    """The module of a layer with its weights."""
    own = {
        key.removeprefix(f"{name}."): torch.tensor(array)
        for key, array in weights.items()
        if key.startswith(f"{name}.")
    }
    module = KINDS[layer["kind"]](layer, own)
    state = module.state_dict()
    for key in state:
        if not key.endswith("num_batches_tracked"):
            state[key] = own.pop(_alias(key))
    assert not own
    module.load_state_dict(state)
    return module
