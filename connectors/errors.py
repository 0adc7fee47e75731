"""What goes wrong outside. Messages name files, places, hosts and rules; never a value or a URL's path."""

from collections.abc import Sequence

from vault.errors import Fault


class ConnectorError(Exception):
    """The base of every error of this package."""


class SourceRefusedError(ConnectorError):
    """A whole export file is refused: `file` is its name, `faults` say where in its header and why."""

    def __init__(self, file: str, faults: Sequence[Fault]) -> None:
        self.file = file
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
