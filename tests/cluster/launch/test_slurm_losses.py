"""Jobs on Slurm's own programs that lose their time or their nodes, and go on."""

import pytest

from tests.cluster.launch.slurm_jobs import written

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
LONG = ("training.epochs=60", "checkpoint.every_s=1")  # about half a minute


def test_a_job_whose_time_is_up_is_queued_again_and_goes_on(launch, slurm):
    run = launch("training.epochs=150", *LONG[1:], time="30").start()
    run.await_log("epoch 2:")
    minutes = (run.elapsed_s + 31) // 60 + 1  # Slurm looks every 30 s
    slurm.login.run("scontrol", "update", f"JobId={run.number}", f"TimeLimit={minutes}")
    run.await_log("queued again")
    slurm.login.run("scontrol", "update", f"JobId={run.number}", "TimeLimit=30")
    expected = run.expected_digest

    run.await_state("COMPLETED")
    assert run.shown()["Restarts"] == "1"
    assert "resumed after" in run.log
    assert run.digest == expected
    written(
        "Time limit and requeue",
        [run],
        "The job's limit is lowered after the second epoch, and raised when it waits again.",
    )


def test_a_run_goes_on_without_a_node_that_is_lost(launch, slurm):
    run = launch(*LONG).start()
    run.await_log("epoch 2:")
    slurm.nodes[1].kill()

    run.await_state("COMPLETED")
    assert run.shown()["Restarts"] == "0"
    assert run.digest == run.expected_digest
    assert "recover" in run.log
    written("A lost node", [run], "n2 is switched off after the second epoch.")


def test_a_run_that_cannot_go_on_without_a_node_is_queued_again(launch, slurm):
    run = launch(*LONG, "engine.recoveries_per_hour=0", "engine.timeout_s=90").start()
    run.await_log("epoch 2:")
    slurm.nodes[1].cut()
    run.await_log("queued again")
    slurm.nodes[1].mend()
    expected = run.expected_digest

    run.await_state("COMPLETED")
    assert run.digest == expected
    written(
        "A node that is cut off, from a run that may not recover",
        [run],
        "The cable of n2 is pulled after the second epoch, until the job waits again.",
    )


def test_a_job_whose_head_is_lost_is_queued_again_and_goes_on(launch, slurm):
    run = launch(*LONG).start()
    run.await_log("epoch 2:")
    head = next(node for node in slurm.nodes if run.shown()["BatchHost"] == node.name)
    head.kill()
    run.await_state("PENDING")
    slurm.boot(head)
    expected = run.expected_digest

    run.await_state("COMPLETED")
    assert run.digest == expected
    written("A lost first node", [run], f"{head.name} is switched off after the second epoch.")
