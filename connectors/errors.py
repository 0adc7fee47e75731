"""What goes wrong outside. Messages name files, places, hosts and rules; never a value or a URL's path."""

from collections.abc import Sequence
from typing import Final

from vault.errors import Fault


class ConnectorError(Exception):
    """The base of every error of this package."""


class SourceRefusedError(ConnectorError):
    """A whole file is refused: `file` is its name, `place` where (as a rule its header), `faults` say why."""

    def __init__(self, file: str, faults: Sequence[Fault], place: str = "line 1") -> None:
        self.file = file
        self.place = place
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{file}: {fault.path}: {fault.rule}" for fault in faults))


class OutboundError(ConnectorError):
    """The base of what an outbound request can end in, other than an answer. `host` as in the URL."""

    def __init__(self, host: str, told: str) -> None:
        self.host = host
        super().__init__(f"{host}: {told}")


class UrlRefusedError(OutboundError):
    """The URL is not one that we call: no https, credentials inside, no host."""


class BlockedAddressError(OutboundError):
    """The host resolves to an address that is not public."""

    def __init__(self, host: str) -> None:
        super().__init__(host, "not a public address")


class UnreachableError(OutboundError):
    """No connection, no such name, TLS refused, or the connection broke."""

    def __init__(self, host: str) -> None:
        super().__init__(host, "cannot be reached")


class TimedOutError(OutboundError):
    """The answer did not come, or did not end, in time."""

    def __init__(self, host: str) -> None:
        super().__init__(host, "no answer in time")


class ResponseTooLargeError(OutboundError):
    """The answer is larger than the cap, which is in bytes."""

    def __init__(self, host: str, cap: int) -> None:
        self.cap = cap
        super().__init__(host, f"answer larger than {cap} bytes")


class ResponseRefusedError(OutboundError):
    """The answer is of a kind that we do not read: a redirect, or an encoded body."""

    def __init__(self, host: str, status: int, told: str) -> None:
        self.status = status
        super().__init__(host, f"{told} (status {status})")


class HolderError(ConnectorError):
    """The base of what asking a holder can end in, other than a page and an OutboundError."""


class HolderRefusedError(HolderError):
    """The holder refuses the transmission on a legal ground: `reason` is its code."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class HolderFaultError(HolderError):
    """The holder's answer is not one that can be used: `rule` is what it breaks."""

    def __init__(self, rule: str) -> None:
        self.rule = rule
        super().__init__(rule)


class TransmissionRefusedError(ConnectorError):
    """A holder refuses a request: the legal ground, and for its own log what is wrong with it."""

    def __init__(self, reason: str, told: str) -> None:
        self.reason = reason
        super().__init__(f"{reason}: {told}")


_RULES: Final[tuple[tuple[type[OutboundError], str], ...]] = (
    (TimedOutError, "timed_out"),
    (UnreachableError, "unreachable"),
    (ResponseTooLargeError, "answer_too_large"),
    (ResponseRefusedError, "answer_redirects_or_is_encoded"),
    (BlockedAddressError, "address_not_public"),
    (OutboundError, "address_refused"),
)


def rule_of(error: OutboundError) -> str:
    """The code under which what went wrong outside is kept."""
    return next(rule for kind, rule in _RULES if isinstance(error, kind))
