"""The local key provider: a root key in a file of its own, sealed by a passphrase (Argon2id, RFC 9106).

The root key is in memory only while it wraps or unwraps; the file states its own cost parameters.
"""

import os
import secrets
import stat
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, ValidationError

from vault.errors import (
    KeyFileUnsafeError,
    KeyringExistsError,
    KeyringMissingError,
    TamperedError,
    WrongPassphraseError,
)
from vault.keys.provider import frame, unframe
from vault.seal import KEY_SIZE, context_of, unwrap_key, wrap_key

_NAME: Final = "local"
_VERSION: Final = 1
_SALT_SIZE: Final = 16
_MAX_FILE_SIZE: Final = 16 * 1024


class Argon2Cost(BaseModel):
    """What one guess of a passphrase costs. Bounded, so that no file can exhaust the machine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    iterations: Annotated[int, Field(ge=1, le=64)] = 3
    memory_kib: Annotated[int, Field(ge=64, le=4 * 1024 * 1024)] = 64 * 1024
    lanes: Annotated[int, Field(ge=1, le=64)] = 4


class _RootFile(BaseModel):
    """The root key file. `wrapped_root` is bound to every other member."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: Literal["local"] = _NAME
    version: Literal[1] = _VERSION
    argon2id: Argon2Cost
    salt: Annotated[Base64Bytes, Field(min_length=_SALT_SIZE, max_length=_SALT_SIZE)]
    wrapped_root: Base64Bytes

    @classmethod
    def seal(cls, root: bytes, passphrase: str, cost: Argon2Cost) -> Self:
        salt = os.urandom(_SALT_SIZE)
        wrapped = wrap_key(_stretch(passphrase, salt, cost), _root_aad(salt, cost), root)
        return cls(argon2id=cost, salt=b64encode(salt), wrapped_root=b64encode(wrapped))

    def open(self, passphrase: str) -> bytes:
        """The root key. A wrong passphrase and an altered file cannot be told apart."""
        kek = _stretch(passphrase, self.salt, self.argon2id)
        try:
            return unwrap_key(kek, _root_aad(self.salt, self.argon2id), self.wrapped_root)
        except TamperedError:
            raise WrongPassphraseError from None


class LocalProvider:
    """The root key in a file, opened by a passphrase each time it is needed."""

    name: Final = _NAME

    def __init__(self, path: Path, passphrase: str) -> None:
        self._path = path
        self._passphrase = passphrase

    def __repr__(self) -> str:
        return f"LocalProvider({str(self._path)!r})"

    def wrap(self, aad: bytes, key: bytes) -> bytes:
        """Wrap a key under the root key. Raises what `unwrap_all` raises of the file."""
        return frame(_NAME, _VERSION, wrap_key(self._open_root(), aad, key))

    def unwrap(self, aad: bytes, blob: bytes) -> bytes:
        """One key; see `unwrap_all`."""
        return self.unwrap_all([(aad, blob)])[0]

    def unwrap_all(self, wrapped: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """The keys of pairs (aad, blob).

        Raises KeyringMissingError, KeyFileUnsafeError, WrongPassphraseError for the file;
        TamperedError, ForeignProviderError for a blob.
        """
        root = self._open_root()
        return [unwrap_key(root, aad, unframe(_NAME, _VERSION, blob)) for aad, blob in wrapped]

    def _open_root(self) -> bytes:
        raw = _read_private(self._path)
        try:
            root_file = _RootFile.model_validate_json(raw)
        except ValidationError:
            # Not chained: pydantic's message would quote the file.
            raise KeyFileUnsafeError(f"{self._path} is not a root key file of version {_VERSION}") from None
        return root_file.open(self._passphrase)


def create_root_file(path: Path, passphrase: str, *, cost: Argon2Cost | None = None) -> None:
    """Make a new random root key and write it, sealed, to a new file (0600), durable when this returns.

    Raises KeyringExistsError if the path is taken, by whatever: nothing is overwritten.
    """
    if not passphrase:
        raise ValueError("a root key needs a passphrase")
    root_file = _RootFile.seal(os.urandom(KEY_SIZE), passphrase, cost or Argon2Cost())
    _write_private(path, root_file.model_dump_json(indent=2).encode())


def _stretch(passphrase: str, salt: bytes, cost: Argon2Cost) -> bytes:
    kdf = Argon2id(
        salt=salt,
        length=KEY_SIZE,
        iterations=cost.iterations,
        lanes=cost.lanes,
        memory_cost=max(cost.memory_kib, 8 * cost.lanes),  # RFC 9106 section 3.1: at least 8 KiB per lane
    )
    return kdf.derive(passphrase.encode())


def _root_aad(salt: bytes, cost: Argon2Cost) -> bytes:
    return context_of("root@v1", _NAME, _VERSION, salt, cost.iterations, cost.memory_kib, cost.lanes)


def _read_private(path: Path) -> bytes:
    """A small file that belongs to nobody else: no link, a regular file, closed to group and world."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise KeyringMissingError(f"no root key file at {path}") from None
    except OSError as error:
        raise KeyFileUnsafeError(f"{path} cannot be opened: {error.strerror}") from None
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, not a path: it is checked before use
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise KeyFileUnsafeError(f"{path} is not a regular file")
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise KeyFileUnsafeError(f"{path} is open to others: its mode must be 0600")
        return file.read(_MAX_FILE_SIZE)


def _write_private(path: Path, content: bytes) -> None:
    """Write a new file whole or not at all: under another name, then linked into place."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, made with its mode
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.link(draft, path, follow_symlinks=False)  # unlike a rename, fails if the name is taken
    except FileExistsError:
        raise KeyringExistsError(f"{path} is there already") from None
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
