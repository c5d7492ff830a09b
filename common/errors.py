"""Errors that are the user's to mend; the command line prints them in one line and exits with 2."""

import re
from typing import Any

# Each of these takes a time in proportion to the text: no two repeats can share its letters.
_WORD = re.compile(r"[^\s@'\"]+@?")
# user:password@ behind the scheme; a password may hold slashes, and a port is none. Of the web, a
# name alone may be a token. A path makes one slash of two.
_LOGIN = re.compile(r"(:/+)[^/:]*:(?!\d+/).*", re.DOTALL)  # in a word that ends in @
_WEB_LOGIN = re.compile(r"(https?:/+)[^\s/@'\"]+@", re.IGNORECASE)
_SECRET = (
    r"secret|(?<!max_)(?<!num_)token(?!iz)|passw|pwd|signature|credential|auth"
    r"|(?:access|account|api|enc|private|session|signing|ssh)[_-]?key"
    r"|(?<![a-z0-9])(?:keys?(?=[\d_-]*=)|(?:pass|passphrase|pat|dsn)(?![a-z]))"
    r"|(?<=[?&;])(?:sig|sas)(?==)"
)
_PARAMETER = re.compile(
    rf"([?&;](?=[\w.%-]++=)(?=[\w.%-]*?(?:{_SECRET}))[\w.%-]++=)[^&;#\s'\"]+", re.IGNORECASE
)


def masked(text: str) -> str:
    """A text whose addresses show no passwords, keys and tokens.

    >>> masked("got s3://KEY:SE/CRET@bucket/a?region=b&secret_key=c")
    'got s3://***@bucket/a?region=b&secret_key=***'
    """
    without = _WEB_LOGIN.sub(r"\1***@", _WORD.sub(_without_login, text))
    return _PARAMETER.sub(r"\1***", without)


def _without_login(word: re.Match[str]) -> str:
    return _LOGIN.sub(r"\1***@", word[0]) if word[0].endswith("@") else word[0]


def is_secret(name: str) -> bool:
    """Whether a variable, or a parameter of an address, of this name is likely to hold a secret.

    >>> is_secret("AZURE_STORAGE_KEY"), is_secret("TOKENIZERS_PARALLELISM")
    (True, False)
    """
    return _PARAMETER.match(f"?{name}=x") is not None


class ConfigError(ValueError):
    """A config is wrong: the message names the field, the rule and the value."""

    def __init__(self, message: str) -> None:
        super().__init__(masked(message))


class DataError(ValueError):
    """Data cannot be had or used: one line that names the field, the rule and the value."""


class RunError(RuntimeError):
    """A run failed in a tile or in the cluster; the message says what, where and why."""


class RunLost(RunError):  # noqa: N818  because it names what happened
    """A run failed through no fault of its own: resumed, it may well succeed."""


class HostLost(RunLost):
    """An actor, a node or a channel is lost; the rest can continue from the last checkpoint."""


class CallbackError(RunError):
    """A callback failed, which stopped the run; nothing is lost.

    Attributes:
        result: Result of the run up to there.
    """

    def __init__(self, message: str, result: Any) -> None:
        super().__init__(message)
        self.result = result


_FOREIGN = {"ray": "Ray", "pyarrow": "Arrow", "zmq": "ZeroMQ"}  # by the package of an error
_THREADS = "can't start new thread"  # how Python says that the system has no more


def in_our_words(error: Exception) -> str | None:
    """One line for an error of the operating system or of a library; None for any other error.

    >>> in_our_words(OSError(28, "No space left on device", "/runs/digits"))
    'operating system error: No space left on device: /runs/digits'
    >>> in_our_words(ValueError("negative"))
    """
    if isinstance(error, MemoryError):
        return ": ".join(filter(None, ("out of memory", str(error))))
    if isinstance(error, OSError) and error.errno is not None:
        where = [str(name) for name in (error.filename, error.filename2) if name is not None]
        return ": ".join(["operating system error", error.strerror or str(error), *where])
    if isinstance(error, RuntimeError) and str(error) == _THREADS:
        return "operating system error: too many processes or threads of this user"
    library = _FOREIGN.get(type(error).__module__.partition(".")[0])
    if library is None:
        return None
    first = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return f"{library} failed: {first}"
