"""A run on a few examples, to try everything in seconds."""

from crossmesh.emulator.config.run import RunConfig

FEW = 8  # examples to train on, and to test with


def few_examples(config: RunConfig) -> RunConfig:
    """A config that does all that a run does, on as few examples as can be.

    It trains one epoch of eight examples, in whole batches, tests on eight, saves a checkpoint,
    times the chip, and trains the float twin if the config has one.

    Args:
        config: The run, of which ``-fast-dev-run`` is added to the name.
    """
    training = config.training
    batches = -(-FEW // training.batch) * training.batch
    few = {
        "epochs": 1,
        "examples": min(batches, training.examples or batches),
        "test_examples": min(FEW, training.test_examples or FEW),
        "log_every": None,
    }
    changes = {
        "name": f"{config.name}-fast-dev-run",
        "training": training.model_copy(update=few),
    }
    return config.model_copy(update=changes)
