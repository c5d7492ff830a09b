"""Another user of the machine: ``python stranger.py UID`` tries what is asked.

It is started by root, reads {"files", "folders", "ports"} as JSON, and prints, as JSON, what it
could read, change or enter, and what each port has answered.
"""

import contextlib
import encodings.idna  # noqa: F401  which connecting needs: this user may not read our Python
import json
import os
import socket
import sys
from pathlib import Path

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
NO_SUCH, NOT_ADMITTED = "12", "16"  # statuses of gRPC


def main() -> None:
    """Become the user, and try."""
    asked = json.load(sys.stdin)
    os.setgroups([])
    os.setgid(int(sys.argv[1]))
    os.setuid(int(sys.argv[1]))
    works = [*filter(None, map(opened, asked["files"])), *filter(None, map(used, asked["folders"]))]
    answers = {
        port: {method: grpc(port, method) for method in asked["methods"]} | {"http": http(port)}
        for port in asked["ports"]
    }
    print(json.dumps({"works": works, "answers": answers}))  # noqa: T201  because it is the answer


def opened(path):
    """What can be done with a file, a socket or a place in /proc."""
    for flags, what in ((os.O_RDONLY, "read"), (os.O_WRONLY | os.O_APPEND, "write")):
        with contextlib.suppress(OSError):
            os.close(os.open(path, flags | os.O_NONBLOCK))
            return f"{what} {path}"
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, kind) as client:
            client.connect(path)
            return f"connect {path}"
    with contextlib.suppress(OSError):
        Path(path).rename(f"{path}.mine")
        return f"replace {path}"
    return None


def used(folder):
    """What can be done with a folder."""
    with contextlib.suppress(OSError):
        next(Path(folder).iterdir(), None)
        return f"list {folder}"
    with contextlib.suppress(OSError):
        (Path(folder) / "mine").symlink_to("/etc/passwd")
        return f"enter {folder}"
    return None


def frame(kind, flags, stream, body):
    head = len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
    return head + body


def grpc(port, method, token=None):
    """Status that a call without arguments ends with."""
    headers = {":method": "POST", ":scheme": "http", ":path": method, ":authority": "localhost",
               "content-type": "application/grpc",
               "te": "trailers"}  # fmt: skip  # codespell:ignore te
    if token:
        headers["authorization"] = f"Bearer {token}"
    packed = b"".join(
        bytes([0, len(name), *name.encode(), len(value), *value.encode()])
        for name, value in headers.items()
    )
    call = frame(4, 0, 0, b"") + frame(1, 4, 1, packed) + frame(0, 1, 1, bytes(5))
    answer = b""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 20) as peer:
        peer.sendall(PREFACE + call)
        while b"grpc-status" not in answer and (more := peer.recv(1 << 16)):
            answer += more
    status = answer.partition(b"grpc-status")[2]
    return status[1 : 1 + status[0]].decode() if status else None


def http(port):
    """Status of a request to the agent that sets environments up."""
    request = b"POST /get_runtime_envs_info HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    answer = b""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 20) as peer:
        peer.sendall(request)
        answer = peer.recv(1 << 10)
    return answer.split()[1].decode() if answer.startswith(b"HTTP/1.1 ") else None


if __name__ == "__main__":
    main()
