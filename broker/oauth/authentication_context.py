"""How strongly somebody signed in (OpenID Connect Core section 2, `acr` and `amr`; RFC 8176).

There are passwords only, so there is one class. A class that nobody can reach is not promised.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

ONE_FACTOR: Final = "urn:mydata:acr:1fa"

METHODS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({ONE_FACTOR: ("pwd",)})
"""For each class what was used to sign in, in the words of RFC 8176 section 2."""

SUPPORTED: Final = tuple(METHODS)
"""The classes, the weakest first."""


def at_least(acr: str) -> tuple[str, ...]:
    """A class and every stronger one."""
    return SUPPORTED[SUPPORTED.index(acr) :]
