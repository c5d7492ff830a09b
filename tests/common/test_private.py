"""What another user of the same machine can see, change or use of a run: nothing."""

import contextlib
import fcntl
import json
import os
import pwd
import re
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from crossmesh import train
from crossmesh.cluster.commands import run as command
from crossmesh.cluster.launch.loading import load_cluster
from crossmesh.common import private_folders
from crossmesh.common.errors import ConfigError, is_secret, masked
from crossmesh.common.private_folders import (
    MOST_BYTES,
    NoPrivateFolder,
    PrivateFolder,
    check_unchangeable,
)
from crossmesh.emulator.config.engine import Engine
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.executors import environment
from crossmesh.emulator.executors.instance import connect
from tests.jobs import small_config
from tests.stranger import NO_SUCH, NOT_ADMITTED, grpc

ROOT = Path(__file__).parents[2]
START_S = 300.0  # longest wait for a run on Ray to begin


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
        "from crossmesh.common.private_folders import PrivateFolder\n"
        "(PrivateFolder().path / 'left').touch(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    (place / f"{private_folders.PREFIX}link").symlink_to(ROOT)
    assert len(list(place.iterdir())) == 3

    new = PrivateFolder()
    assert set(place.iterdir()) == {lives.path, new.path, place / f"{private_folders.PREFIX}link"}
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


def test_without_any_place_the_command_says_what_to_do(place, monkeypatch):
    long = place / ("x" * 40)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    monkeypatch.setattr(private_folders, "_PLACES", ())
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)  # who has no folder below /run/user
    rule = (
        f"TMPDIR must be a folder of at most 17 bytes that only this user can change, with room in "
        f"it, got {long}"
    )
    with pytest.raises(NoPrivateFolder) as error:
        PrivateFolder()
    assert str(error.value) == f"{rule}; /tmp, /var/tmp and /dev/shm will not do either"
    with pytest.raises(ConfigError, match=f"^{re.escape(rule)}"):
        connect(Engine(), 100 << 20)


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


@pytest.mark.parametrize(
    "text", [":/a" * 350_000, "?" + "token" * 200_000, ":" + "/" * 10**6, "https:/" * 150_000,
             "s3://a:" * 150_000]
)  # fmt: skip
def test_masking_takes_a_time_in_proportion_to_the_text(text):
    """Else a text of this length would take hours, where it takes milliseconds."""
    begin = time.monotonic()
    assert masked(text) == text
    assert time.monotonic() - begin < 30
    assert masked(f"{text} s3://KEY:sEcrEt@bucket") == f"{text} s3://***@bucket"


def test_a_long_name_is_an_error_like_others(tmp_path, capsys, monkeypatch):
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps({"extends": "digits", "name": "s3://a:b@" + ":/a" * 350_000}))
    monkeypatch.setattr(sys, "argv", ["crossmesh", "map", str(path)])

    assert command() == 2
    errors = capsys.readouterr().err
    assert errors.startswith("error: ")
    assert "***" in errors
    assert len(errors) < 5000


@pytest.mark.parametrize("name", [
    "AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_KEY", "DB_PASS", "SSH_PASSPHRASE", "GITHUB_PAT",
    "SENTRY_DSN", "MY_TOKEN", "API_TOKENS", "tokenValue", "KEY_1", "PASS1", "DB_PASS_RO", "SSHKEY",
    "TOKEN", "HF_TOKEN_2", "PGPASSWORD", "key", "sig", "APIKEY",
])  # fmt: skip
def test_names_of_secrets_are_known(name):
    assert is_secret(name)
    assert masked(f"s3://b/?{name}=sEcrEt") == f"s3://b/?{name}=***"


@pytest.mark.parametrize("name", ["TOKENIZERS_PARALLELISM", "PATH", "MONKEY", "BYPASS", "HOME",
                                  "MAX_TOKENS", "KEYBOARD", "signal"])  # fmt: skip
def test_names_of_other_things_are_no_secrets(name):
    assert not is_secret(name)


def test_a_clusters_credentials_belong_into_its_variables(tmp_path, capsys, monkeypatch):
    path = tmp_path / "mine.yaml"
    path.write_text("extends: aws\nstorage: s3://AKIA:sEcrEt@bucket/a\n")
    rule = (
        r"^storage must be an address without credentials, which would be kept in generated files,"
    )
    with pytest.raises(ConfigError, match=rule + r" got s3://\*\*\*@bucket/a; set AWS_"):
        load_cluster(str(path))

    path.write_text("extends: slurm\nvariables: {AWS_SECRET_ACCESS_KEY: sEcrEt, MINE: shown}\n")
    monkeypatch.setattr(sys, "argv", ["crossmesh", "launch", str(path), "digits", "--dry-run"])
    assert command() == 0
    shown = capsys.readouterr().out
    assert "export AWS_SECRET_ACCESS_KEY='***'" in shown
    assert "export MINE=shown" in shown
    assert "sEcrEt" not in shown


# Another user


METHODS = {
    "gcs_server": "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
    "raylet": "/ray.rpc.NodeManagerService/GetNodeStats",
    "objects": "/ray.rpc.ObjectManagerService/Pull",
    "worker": "/ray.rpc.CoreWorkerService/GetCoreWorkerStats",
}


