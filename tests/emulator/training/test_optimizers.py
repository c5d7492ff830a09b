"""Optimisers of what is digital: as PyTorch's, whatever the micro-batches, and after a resume."""

from typing import Literal

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from crossmesh import optimizers
from crossmesh.common.errors import ConfigError
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import validated
from crossmesh.emulator.data import order
from crossmesh.emulator.executors.placement import tile_sizes
from crossmesh.emulator.training import tested
from crossmesh.emulator.training.baseline import FloatTwin
from crossmesh.emulator.training.estimate import checkpoint_bytes
from crossmesh.emulator.training.training import train
from crossmesh.tiles.digital import DigitalMatrix, DigitalMemory, Optimizer
from crossmesh.tiles.runtime.program import NOTHING
from tests.emulator.training.test_torch import Ideal, examples_of
from tests.emulator.training.test_training import IDEAL_READ
from tests.zoo import zoo_job

BATCH, STEPS, RATE = 4, 50, 0.02
DIGITAL = {"digital": True}
END = {"kind": "linear", "outputs": 10, "activation": "softmax", "name": "end"}
NETWORKS = {  # all but the last layer in digital memory, and of that the bias
    "lenet": [
        {"kind": "conv", "outputs": 4, "kernel": 3, "padding": 1, **DIGITAL},
        {"kind": "tanh"},
        {"kind": "batch_norm"},
        {"kind": "average_pool", "kernel": 2},
        {"kind": "linear", "outputs": 12, "activation": "tanh", **DIGITAL},
        END,
    ],
    "lstm": [{"kind": "lstm", "outputs": 6, "bias": False, **DIGITAL}, {"kind": "last"}, END],
    "transformer": [
        {"kind": "embedding", "outputs": 12},
        {"kind": "position", "name": "a"},
        {"kind": "layer_norm"},
        {"kind": "attention", "heads": 3, "causal": True, "bias": False, "name": "b", **DIGITAL},
        {"kind": "add", "inputs": ["a", "b"]},
        {**END, "outputs": 80},
    ],
}
OPTIMIZERS = {
    "sgd": ({"weight_decay": 0.01}, "SGD", {"weight_decay": 0.01}),
    "momentum": ({"momentum": 0.9}, "SGD", {"momentum": 0.9}),
    "nesterov": (
        {"momentum": 0.8, "nesterov": True, "weight_decay": 0.02}, "SGD",
        {"momentum": 0.8, "nesterov": True, "weight_decay": 0.02},
    ),
    "adam": ({"kind": "adam", "learning_rate": 0.003}, "Adam", {"lr": 0.003}),
    "adam_l2": (
        {"kind": "adam", "learning_rate": 0.003, "weight_decay": 0.1, "betas": [0.8, 0.99]},
        "Adam", {"lr": 0.003, "weight_decay": 0.1, "betas": (0.8, 0.99)},
    ),
    "adamw": ({"kind": "adamw", "learning_rate": 0.003, "eps": 1e-6}, "AdamW",
              {"lr": 0.003, "eps": 1e-6}),
    "adamw_matrices": (
        {"kind": "adamw", "learning_rate": 0.003, "weight_decay": 0.5, "decay_biases": False},
        "AdamW", {"lr": 0.003, "weight_decay": 0.5},
    ),
    "clip_norm": ({"momentum": 0.5}, "SGD", {"momentum": 0.5}),
    "clip_value": ({"momentum": 0.5}, "SGD", {"momentum": 0.5}),
}  # fmt: skip
CLIPS = {"clip_norm": {"norm": 0.3}, "clip_value": {"value": 0.02}}


def section(name):
    """The section ``training`` with an optimiser."""
    optimizer = {"kind": "sgd", **OPTIMIZERS[name][0]}
    return {"optimizer": optimizer} | ({"clip": CLIPS[name]} if name in CLIPS else {})


def job_of(network, training, schedule="sequential", **changes):
    settings = {"epochs": 1, "examples": BATCH * STEPS, "test_examples": 50, "batch": BATCH,
                "log_every": BATCH, "learning_rate": RATE, **training}  # fmt: skip
    return zoo_job(
        network, "ideal", schedule, network=NETWORKS[network], training=settings,
        tile={"read": IDEAL_READ, "bias": "digital"}, **changes,
    )  # fmt: skip


def digests(job, spans=1):
    """Digest of each holder after an epoch in a number of spans, and the weights."""
    with threadpool_limits(1), Ideal(job) as ideal:
        size = job.n_train // spans
        for start in range(0, job.n_train, size):
            ideal.run(job.span(0, start, start + size, NOTHING))
        return ideal.executor.digests(), ideal.weights


# ---------------------------------------------------------------- PyTorch


