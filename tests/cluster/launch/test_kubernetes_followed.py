"""Following a launch on Kubernetes, with a stand-in for kubectl whose pods are folders here.

What needs no pods that run is tested on a real API server, in test_kubernetes_server.py.
"""

import json
import subprocess

import pytest
import yaml

from crossmesh.cluster.jobs.commands import cancel, launcher_of
from crossmesh.cluster.launch.launched import Launched
from crossmesh.cluster.launch.loading import load_cluster
from crossmesh.cluster.launch.order import Order
from crossmesh.common.errors import ConfigError, RunError

# Answers from files: get KIND from KIND.json, logs POD from POD.log; exec runs the command here.
KUBECTL = """
while [[ "$1" == --* ]]; do shift; done
verb=$1; shift
case "$verb" in
  get)
    kind=$1
    if [ ! -e {folder}/$kind.json ]; then
      echo 'Error from server (NotFound): no such object' >&2; exit 1
    fi
    cat {folder}/$kind.json ;;
  logs) cat {folder}/$1.log ;;
  exec) while [ "$1" != -- ]; do shift; done; shift; exec "$@" ;;
  delete) [ "$1" != rayjob ] || rm -f {folder}/rayjob.json {folder}/pods.json ;;
esac
"""


class Pods:
    """A cluster whose kubectl answers from a folder."""

    def __init__(self, folder, stand_ins):
        self.folder, self.stand_ins = folder, stand_ins
        stand_ins.add("kubectl", KUBECTL.format(folder=folder))
        self.run_dir = folder / "claim" / "runs" / "here"
        source = folder / "mine.yaml"
        source.write_text(yaml.safe_dump({
            "extends": "kubernetes", "claim": {"name": "c", "path": str(folder / "claim")},
            "storage": str(folder / "claim"), "run_dir": str(self.run_dir),
        }))  # fmt: skip
        order = Order(load_cluster(str(source)), "digits", (), "mine-digits-abcd")
        self.launched = Launched.new(order, folder / "launched", str(self.run_dir))
        self.launched.end(0)  # it has been handed over
        self.launcher = launcher_of(self.launched)

    def say(self, deployment, job="RUNNING", pods=(), **status):
        """What the operator and the kubelets would."""
        status |= {"jobDeploymentStatus": deployment, "jobStatus": job, "rayClusterName": "c"}
        (self.folder / "rayjob.json").write_text(json.dumps({"metadata": {}, "status": status}))
        (self.folder / "pods.json").write_text(json.dumps({"items": [
            {"metadata": {"name": name, "creationTimestamp": str(i)}, "status": {"phase": phase}}
            for i, (name, phase) in enumerate(pods)
        ]}))  # fmt: skip

    def train(self):
        """Files of a run in the claim."""
        self.run_dir.mkdir(parents=True)
        (self.run_dir / "config.yaml").write_text("name: digits\n")
        (self.run_dir / "live.json").write_text("{}")

    @property
    def calls(self):
        return [call.partition("--namespace=default ")[2] for call in self.stand_ins.calls]


@pytest.fixture
def pods(tmp_path, stand_ins, monkeypatch):
    monkeypatch.setenv("PATH", stand_ins.environment["PATH"])
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Pods(tmp_path, stand_ins)


def test_the_log_is_that_of_every_attempt_and_no_line_comes_twice(pods, capsys):
    pods.say("Complete", "SUCCEEDED", [("first", "Failed"), ("second", "Succeeded")])
    (pods.folder / "first.log").write_text("epoch 1\nlost\n")
    (pods.folder / "second.log").write_text("epoch 2\n")

    pods.launcher.follow(pods.launched, to_end=True)

    assert capsys.readouterr().out == "epoch 1\nlost\nepoch 2\n"


def test_a_log_that_breaks_off_is_taken_up_where_it_ended(pods, capsys, monkeypatch):
    pods.say("Running", pods=[("first", "Running")])
    log = pods.folder / "first.log"
    log.write_text("epoch 1\n")

    def later(_):
        log.write_text("epoch 1\nepoch 2\n")
        pods.say("Complete", "SUCCEEDED", [("first", "Succeeded")])

    monkeypatch.setattr("crossmesh.cluster.launch.kubernetes.following.time.sleep", later)
    pods.launcher.follow(pods.launched, to_end=True)

    assert capsys.readouterr().out == "epoch 1\nepoch 2\n"


def test_a_cancelled_job_is_deleted_and_its_log_is_kept(pods, capsys):
    pods.say("Running", pods=[("first", "Running")])
    (pods.folder / "first.log").write_text("epoch 1\n")

    pods.launcher.cancel(pods.launched)

    assert pods.calls[-1].endswith("delete rayjob mine-digits-abcd --wait=false")
    state = pods.launcher.state(Launched(pods.launched.folder))
    assert (state.kind, state.exit_code) == ("cancelled", 130)
    pods.launcher.follow(pods.launched, to_end=True)
    assert capsys.readouterr().out == "epoch 1\n"


