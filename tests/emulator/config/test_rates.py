"""Learning-rate schedules: those of PyTorch where it is installed, and what a run makes of them."""

import math
from typing import Any, Literal

import pytest
from pydantic import TypeAdapter

from crossmesh import learning_rates
from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.config.rates import (
    EpochLoss,
    LearningRate,
    Moment,
    RateSchedule,
    rates_of,
)
from crossmesh.emulator.runs.history import History, MetricsRow
from crossmesh.emulator.runs.manifest import lineage
from crossmesh.emulator.training.baseline import FloatTwin
from crossmesh.emulator.training.training import train
from crossmesh.tiles.runtime.program import NOTHING
from tests.jobs import small_config, small_job

RATE: TypeAdapter[Any] = TypeAdapter(LearningRate)
LOSSES = [1.0, 0.5, 0.5, 0.49999, 0.6, 0.7, 0.3, 0.31, 0.32, 0.33, 0.34, 0.35]
EPOCHS, EXAMPLES, BATCH = 12, 70, 8
UPDATES = -(-EXAMPLES // BATCH)  # of an epoch


def rates(section: Any, losses: list[float] = LOSSES) -> list[float]:
    """The rate of every update of a training."""
    rate, found = RATE.validate_python(section), []
    for epoch in range(EPOCHS):
        known = [EpochLoss(math.nan if "test" in str(section) else x, x) for x in losses[:epoch]]
        some = rates_of(rate, epoch, EXAMPLES, range(0, EXAMPLES, BATCH), known)
        found += some * (1 if len(some) > 1 else UPDATES)
    return found


def torch_rates(make: Any, *, each: Literal["epoch", "update"], warm: int = 0) -> list[float]:
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    schedule, found = make(torch.optim.lr_scheduler, optimizer), []
    rise = torch.optim.lr_scheduler.LinearLR(optimizer, total_iters=warm) if warm else None
    for epoch in range(EPOCHS):
        for _ in range(UPDATES):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            for one in [rise] * (rise is not None) + [schedule] * (each == "update"):
                one.step()
        if each == "epoch":
            plateau = isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau)
            schedule.step(*[LOSSES[epoch]] * plateau)
    return found


CASES = {
    "steps": (
        {"kind": "steps", "value": 0.3, "step_size": 5},
        "epoch", lambda of, optimizer: of.StepLR(optimizer, 5),
    ),
    "milestones": (
        {"kind": "steps", "value": 0.3, "milestones": [2, 7], "gamma": 0.5},
        "epoch", lambda of, optimizer: of.MultiStepLR(optimizer, [2, 7], 0.5),
    ),
    "cosine": (
        {"kind": "cosine", "value": 0.3, "t_max": EPOCHS, "eta_min": 0.01},
        "update", lambda of, optimizer: of.CosineAnnealingLR(optimizer, EPOCHS * UPDATES, 0.01),
    ),
    "plateau": (
        {"kind": "plateau", "value": 0.3, "patience": 1, "monitor": "test_loss", "min_lr": 0.005},
        "epoch", lambda of, optimizer: of.ReduceLROnPlateau(optimizer, patience=1, min_lr=0.005),
    ),
    "plateau_cooling": (
        {"kind": "plateau", "value": 0.3, "patience": 0, "cooldown": 2, "factor": 0.5},
        "epoch",
        lambda of, optimizer: of.ReduceLROnPlateau(optimizer, patience=0, cooldown=2, factor=0.5),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_rates_are_those_of_pytorch(name):
    section, each, make = CASES[name]

    assert rates(section) == pytest.approx(torch_rates(make, each=each), rel=1e-12)


@pytest.mark.parametrize(("warm", "updates"), [({"examples": 40}, 5), ({"epochs": 2}, 2 * UPDATES)])
@pytest.mark.parametrize("name", ["steps", "cosine"])
def test_warming_up_multiplies_a_schedule_as_linear_lr_does(name, warm, updates):
    if name == "cosine":  # theirs multiplies what is above eta_min only
        section = {"kind": "cosine", "value": 0.3, "t_max": EPOCHS}
        theirs = torch_rates(
            lambda of, optimizer: of.CosineAnnealingLR(optimizer, EPOCHS * UPDATES),
            each="update", warm=updates,
        )  # fmt: skip
    else:
        section, each, make = CASES[name]
        theirs = torch_rates(make, each=each, warm=updates)

    assert rates({**section, "warm_up": warm}) == pytest.approx(theirs, rel=1e-9)


def test_a_constant_rate_is_warmed_up_to():
    section = {"kind": "constant", "value": 0.5, "warm_up": {"epochs": 1, "start_factor": 0.2}}

    assert rates(section)[: UPDATES + 2] == pytest.approx(
        [0.5 * (0.2 + 0.8 * i / UPDATES) for i in range(UPDATES)] + [0.5, 0.5]
    )


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("{kind: step, value: 1}", "learning_rate.kind must be one of constant, steps, cosine, "
         "plateau, got step; did you mean steps?"),
        ("{kind: cosine, value: 1}", "training.learning_rate.t_max must be given"),
        ("{kind: cosine, value: 0, t_max: 3}", "training.learning_rate.value must be above 0.0"),
        ("{kind: cosine, value: 1, t_max: 3, eta_mn: 0}", "learning_rate.eta_mn is unknown"),
        ("{kind: steps, value: 1}",
         "training.learning_rate.step_size or milestones must be given, and only one of them"),
        ("{kind: constant, value: 1, warm_up: {}}",
         "training.learning_rate.warm_up.examples or epochs must be given, and only one of them"),
        ("{value: 1}", "training.learning_rate.kind must be given"),
    ],
)  # fmt: skip
def test_a_wrong_schedule_is_refused_in_one_line(override, said):
    with pytest.raises(ConfigError) as error:
        load_config("digits", [f"training.learning_rate={override}"])

    assert said in str(error.value)


