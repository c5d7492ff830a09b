import pytest

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.layers import (
    AttentionLayer,
    ConvLayer,
    DropoutLayer,
    LinearLayer,
    PlainLayer,
    PoolLayer,
)
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.network.assembly import Settings
from crossmesh.emulator.network.building import build_network
from crossmesh.emulator.network.task import LearningTask
from crossmesh.tiles.analog.tile_config import TileConfig


def network(width, n_outputs, *, has_classes):
    layers = [LinearLayer(outputs=width, activation="softmax")]
    task = LearningTask(source="test", shape=(4,), n_outputs=n_outputs, has_classes=has_classes)
    return build_network(layers, task, Settings())


def test_a_network_may_have_outputs_for_classes_that_the_data_lack():
    assert network(10, 9, has_classes=True).output.width == 10


@pytest.mark.parametrize(
    ("width", "has_classes", "message"),
    [
        (2, True, r"network\.0\.outputs must be at least 3 for the data test, got 2"),
        (2, False, r"network\.0\.outputs must be 3 for the data test, got 2"),
        (4, False, r"network\.0\.outputs must be 3 for the data test, got 4"),
    ],
)
def test_outputs_that_do_not_fit_the_data_are_refused(width, has_classes, message):
    with pytest.raises(ConfigError, match=message):
        network(width, 3, has_classes=has_classes)


@pytest.mark.parametrize("layer", [LinearLayer, PlainLayer])
@pytest.mark.parametrize("name", ["a.tanh", "", "-a", "a b", "a/b"])
def test_a_layer_cannot_take_the_name_of_an_activation_or_an_odd_one(layer, name):
    with pytest.raises(ValueError, match=r"should match pattern"):
        layer(
            kind="linear" if layer is LinearLayer else "tanh",
            name=name,
            **({"outputs": 3} if layer is LinearLayer else {}),
        )


def test_tokens_are_no_magnitudes():
    task = LearningTask(source="text", shape=(5,), n_outputs=9, tokens=9, targets=5)
    message = r"network\.0\.kind must be embedding for the tokens of the data text, got linear"
    with pytest.raises(ConfigError, match=message):
        build_network([LinearLayer(outputs=9, activation="softmax")], task, Settings())


def test_the_input_is_an_image_behind_layers_that_keep_its_shape():
    layers = [
        DropoutLayer(rate=0.1),
        PlainLayer(kind="relu"),
        ConvLayer(outputs=4, kernel=3),
        LinearLayer(outputs=3, activation="softmax"),
    ]
    task = LearningTask(source="test", shape=(2, 6, 5), n_outputs=3)
    assert build_network(layers, task, Settings()).nodes[0].shape.image == (6, 5)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            [ConvLayer(outputs=4, kernel=3)],
            r"network\.0 must be fed an image, got a vector of 60",
        ),
        (
            [ConvLayer(outputs=4, kernel=3, groups=3)],
            r"network\.0\.groups must divide the channels",
        ),
        ([ConvLayer(outputs=4, kernel=9)], r"network\.0 \(layer conv0\): Window\.kernel must fit"),
        ([AttentionLayer(heads=5)], r"network\.0\.heads must divide the features \(7\), got 5"),
        ([PoolLayer(kind="max_pool", kernel=9)], r"network\.0\.kernel must fit into its input"),
        (
            [ConvLayer(outputs=4, kernel=3, digital=True, tile=TileConfig())],
            r"network\.0\.tile must be",
        ),
    ],
)
def test_a_layer_that_does_not_fit_is_named(layers, message):
    shape = {"vector": (60,), "groups must": (2, 6, 5), "heads": (4, 7)}
    found = next((s for key, s in shape.items() if key in message), (2, 6, 5))
    task = LearningTask(source="test", shape=found, n_outputs=3)
    with pytest.raises(ConfigError, match=message):
        build_network([*layers, LinearLayer(outputs=3, activation="softmax")], task, Settings())


def test_images_that_look_as_if_channels_were_last_are_refused():
    layers = [ConvLayer(outputs=4, kernel=3), LinearLayer(outputs=3, activation="softmax")]

    with pytest.raises(
        ConfigError, match=r"images of channels, height, width .* \(32, 32, 3\); x\."
    ):
        build_network(layers, LearningTask(source="t", shape=(32, 32, 3), n_outputs=3), Settings())

    first = LearningTask(source="t", shape=(3, 32, 32), n_outputs=3)
    assert build_network(layers, first, Settings()).by_name["input"].width == 3


def test_layers_that_share_tiles_drive_them_one_after_the_other():
    layers = [
        LinearLayer(outputs=6, name="first"),
        LinearLayer(outputs=6, name="again", share="first"),
        LinearLayer(outputs=3, activation="softmax"),
    ]
    task = LearningTask(source="t", shape=(6,), n_outputs=3)

    made = build_network(layers, task, Settings())

    assert list(made.matrices) == ["first", "linear2"]
    assert made.matrices["first"].vectors == 2
    assert [made.by_name[name].offset for name in ("first", "again")] == [0, 1]


@pytest.mark.parametrize(
    ("share", "outputs", "message"),
    [
        ("none", 6, r"network\.1\.share must be a layer before it of the same kind, got none"),
        ("first", 5, r"network\.1\.share must have the outputs of first \(6\), got 5"),
    ],
)
def test_tiles_that_do_not_fit_a_layer_are_not_shared(share, outputs, message):
    layers = [
        LinearLayer(outputs=6, name="first"),
        LinearLayer(outputs=outputs, name="again", share=share),
        LinearLayer(outputs=3, activation="softmax"),
    ]

    with pytest.raises(ConfigError, match=message):
        build_network(layers, LearningTask(source="t", shape=(6,), n_outputs=3), Settings())


@pytest.mark.parametrize("layer", [{"kind": "lstm"}, {"kind": "embedding"}])
def test_layers_of_several_matrices_or_tables_share_none(layer):
    tree = {
        "name": "a",
        "data": {"source": "digits"},
        "network": [{**layer, "outputs": 4, "share": "b"}],
    }

    with pytest.raises(ConfigError, match=r"network\.0\.share is unknown"):
        load_config(tree)
