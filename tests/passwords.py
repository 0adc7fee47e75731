"""Password hashes that cost nothing: what a password costs to try is not what these tests are about."""

from functools import cache

from argon2 import PasswordHasher, Type


@cache
def cheap_hash(password: str) -> str:
    """An Argon2id hash with the smallest cost; a hash names its cost, so the broker verifies it as it is."""
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1, type=Type.ID).hash(password)
