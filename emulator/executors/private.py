"""Protection of a private Ray instance from other users of this machine.

Its files lie in a folder that no other user may enter, since Ray itself makes folders that all may
write; it demands a token that is made for it; and it listens on the loopback address alone.
"""

import os
import secrets

from crossmesh.common.errors import ConfigError
from crossmesh.common.private_folders import NoPrivateFolder, PrivateFolder, write_private
from crossmesh.emulator.executors.ray_internals import is_clustered, read_environment_again

_SETTINGS = {
    # Ray takes the loopback address for the node's, and all its servers listen there alone; on
    # macOS and Windows it does so by default.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # Otherwise, with ray[default], they can be read without a token.
    "RAY_enable_metrics_collection": "0",
}
_TOKEN_VARIABLES = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_TOKEN")


class Enclosure:
    """Surroundings of one Ray instance, from before it starts until after it has ended.

    Attributes:
        temporary: Folder for Ray's files, in a folder of mode 0700: Ray opens its own to all.

    Raises:
        ConfigError: If there is no place for the folder.
    """

    def __init__(self) -> None:
        try:
            self._folder = PrivateFolder()
        except NoPrivateFolder as error:
            raise ConfigError(str(error)) from None
        self.temporary = self._folder.path / "ray"
        names = (*_TOKEN_VARIABLES, *_SETTINGS)
        self._before = {name: os.environ.get(name) for name in names}
        self._was_clustered = is_clustered()
        try:
            token = self._folder.path / "token"
            write_private(token, secrets.token_hex(32))
            os.environ.pop("RAY_AUTH_TOKEN", None)  # which would count instead
            os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(token), **_SETTINGS)
            read_environment_again(is_clustered=False)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the folder and leave the environment as it was."""
        self._folder.remove()
        for name, value in self._before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        read_environment_again(is_clustered=self._was_clustered)
