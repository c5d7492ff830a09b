"""Payloads in shared memory: a ring that one process writes and another reads.

The memory has no name, so nothing is left when its processes end, however they end, and only those
can reach it to whom the descriptor was handed.
"""

import fcntl
import mmap
import os
from collections import deque

_ALIGNED = 64  # bytes: a line of the cache
_FIRST_BYTES = 1 << 20


class Ring:
    """The writer's side. It takes space in order and is given it back in order.

    As long as readers keep up the same bytes are written again and again, which stay in the cache.
    A ring that is too small is left for one twice as large behind it in the same memory.

    Attributes:
        descriptor: File descriptor of the memory, to hand to the reader.
    """

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("crossmesh", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        self._memory: mmap.mmap | None = None
        self._begin = self._end = self._next = 0
        self._taken: deque[tuple[int, int]] = deque()  # number of a payload and its offset

    def write(self, payload: memoryview, number: int) -> int:
        """Copy a payload into the ring and return its offset; the last one may be asked for again.

        Args:
            payload: Not empty.
            number: Larger than those before.
        """
        if self._taken and self._taken[-1][0] == number:
            return self._taken[-1][1]
        n_bytes = payload.nbytes
        offset = self._place(-(-n_bytes // _ALIGNED) * _ALIGNED)
        self._taken.append((number, offset))
        assert self._memory is not None
        memoryview(self._memory)[offset : offset + n_bytes] = payload.cast("B")
        return offset

    def give_back(self, number: int) -> None:
        """Take the space of payloads up to a number again."""
        taken = self._taken
        while taken and taken[0][0] <= number:
            _, offset = taken.popleft()
            if offset < self._begin and (not taken or taken[0][1] >= self._begin):
                assert self._memory is not None
                self._memory.madvise(mmap.MADV_REMOVE, 0, self._begin)

    def close(self) -> None:
        """Leave the memory; more calls do nothing."""
        if self._memory is not None:
            self._memory.close()
            self._memory = None
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _place(self, n_bytes: int) -> int:
        """Offset of free space, from which on the next is searched."""
        if not self._taken:
            self._next = self._begin
        first = max(self._begin, self._taken[0][1]) if self._taken else self._begin
        offset = self._next
        if offset < first:  # what lies between is free
            fits = offset + n_bytes < first
        elif offset + n_bytes <= self._end:
            fits = True
        else:
            offset = self._begin
            fits = offset + n_bytes < first
        if not fits:
            offset = self._grow(n_bytes)
        self._next = offset + n_bytes
        return offset

    def _grow(self, n_bytes: int) -> int:
        size = max(_FIRST_BYTES, 2 * (self._end - self._begin), 4 * n_bytes)
        size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        self._begin, self._end = self._end, self._end + size
        os.ftruncate(self.descriptor, self._end)
        if self._memory is not None:
            self._memory.close()
        self._memory = mmap.mmap(self.descriptor, self._end)
        return self._begin


class RingReader:
    """The reader's side, which trusts no number that the writer sends.

    Args:
        descriptor: File descriptor of the memory, which is closed with the reader.

    Raises:
        ValueError: The memory could be taken away under a reader.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._memory: mmap.mmap | None = None
        self._n_bytes = 0
        try:
            is_sealed = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
        except OSError:  # it is something else
            is_sealed = 0
        if not is_sealed:
            self.close()
            raise ValueError("a ring must be memory that is sealed against shrinking")

    def read(self, offset: int, n_bytes: int) -> bytearray:
        """A copy of a payload.

        Raises:
            ValueError: It lies outside the memory.
        """
        if offset + n_bytes > self._n_bytes:
            self._n_bytes = os.fstat(self._descriptor).st_size
            if offset + n_bytes > self._n_bytes:
                raise ValueError(
                    f"a payload must lie within {self._n_bytes} bytes of shared memory, "
                    f"got {n_bytes} bytes from {offset} on"
                )
            self._unmap()
            self._memory = mmap.mmap(self._descriptor, self._n_bytes, prot=mmap.PROT_READ)
        assert self._memory is not None
        return bytearray(memoryview(self._memory)[offset : offset + n_bytes])

    def close(self) -> None:
        """Leave the memory; more calls do nothing."""
        self._unmap()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _unmap(self) -> None:
        if self._memory is not None:
            self._memory.close()
            self._memory = None
