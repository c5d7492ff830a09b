"""One launch on machines, with stand-ins for the machines and for what trains there."""

import shutil

import pytest

from crossmesh.cluster.launch.launched import Launched
from crossmesh.cluster.launch.loading import load_cluster
from crossmesh.cluster.launch.machines import run
from crossmesh.cluster.launch.machines.ssh import Asked, NotReached
from crossmesh.cluster.launch.order import Order
from crossmesh.common.errors import RunError


class Machines(run.Machinery):
    """Machines that start or do not, and write down what is done with them."""

    def __init__(self, start=None, *, go=True):
        self.start = start
        self.go = go
        self.calls = []

    def started(self, site):
        if self.start is not None:
            raise self.start
        return "the head"

    def head(self, site):
        return "the head"

    def given_back(self, site):
        self.calls.append("given back")
        return self.go


@pytest.fixture
def launched(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    order = Order(load_cluster("local"), "digits", (), "mine-digits-ab3x")
    return Launched.new(order, tmp_path / "mine", "~/.crossmesh/mine-digits-ab3x/run")


@pytest.fixture
def result(launched, monkeypatch):
    """What launches on machines, where a training then ends in some way; its exit code."""

    def launch(machines, end):
        def followed(_):
            if isinstance(end, Exception):
                raise end
            return end, True

        def fetched(site, head, run_dir, to):
            machines.calls.append("fetched")
            return True

        monkeypatch.setattr(run.RemoteTraining, "start", lambda *_, again: None)
        monkeypatch.setattr(run.RemoteTraining, "followed", followed)
        monkeypatch.setattr(run, "fetched", fetched)
        return run.MachineRun(machines, None, launched, 0).result(keep=False)

    return launch


def test_a_run_is_fetched_before_its_machines_are_given_back(result):
    machines = Machines()

    assert result(machines, 0) == 0
    assert machines.calls == ["fetched", "given back"]


@pytest.mark.parametrize("end", [NotReached("no way"), RunError("the training is gone")])
def test_also_a_run_that_can_be_followed_no_more_is_fetched(end, result):
    machines = Machines()
    with pytest.raises(type(end)):
        result(machines, end)

    assert machines.calls == ["fetched", "given back"]


def test_machines_that_cannot_be_given_back_stay_the_launchs_until_cancel(result, launched):
    result(Machines(go=False), 0)
    launched.end(0)
    assert launched.has_machines

    run.MachineRun(Machines(), None, launched, 0)._give_back()
    assert not launched.has_machines


def test_machines_are_given_back_although_the_launchs_folder_is_gone(result, launched):
    shutil.rmtree(launched.folder)
    machines = Machines()
    with pytest.raises(FileNotFoundError):
        result(machines, 0)

    assert machines.calls[-1] == "given back"


def test_nothing_is_fetched_of_a_start_that_was_interrupted(result):
    machines = Machines(Asked())

    assert result(machines, 0) == 130
    assert machines.calls == ["given back"]
