"""What the log raises: leaf classes with data, no texts for people."""


class LedgerError(Exception):
    """The base of every error of this package."""


class EntryTooLargeError(LedgerError):
    """A leaf that an entry bundle cannot hold: its length has 16 bits (tlog-tiles)."""

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(f"an entry of {size} bytes is too large for the log")


class LeafInvalidError(LedgerError):
    """A leaf that this program did not write."""


class LogDamagedError(LedgerError):
    """The stored log contradicts itself: entries are missing or the head does not fit them."""

    def __init__(self, place: str) -> None:
        self.place = place
        super().__init__(f"the stored log is damaged at {place}")


class LogForkError(LedgerError):
    """The log is older than, or other than, what was signed: nothing is signed any more.

    `signed_size` is the size of the checkpoint that the log no longer continues, `size` the log's own.
    """

    def __init__(self, signed_size: int, size: int) -> None:
        self.signed_size = signed_size
        self.size = size
        super().__init__(f"a log of {size} entries does not continue the checkpoint of {signed_size} entries")


class AnchorInvalidError(LedgerError):
    """An anchor file that is no checkpoint of this log's key."""


class LogKeyInvalidError(LedgerError):
    """A private key that is not Ed25519, or an origin that cannot be a key name."""


class NoteInvalidError(LedgerError):
    """A text that is no signed checkpoint, or one that the key did not sign."""


class NotInLogError(LedgerError):
    """A tile, an index or a checkpoint that the log does not have: unknown and malformed are one answer."""


class DirectoryNotEmptyError(LedgerError):
    """An export never writes into a directory that holds something."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        super().__init__("the directory to export to is not empty")
