"""Our own layers and sources, held to the rules that those of other packages are held to."""

import pytest

from crossmesh.emulator.config.layers import (
    AttentionLayer,
    ConvLayer,
    DropoutLayer,
    LinearLayer,
    NormLayer,
    PlainLayer,
    PoolLayer,
    PositionLayer,
    RecurrentLayer,
)
from crossmesh.emulator.data import DataConfig
from crossmesh.testing import LayerTests, SourceTests
from tests.zoo import TEXT

END = LinearLayer(outputs=10, activation="softmax")
MEAN, LAST = PlainLayer(kind="global_pool"), PlainLayer(kind="last")
CONV = ConvLayer(outputs=4, kernel=3)
VECTORS = {  # behind a linear layer
    "linear": LinearLayer(outputs=9, activation="sigmoid"),
    "digital": LinearLayer(outputs=9, activation="gelu", digital=True),
    "layer_norm": NormLayer(kind="layer_norm"),
    "batch_norm": NormLayer(kind="batch_norm"),
    "dropout": DropoutLayer(rate=0.2),
    "tanh": PlainLayer(kind="tanh"),
}
OTHERS = {  # with what stands before and behind
    "conv": ((), CONV, (END,)),
    "conv in groups": (
        (CONV,), ConvLayer(outputs=6, kernel=3, padding=2, dilation=2, groups=2), (MEAN, END)
    ),
    "replicas": ((), ConvLayer(outputs=4, kernel=3, replicas=2), (END,)),
    "max_pool": ((CONV,), PoolLayer(kind="max_pool", kernel=2), (END,)),
    "average_pool": ((CONV,), PoolLayer(kind="average_pool", kernel=(2, 3)), (END,)),
    "flatten": ((CONV,), PlainLayer(kind="flatten"), (END,)),
    "global_pool": ((CONV,), MEAN, (END,)),
    "lstm": ((), RecurrentLayer(kind="lstm", outputs=6), (LAST, END)),
    "gru": ((), RecurrentLayer(kind="gru", outputs=5), (LAST, END)),
    "attention": ((), AttentionLayer(heads=2), (MEAN, END)),
    "position": ((), PositionLayer(), (RecurrentLayer(kind="gru", outputs=5), LAST, END)),
}  # fmt: skip
UNLIKE_GRADIENT = {"dropout", "batch_norm"}  # at random; and running statistics


@pytest.mark.slow
class TestLayers(LayerTests):
    test_actors_give_the_same_bits = (
        None  # as tests/emulator/executors/test_ray.py shows for networks
    )

    @pytest.fixture(autouse=True, params=[*VECTORS, *OTHERS])
    def example(self, request):
        name = request.param
        self.follows_gradient = name not in UNLIKE_GRADIENT
        if name in VECTORS:
            self.layer = VECTORS[name]
        else:
            self.before, self.layer, self.behind = OTHERS[name]


class TestSources(SourceTests):
    @pytest.fixture(
        autouse=True,
        params=[
            {"source": "digits"},
            {"source": "synthetic", "inputs": 6, "classes": 3, "examples": 12},
            {"source": "text", "file": str(TEXT), "steps": 7},
        ],
        ids=lambda section: section["source"],
    )
    def example(self, request):
        self.data = DataConfig(**request.param)