def test_a_job_that_has_ended_is_removed_and_how_it_ended_is_known(pods, capsys):
    pods.say("Complete", "SUCCEEDED", [("first", "Succeeded")])
    (pods.folder / "first.log").write_text("epoch 1\n")
    job = str(pods.launched.folder)

    cancel(job)
    assert not (pods.folder / "rayjob.json").exists()
    state = pods.launcher.state(Launched(pods.launched.folder))
    assert (state.kind, state.exit_code) == ("done", 0)
    cancel(job)
    assert capsys.readouterr().err.splitlines() == [
        "what was left of mine-digits-abcd is removed", "mine-digits-abcd has ended already: done",
    ]  # fmt: skip


def test_as_long_as_pods_live_a_cancelled_job_saves_its_state(pods):
    pods.say("Running", pods=[("first", "Running")])
    (pods.folder / "first.log").write_text("")
    pods.launcher.cancel(pods.launched)
    (pods.folder / "pods.json").write_text('{"items": [{"metadata": {"name": "head"}}]}')

    state = pods.launcher.state(pods.launched)
    assert (state.kind, state.detail) == ("running", "its state is being saved")


def test_a_run_is_fetched_through_the_head_while_that_lives(pods, tmp_path):
    pods.train()
    pods.say("Running", pods=[("head", "Running")])

    pods.launcher.fetch(pods.launched, tmp_path / "here")

    assert (tmp_path / "here" / "config.yaml").read_text() == "name: digits\n"
    assert not any("create" in call for call in pods.calls)
    seen = pods.launched.folder / "seen"
    assert pods.launcher.glance(pods.launched) == seen
    assert (seen / "live.json").read_text() == "{}"
    pods.say("Complete", "SUCCEEDED")
    assert pods.launcher.glance(pods.launched) is None
    assert not (seen / "live.json").exists()


def test_later_a_run_is_fetched_through_a_pod_that_is_gone_afterwards(pods, tmp_path):
    pods.train()
    pods.say("Complete", "SUCCEEDED")

    pods.launcher.fetch(pods.launched, tmp_path / "here")

    assert (tmp_path / "here" / "live.json").is_file()
    assert "delete pod mine-digits-abcd-fetch --ignore-not-found" in pods.calls[-1]
    assert pods.launcher.glance(pods.launched) is None


def test_a_run_that_is_not_there_is_told_and_no_pod_stays(pods, tmp_path):
    pods.say("Complete", "SUCCEEDED")

    with pytest.raises(RunError, match="cannot be copied out of mine-digits-abcd-fetch: tar: "):
        pods.launcher.fetch(pods.launched, tmp_path / "here")
    assert "delete pod mine-digits-abcd-fetch --ignore-not-found" in pods.calls[-1]


def test_an_answer_that_is_none_is_told_in_one_line(pods):
    pods.stand_ins.add(
        "kubectl", "echo 'E1126 12:00:00 noise' >&2; echo 'error: no way' >&2; exit 1"
    )
    with pytest.raises(RunError, match=r"^no way$"):
        pods.launcher.state(pods.launched)


def test_an_old_kubectl_is_refused(pods):
    version = {"clientVersion": {"major": "1", "minor": "20+", "gitVersion": "v1.20.2"}}
    pods.stand_ins.add("kubectl", f"echo '{json.dumps(version)}'")
    order = Order(pods.launcher, "digits")

    lines = list(pods.launcher.preflight(order, pods.folder / "new"))
    assert lines == ["kubectl must be 1.25 or newer, got v1.20.2"]


def test_a_secret_value_of_the_container_is_masked_where_it_is_shown(tmp_path, capsys):
    from tests.cluster.launch.launch_material import app

    env = [{"name": "MY_TOKEN", "value": "sEcrEt"}, {"name": "PLAIN", "value": "seen"}]
    source = tmp_path / "mine.yaml"
    source.write_text(yaml.safe_dump({"extends": "kubernetes", "container": {"env": env}}))
    app([str(source), "digits", "--dry-run"], standalone_mode=False)

    shown = capsys.readouterr().out
    assert "sEcrEt" not in shown
    assert "seen" in shown


def test_what_an_interrupted_launch_has_made_is_deleted(tmp_path, stand_ins):
    """The script's own part; the whole is tested on a real API server."""
    stand_ins.add("kubectl", '[[ "$*" != *create* ]] || kill -TERM $PPID')
    cluster = load_cluster("kubernetes")
    plan = cluster.plan(Order(cluster, "digits", (), "mine-digits-abcd"), tmp_path / "out")
    plan.write()
    ended = subprocess.run(["bash", tmp_path / "out" / "launch.sh"], env=stand_ins.environment,
                           check=False)  # fmt: skip

    assert ended.returncode == 130
    assert stand_ins.calls[-1] == (
        "kubectl --namespace=default delete --ignore-not-found --wait=false "
        "rayjob/mine-digits-abcd configmap/mine-digits-abcd"
    )


def test_keep_leaves_the_pods_and_cannot_be_had_with_a_suspended_job(tmp_path):
    cluster = load_cluster("kubernetes")
    order = Order(cluster, "digits", (), "a", keep=True)
    *_, job = yaml.safe_load_all(cluster.manifest(order, tmp_path))
    assert job["spec"]["shutdownAfterJobFinishes"] is False

    queued = cluster.model_copy(update={"job": {"suspend": True}})
    with pytest.raises(ConfigError, match=r"^--keep must be left out with job\.suspend"):
        queued.manifest(order, tmp_path)
