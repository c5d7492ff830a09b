"""The config of a run: frozen objects that validate themselves, read from YAML."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from crossmesh.common.frozen import Frozen, FrozenDict, Keyed, Many
from crossmesh.common.refusals import AS_LIST, AS_MAPPING
from crossmesh.common.registry import KindName
from crossmesh.common.summaries import summary_of
from crossmesh.emulator.config.chip import Chip
from crossmesh.emulator.config.engine import CheckpointConfig, Engine
from crossmesh.emulator.config.layer import TileLayer
from crossmesh.emulator.config.layers import Layer
from crossmesh.emulator.config.rates import LearningRate, RateSchedule, check_epochs
from crossmesh.emulator.config.stopping import EarlyStop
from crossmesh.emulator.data import DataConfig
from crossmesh.emulator.data.config import UserPath
from crossmesh.interconnect.schedule import SCHEDULES
from crossmesh.tiles.analog.algorithms import AnyAlgorithm, Sgd
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.digital import LOSSES, AnyOptimizer, Clip, GradientDescent, Loss

Size = Annotated[int, Field(ge=1)] | Literal["n"]
Weight = Annotated[float, Field(ge=0)]
ClassWeights = Annotated[Many[Weight], Field(min_length=2)] | Literal["balanced"]
Number = bool | int | float


def _mapping_or_list(value: object) -> str:
    return AS_MAPPING if isinstance(value, dict) else AS_LIST


Shapes = Annotated[
    Annotated[Many[Size], Tag(AS_LIST)] | Annotated[Keyed[str, Many[Size]], Tag(AS_MAPPING)],
    Discriminator(_mapping_or_list),
]
LOSS = KindName(LOSSES, Loss)
ScheduleName = Annotated[str, KindName(SCHEDULES)]


class LayerSettings(Frozen):
    """Settings of single layers of an imported network.

    Attributes:
        tile: Settings of their tiles that differ from the section ``tile``.
        replicas: Copies of their tiles.
        digital: Whether their weights lie in digital memory.
        frozen: Whether their weights and numbers stay as they are.
        algorithm: How their weights are trained, if not as ``training.algorithm`` says.
        optimizer: What changes their numbers in digital memory.
    """

    tile: TileConfig | None = None
    replicas: int | None = Field(None, ge=1)
    digital: bool | None = None
    frozen: bool | None = None
    algorithm: AnyAlgorithm | None = None
    optimizer: AnyOptimizer | None = None


class Imported(Frozen):
    """A network from an ONNX file.

    Attributes:
        onnx: Path of the ONNX file.
        weights: Whether training begins from the file's weights or from ``new`` ones.
        until: The last of its layers that is kept; by default its last. ``crossmesh map`` lists
            their names.
        input_shape: Shape of an example, where the file leaves it open; of several inputs, shapes
            by name. A shape with an ``n`` is that of the file's tensor, ``n`` being its examples.
        constants: Inputs that are the same for all examples, by name.
        output: Name of the output, of a file with several.
        layers: Settings of layers by name; ``*`` stands for any part of a name, and of two that fit
            one layer the later counts.
        then: Layers behind those of the file.
    """

    onnx: UserPath
    weights: Literal["trained", "new"] = "trained"
    until: str | None = None
    input_shape: Shapes | None = None
    constants: Keyed[str, Number | Many[Number]] = Field(default_factory=FrozenDict)
    output: str | None = None
    layers: Keyed[str, LayerSettings] = Field(default_factory=FrozenDict)
    then: Many[Layer] = ()


class Mapping(Frozen):
    """Mapping of the network to tiles.

    Attributes:
        vectors_per_tile: A layer whose tiles would be driven with more vectors of an example gets
            copies of them that share the vectors; by default none does. ISAAC (doi
            10.1109/ISCA.2016.12) and PipeLayer (doi 10.1109/HPCA.2017.55) balance pipelines so.
    """

    vectors_per_tile: int | None = Field(None, ge=1)


class Training(Frozen):
    """Training settings.

    Attributes:
        epochs: Passes over the training set.
        batch: Examples between two updates under ``synchronous``, ``gpipe`` and ``1f1b``; under the
            other schedules it equals ``micro_batch``.
        micro_batch: Examples that move together and see the same weights; by default ``batch``.
        learning_rate: Factor of every example's outer product: a number, a list of {epoch, value},
            or a schedule by its ``kind``.
        optimizer: What changes the numbers in digital memory: of layers with ``digital: true``,
            digital biases, norms and embeddings. Tiles learn by pulses.
        clip: Limits of their gradients, which are sums over the examples of a batch; by default
            none.
        schedule: Order of forward, backward and update over the stages of the pipeline.
        algorithm: What updates do to the arrays of the tiles.
        class_weights: Factors of loss and error of each class in training: a list, or ``balanced``
            for the inverse of how often each occurs; by default all count the same.
        shuffle: Whether every epoch takes the examples in an order of its own, a function of seed
            and epoch; otherwise in file order.
        examples: Train on the first so many examples; by default on all.
        test_examples: Test on the first so many; by default on all.
        evaluation_batch: Examples per micro-batch of an evaluation.
        log_every: Examples between two rows of the metrics; by default a tenth of an epoch.
        baseline: Whether to train the same network digitally, in float32, for comparison.
        stop_early: When to stop before the last epoch; by default never.
    """

    epochs: int = Field(1, ge=1)
    batch: int = Field(1, ge=1)
    micro_batch: int | None = Field(None, ge=1)
    learning_rate: LearningRate = 0.01
    optimizer: AnyOptimizer = GradientDescent()
    clip: Clip | None = None
    schedule: ScheduleName = "sequential"
    algorithm: AnyAlgorithm = Sgd()
    class_weights: ClassWeights | None = None
    shuffle: bool = True
    examples: int | None = Field(None, ge=1)
    test_examples: int | None = Field(None, ge=1)
    evaluation_batch: int = Field(256, ge=1)
    log_every: int | None = Field(None, ge=1)
    baseline: bool = False
    stop_early: EarlyStop | None = None

    @model_validator(mode="after")
    def _batches_fit(self) -> Self:
        if self.micro_batch is not None:
            if not SCHEDULES[self.schedule].splits_batches and self.micro_batch != self.batch:
                raise ValueError(
                    f"micro_batch must equal batch ({self.batch}) under the schedule "
                    f"{self.schedule}, got {self.micro_batch}"
                )
            if self.batch % self.micro_batch:
                raise ValueError(
                    f"micro_batch must divide batch ({self.batch}), got {self.micro_batch}"
                )
        return self

    @model_validator(mode="after")
    def _rates_follow_the_epochs(self) -> Self:
        check_epochs(self.learning_rate)
        return self

    @property
    def examples_together(self) -> int:
        """Examples per micro-batch."""
        return self.micro_batch or self.batch

    @property
    def watches_losses(self) -> bool:
        """Whether the learning rate depends on losses, and so on how they are measured."""
        return isinstance(self.learning_rate, RateSchedule) and self.learning_rate.watches


def _form(network: object) -> str:
    is_file = isinstance(network, Imported) or (isinstance(network, dict) and "onnx" in network)
    return AS_MAPPING if is_file else AS_LIST


class RunConfig(Frozen):
    """Everything that decides a run, and where it runs.

    Attributes:
        name: Name of the run, which its folder begins with.
        seed: Every random number follows from it.
        data: Where the examples come from, and which of them are taken.
        network: Layers, each fed by the one before unless it says otherwise; or an ONNX file.
        weights: NPZ file with the weights that training begins from, named as ``crossmesh export``
            does; by default they are drawn.
        calibrate: Whether scales and ranges of the tiles are chosen for the given weights before
            anything else, as ``crossmesh calibrate`` does.
        mapping: Mapping of the network to tiles.
        loss: Loss function: a name, or ``kind`` and fields of one.
        training: Epochs, batches, learning rate, schedule and algorithm.
        tile: Configuration of the tiles.
        chip: Interconnect, timing and component table; they never change the values.
        engine: Where the tiles run: in this process or on Ray.
        checkpoint: When and where the state of all tiles is saved.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    seed: int = Field(0, ge=0, lt=2**64)
    data: DataConfig
    network: Annotated[
        Annotated[Many[Layer], Field(min_length=1), Tag(AS_LIST)]
        | Annotated[Imported, Tag(AS_MAPPING)],
        Discriminator(_form),
    ]
    weights: UserPath | None = None
    calibrate: bool = False
    mapping: Mapping = Mapping()
    loss: Annotated[str | Loss, LOSS] = "cross_entropy"
    training: Training = Training()
    tile: TileConfig = TileConfig()
    chip: Chip = Chip()
    engine: Engine = Engine()
    checkpoint: CheckpointConfig = CheckpointConfig()

    def __repr__(self) -> str:
        """What differs from the defaults, on one screen."""
        return summary_of("RunConfig", self.__repr_args__())

    @model_validator(mode="after")
    def _biases_have_an_effect(self) -> Self:
        is_file = isinstance(self.network, Imported)
        layers = self.network.then if isinstance(self.network, Imported) else self.network
        for i, layer in enumerate(layers):
            tile = layer.tile if isinstance(layer, TileLayer) and not layer.has_bias else None
            if tile is not None and tile.bias != self.tile.bias:
                raise ValueError(
                    f"network.{'then.' if is_file else ''}{i}.tile.bias must be that of the "
                    f"section tile ({self.tile.bias}) where a layer has no bias, got {tile.bias}"
                )
        return self

    @model_validator(mode="after")
    def _losses_watched_are_measured(self) -> Self:
        rate = self.training.learning_rate
        watched = getattr(rate, "monitor", None)
        if watched == "validation_loss" and self.data.validation is None:
            raise ValueError(
                "training.learning_rate.monitor must be train_loss or test_loss without "
                "data.validation, got validation_loss"
            )
        return self

    @model_validator(mode="after")
    def _loss_takes_its_fields(self) -> Self:
        try:
            self.loss_function  # noqa: B018  so that it is made, with its own checks
        except ValueError as error:
            raise ValueError(f"loss: {error}") from None
        return self

    @property
    def loss_function(self) -> Loss:
        """The loss that ``loss`` names."""
        kind, fields = LOSS.chosen(self.loss)
        loss: Loss = replace(kind, **fields) if fields else kind
        return loss

    @property
    def drained_every(self) -> int | None:
        """Examples after which a pipeline is drained that otherwise would not be."""
        is_endless = SCHEDULES[self.training.schedule].for_batch(1).round is None
        return self.checkpoint.every_examples if is_endless else None


DATA_PATHS = DataConfig.PATHS  # of the section data, which may differ from machine to machine
SHIPPED = Path(__file__).parent / "shipped"
