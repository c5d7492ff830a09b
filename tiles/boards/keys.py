"""Who may talk to a board: tokens, and key pairs for CURVE, in files of their owner alone."""

import hmac
import json
import os
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

NONCE_BYTES = 16


@dataclass(frozen=True, kw_only=True)
class BoardKeys:
    """What one end of an encrypted line knows, as Z85 texts.

    Attributes:
        server_public: Public key of the server.
        public: Own public key.
        secret: Own secret key.
    """

    server_public: str
    public: str
    secret: str = field(repr=False)


def new_keys(path: Path) -> tuple[BoardKeys, BoardKeys]:
    """Key pairs of a server and of its clients, kept in ``path`` for clients, ``path.server``.

    Those that are there already are used again.

    Returns:
        The server's, the clients'.
    """
    import zmq

    own = path.with_name(f"{path.name}.server")
    if path.exists() and own.exists():
        return keys_of(own), keys_of(path)
    (server_public, server_secret), (public, secret) = (
        (pair[0].decode(), pair[1].decode()) for pair in (zmq.curve_keypair(), zmq.curve_keypair())
    )
    server = BoardKeys(server_public=server_public, public=public, secret=server_secret)
    client = BoardKeys(server_public=server_public, public=public, secret=secret)
    for place, keys in ((own, server), (path, client)):
        place.unlink(missing_ok=True)
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(keys), file)
    return server, client


def keys_of(path: Path) -> BoardKeys:
    """The keys in a file.

    Raises:
        ValueError: If it holds something else, or others may read it.
        OSError: If it cannot be read.
    """
    _check_private(path)
    try:
        keys = BoardKeys(**json.loads(path.read_text("utf-8")))
        right = all(isinstance(value, str) and len(value) == 40 for value in asdict(keys).values())
    except (TypeError, ValueError):
        right = False
    if not right:
        raise ValueError(f"must be a file of keys that a board's server has written, got {path}")
    return keys


def token_of(path: Path) -> bytes:
    """The token in a file: its text without white space at either end.

    Raises:
        ValueError: If it is empty, or others may read the file.
        OSError: If it cannot be read.
    """
    _check_private(path)
    token = path.read_bytes().strip()
    if len(token) < 16:
        raise ValueError(
            f"must be a file with a token of at least 16 bytes, got {len(token)} bytes"
        )
    return token


def _check_private(path: Path) -> None:
    if path.stat().st_mode & 0o077:
        raise ValueError(f"must be a file that its owner alone may read (chmod 600 {path})")


def proof(token: bytes, nonce: bytes, session: bytes) -> bytes:
    """HMAC-SHA256 by which a client shows that it knows the token, which never travels."""
    return hmac.new(token, nonce + session, sha256).digest()


def is_proof(given: object, token: bytes, nonce: bytes, session: bytes) -> bool:
    """Whether a client has shown it."""
    right = proof(token, nonce, session)
    return isinstance(given, bytes) and hmac.compare_digest(given, right)
