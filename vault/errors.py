"""What can go wrong in the vault. Messages carry no personal data, no key and no token."""

from collections.abc import Sequence
from dataclasses import dataclass


class VaultError(Exception):
    """The base of every error of the vault."""


class TamperedError(VaultError):
    """Authentication failed: altered, truncated, moved to another row, or sealed under another key."""

    def __init__(self) -> None:
        super().__init__("sealed data did not authenticate")


class UnknownKeyError(VaultError):
    """There is no such key in the keyring: it was never made, or it is gone."""

    def __init__(self, key_name: str) -> None:
        super().__init__(f"no such key: {key_name}")
        self.key_name = key_name


class ErasedError(UnknownKeyError):
    """The keys of this subject were erased, and none is ever made again."""

    def __init__(self, subject_id: str) -> None:
        super().__init__(f"subject {subject_id} (erased)")
        self.subject_id = subject_id


class KeyringMissingError(VaultError):
    """There is no root key file, or no keyring has been created in the database."""


class KeyringExistsError(VaultError):
    """A root key file or a keyring is already there: nothing is ever overwritten."""


class KeyFileUnsafeError(VaultError):
    """The root key file is a link, readable by others, or not a root key file of ours."""


class WrongPassphraseError(VaultError):
    """The passphrase does not open the root key file."""

    def __init__(self) -> None:
        super().__init__("the passphrase does not open the root key")


class KeyringLockedError(VaultError):
    """The keyring is used before `unlock()`."""

    def __init__(self) -> None:
        super().__init__("the keyring is locked")


class ForeignProviderError(VaultError):
    """A blob was wrapped by another key provider, or by a version that this one does not know."""

    def __init__(self, provider: str, version: int) -> None:
        super().__init__(f"wrapped by provider {provider!r}, version {version}")
        self.provider = provider
        self.version = version


class UnknownRecordTypeError(VaultError):
    """The catalogue has no such record type."""

    def __init__(self, record_type: str) -> None:
        super().__init__("no such record type")
        self.record_type = record_type


@dataclass(frozen=True)
class Fault:
    """One broken rule: where (a JSON path, never a value) and which."""

    path: str
    rule: str


class RecordInvalidError(VaultError):
    """A record breaks its schema. Names every fault, none of the values."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = list(faults)
        super().__init__("; ".join(f"{fault.path}: {fault.rule}" for fault in self.faults))


class UntrustedTokenError(VaultError):
    """A JWT, a JWK or a key set is not acceptable. The reason is ours, never a part of the token."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UntrustedCertificateError(UntrustedTokenError):
    """A certificate, or a name that it is told by, is not acceptable. The reason is ours."""


class SourceKeyTakenError(VaultError):
    """A source key names a record of another subject, holder or type: the source used one key twice."""

    def __init__(self, record_id: str) -> None:
        super().__init__(f"the source key belongs to another record: {record_id}")
        self.record_id = record_id
