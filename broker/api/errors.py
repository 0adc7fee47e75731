"""What the JSON interface refuses with."""

from collections.abc import Sequence

from vault.errors import Fault


class ApiTokenError(Exception):
    """No token, or one that opens nothing for this caller: unknown, foreign and expired are one answer."""


class BearerTokenError(ApiTokenError):
    """The same for a token that came as `Bearer` (RFC 6750 section 3), where such are taken."""


class ScopeMissingError(Exception):
    """The token is the caller's own, and does not bear the scope of this call."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        super().__init__(scope)


class AuditorNeededError(Exception):
    """Entries of the log are for auditors."""


class CitizenNeededError(Exception):
    """What a citizen may do about their own data is for citizens who are signed in."""


class MediaTypeError(Exception):
    """A body of another media type than JSON in UTF-8."""


class HolderDeliveryError(Exception):
    """A holder's delivery that cannot be read at all: `faults` say where and why, never a value."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = list(faults)
        super().__init__("; ".join(f"{fault.path}: {fault.rule}" for fault in faults))
