"""What the management of event streams refuses with."""

from collections.abc import Sequence


class StreamInvalidError(Exception):
    """A request that SSF 1.0 answers with 400: `faults` name the member and the rule, never the value."""

    def __init__(self, faults: Sequence[tuple[str, str]]) -> None:
        self.faults = list(faults)
        super().__init__("; ".join(f"{path}: {rule}" for path, rule in faults))


class StreamExistsError(Exception):
    """The client has its one stream already."""


class StreamUnknownError(Exception):
    """The client has no stream of this id: unknown and another's are one answer."""


class TooManySignalsError(Exception):
    """More is waiting for the stream, or kept for it, than one client may have."""
