"""Typical slips: each is refused in one line that has the right spelling or an example in it."""

import pytest

from crossmesh.common.suggestions import squeezed
from crossmesh.emulator.cli.usage import COMMANDS as OTHER_COMMANDS
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.config.words import FIELDS as OTHER_FIELDS
from crossmesh.emulator.config.words import VALUES as OTHER_VALUES
from crossmesh.emulator.config.words import WORDS
from tests.emulator.commands.shell import crossmesh, done

# What is set in a config, and what its refusal says.
FIELDS = [
    ("training.lr=0.1", "training.lr is unknown; did you mean training.learning_rate?"),
    ("lr=0.1", "did you mean training.learning_rate?"),
    ("training.learnig_rate=0.1", "did you mean learning_rate?"),
    ("epochs=3", "did you mean training.epochs?"),
    ("epoch=3", "did you mean training.epochs?"),
    ("batch_size=8", "did you mean training.batch?"),
    ("training.batchsize=8", "did you mean training.batch?"),
    ("optimizer=adam", "did you mean training.optimizer?"),
    ("training.optimizer=Adam", "did you mean adam?"),
    ("training.optimizer={kind: adam, lr: 0.1}", "did you mean training.optimizer.learning_rate?"),
    ("momentum=0.9", "did you mean training.optimizer.momentum?"),
    ("training.weight_decay=0.01", "did you mean training.optimizer.weight_decay?"),
    ("training.schedule=pipelined", "did you mean asynchronous?"),
    ("training.schedule=sync", "did you mean synchronous?"),
    ("training.algorithm=tikitaka", "did you mean kind: tiki_taka?"),
    ("training.learning_rate=0,1", "did you mean 0.1?"),
    ("training.learning_rate={kind: cosin, value: 1, t_max: 2}", "did you mean cosine?"),
    ("training.learning_rate=[{epoch: 0, rate: 1}]", "learning_rate.0.value must be given"),
    ("training=5", "; its fields are epochs, batch, "),
    ("device=soft_bounds", "did you mean tile.cell?"),
    ("synapse=pcm", "did you mean tile.cell?"),
    ("tile.cell=softbounds", "did you mean kind: soft_bounds?"),
    ("tile.cell=reram-es", "did you mean reram-es-gong-2018?"),
    ("tile.cell.kind=SoftBounds", "did you mean soft_bounds?"),
    ("tile.cell={kind: pair, device: {kind: pcmm}}", "did you mean pcm?"),
    ("tile.cell=5", "its kinds are ideal, "),
    ("dw_min=0.001", "did you mean tile.cell.step?"),
    ("adc_bits=8", "did you mean tile.read.adc.bits?"),
    ("tile.adc.bits=8", "did you mean tile.read.adc?"),
    ("tile.read.adc.bit=8", "did you mean bits?"),
    ("tile.read.adc=8", "; its fields are bits, range"),
    ("array_size=64", "did you mean tile.rows and tile.cols?"),
    ("crossbar.rows=64", "did you mean tile?"),
    ("tile.columns=64", "did you mean tile.cols?"),
    ("tile.example_s=1ms", "did you mean 0.001?"),
    ("chip.clock_hz=1GHz", "did you mean 1e+09?"),
    ("chip.node_nm=32nm", "did you mean 32?"),
    ("chip.noc=torus", "did you mean chip.topology?"),
    ("chip.topology=tourus", "did you mean torus?"),
    ("random_seed=3", "did you mean seed?"),
    ("dataset=mnist", "did you mean data.source?"),
    ("data.name=mnist", "did you mean data.source?"),
    ("data=MNIST", "did you mean mnist?"),
    ("data.source=fashion_mnist", "did you mean fashion-mnist?"),
    ("training.loss=mse", "training.loss is unknown; did you mean loss, at the top level?"),
    ("training.stop_early=3", "; its fields are patience, monitor, min_delta"),
    ("training.patience=3", "did you mean training.stop_early.patience?"),
    ("early_stopping=3", "did you mean training.stop_early?"),
    ("training.stop_early.monitor=val_loss", "did you mean validation_loss?"),
    ("loss=mse", "did you mean mean_squared_error?"),
    ("loss=CrossEntropyLoss", "did you mean cross_entropy?"),
    ("engine=cpu", "did you mean local?"),
    ("workers=4", "did you mean engine.actors?"),
    ("network=[{kind: dense, outputs: 10}]", "did you mean linear?"),
    ("network=[{kind: linear, units: 10}]", "did you mean network.0.outputs?"),
    ("network=[{kind: linear, outputs: 10, activation: ReLU}]", "did you mean relu?"),
    ("network=[{kind: conv, outputs: 10, kernel_size: 3}]", "did you mean network.0.kernel?"),
    ("network=[{kind: linear, outputs: 10, tile: {cel: pcm}}]", "did you mean cell?"),
    ("training.epochs:3", "--set must be like a.b=value"),
]
# What is typed, and what its refusal says.
COMMANDS = [
    ("train --help-all", "did you mean --help?"),
    ("train digits --lr 0.1", "did you mean --set training.learning_rate=VALUE?"),
    ("train digits --batch-size 8", "did you mean --set training.batch=VALUE?"),
    ("train digits --device pcm", "did you mean --set tile.cell=VALUE?"),
    ("train digits --epoch 1", "--epochs"),
    ("train digits --set training.epochs 3", "--set must be like a.b=value"),
    ("train", "For example: crossmesh train digits"),
    ("resume", "For example: crossmesh resume runs/digits"),
    ("trian digits", "'train'"),
    ("digits", "did you mean crossmesh train digits?"),
    ("sweep digits", "did you mean crossmesh study?"),
    ("help", "did you mean crossmesh --help?"),
    ("-v", "did you mean --version?"),
    ("device list", "'devices'"),
    ("configs show digit", "did you mean digits?"),
    ("configs show mnist2018", "did you mean mnist-2018?"),
    ("configs show resnet", "cifar10-resnet20-small or cifar10-resnet20"),
    ("chip reram-es-gong-2018", "did you mean --set tile.cell=reram-es-gong-2018?"),
    ("train schedules", "got the study schedules; run it by crossmesh study schedules"),
    ("chip schedules", "got the study schedules; run it by crossmesh study schedules"),
    (
        "train digits --stop-early loss:3=4:",
        "must be [FIGURE:]patience=N, such as patience=3 or test",
    ),
    ("train digits --stop-early loss:patience", "must be [FIGURE:]patience=N, such as patience=3"),
    ("train digits --stop-early lost:patience=3", "did you mean loss?"),
    ("train digits --early-stopping 3", "did you mean --stop-early patience=3?"),
    ("devices plot reram", "did you mean reram-es-gong-2018, "),
]