def groups(net, name):
    """Parameters of PyTorch's net: on tiles, those that decay, and those that do not."""
    tiles, decaying, others = [], [], []
    for key, parameter in net.named_parameters():
        if key == "parts.end.weight":
            tiles.append(parameter)
        else:
            part = net.layers[key.split(".")[1]]
            is_bias = key.endswith("bias") or part["kind"].endswith("_norm")
            (others if is_bias and name.endswith("matrices") else decaying).append(parameter)
    return tiles, decaying, others


def clip(torch, kind, net):
    """PyTorch's own functions, for each array by itself: a bias is a row of its matrix."""
    parts = [[p for name, p in part.named_parameters() if "_hh" not in name]
             for part in net.parts.values()]  # fmt: skip
    parts += [[p for name, p in net.named_parameters() if "_hh" in name]]
    for part in parts:
        learned = [p for p in part if p.grad is not None]
        if learned and kind == "clip_norm":
            torch.nn.utils.clip_grad_norm_(learned, 0.3)
        elif learned:
            torch.nn.utils.clip_grad_value_(learned, 0.02)


def in_pytorch(torch, network, name, job, first):
    from tests.torch_nets import TorchNet

    _, kind, settings = OPTIMIZERS[name]
    net = TorchNet(NETWORKS[network], first)
    tiles, decaying, others = groups(net, name)
    sgd = torch.optim.SGD(tiles, lr=RATE)
    given = [{"params": decaying}, {"params": others, "weight_decay": 0.0}][: 1 + bool(others)]
    optimizer = getattr(torch.optim, kind)(given, **{"lr": RATE, **settings})
    for batch in order(job.config.seed, 0, job.n_train).reshape(-1, BATCH):
        net.zero_grad()
        examples = examples_of(torch, network, job, job.dataset.train, batch)
        net.losses(*examples)[0].sum().backward()
        if name in CLIPS:
            end = net.parts["end"]
            kept, end.weight.grad = end.weight.grad, None
            clip(torch, name, net)
            end.weight.grad = kept
        sgd.step()
        optimizer.step()
    return net.published


CASES = [(network, name) for network in NETWORKS for name in OPTIMIZERS
         if network != "transformer" or name not in CLIPS]  # fmt: skip


@pytest.mark.parametrize(("network", "name"), CASES)
def test_fifty_steps_equal_pytorch(network, name):
    """Convolution, norms, linear, recurrent and attention layers, embeddings and biases."""
    torch = pytest.importorskip("torch")
    job = job_of(network, section(name))
    with threadpool_limits(1), Ideal(job) as ideal:
        first = ideal.published
        ideal.run(job.epoch(0))
        ours, theirs = ideal.published, in_pytorch(torch, network, name, job, first)

    for key, array in theirs.items():
        np.testing.assert_allclose(ours[key], array, atol=1e-5 * max(1, abs(array).max()),
                                   err_msg=key)  # fmt: skip
        if not key.endswith("running_var"):
            assert abs(array - first[key]).max() > 0


# ---------------------------------------------------------------- whatever runs it


@pytest.mark.parametrize("name", ["momentum", "adamw", "clip_norm"])
@pytest.mark.parametrize("network", ["lstm", "transformer"])
def test_micro_batches_change_no_more_than_roundings(network, name):
    """A step takes the gradient of a batch, in however many micro-batches it came."""
    _, whole = digests(job_of(network, {"batch": 20, **section(name)}))
    training = {"batch": 20, "micro_batch": 5, **section(name)}
    _, parts = digests(job_of(network, training, "synchronous"))

    for key, array in whole.items():
        np.testing.assert_allclose(parts[key], array, atol=2e-5, err_msg=key)


@pytest.mark.parametrize("schedule", ["sequential", "synchronous", "asynchronous"])
def test_spans_change_no_bit(schedule):
    training = {"batch": 10, **section("adamw")}
    if schedule == "synchronous":
        training["micro_batch"] = 5
    if schedule == "asynchronous":  # a pipeline is drained by a span
        training["batch"] = 200
    job = job_of("lenet", training, schedule)
    whole, parts = (digests(job, spans)[0] for spans in ((1, 1) if "asyn" in schedule else (1, 4)))

    assert whole == parts


@pytest.mark.parametrize("name", ["nesterov", "adamw"])
def test_a_resumed_run_has_the_same_bits(name, tmp_path):
    changes = {"examples": 60, "epochs": 3, **section(name)}
    config = job_of("lenet", changes).config
    straight = train(config)
    short = config.training.model_copy(update={"epochs": 1})
    train(config.model_copy(update={"training": short}), tmp_path / "run")
    resumed = train(config, tmp_path / "run", resume=True)

    assert resumed.state_digest == straight.state_digest


def test_what_an_optimiser_keeps_belongs_to_the_digest():
    job = job_of("lstm", section("adam"))
    with Ideal(job) as ideal:
        matrix, memory = (
            next(t for t in ideal.executor.host.tiles.values() if isinstance(t, kind))
            for kind in (DigitalMatrix, DigitalMemory)
        )
        for holder in (matrix, memory):
            before, state = holder.digest(), {k: v.copy() for k, v in holder.state().items()}
            assert {"exp_avg", "exp_avg_sq", "optimizer_steps"} <= state.keys()
            state["exp_avg"] += 1
            holder.load(state)
            assert holder.digest() != before


