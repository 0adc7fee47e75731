"""What a verifier can say besides yes: falsified, could not check, no such key."""


class FalsifiedError(Exception):
    """Something is there and it is not what was signed. `place` is a file, a line or an entry."""

    def __init__(self, place: str, reason: str) -> None:
        self.place = place
        self.reason = reason
        super().__init__(f"{place}: {reason}")


class UncheckableError(Exception):
    """Something that is needed for the check is not there or cannot be read."""

    def __init__(self, place: str, reason: str) -> None:
        self.place = place
        self.reason = reason
        super().__init__(f"{place}: {reason}")


class VerifierKeyInvalidError(Exception):
    """A text that is no Ed25519 verifier key."""