def refused(words, hint):
    said = crossmesh(*words)
    assert said.code == 2
    assert hint in said.err
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert len(said.err) < 500


@pytest.mark.parametrize(("slip", "hint"), FIELDS)
def test_a_slip_in_a_config_is_answered_by_what_is_right(slip, hint):
    refused(["configs", "show", "digits", "--set", slip], hint)


@pytest.mark.parametrize(("typed", "hint"), COMMANDS)
def test_a_slip_in_a_command_is_answered_by_what_is_right(typed, hint):
    refused(typed.split(), hint)


@pytest.mark.parametrize("words", ["", "train", "devices", "devices list", "configs show"])
def test_h_is_help(words):
    assert done(*words.split(), "-h").out == done(*words.split(), "--help").out


@pytest.mark.parametrize("field", sorted(set(WORDS.fields.values())))
def test_a_hint_names_a_field_that_there_is(field):
    for path in field.split(" and "):
        said = crossmesh("configs", "show", "digits", "--set", f"{path.replace('.N.', '.0.')}=x")
        mine = path.rpartition(".")[2] in {"kernel", "heads", "rate", "epsilon"}  # of other layers
        assert mine or "is unknown" not in said.err
        assert said.code in {0, 2}


def test_no_other_word_is_a_field_or_stands_for_two():
    for table in (OTHER_FIELDS, OTHER_VALUES, OTHER_COMMANDS):
        every = [squeezed(word) for others in table.values() for word in others.split()]
        assert len(set(every)) == len(every)
    assert not WORDS.fields.keys() & RunConfig.model_fields.keys()


@pytest.mark.parametrize(
    ("wrong", "right"), [(("configs", "show"), "digits"), (("devices", "plot"), "idealized")]
)
def test_the_command_that_lists_names_is_one(wrong, right):
    said = crossmesh(*wrong, "zzz").err
    listed = done(*said.partition("(see crossmesh ")[2].partition(")")[0].split())
    assert f" {right} " in listed.out.replace("\n", " ")


def test_a_file_that_is_not_there_may_be_one_beside_it(tmp_path):
    (tmp_path / "mine.yaml").write_text("kind: ideal\n")
    for slip in ("main.yaml", "my.yml"):
        said = crossmesh("configs", "show", "digits", "--set", f"tile.cell={tmp_path}/{slip}")
        assert said.err.endswith(f"; did you mean {tmp_path}/mine.yaml?\n")
    said = crossmesh("configs", "show", "digits", "--set", "tile.cell=nowhere/mine.yaml")
    assert said.err.endswith("got nowhere/mine.yaml\n")


def test_other_words_for_commands_are_no_commands():
    helped = done("--help").out
    for ours, others in OTHER_COMMANDS.items():
        assert f"│ {ours} " in helped
        assert not [word for word in others.split() if f"│ {word} " in helped]
