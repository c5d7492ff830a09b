"""What another user of the same machine can see, change or use of a run: nothing."""

import fcntl
import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cluster.commands import run as command
from cluster.launch.loading import load_cluster
from emulator import train
from emulator.errors import ConfigError, masked
from emulator.executors import environment
from emulator.loading import load_config
from interconnect import private
from interconnect.private import MOST_BYTES, NoPrivateFolder, PrivateFolder, check_unchangeable
from tests.jobs import small_config

ROOT = Path(__file__).parents[1]


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


# Folders


@pytest.fixture
def place(monkeypatch):
    """A short folder for temporary files."""
    with tempfile.TemporaryDirectory(prefix="c-") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def test_a_private_folder_is_for_its_owner_and_goes_away(place):
    folder = PrivateFolder()

    assert folder.path.parent == place
    assert mode(folder.path) == 0o700
    assert len(os.fsencode(folder.path)) <= MOST_BYTES
    (folder.path / "below").mkdir()
    folder.remove()
    folder.remove()
    assert list(place.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_lives_stays(place):
    lives = PrivateFolder()
    program = (
        f"import tempfile, os, signal; tempfile.tempdir = {str(place)!r}\n"
        "from interconnect.private import PrivateFolder\n"
        "(PrivateFolder().path / 'left').touch(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    (place / f"{private.PREFIX}link").symlink_to(ROOT)
    assert len(list(place.iterdir())) == 3

    new = PrivateFolder()
    assert set(place.iterdir()) == {lives.path, new.path, place / f"{private.PREFIX}link"}
    assert ROOT.is_dir()


def test_a_folder_swept_before_it_was_locked_is_made_again(place, monkeypatch):
    lock, swept = fcntl.flock, []

    def swept_first(number, how):
        for made in list(place.iterdir())[: not swept]:
            swept.append(made)
            made.rmdir()
        lock(number, how)

    monkeypatch.setattr(fcntl, "flock", swept_first)
    assert PrivateFolder().path.is_dir()
    assert len(swept) == 1


@pytest.mark.parametrize("unfit", ["long", "open", "missing"])
def test_a_temporary_folder_that_will_not_do_is_passed_over(unfit, place, monkeypatch):
    folder = place / ("x" * 40 if unfit == "long" else "x")
    if unfit != "missing":
        folder.mkdir()
        folder.chmod(0o777)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    found = PrivateFolder()

    assert found.path.parent in {Path("/tmp"), Path("/var/tmp"), Path("/dev/shm")}
    found.remove()


def test_without_any_place_the_command_says_what_to_do(place, monkeypatch, capsys):
    long = place / ("x" * 40)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    monkeypatch.setattr(private, "_PLACES", ())
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)  # who has no folder below /run/user
    law = (
        f"TMPDIR must be a folder of at most 17 bytes that only this user can change, with room in "
        f"it, got {long}"
    )
    with pytest.raises(NoPrivateFolder) as error:
        PrivateFolder()
    assert str(error.value) == f"{law}; /tmp, /var/tmp and /dev/shm will not do either"


def test_a_folder_that_others_could_replace_is_refused(tmp_path):
    (tmp_path / "open" / "below").mkdir(parents=True)
    check_unchangeable(tmp_path / "open" / "below")
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(
        PermissionError, match=r"/open must belong to .*, got user \d+ and mode 0777$"
    ):
        check_unchangeable(tmp_path / "open" / "below")
    (tmp_path / "open").chmod(0o1777)
    check_unchangeable(tmp_path / "open" / "below")


# Files of a run


def test_a_run_directory_is_for_its_owner_unless_it_is_there(tmp_path):
    stored = {"storage": str(tmp_path / "stored")}
    train(small_config(training={"epochs": 1}, checkpoint=stored), tmp_path / "runs" / "a")
    (tmp_path / "mine").mkdir(mode=0o755)
    train(small_config(training={"epochs": 1}), tmp_path / "mine")

    assert mode(tmp_path / "runs" / "a") == 0o700
    assert mode(tmp_path / "stored") == 0o700
    assert [mode(step) for step in (tmp_path / "stored").iterdir()] == [0o700]
    assert mode(tmp_path / "mine") == 0o755  # as its owner has made it
    assert [mode(step) for step in (tmp_path / "mine" / "checkpoints").iterdir()] == [0o700]


def test_a_token_that_all_may_read_is_mended_before_ray_starts(tmp_path, monkeypatch):
    token = tmp_path / "auth_token"
    token.write_text("a" * 64)
    token.chmod(0o644)
    monkeypatch.setattr(environment, "_TOKEN", token)
    environment.prepare(None)

    assert mode(token) == 0o600


# Credentials


SECRETS = [
    "s3://AKIA:sEc/rEt+x@bucket/runs",
    "s3://AKIA:sEcrEt@bucket:9000/runs",
    "s3://bucket/runs?region=b&secret_key=sEcrEt",
    "s3://bucket/runs?access_key=sEcrEt",
    "s3://bucket/runs?X-Amz-Signature=sEcrEt",
    "abfs://:sEcrEt@account.dfs.core.windows.net/c",
    "abfs://c@account.dfs.core.windows.net/?sig=sEcrEt",
    "https://me:sEcrEt@host/x",
    "https://sEcrEt@host/x",
]
PLAIN = [
    "s3://bucket/runs?region=eu-central-1&endpoint_override=localhost:9000&scheme=http",
    "s3://bucket:9000/a@b",
    "gs://anonymous@bucket/runs",
    "hdfs://me@host:8020/runs",
    "/nfs/runs@home/a:b@c",
]


@pytest.mark.parametrize("address", SECRETS)
@pytest.mark.parametrize(
    "field", ["checkpoint.storage", "engine.address", "data.directory", "weights", "name"]
)
def test_credentials_are_refused_and_not_printed(field, address, capsys, monkeypatch):
    words = ["train", "digits", "--set", f"{field}={address}"]
    monkeypatch.setattr(sys, "argv", ["crossmesh", *words])

    assert command() == 2
    out, errors = capsys.readouterr()
    assert errors.startswith(f"error: {field} must be an address without credentials, which would")
    assert "sEc" not in out + errors
    assert errors.count("\n") == 1
    if address.startswith("s3"):
        assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment" in errors


@pytest.mark.parametrize("address", SECRETS)
@pytest.mark.parametrize(
    "words",
    [
        ["train", "digits", "--address", "{}"],
        ["train", "digits", "--data-dir", "{}"],
        ["train", "digits", "--set", "checkpoint.storage: {}"],
        ["train", "digits", "--set", "checkpoint.storage=[{}"],
        ["train", "{}"],
        ["resume", "{}"],
        ["evaluate", "{}"],
        ["launch", "{}", "digits"],
        ["devices", "plot", "{}"],
        ["{}"],
    ],
)
def test_no_error_shows_credentials(words, address, capsys, monkeypatch):
    words = [word.replace("{}", address) for word in words]
    monkeypatch.setattr(sys, "argv", ["crossmesh", *words])

    assert command() == 2
    out, errors = capsys.readouterr()
    assert "sEc" not in out + errors


@pytest.mark.parametrize("address", PLAIN)
def test_addresses_without_credentials_are_left_as_they_are(address):
    assert masked(address) == address
    config = load_config("digits", [f"checkpoint.storage={address}"])
    assert config.checkpoint.storage == address


def test_a_clusters_credentials_belong_into_its_variables(tmp_path, capsys, monkeypatch):
    path = tmp_path / "mine.yaml"
    path.write_text("extends: aws\nstorage: s3://AKIA:sEcrEt@bucket/a\n")
    law = (
        r"^storage must be an address without credentials, which would be kept in generated files,"
    )
    with pytest.raises(ConfigError, match=law + r" got s3://\*\*\*@bucket/a; set AWS_"):
        load_cluster(str(path))

    path.write_text("extends: slurm\nvariables: {AWS_SECRET_ACCESS_KEY: sEcrEt, MINE: shown}\n")
    monkeypatch.setattr(sys, "argv", ["crossmesh", "launch", str(path), "digits", "--dry-run"])
    assert command() == 0
    shown = capsys.readouterr().out
    assert "export AWS_SECRET_ACCESS_KEY=***" in shown
    assert "export MINE=shown" in shown
    assert "sEcrEt" not in shown
