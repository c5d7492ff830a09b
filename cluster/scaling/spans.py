"""Which examples a turn trains."""

from crossmesh.emulator.compiler.job import Job
from crossmesh.tiles.runtime.program import Span, Sums

WARM_SHARE = 4  # the span that is not counted is so many times shorter


def spans(job: Job, examples: int) -> tuple[Span, Span]:
    """The span that is not counted, and the one that is, which follows it.

    Args:
        job: The job to train.
        examples: Examples of the second span.
    """
    batch, n = job.config.training.batch, job.n_train
    warm = min(n, batch * max(1, examples // WARM_SHARE // batch))
    if warm + examples <= n:
        timed = job.span(0, warm, warm + examples, Sums())
    else:  # a short epoch is gone through once more
        timed = job.span(1, 0, examples, Sums())
    return job.span(0, 0, warm, Sums()), timed
