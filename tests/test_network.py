import pytest

from emulator.building import Settings, Task, build_network
from emulator.errors import ConfigError
from emulator.layers import Linear, Plain


def network(width, n_outputs, *, has_classes):
    layers = [Linear(outputs=width, activation="softmax")]
    task = Task(source="test", shape=(4,), n_outputs=n_outputs, has_classes=has_classes)
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


@pytest.mark.parametrize("layer", [Linear, Plain])
@pytest.mark.parametrize("name", ["a.tanh", "", "-a", "a b", "a/b"])
def test_a_layer_cannot_take_the_name_of_an_activation_or_an_odd_one(layer, name):
    with pytest.raises(ValueError, match=r"should match pattern"):
        layer(
            kind="linear" if layer is Linear else "tanh",
            name=name,
            **({"outputs": 3} if layer is Linear else {}),
        )
