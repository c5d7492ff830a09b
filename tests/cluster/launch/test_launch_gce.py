"""What Compute Engine is asked, of a stand-in for Google's client: nothing here reaches a cloud."""

import re
import sys
from types import ModuleType, SimpleNamespace

import pytest

from crossmesh.cluster.launch.machines import gce
from crossmesh.common.errors import ConfigError, RunError


class HttpError(Exception):
    """As of Google's client: Compute Engine's refusal."""

    status_code = 404


class HttpLib2Error(Exception):
    """As of httplib2: no connection."""


class Request(SimpleNamespace):
    """A request, which is made when it is executed."""

    def execute(self):
        return self.work()


class Compute:
    """Compute Engine with some instances, of which it shows two on a page."""

    def __init__(self, **states):
        self.states = states
        self.refused = ()
        self.asked = []

    def instances(self):
        return self

    def list(self, **asked):
        assert asked["filter"] == "labels.ray-cluster-name=gcp-digits-ab3x"
        return self._page(0)

    def list_next(self, request, page):
        return self._page(request.begin + 2) if page["more"] else None

    def delete(self, *, instance, **_):
        def work():
            self.asked.append(instance)
            if instance in self.refused:
                raise HttpError("no")
            self.states[instance] = "STOPPING"

        return Request(work=work)

    def projects(self):
        return SimpleNamespace(get=lambda **_: Request(work=self._unreachable))

    def _page(self, begin):
        names = sorted(self.states)
        items = [{"name": name, "status": self.states[name]} for name in names[begin : begin + 2]]
        return Request(begin=begin, work=lambda: {"items": items, "more": len(names) > begin + 2})

    @staticmethod
    def _unreachable():
        raise HttpLib2Error("Unable to find the server")


@pytest.fixture
def compute(monkeypatch):
    """A stand-in for Compute Engine, whose machines go at once."""
    modules = {
        "google.auth.exceptions": {"GoogleAuthError": KeyError},
        "googleapiclient.errors": {"HttpError": HttpError},
        "httplib2": {"HttpLib2Error": HttpLib2Error},
    }
    for name, known in modules.items():
        for above in (name.partition(".")[0], name.rpartition(".")[0], name):
            if above:
                monkeypatch.setitem(sys.modules, above, ModuleType(above))
        vars(sys.modules[name]).update(known)
    for setting, seconds in (("_QUIET_S", 0.05), ("_POLL_S", 0.01), ("_REMOVE_S", 1.0)):
        monkeypatch.setattr(gce, setting, seconds)
    made = Compute()
    monkeypatch.setattr(gce, "compute", lambda: made)
    return made


def remove():
    gce.remove("ours", "us-west1-a", "gcp-digits-ab3x", lambda: None)


def test_every_instance_is_deleted_once_also_those_that_were_taken_away(compute):
    compute.states = {"head": "RUNNING", "w1": "TERMINATED", "w2": "STOPPING", "w3": "STAGING"}
    remove()

    assert sorted(compute.asked) == ["head", "w1", "w2", "w3"]


def test_one_that_cannot_be_deleted_does_not_keep_the_others(compute):
    compute.states = {"a": "RUNNING", "b": "RUNNING"}
    compute.refused = ("a",)
    with pytest.raises(
        RunError, match=re.escape("1 machines of gcp-digits-ab3x are still there: a (no)")
    ):
        remove()

    assert "b" in compute.asked


def test_a_cloud_out_of_reach_is_one_line(compute):
    missing = list(gce.misses("ours", "us-west1-a", "n2-standard-8", "global/images/mine"))

    assert missing == ["Compute Engine must answer, got: Unable to find the server"]


@pytest.mark.parametrize(
    ("image", "project"),
    [("global/images/mine", "ours"), ("projects/theirs/global/images/family/it", "theirs")],
)
def test_an_image_is_of_the_project_that_it_names_or_else_of_ours(image, project):
    def asked(**words):
        return words

    images = SimpleNamespace(get=asked, getFromFamily=asked)
    request = gce._image(SimpleNamespace(images=lambda: images), "ours", image)

    assert request["project"] == project


def test_an_image_without_a_place_is_refused(generate):
    with pytest.raises(ConfigError, match=re.escape("source_image must match")):
        generate("gcp", source_image="mine")
