"""A real API server of Kubernetes with KubeRay's RayJobs, and nothing that runs pods.

The programs are those of controller-runtime's envtest: ``kube-apiserver`` and ``etcd``, in the
folder that KUBEBUILDER_ASSETS names (``setup-envtest use -p path`` brings them), or on PATH;
kube-controller-manager too if it is there, which then collects what belongs to deleted objects.
"""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml

TOKEN = "the-token-of-the-admin"
TOKENS = {  # by users, who are the contexts too, with their groups
    "admin": (TOKEN, "system:masters"),
    "member": ("the-token-of-a-member", "crossmesh-users"),
    "other": ("the-token-of-somebody-else", ""),
}
_PATIENCE_S = 120.0


def program(name):
    """Where a program is, or None."""
    return shutil.which(name, path=os.environ.get("KUBEBUILDER_ASSETS")) or shutil.which(name)


NEEDED = ("kube-apiserver", "etcd", "kubectl", "openssl")
missing = [name for name in NEEDED if program(name) is None]
NEEDS_SERVER = (
    pytest.mark.cluster,
    pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)} (KUBEBUILDER_ASSETS)"),
)


def needs_server(test):
    """Mark a test that needs all of them."""
    for mark in NEEDS_SERVER:
        test = mark(test)
    return test


