"""Passwords as Argon2id hashes (RFC 9106). Slow on purpose: never called while a transaction is open."""

from typing import Final

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerifyMismatchError

# RFC 9106 section 4 leaves the cost to the deployment. 32 MiB keeps forty sign-ins at once below 1.3 GiB.
_TIME_COST: Final = 3
_MEMORY_KIBIBYTES: Final = 32 * 1024
_LANES: Final = 1
MAX_PASSWORD_CHARACTERS: Final = 256

# The hash of 256 random bits that nobody kept, at the same cost: an unknown name takes as long as any.
_HASH_OF_NO_ACCOUNT: Final = (
    "$argon2id$v=19$m=32768,t=3,p=1$Huc+8uc3lr2KRFMd/6FlKw$1se5Odc85l6v3FBgvzcJ7OjEJ3WAB3VYMB4GKkYUmHw"
)


def hash_password(password: str) -> str:
    """The Argon2id hash of a password, with its own salt, in PHC format."""
    return _hasher().hash(password)


def verify_password(password: str, password_hash: str | None) -> bool:
    """Whether the password belongs to the hash. With no hash: False, after the same time."""
    candidate = password if len(password) <= MAX_PASSWORD_CHARACTERS else ""
    try:
        _hasher().verify(password_hash or _HASH_OF_NO_ACCOUNT, candidate)
    except (VerifyMismatchError, InvalidHashError):
        return False
    return password_hash is not None and candidate == password


def _hasher() -> PasswordHasher:
    return PasswordHasher(
        time_cost=_TIME_COST, memory_cost=_MEMORY_KIBIBYTES, parallelism=_LANES, type=Type.ID
    )
