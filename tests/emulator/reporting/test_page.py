"""The report: what it shows is what the run has, and nothing in it is taken from elsewhere."""

import json
import re
import shutil
from html.parser import HTMLParser

import pytest

from tests.emulator.commands.shell import done, refused

EVIL = "<script><img src=x onerror=alert(1)>$x$"
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Elements and texts of a page; every element that is opened must be closed."""

    def __init__(self, text):
        super().__init__()
        self.attributes, self.texts, self.names, self._open = [], [], [], []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data.strip())


@pytest.fixture(scope="module")
def page(reported):
    return Page(reported.read_text("utf-8"))


def test_all_sections_are_there(page):
    headings = (
        "Figures", "Fields that differ", "Learning curve", "What limits accuracy",
        "Confusion matrix", "Weights and conductances by layer", "Pulses and saturation by tile",
        "Chip", "Timeline", "Environment", "Config",
    )  # fmt: skip
    assert set(headings) <= set(page.texts)
    assert page.names.count("article") == 2


def test_nothing_is_taken_from_elsewhere(page):
    names = {"src", "href", "xlink:href", "action", "srcset", "data"}
    links = [value for name, value in page.attributes if name in names]

    assert links
    assert all(value.startswith(("#", "data:image/png;base64,")) for value in links)
    assert not {"script", "iframe", "object", "link", "form"} & set(page.names)
    contents = [value for name, value in page.attributes if name == "content"]
    assert any("default-src 'none'" in value for value in contents)


def test_what_a_run_holds_is_text(runs, tmp_path):
    """Names of folders, and files that somebody else has written."""
    folder = tmp_path / EVIL
    shutil.copytree(runs / "good", folder)
    (folder / "environment.json").write_text(json.dumps({EVIL: EVIL}))
    trace = json.loads((folder / "trace.json").read_text())
    for event in trace["traceEvents"]:
        if event["ph"] == "M":
            event["args"]["name"] = EVIL
    (folder / "trace.json").write_text(json.dumps(trace))
    with (folder / "config.yaml").open("a") as config:
        config.write(f"# {EVIL}\n")
    done("report", folder, "--examples", 0, "--quiet")
    page = Page((folder / "report.html").read_text("utf-8"))

    assert not {"img", "script"} & set(page.names)
    assert page.texts.count(EVIL) >= 3
    assert "Confusion matrix" not in page.texts  # for which there is a test of --examples
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_figures_are_those_of_the_summary(page, runs):
    said = done("runs", runs, "--json").answer
    for run in said:
        assert f"{100 * run['test_accuracy']:.2f} %" in page.texts


def test_a_failed_run_is_said_with_its_cause(reported, runs):
    text = " ".join(reported.read_text("utf-8").split())

    assert "the analog training has failed" in text
    assert "likely cause: coarse steps" in text
    assert text.count('role="alert"') == 1  # the other has learnt


def test_a_run_without_its_data_or_checkpoint_is_reported_as_far_as_it_goes(runs, tmp_path):
    for name in ("config.yaml", "summary.json", "metrics.parquet"):
        (tmp_path / name).write_bytes((runs / "good" / name).read_bytes())
    done("report", tmp_path, "--quiet")
    text = (tmp_path / "report.html").read_text("utf-8")

    assert "RUN must have a checkpoint" in text
    assert "Learning curve" in text
    assert "What limits accuracy" not in text


@pytest.mark.parametrize("damage", ["[1]", "{", '{"traceEvents": [{"ph": "X"}, 3]}', "[" * 10**5])
def test_damaged_files_are_left_out(runs, tmp_path, damage):
    for name in ("config.yaml", "metrics.parquet"):
        (tmp_path / name).write_bytes((runs / "good" / name).read_bytes())
    texts = {"chip": 3, "emulation": {"tiles": "many"}, "pulses": {"a": "b"}, "test_loss": "x"}
    (tmp_path / "summary.json").write_text(json.dumps(texts))
    for name in ("trace", "environment", "live"):
        (tmp_path / f"{name}.json").write_text(damage)
    done("report", tmp_path, "--quiet")

    assert "Timeline" not in (tmp_path / "report.html").read_text("utf-8")


def test_what_cannot_be_written_is_refused(runs, tmp_path):
    where = tmp_path / "none" / "r.html"

    said = refused("report", runs / "good", "--out", where)
    assert re.fullmatch(r"error: --out must be a file in an existing folder, got .*r\.html", said)