@pytest.mark.parametrize("schedule", ["sequential", "synchronous", "asynchronous"])
def test_rates_follow_the_updates_however_an_epoch_is_cut_into_spans(schedule):
    rate = {"kind": "cosine", "value": 0.1, "t_max": 2, "warm_up": {"examples": 20}}
    job = small_job(schedule=schedule, training={"learning_rate": rate})
    whole = job.epoch(1)
    batch = job.config.training.batch
    found = []
    for start in range(0, job.n_train, batch):
        part = job.span(1, start, min(start + batch, job.n_train), NOTHING)
        found += [part.rate(m) for m in range(part.n_micro_batches)]

    assert found == [whole.rate(m) for m in range(whole.n_micro_batches)]
    assert len(set(found)) == -(-job.n_train // batch)


def test_one_rate_for_all_is_the_same_as_a_schedule_that_never_changes():
    plain = train(small_config(training={"learning_rate": 0.05}))
    never = train(small_config(training={"learning_rate": {"kind": "constant", "value": 0.05}}))
    warmed = {"kind": "constant", "value": 0.05, "warm_up": {"epochs": 1}}
    risen = train(small_config(training={"learning_rate": warmed}))

    assert never.state_digest == plain.state_digest != risen.state_digest


PLATEAU = {"kind": "plateau", "value": 0.05, "patience": 0, "threshold": 0.9, "factor": 0.5}


@pytest.mark.parametrize("monitor", ["train_loss", "test_loss"])
def test_a_plateau_goes_on_from_a_checkpoint_with_the_same_bits(monitor, tmp_path):
    rate = {**PLATEAU, "monitor": monitor}
    config = small_config(training={"learning_rate": rate, "epochs": 4})
    straight = train(config)
    short = config.training.model_copy(update={"epochs": 2})
    train(config.model_copy(update={"training": short}), tmp_path / "run")
    resumed = train(config, tmp_path / "run", resume=True)

    assert resumed.state_digest == straight.state_digest
    assert train(small_config(training={"epochs": 4})).state_digest != straight.state_digest


def test_the_losses_of_a_history_are_means_over_each_epoch():
    history = History()
    config = small_config(training={"epochs": 2, "log_every": 20})
    result = train(config)
    rows = result.history.to_pylist()
    history.rows = [MetricsRow(**row) for row in rows]
    first, second = history.losses()

    of_first = [row for row in rows if row["epoch"] == 1]
    sizes = [b["examples"] - a for a, b in zip([0, 20, 40], of_first, strict=True)]
    mean = sum(n * row["loss"] for n, row in zip(sizes, of_first, strict=True)) / 50
    assert first == (pytest.approx(mean), of_first[-1]["test_loss"], None)
    assert second.test == rows[-1]["test_loss"]


def test_what_a_plateau_watches_belongs_to_the_lineage_of_a_run():
    def of(**changes: Any) -> str:
        return lineage(small_config(training=changes))

    assert of(log_every=5) == of(log_every=7)
    assert of(log_every=5, learning_rate=PLATEAU) != of(log_every=7, learning_rate=PLATEAU)
    assert of(epochs=5, learning_rate=PLATEAU) == of(epochs=7, learning_rate=PLATEAU)


def test_the_float_twin_follows_its_own_losses():
    job = small_job(training={"learning_rate": PLATEAU, "epochs": 3})
    twin = FloatTwin(job)
    for epoch in range(3):
        twin.train(epoch)

    rate = job.config.training.learning_rate
    assert len(twin.losses) == 3
    assert rates_of(rate, 3, job.n_train, range(0, 50, 4), twin.losses)[0] < 0.05


class Halving(RateSchedule):
    kind: Literal["test.halving"] = "test.halving"

    def rate(self, moment: Moment) -> float:
        return self.value / 2**moment.epoch


def test_a_schedule_of_another_package_is_known_by_its_name(monkeypatch):
    monkeypatch.setattr(learning_rates, "_kinds", {**learning_rates.known})  # until the end
    learning_rates.register("test.halving", Halving)

    assert rates({"kind": "test.halving", "value": 1.0})[::UPDATES] == [
        2.0**-i for i in range(EPOCHS)
    ]
    with pytest.raises(TypeError, match="derived from crossmesh"):
        learning_rates.register("test.other", int)  # type: ignore[arg-type]
