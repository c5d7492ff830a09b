"""Storage of checkpoints: a folder of any file system that pyarrow knows, seen by all hosts."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import pyarrow as pa
from pyarrow import fs

from crossmesh.common import free_memory
from crossmesh.common.homes import at_home
from crossmesh.common.private_folders import make_private


class NotWritten(OSError):  # noqa: N818  because it names what happened
    """A file or folder could not be written; the message says where and why."""


class NotRead(OSError):  # noqa: N818  because it names what happened
    """A file could not be read just now; it may well be whole."""


class NotShared(RuntimeError):  # noqa: N818  because it names what is
    """A folder that was made on one node is not there on another."""


class Storage:
    """A folder, which need not exist.

    Args:
        where: A path, perhaps below ``~``, or an address that pyarrow takes, such as
            ``s3://bucket/folder``, perhaps with options behind a question mark, such as
            ``?region=eu-central-1``.

    Raises:
        ValueError: If pyarrow knows no such file system.
    """

    def __init__(self, where: str) -> None:
        if "://" in where:
            self._base, mark, options = where.partition("?")
            self._options = mark + options
            self._base = self._base.rstrip("/")
            self._files, self._path = fs.FileSystem.from_uri(self.where)
        else:
            self._base, self._options = str(at_home(where).absolute()), ""
            self._files, self._path = fs.LocalFileSystem(), self._base
        self._is_local = isinstance(self._files, fs.LocalFileSystem)

    def __str__(self) -> str:
        return self.where

    @property
    def where(self) -> str:
        """Its path or address, as other processes take it."""
        return self._base + self._options

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self._base.rpartition("/")[2]

    @property
    def renames(self) -> bool:
        """Whether folders can be renamed here: in an object store they cannot."""
        return self._is_local

    @property
    def is_there(self) -> bool:
        """Whether the folder is there, as far as can be seen."""
        return bool(self._files.get_file_info(self._path).type == fs.FileType.Directory)

    def free_bytes(self) -> int | None:
        """Bytes that can be written here, by this user; None where nothing says so."""
        if not self._is_local:
            return None
        place = Path(self._path)
        for folder in (place, *place.parents):
            with contextlib.suppress(OSError):
                return shutil.disk_usage(folder).free
        return None

    def folder(self, name: str) -> "Storage":
        """A folder in this one."""
        return Storage(f"{self._base}/{name}{self._options}")

    def names(self) -> list[str]:
        """Sorted names of files and folders in the folder; empty if it does not exist."""
        if self._is_local:  # pyarrow gives up at a link that leads to itself
            try:
                return sorted(path.name for path in Path(self._path).iterdir())
            except FileNotFoundError:
                return []
        return sorted(entry.base_name for entry in self._entries())

    def folders(self) -> list[str]:
        """The folders within the folder, in order; no files, and nothing that cannot be seen."""
        if self._is_local:
            return [name for name in self.names() if Path(self._path, name).is_dir()]
        kind = fs.FileType.Directory
        return sorted(entry.base_name for entry in self._entries() if entry.type == kind)

    def _entries(self) -> list[fs.FileInfo]:
        return self._files.get_file_info(fs.FileSelector(self._path, allow_not_found=True))

    def read(self, name: str) -> pa.Buffer:
        """A whole file.

        Raises:
            FileNotFoundError: If there is none, or something else in its place.
            NotRead: If it cannot be read just now, or does not fit in the memory that is free.
        """
        path = f"{self._path}/{name}"
        try:
            entry = self._files.get_file_info(path)
            if entry.type != fs.FileType.File:  # a pipe would never end
                raise FileNotFoundError(f"{path} is no file")
            if (free := free_memory.lacking(entry.size or 0)) is not None:
                there = free_memory.in_words(free)
                raise NotRead(f"{path} must fit in the {there} of memory that are free")
            with self._files.open_input_file(path) as source:
                return source.read_buffer(entry.size)
        except (FileNotFoundError, NotRead):
            raise
        except OSError as error:
            raise NotRead(f"{self.where}/{name} cannot be read: {_reason(error)}") from None

    def write(self, name: str, body: bytes) -> None:
        """Write a file, through to the disk.

        Raises:
            NotWritten: If that fails.
        """
        with self.writing(name) as stream:
            stream.write(body)

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[pa.NativeFile]:
        """A stream into a file, which reaches the disk when the block ends.

        Raises:
            NotWritten: If that fails.
        """
        path = f"{self._path}/{name}"
        try:
            with self._files.open_output_stream(path, compression=None) as stream:
                yield stream
            self._sync(path)
        except OSError as error:
            raise self._not_written(error) from None

    def begin(self, name: str) -> "Storage":
        """An empty folder in which to write what ``publish`` makes visible as ``name``.

        It lies aside where folders can be renamed, and is for its owner alone. In an object store
        they cannot; there the file that is written last says that the others are whole.

        Raises:
            NotWritten: If it cannot be had.
        """
        aside = self.folder(f".{name}.{token_hex(4)}" if self.renames else name)
        aside.remove()
        try:
            if self._is_local:
                make_private(Path(self._path))
                make_private(Path(aside._path))
            else:
                self._files.create_dir(aside._path, recursive=True)
        except OSError as error:
            raise self._not_written(error) from None
        return aside

    def publish(self, aside: "Storage", name: str) -> None:
        """Make visible, at once, what was written in a folder that ``begin`` gave.

        Raises:
            NotWritten: If that fails.
        """
        if not self.renames:
            return
        try:
            self._sync(aside._path)
            self._files.move(aside._path, f"{self._path}/{name}")
            self._sync(self._path)
        except OSError as error:
            raise self._not_written(error) from None

    def remove(self) -> None:
        """Delete the folder and what is in it, if it is there.

        Raises:
            NotWritten: If that fails.
        """
        try:
            self._files.delete_dir(self._path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise self._not_written(error) from None

    def _sync(self, path: str) -> None:
        """Have a file, or the names in a folder, reach the disk."""
        if self._is_local:
            number = os.open(path, os.O_RDONLY)
            try:
                os.fsync(number)
            finally:
                os.close(number)

    def _not_written(self, error: OSError) -> NotWritten:
        return NotWritten(f"{self.where} cannot be written: {_reason(error)}")


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error).partition(". Detail")[0]
