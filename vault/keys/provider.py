"""What a key provider does: it holds the root key, and wraps and unwraps the few keys right below it.

Every blob names its provider and version: length[1] | name | version[2] | body.
"""

from collections.abc import Sequence
from typing import Protocol

from vault.errors import ForeignProviderError, TamperedError


class KeyProvider(Protocol):
    """The holder of the root key: a sealed file, a PKCS#11 token, a transit service."""

    @property
    def name(self) -> str:
        """What the provider is called in blobs and in the table of epochs."""
        ...

    def wrap(self, aad: bytes, key: bytes) -> bytes:
        """Wrap a 32-byte key under the root key, bound to `aad`."""
        ...

    def unwrap_all(self, wrapped: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """The keys of pairs (aad, blob), in order; all at once, for opening the root key can be slow.

        Raises TamperedError, ForeignProviderError, and what the provider says of its root key
        (KeyringMissingError, WrongPassphraseError).
        """
        ...


def frame(provider: str, version: int, body: bytes) -> bytes:
    """Put a provider's name and version in front of what it wrapped."""
    name = provider.encode()
    return len(name).to_bytes(1) + name + version.to_bytes(2) + body


def unframe(provider: str, version: int, blob: bytes) -> bytes:
    """The body, if this very provider and version made it; else ForeignProviderError."""
    name_end = 1 + (blob[0] if blob else 0)
    body_start = name_end + 2
    if len(blob) < body_start:
        raise TamperedError
    try:
        found = blob[1:name_end].decode("ascii"), int.from_bytes(blob[name_end:body_start])
    except UnicodeDecodeError:
        raise TamperedError from None
    if found != (provider, version):
        raise ForeignProviderError(*found)
    return blob[body_start:]
