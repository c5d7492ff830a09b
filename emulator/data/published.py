"""Data sets that are published: found on this machine, or fetched."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from crossmesh.common.errors import DataError
from crossmesh.common.homes import user_home
from crossmesh.emulator.data.config import DataConfig
from crossmesh.emulator.data.examples import Dataset
from crossmesh.emulator.data.fetch import FetchError, fetch
from crossmesh.emulator.data.files import find_file
from crossmesh.emulator.data.idx import read_folder
from crossmesh.emulator.data.raw import assemble

ARCHIVE = "cifar-10-binary.tar.gz"
TRAIN_BATCHES, TEST_BATCHES = "data_batch*.bin", "test_batch*.bin"
TEXT = "input.txt"


@dataclass(frozen=True, kw_only=True)
class Publication:
    """Download locations of a published data set.

    Attributes:
        mirrors: Addresses that the name of a file is put behind, tried in order.
        sha256: Digest of each file by name.
        unpacked: Patterns of names of files that stand for those, plain or compressed.
        subfolders: Names that its folder may have besides the data set's.
        advice: Advice for when it cannot be downloaded; by default, where to put it.
    """

    mirrors: tuple[str, ...]
    sha256: Mapping[str, str]
    unpacked: tuple[str, ...] = ()
    subfolders: tuple[str, ...] = ()
    advice: str | None = None

    def is_in(self, folder: Path) -> bool:
        """Whether any of its files is in a folder."""
        published = any(find_file(folder, name.removesuffix(".gz")) for name in self.sha256)
        return published or self.is_unpacked_in(folder)

    def is_unpacked_in(self, folder: Path) -> bool:
        """Whether any file is there that stands for the published ones."""
        if not self.unpacked or not folder.is_dir():
            return False
        names = [path.name.removesuffix(".gz") for path in folder.iterdir() if path.is_file()]
        return any(fnmatch(name, pattern) for name in names for pattern in self.unpacked)


PUBLICATIONS = {
    "mnist": Publication(
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        sha256={
            "train-images-idx3-ubyte.gz": (
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
            ),
            "train-labels-idx1-ubyte.gz": (
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
            ),
            "t10k-images-idx3-ubyte.gz": (
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
            ),
            "t10k-labels-idx1-ubyte.gz": (
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
            ),
        },
    ),
    "fashion-mnist": Publication(
        mirrors=(
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        sha256={
            "train-images-idx3-ubyte.gz": (
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
            ),
            "train-labels-idx1-ubyte.gz": (
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
            ),
            "t10k-images-idx3-ubyte.gz": (
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
            ),
            "t10k-labels-idx1-ubyte.gz": (
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
            ),
        },
    ),
    "cifar10": Publication(
        mirrors=("https://www.cs.toronto.edu/~kriz/",),
        sha256={ARCHIVE: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
        unpacked=(TRAIN_BATCHES, TEST_BATCHES),
        subfolders=("cifar-10-batches-bin", "cifar10-subset"),
        advice=(
            "get it from https://www.cs.toronto.edu/~kriz/cifar.html and give its folder by "
            "--data-dir"
        ),
    ),
    "tinyshakespeare": Publication(
        mirrors=(
            "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/",
        ),
        sha256={TEXT: "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"},
        advice="give its folder by --data-dir, or another text by data.file",
    ),
}


def load_published(config: DataConfig) -> Dataset:
    """The data set that ``data.source`` names.

    Raises:
        DataError: If it cannot be had.
    """
    folder = located(config.source, config)
    return assemble(config.source, config, *read_folder(folder))


def located(name: str, config: DataConfig) -> Path:
    """The folder with the files of a published data set.

    The first folder with any of its files is used, and must have them all: sets are never mixed.
    The cache is completed over the network.

    Raises:
        DataError: If it is nowhere on this machine and cannot be fetched.
    """
    cache = _cache() / name
    places = [*_folders(name, config), cache]
    folder = next(filter(PUBLICATIONS[name].is_in, places), cache)
    if folder == cache:
        _complete(cache, name, places)
    return folder


def _folders(name: str, config: DataConfig) -> list[Path]:
    """Folders that the user names, before the cache; in each the data set's own comes first."""
    named = [config.directory] if config.directory is not None else []
    if variable := os.environ.get("CROSSMESH_DATA"):
        named.append(Path(variable).expanduser())
    below = (name, *PUBLICATIONS[name].subfolders)
    return [place for folder in named for place in (*(folder / sub for sub in below), folder)]


def _cache() -> Path:
    variable = os.environ.get("XDG_CACHE_HOME")
    return (Path(variable) if variable else user_home() / ".cache") / "crossmesh"


def _complete(cache: Path, source: str, places: list[Path]) -> None:
    publication = PUBLICATIONS[source]
    if publication.is_unpacked_in(cache):
        return
    advice = publication.advice or f"give the folder with the files of {source} by --data-dir"
    for name, digest in publication.sha256.items():
        if find_file(cache, name.removesuffix(".gz")) is not None:
            continue
        try:
            fetch([mirror + name for mirror in publication.mirrors], digest, cache / name)
        except FetchError as error:
            raise DataError(
                f"data.directory must hold {name}, got none in {', '.join(map(str, places))}, "
                f"nor from the network ({error}); {advice}"
            ) from None