@pytest.fixture
def stranger():
    """Id of a user that has nothing to do with ours."""
    if os.geteuid() or not shutil.which("useradd"):
        pytest.skip("needs root and useradd, to be another user")
    name = f"cm{secrets.token_hex(4)}"
    subprocess.run(["useradd", "--system", "--no-create-home", name], check=True)
    yield pwd.getpwnam(name).pw_uid
    subprocess.run(["userdel", name], check=True)


def started(place, work, *options, **variables):
    """A training on Ray with temporary files in ``place``, in a session of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment = {**kept, "PYTHONPATH": str(ROOT), "TMPDIR": str(place), **variables}
    return subprocess.Popen(
        [sys.executable, "-m", "crossmesh", "train", "digits", *options],
        cwd=work, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip


def waited(run, condition):
    """Wait until a run has come so far."""
    deadline = time.monotonic() + START_S
    while not condition():
        assert run.poll() is None
        assert time.monotonic() < deadline, f"not within {START_S} s"
        time.sleep(0.02)


@pytest.fixture
def victim(place):
    """A run on Ray, with code shipped, while it trains."""
    place.chmod(0o755)
    (place / "work").mkdir(mode=0o755)
    shipped = ("--set", "engine.code=shipped", "--set", "training.baseline=false")
    run = started(place, place / "work", "--epochs", "100000", *shipped)
    try:
        waited(run, (place / "work" / "runs" / "digits" / "live.json").exists)
        yield run
    finally:
        run.terminate()
        run.wait()


@pytest.mark.slow
@pytest.mark.ray
def test_a_start_that_is_interrupted_leaves_nothing_to_read(place):
    home, work = place / "home", place / "work"
    home.mkdir()
    work.mkdir()
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    run = started(place, work, "--epochs", "100", HOME=str(home), XDG_CACHE_HOME=cache)
    waited(run, lambda: list(place.glob(f"{private_folders.PREFIX}*/ray")))
    run.send_signal(signal.SIGINT)

    assert run.wait(120) == 130
    assert set(place.iterdir()) == {home, work}
    assert not (home / ".ray").exists()


def processes(session):
    """Ids and names of the processes of a session."""
    table = subprocess.run(["ps", "-eo", "pid=,sess=,comm="], capture_output=True, text=True,
                           check=True).stdout  # fmt: skip
    rows = [row.split(None, 2) for row in table.splitlines()]
    return {int(pid): name for pid, owner, name in rows if int(owner) == session}


def written(pid):
    """Files that a process can write, which have a name."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            flags = Path(f"/proc/{pid}/fdinfo/{link.name}").read_text().split("flags:")[1].split()
            path = link.readlink()
            if int(flags[0], 8) & os.O_ACCMODE and path.is_file():
                yield str(path)


def listening(pids):
    """Address and port of every TCP socket on which some processes listen, with their ids."""
    table = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout
    for line in table.splitlines():
        owners = {int(pid) for pid in re.findall(r"pid=(\d+)", line)} & set(pids)
        if owners:
            address, _, port = line.split()[3].rpartition(":")
            yield address.strip("[]").removeprefix("::ffff:"), int(port), min(owners)


def as_stranger(stranger, asked):
    """What another user could do, and the answers of ports."""
    tried = subprocess.run(
        [sys.executable, "-I", ROOT / "tests" / "stranger.py", str(stranger)],
        input=json.dumps(asked), capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip
    assert tried.stderr == ""
    return json.loads(tried.stdout)


@pytest.mark.slow
@pytest.mark.ray
def test_another_user_can_read_change_and_use_nothing_of_a_run(stranger, place, victim):
    pids = processes(victim.pid)
    ours = [*place.glob(f"{private_folders.PREFIX}*"), place / "work" / "runs" / "digits"]
    below = [path for folder in ours for path in (folder, *folder.rglob("*"))]
    files = {str(path) for path in below if not path.is_dir()}
    files |= {path for pid in pids for path in written(pid)}
    files |= {f"/proc/{pid}/{name}" for pid in pids for name in ("environ", "mem", "maps")}
    ports = {port: pid for _, port, pid in listening(pids)}
    asked = {
        "files": sorted(files),
        "folders": [str(path) for path in (place / "work", *below) if path.is_dir()],
        "ports": list(ports),
        "methods": [*METHODS.values()],
    }
    found = as_stranger(stranger, asked)

    assert any("py_modules_files" in path for path in files)
    assert any(path.endswith("/sockets/plasma_store") for path in files)
    assert found["works"] == [f"list {place / 'work'}"]  # which the test has opened to all
    assert {address for address, *_ in listening(pids)} == {"127.0.0.1"}
    shut = set()
    for answers in found["answers"].values():
        refused = {method for method in METHODS.values() if answers[method] == NOT_ADMITTED}
        # Each demands the token, as what it is: a server of Ray's, or the agent of environments.
        assert refused or answers["http"] == "401", answers
        assert {answers[method] for method in METHODS.values()} <= {NOT_ADMITTED, NO_SUCH, None}
        shut |= refused
    assert shut == set(METHODS.values())

    (token,) = place.glob(f"{private_folders.PREFIX}*/token")
    gcs = next(port for port, pid in ports.items() if pids[pid].startswith("gcs"))
    assert grpc(gcs, METHODS["gcs_server"], "0" * 64) == NOT_ADMITTED
    assert grpc(gcs, METHODS["gcs_server"], token.read_text()) == "0"  # so others are shut out
    reported = b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids)
    assert token.read_bytes() not in reported

    victim.terminate()
    victim.wait()
    assert list(place.iterdir()) == [place / "work"]
