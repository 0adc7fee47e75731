"""Who acts on the command line: the name that the operating system knows, and the reason given."""

import getpass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from consent.staff import Staff


def acting(reason: str) -> "Staff":
    """The person at the terminal, with a reason."""
    from consent.staff import Staff

    try:
        by = getpass.getuser()
    except (KeyError, OSError):  # no name for this process' user
        by = "unknown"
    return Staff(by, reason.strip())