# ---------------------------------------------------------------- settings


def test_layers_may_have_optimisers_of_their_own():
    network = [dict(layer) for layer in NETWORKS["lenet"]]
    network[2]["optimizer"] = {"kind": "sgd"}
    network[-1]["optimizer"] = {"kind": "adam"}
    config = job_of("lenet", section("momentum")).config
    job = prepare(validated({**config.model_dump(mode="json"), "network": network}))
    kinds = {
        job.program.blocks[number].layer: rule.optimizer.kind
        for number, rule in job.program.rules.items()
    }

    assert kinds == {"conv0": "sgd", "linear4": "sgd", "end": "adam"}
    assert job.program.rules[0].optimizer.momentum == 0.9


def test_plain_sgd_needs_no_rule_and_no_memory():
    plain, momentum, adam = (
        job_of("lenet", training) for training in ({}, section("momentum"), section("adam"))
    )
    sizes = [sum(tile_sizes(job)) for job in (plain, momentum, adam)]
    numbers = sum(
        block.shape[0] * block.shape[1] for block in plain.program.blocks if block.home is not None
    )

    assert plain.program.rules == {}
    assert sizes[1] - sizes[0] == 2 * 4 * numbers  # the gradient, and the direction
    assert sizes[2] - sizes[0] == 3 * 4 * numbers
    assert checkpoint_bytes(adam) - checkpoint_bytes(plain) >= 2 * 4 * numbers


def test_a_rate_of_its_own_follows_the_schedule_of_the_tiles():
    rate = {"kind": "steps", "value": RATE, "step_size": 1, "gamma": 0.5}
    own = {"optimizer": {"kind": "sgd", "learning_rate": RATE}, "learning_rate": rate}
    plain = {"learning_rate": rate}
    weights = [digests(job_of("lenet", training))[1] for training in (own, plain)]

    for key, array in weights[0].items():
        np.testing.assert_allclose(array, weights[1][key], atol=1e-6)


def test_the_float_twin_learns_by_the_same_optimisers():
    job = job_of("lenet", section("adamw"))
    twin = FloatTwin(job)
    twin.train(0)
    with threadpool_limits(1), Ideal(job) as ideal:
        ideal.executor.write_initial_weights()
        ideal.run(job.epoch(0))
        ours = tested.test_network(job, ideal.executor, 0)

    assert twin.test().loss == pytest.approx(ours.loss, rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optimizer": {"kind": "sgd", "nesterov": True}},
         "training.optimizer.nesterov must be false without a momentum, got true"),
        ({"optimizer": {"kind": "adan"}}, "optimizer.kind must be one of sgd, adam, adamw"),
        ({"optimizer": {"kind": "adam", "betas": [0.9]}}, "betas must have at least 2 entries"),
        ({"optimizer": {"kind": "adam", "betas": [0.9, 1.0]}}, "betas.1 must be below 1"),
        ({"clip": {"norm": 1, "value": 2}},
         "training.clip.norm or value must be given, and only one of them"),
    ],
)  # fmt: skip
def test_a_wrong_optimiser_is_refused_in_one_line(changes, said):
    tree = job_of("lenet", {}).config.model_dump(mode="json")
    with pytest.raises(ConfigError) as error:
        validated({**tree, "training": {**tree["training"], **changes}})

    assert said in str(error.value)


def test_an_optimiser_of_a_layer_without_digital_parameters_is_refused():
    tree = job_of("lenet", {}).config.model_dump(mode="json")
    tree["network"][-1] |= {"bias": False, "optimizer": {"kind": "adam"}}
    said = r"network\.5\.optimizer must be left out of a layer that learns nothing in digital"
    with pytest.raises(ConfigError, match=said):
        prepare(validated(tree))


def test_an_optimiser_of_another_package_is_known_by_its_name(monkeypatch):
    class Sign(Optimizer):
        kind: Literal["test.sign"] = "test.sign"

        def move(self, parameters, gradient, rate, moments, number):
            parameters -= np.float32(rate) * np.sign(gradient)

    monkeypatch.setattr(optimizers, "_kinds", {**optimizers.known})  # until the end
    optimizers.register("test.sign", Sign)
    training = {"optimizer": {"kind": "test.sign", "learning_rate": 0.125}, "examples": BATCH}
    job = job_of("lenet", training)
    with threadpool_limits(1), Ideal(job) as ideal:
        before = ideal.weights
        ideal.run(job.epoch(0))
        change = abs(ideal.weights["linear4"] - before["linear4"])

    assert np.allclose(change[change > 0], 0.125, atol=1e-6)
