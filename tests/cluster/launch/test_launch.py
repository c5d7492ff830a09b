"""Clusters by config: what a description may say, what becomes of the options, and refusals."""

import os
import re
import socket
import stat
from pathlib import Path

import pytest
import typer
import yaml

from crossmesh.cluster.launch.loading import load_cluster, shipped_clusters
from crossmesh.cluster.launch.order import (
    _FIELDS,
    _FOR_THIS_MACHINE,
    _LEFT_TO_THE_CLUSTER,
    Order,
)
from crossmesh.cluster.launch.tokens import checked_token, write_token
from crossmesh.common.errors import ConfigError
from crossmesh.emulator.cli.main import app as crossmesh
from tests.cluster.launch.launch_material import app

GENERATED = ("on-premises", "aws", "gcp", "kubernetes", "slurm")


def launched(*arguments):
    """Run the command in this process."""
    return app([str(argument) for argument in arguments], standalone_mode=False)


def cluster_file(folder, **fields):
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(fields))
    return path


# Descriptions


@pytest.mark.parametrize("name", sorted(shipped_clusters()))
def test_shipped_clusters_load_and_begin_with_a_sentence(name):
    first = shipped_clusters()[name].read_text().splitlines()[0]

    assert load_cluster(name).kind == name
    assert re.fullmatch(r"# [A-Z].*[a-z]", first)


def test_every_kind_is_shipped_once():
    assert set(shipped_clusters()) == {"local", "existing", *GENERATED}


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"kind": "local", "nodes": 0}, "nodes must be at least 1, got 0"),
        (
            {"kind": "local", "nodse": 2},
            "nodse is unknown; did you mean nodes?",
        ),
        (
            {"kind": "lokal"},
            "kind must be one of local, existing, on-premises, aws, gcp, kubernetes, slurm, got "
            "lokal; did you mean local?",
        ),
        ({"nodes": 2}, "kind must be given"),
        ({"kind": "local", "port": 80}, "port must be at least 1024, got 80"),
        (
            {"kind": "existing", "address": "head"},
            r"address must match ^[^\s:/]+:[0-9]{1,5}$, got 'head'",
        ),
        ({"kind": "existing"}, "address must be given"),
        ({"kind": "aws", "nodes": 2}, "storage must be given"),
        (
            {"extends": "slurm", "time": "soon"},
            r"time must match ^([0-9]+-)?[0-9]{1,2}(:[0-9]{2}){0,2}$|^[0-9]+$, got 'soon'",
        ),
        (
            {"extends": "on-premises", "workers": ["a", "192.0.2.10"]},
            "workers must be other machines than the head's, got 192.0.2.10 twice",
        ),
        (
            {"extends": "on-premises", "head": "me@node0"},
            "head and workers must be addresses (user is in ssh), got me@node0",
        ),
        (
            {"extends": "on-premises", "head": "a; rm -rf b"},
            "head must match ^[A-Za-z0-9][A-Za-z0-9@._:/-]*$, got 'a; rm -rf b'",
        ),
        (
            {"extends": "kubernetes", "storage": "/elsewhere"},
            "storage must be in claim.path (/shared), got /elsewhere",
        ),
        (
            {"extends": "kubernetes", "storage": "s3://b/f"},
            "run_dir must be given with a URI as storage, got s3://b/f",
        ),
        (
            {"extends": "local", "variables": {"A B": "c"}},
            "variables.A B must match ^[A-Za-z_][A-Za-z0-9_]*$, got 'A B'",
        ),
        (
            {"extends": "lokal"},
            "extends must be a file or a shipped name (aws, existing, gcp, kubernetes, local, "
            "on-premises, slurm), got lokal; did you mean local?",
        ),
        ({"extends": "mine.yaml"}, "extends must not form a cycle, got"),
    ],
)
def test_mistakes_are_told_in_one_line(fields, rule, tmp_path):
    with pytest.raises(ConfigError) as refused:
        load_cluster(str(cluster_file(tmp_path, **fields)))

    assert str(refused.value).startswith(f"mine.yaml: {rule}")
    assert "\n" not in str(refused.value)


def test_an_unknown_cluster_gets_the_nearest_name():
    rule = r"^CLUSTER must be a file or a shipped name \(.*\), got slurn; did you mean slurm\?$"
    with pytest.raises(ConfigError, match=rule):
        load_cluster("slurn")


def test_a_file_extends_another_and_paths_begin_at_their_file(tmp_path):
    (tmp_path / "base").mkdir()
    base = {"extends": "local", "nodes": 5, "token": "mine"}
    (tmp_path / "base" / "base.yaml").write_text(yaml.safe_dump(base))
    cluster = load_cluster(str(cluster_file(tmp_path, extends="base/base.yaml", cpus_per_node=2)))

    assert (cluster.nodes, cluster.cpus_per_node) == (5, 2)
    assert cluster.token == tmp_path / "base" / "mine"


# Orders


def test_every_option_of_the_training_is_known():
    train = typer.main.get_command(crossmesh).commands["train"]
    names = {parameter.name for parameter in train.params}
    others = {"config", "fields", "run_dir", "set_", "stop_early", "json_", "quiet"}

    assert names == {*_FIELDS, *_LEFT_TO_THE_CLUSTER, *_FOR_THIS_MACHINE, *others}


