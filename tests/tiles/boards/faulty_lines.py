"""Lines that lose, add, change and delay bytes, and connections that break."""

import contextlib
import os
import random
import socket
import struct
import threading
import time
from collections import Counter

_RESET = struct.pack("ii", 1, 0)  # linger for no time: closing resets


class Faults:
    """Faults at random of a line, a number of times.

    Attributes:
        counts: How many of each kind there were.
    """

    kinds = ("cut", "garbage", "delay", "reset", "half", "flip", "loss")

    def __init__(self, seed, most, share=0.15, kinds=kinds):
        self.counts = Counter()
        self._random, self._most, self._share = random.Random(seed), most, share
        self._kinds = kinds
        self._lock = threading.Lock()

    @property
    def left(self):
        """How many are still to come."""
        return self._most - self.counts.total()

    def of(self, data):
        """What comes of some bytes.

        Raises:
            ConnectionResetError: If the connection breaks, after the bytes that it is raised with.
        """
        with self._lock:
            if not self.left or self._random.random() > self._share:
                return data
            kind = self._random.choice(self._kinds)
            self.counts[kind] += 1
            at = self._random.randrange(len(data))
            noise = self._random.randbytes(self._random.randrange(1, 40))
        if kind == "delay":
            time.sleep(0.05)  # so that it is asked again, and answered twice
        if kind in {"cut", "reset"}:
            raise ConnectionResetError(kind, data[:at])
        flipped = bytearray(data)
        flipped[at] ^= 1 << at % 8
        return {
            "delay": data, "half": data[: len(data) // 2], "flip": bytes(flipped), "loss": b"",
            "garbage": noise + data,
        }[kind]  # fmt: skip


@contextlib.contextmanager
def faulty_tcp(port, faults):
    """A port, what is sent to and from which meets faults on its way to another one."""
    with socket.create_server(("127.0.0.1", 0)) as door:

        def admit():
            with contextlib.suppress(OSError):
                while True:
                    here, _ = door.accept()
                    there = socket.create_connection(("127.0.0.1", port))
                    for pair in ((here, there), (there, here)):
                        threading.Thread(target=_pass, args=(*pair, faults), daemon=True).start()

        thread = threading.Thread(target=admit)
        thread.start()
        try:
            yield door.getsockname()[1]
        finally:
            door.shutdown(socket.SHUT_RDWR)
            thread.join()


def _pass(here, there, faults):
    """Pass on what comes from one side, until either is closed."""
    with contextlib.suppress(OSError):
        while data := here.recv(1 << 16):
            try:
                there.sendall(faults.of(data))
            except ConnectionResetError as error:
                if len(error.args) > 1:
                    there.sendall(error.args[1])
                for end in (here, there) if error.args[0] == "reset" else ():
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                raise
    for end in (here, there):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)  # which the other direction's thread sees
        end.close()


@contextlib.contextmanager
def serial_pair(faults=None):
    """Names of two serial ports, what is written to one of which is read from the other."""
    (left, left_end), (right, right_end) = os.openpty(), os.openpty()
    names = os.ttyname(left_end), os.ttyname(right_end)

    def carry(here, there):
        with contextlib.suppress(OSError):
            while data := os.read(here, 4096):
                os.write(there, faults.of(data) if faults else data)

    for pair in ((left, right), (right, left)):
        threading.Thread(target=carry, args=pair, daemon=True).start()
    try:
        yield names
    finally:
        for end in (left, left_end, right, right_end):
            os.close(end)
