"""An ONNX network and weights that a config names reach the place where it trains."""

import base64
import json
import shutil

import pytest
import yaml

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.cli.main import app as train_app
from crossmesh.emulator.config.loading import load_config
from tests.cluster.launch.launch_material import GENERATED, app, imported_network

MOUNTED = "/etc/crossmesh"
ALONE = ("--set", "engine.nodes=1", "--set", "checkpoint.storage=null")


@pytest.fixture
def config(tmp_path):
    """A config of a network with its weights in another file, to be trained from other weights."""
    folder = tmp_path / "here"
    folder.mkdir()
    return imported_network(folder)


@pytest.fixture
def launch(tmp_path):
    """What shows a launch, or generates its files."""

    def launched(cluster, config, *options, **changes):
        source = tmp_path / "mine.yaml"
        source.write_text(yaml.safe_dump({"extends": cluster, **changes}))
        app([str(word) for word in (source, config, *options, "--dry-run")], standalone_mode=False)

    return launched


def arrived(folder, kind, to):
    """The config of a launch in another place, with what is beside it."""
    if kind != "kubernetes":
        return shutil.copytree(folder / "node", to) / "run.yaml"
    files, job = yaml.safe_load_all((folder / "rayjob.yaml").read_text())
    contents = {key: text.encode() for key, text in files["data"].items()}
    contents |= {key: base64.b64decode(text) for key, text in files["binaryData"].items()}
    head = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    (mounted,) = (volume["configMap"] for volume in head["volumes"] if "configMap" in volume)
    assert {item["key"] for item in mounted["items"]} == set(contents)
    for item in mounted["items"]:
        path = to / item["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents[item["key"]].replace(MOUNTED.encode(), str(to).encode()))
    return to / "run.yaml"


@pytest.mark.parametrize("kind", GENERATED)
def test_a_launch_trains_elsewhere_as_here(kind, config, launch, tmp_path):
    digests = {}
    launch(kind, config, "--files", tmp_path / "out")
    there = arrived(tmp_path / "out", kind, tmp_path / "there")
    for name, source in (("here", config), ("there", there)):
        run = tmp_path / f"run-{name}"
        words = ["train", source, "--engine", "local", "--quiet", "--run-dir", run, *ALONE]
        train_app([str(word) for word in words], standalone_mode=False)
        digests[name] = json.loads((run / "summary.json").read_text())["state_digest"]
        shutil.rmtree(source.parent)

    assert digests["there"] == digests["here"]


@pytest.mark.parametrize("kind", GENERATED)
def test_a_dry_run_shows_sizes_of_binary_files(kind, config, launch, capsys):
    launch(kind, config)

    shown = capsys.readouterr().out
    names = ("network/net.onnx", "network/numbers/of net", "weights/begin.npz")
    assert all(name in shown for name in names)
    for path in ("net.onnx", "numbers/of net", "begin.npz"):
        assert f"({(config.parent / path).stat().st_size} bytes" in shown
    assert "PK\x03" not in shown
    assert max(map(len, shown.splitlines())) < 500


@pytest.mark.parametrize("kind", GENERATED)
@pytest.mark.parametrize(("field", "missing"), [
    ("network.onnx", "net.onnx"), ("network.onnx", "numbers/of net"), ("weights", "begin.npz"),
])  # fmt: skip
def test_a_file_that_is_not_here_is_refused_before_the_launch(field, missing, kind, config, launch):
    (config.parent / missing).unlink()
    with pytest.raises(ConfigError, match=rf"^{field} must (be a file|have its data beside it), "):
        launch(kind, config)


def test_files_too_large_for_a_config_map_are_refused_unless_the_pods_have_them(
    config, launch, capsys
):
    with (config.parent / "numbers" / "of net").open("ab") as numbers:
        numbers.write(bytes(1_040_000))
    rule = (r"^CONFIG and network\.onnx and weights must fit a ConfigMap \(1040000 bytes\) "
            r"\(a file in claim\.path \(/shared\) stays there\), got \d+ bytes$")  # fmt: skip
    with pytest.raises(ConfigError, match=rule):
        launch("kubernetes", config)

    capsys.readouterr()
    there = ("--set", "network.onnx=/shared/net.onnx", "--set", "weights=/shared/begin.npz")
    launch("kubernetes", config, *there)
    shown = capsys.readouterr().out
    assert "onnx: /shared/net.onnx" in shown
    assert "weights: /shared/begin.npz" in shown
    assert "binaryData" not in shown


def test_shipped_networks_travel_with_shipped_code(launch, tmp_path):
    launch("kubernetes", "fashion-vit", "--files", tmp_path / "out", code="shipped")
    there = arrived(tmp_path / "out", "kubernetes", tmp_path / "there")

    network = load_config(there).network.onnx
    assert network == there.parent / "network" / "fashion-vit.onnx"
    assert network.read_bytes() == load_config("fashion-vit").network.onnx.read_bytes()
