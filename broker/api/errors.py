"""What the JSON interface refuses with."""


class ApiTokenError(Exception):
    """No token, or one that opens nothing for this caller: unknown, foreign and expired are one answer."""


class ScopeMissingError(Exception):
    """The token is the caller's own, and does not bear the scope of this call."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        super().__init__(scope)


class AuditorNeededError(Exception):
    """Entries of the log are for auditors."""
