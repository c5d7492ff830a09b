"""The config of a run: frozen objects that validate themselves, read from YAML."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from emulator.chip.config import Chip
from emulator.data import DataConfig
from tiles.frozen import Frozen
from tiles.tile import TileConfig

FunctionName = Literal["identity", "relu", "tanh", "sigmoid", "softmax"]
# No dot: behind it, the network names the activation of a layer.
LayerName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
ScheduleName = Literal["sequential", "synchronous", "asynchronous"]


class Linear(Frozen):
    """A fully connected layer on tiles, and the activation behind it.

    Attributes:
        outputs: Number of outputs.
        bias: Whether a word line driven at full scale adds a bias.
        activation: Function of the outputs.
        name: Name of the layer, without dots; by default its kind and number.
        input: Name of the layer that feeds it; by default the one before.
    """

    kind: Literal["linear"] = "linear"
    outputs: int = Field(ge=1)
    bias: bool = True
    activation: FunctionName = "identity"
    name: LayerName | None = None
    input: str | None = None


class Function(Frozen):
    """An activation function as a layer of its own.

    Attributes:
        kind: Which function.
        name: Name of the layer, without dots; by default its kind and number.
        input: Name of the layer that feeds it; by default the one before.
    """

    kind: FunctionName
    name: LayerName | None = None
    input: str | None = None


Layer = Annotated[Linear | Function, Field(discriminator="kind")]


class RatePoint(Frozen):
    """A learning rate that holds from an epoch on (counted from 0)."""

    epoch: int = Field(ge=0)
    value: float = Field(gt=0)


LearningRate = Annotated[float, Field(gt=0)] | Annotated[list[RatePoint], Field(min_length=1)]


class Training(Frozen):
    """How the network is trained.

    Attributes:
        epochs: Passes over the training set.
        batch: Examples between two updates under ``synchronous``; under the other schedules it
            equals ``micro_batch``.
        micro_batch: Examples that move together and see the same weights; by default ``batch``.
        learning_rate: Factor of every example's outer product, or a list of {epoch, value}.
        schedule: Order of forward, backward and update over the stages of the pipeline.
        shuffle: Whether every epoch takes the examples in an order of its own, a function of seed
            and epoch; otherwise in file order.
        examples: Train on the first so many examples; by default on all.
        test_examples: Test on the first so many; by default on all.
        evaluation_batch: Examples per micro-batch of an evaluation.
        log_every: Examples between two rows of the metrics; by default a tenth of an epoch.
        baseline: Whether to train the same network digitally, in float32, for comparison.
    """

    epochs: int = Field(1, ge=1)
    batch: int = Field(1, ge=1)
    micro_batch: int | None = Field(None, ge=1)
    learning_rate: LearningRate = 0.01
    schedule: ScheduleName = "sequential"
    shuffle: bool = True
    examples: int | None = Field(None, ge=1)
    test_examples: int | None = Field(None, ge=1)
    evaluation_batch: int = Field(256, ge=1)
    log_every: int | None = Field(None, ge=1)
    baseline: bool = False

    @model_validator(mode="after")
    def _batches_fit(self) -> Self:
        if self.micro_batch is not None:
            if self.schedule != "synchronous" and self.micro_batch != self.batch:
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
        if isinstance(self.learning_rate, list):
            epochs = [point.epoch for point in self.learning_rate]
            if epochs[0] != 0 or epochs != sorted(set(epochs)):
                raise ValueError(
                    f"learning_rate must list rising epochs from 0, got epochs {epochs}"
                )
        return self

    @property
    def examples_together(self) -> int:
        """Examples per micro-batch."""
        return self.micro_batch or self.batch

    def rate(self, epoch: int) -> float:
        """Learning rate in an epoch."""
        if isinstance(self.learning_rate, float):
            return self.learning_rate
        return [point.value for point in self.learning_rate if point.epoch <= epoch][-1]


class Engine(Frozen):
    """Where the tiles run; never a part of the result.

    Attributes:
        kind: ``local``: all in this process. ``ray``: in actors of a Ray cluster.
        tiles_per_actor: Tiles that share an actor: a number, ``all``, or ``auto``: one, and more
            only where the machine has no room for so many processes.
        address: Address of a running Ray cluster; by default a private one is started.
        timeout_s: Longest wait for the cluster to start or to answer.
    """

    kind: Literal["local", "ray"] = "ray"
    tiles_per_actor: Annotated[int, Field(ge=1)] | Literal["auto", "all"] = "auto"
    address: str | None = None
    timeout_s: float = Field(120.0, gt=0)


class RunConfig(Frozen):
    """Everything that decides a run, and where it runs.

    Attributes:
        name: Name of the run, which its folder begins with.
        seed: Every random number follows from it.
        data: What is learnt.
        network: Layers, each fed by the one before unless it says otherwise.
        loss: What is minimised.
        training: How.
        tile: What the tiles of the chip are.
        chip: What lies between the tiles, and how long everything takes; no part of the values.
        engine: Where they are emulated.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    seed: int = Field(0, ge=0, lt=2**64)
    data: DataConfig
    network: list[Layer] = Field(min_length=1)
    loss: Literal["cross_entropy", "mean_squared_error"] = "cross_entropy"
    training: Training = Training()
    tile: TileConfig = TileConfig()
    chip: Chip = Chip()
    engine: Engine = Engine()


SHIPPED = Path(__file__).parent / "configs"