def test_options_go_on_to_the_training_and_count_for_more_than_the_cluster(tmp_path):
    cluster = load_cluster(str(cluster_file(
        tmp_path, extends="local", data_dir="/there", run_dir="/runs/a", code="shipped",
    )))  # fmt: skip
    order = Order(cluster, "digits", ("--seed", "3", "--set", "engine.code=installed", "--json"))
    behind = Order(cluster, "digits", ("training.epochs=3",))

    assert order.arguments("h:1") == [
        "train", "digits", "--engine", "ray", "--address", "h:1", "--data-dir", "/there",
        "--set", "engine.nodes=3", "--set", 'engine.code="shipped"', "--run-dir", "/runs/a",
        "--seed", "3", "--set", "engine.code=installed", "--json",
    ]  # fmt: skip
    assert order.config.seed == 3
    assert behind.config.training.epochs == 3
    assert order.config.engine.code == "installed"
    assert order.config.data.directory == Path("/there")


def test_storage_becomes_the_place_of_the_run_and_of_its_checkpoints(tmp_path):
    def order(**fields):
        source = cluster_file(tmp_path, extends="local", **fields)
        return Order(load_cluster(str(source)), "digits", name="mine-digits-x7k2")

    assert order().run_dir is None
    assert order(storage="/nfs/a").run_dir == "/nfs/a/mine-digits-x7k2"
    assert order(storage="/nfs/a").config.checkpoint.storage is None  # in the run directory
    remote = order(storage="s3://bucket/a/")
    assert remote.run_dir is None
    assert remote.config.checkpoint.storage == "s3://bucket/a/mine-digits-x7k2/checkpoints"
    assert order(storage="~/a").run_dir_here == str(Path("~/a/mine-digits-x7k2").expanduser())
    options = order(storage="s3://b/f?region=eu", run_dir="/home/b").config.checkpoint.storage
    assert options == "s3://b/f/mine-digits-x7k2/checkpoints?region=eu"
    both = order(storage="/nfs/a", run_dir="/home/b")
    assert (both.run_dir, both.config.checkpoint.storage) == (
        "/home/b", "/nfs/a/mine-digits-x7k2/checkpoints",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (("--engine", "local"), "--engine must be left out (the cluster sets it), got local"),
        (("--address", "h:1"), "--address must be left out (the cluster sets it), got h:1"),
        (("--log", "csv"), "--log must be left out of a launch, got csv"),
        (("--fast-dev-run",), "--fast-dev-run must be left out of a launch, got True"),
        (
            ("--set", "training.epoch=2"),
            "training.epoch is unknown; did you mean epochs?",
        ),
        (("--epochs", "0"), "training.epochs must be at least 1, got 0"),
    ],
)
def test_mistakes_in_the_training_are_told_before_anything_starts(options, rule):
    with pytest.raises(ConfigError, match=re.escape(rule)):
        launched("local", "digits", *options)


def test_an_unknown_option_of_the_training_is_refused():
    with pytest.raises(typer.TyperException, match="--epoch"):
        launched("local", "digits", "--epoch", "2")


# Here: what is shown, and what is refused


def test_dry_run_shows_the_command(capsys):
    launched("local", "digits", "--set", "training.epochs=3", "--dry-run")

    assert re.fullmatch(
        r"Would train on 3 Ray nodes of this machine, 1 CPUs each:\n"
        r"crossmesh train digits --engine ray --address HOST:PORT --set engine.nodes=3 "
        r"--run-dir runs/local-digits-[a-z0-9]{4} --set training.epochs=3\n",
        capsys.readouterr().out,
    )


def test_a_port_that_is_taken_is_refused(tmp_path):
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        source = cluster_file(tmp_path, extends="local", port=port)
        rule = rf"^port must be free on this machine, got {port} \(address already in use\)$"
        with pytest.raises(ConfigError, match=rule):
            launched(source, "digits", "--quiet")


def test_an_address_where_nothing_listens_is_refused(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as freed:
        address = f"127.0.0.1:{freed.getsockname()[1]}"
    source = cluster_file(tmp_path, extends="existing", address=address)

    rule = (
        f"address must be where a Ray cluster listens, got {address} (connection refused); a port "
    )
    with pytest.raises(ConfigError, match=re.escape(rule)):
        launched(source, "digits")


# Tokens


def test_a_fresh_token_is_readable_by_its_owner_alone_and_stays(tmp_path):
    write_token(tmp_path / "token")
    text = (tmp_path / "token").read_text()
    write_token(tmp_path / "token")

    assert re.fullmatch("[0-9a-f]{64}", text)
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    assert (tmp_path / "token").read_text() == text


@pytest.mark.parametrize("other", ["/dev/zero", "pipe"])
def test_a_token_is_a_regular_file(other, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "token").symlink_to(other)
    with pytest.raises(ConfigError, match=r"with the cluster's token, got .* \(it is no regular"):
        checked_token(tmp_path / "token", "token")


@pytest.mark.parametrize(
    ("text", "mode", "rule"),
    [
        (None, 0, "token must be a readable file with the cluster's token, got {} "
                  "(no such file or directory)"),
        ("", 0o600, "token must hold the cluster's token, got an empty file {}"),
        ("secret", 0o644, "token must be readable by its owner alone (chmod 600), got {} with mode "
                          "0644"),
    ],
)  # fmt: skip
def test_files_without_a_token_of_ones_own_are_refused(text, mode, rule, tmp_path):
    path = tmp_path / "token"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    for kind in ("local", "existing"):
        source = cluster_file(tmp_path, extends=kind, token=str(path))
        with pytest.raises(ConfigError) as refused:
            launched(source, "digits", "--quiet")
        assert str(refused.value) == rule.format(path)
    assert list(tmp_path.glob("crossmesh-*")) == []