class ApiServer:
    """etcd, an API server, and maybe its controllers, until ``end``.

    Args:
        folder: An empty folder for their files.
    """

    def __init__(self, folder):
        self.folder = folder
        self._processes = []
        self._etcd, self._port = _free_port(), _free_port()
        self.kubeconfig = folder / "kubeconfig"
        self._key = folder / "accounts.key"

    @property
    def has_controllers(self):
        """Whether what belongs to a deleted object is deleted too, and quotas are counted."""
        return program("kube-controller-manager") is not None

    def begin(self):
        """Start everything and wait until it answers."""
        self.kubeconfig.write_text(json.dumps(self._access()))
        tokens = [f"{token},{user},{user},{group}" for user, (token, group) in TOKENS.items()]
        (self.folder / "tokens.csv").write_text("\n".join(tokens))
        subprocess.run(["openssl", "genrsa", "-out", self._key, "2048"], check=True,
                       capture_output=True)  # fmt: skip
        etcd = f"http://127.0.0.1:{self._etcd}"
        self._start("etcd", data_dir=self.folder / "etcd", listen_client_urls=etcd,
                    advertise_client_urls=etcd, unsafe_no_fsync="",
                    listen_peer_urls=f"http://127.0.0.1:{_free_port()}")  # fmt: skip
        self._start(
            "kube-apiserver", etcd_servers=etcd, secure_port=self._port,
            bind_address="127.0.0.1", cert_dir=self.folder / "certificates",
            token_auth_file=self.folder / "tokens.csv", authorization_mode="RBAC",
            service_account_issuer="https://crossmesh.test",
            service_account_key_file=self._key, service_account_signing_key_file=self._key,
            service_cluster_ip_range="10.96.0.0/16",
        )  # fmt: skip
        self._await(self._is_ready)
        if self.has_controllers:
            asked = [program("kube-controller-manager"), "--version"]
            version = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
            without_tls = {"port": 0} if " v1.20." in version else {}
            self._start("kube-controller-manager", kubeconfig=self.kubeconfig, leader_elect="false",
                        service_account_private_key_file=self._key, **without_tls,
                        cert_dir=self.folder / "certificates", secure_port=_free_port(),
                        use_service_account_credentials="true")  # fmt: skip
        self.begin_namespace("default")

    def end(self):
        """End what was started."""
        for process in reversed(self._processes):
            process.terminate()
        for process in reversed(self._processes):
            process.wait(60)

    def begin_namespace(self, name):
        """Make a namespace fit for pods: they have an account, of the controllers or of this."""
        if self.kubectl("get", "namespace", name, fails=True):
            self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        if not self.has_controllers:
            account = {"apiVersion": "v1", "kind": "ServiceAccount",
                       "metadata": {"name": "default", "namespace": name},
                       "automountServiceAccountToken": False}  # fmt: skip
            self.create(account)  # whose token, in an old server, nobody would make
        self._await(lambda: self.kubectl("get", "sa", "default", f"-n={name}", fails=True) == 0)

    def install(self, definition):
        """Add a kind of object, as far as an old server can: 1.20 ignores CEL, and refuses ""."""
        definition = _without_empty_defaults(definition)
        self.kubectl("create", "--validate=false", "-f", "-", given=yaml.safe_dump(definition))
        self._await(lambda: self.kubectl("get", "rayjobs.ray.io", fails=True) == 0)

    def create(self, *objects):
        """Make objects."""
        for each in objects:
            self.kubectl("create", "-f", "-", given=yaml.safe_dump(each))

    def kubectl(self, *words, given=None, fails=False):
        """What kubectl says as the administrator; with ``fails``, its exit code."""
        done = subprocess.run(
            ["kubectl", f"--kubeconfig={self.kubeconfig}", *words], input=given,
            capture_output=True, text=True, timeout=_PATIENCE_S, check=False,
        )  # fmt: skip
        if fails:
            return done.returncode
        assert done.returncode == 0, done.stderr
        return done.stdout

    def found(self, *words):
        """An object, or several, as they lie there."""
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    def set_status(self, name, namespace, **status):
        """Say what the operator would, as status of a RayJob."""
        path = f"/apis/ray.io/v1/namespaces/{namespace}/rayjobs/{name}"
        self._put_status(path, status)

    def set_pod(self, namespace, name, **status):
        """Say what a kubelet would, as status of a pod."""
        self._put_status(f"/api/v1/namespaces/{namespace}/pods/{name}", status)

    def _put_status(self, path, status):
        whole = json.loads(self.request("GET", path))
        whole["status"] = {**whole.get("status", {}), **status}
        self.request("PUT", f"{path}/status", whole)

    def request(self, method, path, content=None):
        """One request of the administrator's."""
        request = urllib.request.Request(
            f"https://127.0.0.1:{self._port}{path}", method=method,
            data=None if content is None else json.dumps(content).encode(),
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request, context=_trusting(), timeout=30) as answer:
            return answer.read()

    def _is_ready(self):
        try:
            self.request("GET", "/readyz")
        except (OSError, urllib.error.URLError):
            return False
        return True

    def _await(self, is_so):
        end = time.monotonic() + _PATIENCE_S
        while not is_so():
            ended = [process.args for process in self._processes if process.poll() is not None]
            assert not ended, f"{ended[0][0]} has ended: {self._last_words(ended[0][0])}"
            assert time.monotonic() < end, "the API server does not answer"
            time.sleep(0.2)

    def _last_words(self, name):
        return (self.folder / f"{Path(name).name}.log").read_text()[-1000:]

    def _start(self, name, **options):
        words = [f"--{key.replace('_', '-')}" + (f"={value}" if str(value) else "")
                 for key, value in options.items()]  # fmt: skip
        with (self.folder / f"{name}.log").open("w") as log:
            process = subprocess.Popen([program(name), *words], stdout=log, stderr=log)
        self._processes.append(process)

    def _access(self):
        cluster = {"server": f"https://127.0.0.1:{self._port}", "insecure-skip-tls-verify": True}
        return {
            "apiVersion": "v1", "kind": "Config", "current-context": "admin",
            "clusters": [{"name": "here", "cluster": cluster}],
            "contexts": [{"name": user, "context": {"cluster": "here", "user": user}}
                         for user in TOKENS],
            "users": [{"name": user, "user": {"token": token}}
                      for user, (token, _) in TOKENS.items()],
        }  # fmt: skip


def _without_empty_defaults(tree):
    if isinstance(tree, list):
        return list(map(_without_empty_defaults, tree))
    if not isinstance(tree, dict):
        return tree
    return {key: "unnamed" if (key, value) == ("default", "") else _without_empty_defaults(value)
            for key, value in tree.items()}  # fmt: skip


def _free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def _trusting():
    import ssl

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
