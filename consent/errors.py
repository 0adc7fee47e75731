"""What the consent domain raises: leaf classes with data, no texts for people, no status codes."""


class ConsentError(Exception):
    """The base of every error of this package."""


class InvalidTermsError(ConsentError):
    """Terms that cannot be agreed to, with each fault as `(path, reason)`."""

    def __init__(self, faults: list[tuple[str, str]]) -> None:
        self.faults = faults
        super().__init__("; ".join(f"{path}: {reason}" for path, reason in faults))


class UnknownPurposeError(ConsentError):
    """No service here declares this purpose."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__("unknown purpose")


class UnknownOrganisationError(ConsentError):
    """An organisation that is not registered, or is not active in the role it is named in."""

    def __init__(self, organisation_ids: list[str]) -> None:
        self.organisation_ids = organisation_ids
        super().__init__(", ".join(organisation_ids))


class AlreadyLinkedError(ConsentError):
    """The holder's number for this person is linked already, to this subject or another."""


class NotLinkedError(ConsentError):
    """No living link, hence no collection consent: nothing may be collected."""


class NothingKeptError(ConsentError):
    """Only a notice of the record is kept, since nobody had agreed to it: it must be delivered again."""


class RecordFaultyError(ConsentError):
    """A record that is kept apart for its faults cannot be taken as it is: its holder must mend it."""


class AlreadyDecidedError(ConsentError):
    """The decision stands and nobody asked for its review: another one for its delivery was refused."""


class DecisionReplacedError(ConsentError):
    """A later decision stands on the delivery; of this one no review can be asked for any more."""


class NotFoundError(ConsentError):
    """Unknown, foreign and not yours are one answer."""


class WrongStateError(ConsentError):
    """A transition that the state machine does not have."""

    def __init__(self, state: str, event: str) -> None:
        self.state = state
        self.event = event
        super().__init__(f"not possible in state {state}: {event}")


class DealInvalidError(ConsentError):
    """A deal that cannot be opened like this, with each fault as `(path, rule)`."""

    def __init__(self, faults: list[tuple[str, str]]) -> None:
        self.faults = faults
        super().__init__("; ".join(f"{path}: {rule}" for path, rule in faults))


class InvitationInvalidError(ConsentError):
    """An invitation to a deal that does not open what is asked; `why` is a plain sentence, without data."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


class ReconsentNeededError(ConsentError):
    """The text was revised in a way that matters: it goes on once the person has read and signed it."""


class NothingToChangeError(ConsentError):
    """A change that would change nothing, or that would add something where nothing may be added."""


class NoticeChangedError(ConsentError):
    """The text that was signed is not the text that was shown."""


class NoHolderError(ConsentError):
    """No holder is named and none is linked: there is nothing that such a consent could open."""


class RequiredItemMissingError(ConsentError):
    """A required item was left off: the consent can only be given with it, or refused."""

    def __init__(self, record_types: list[str]) -> None:
        self.record_types = record_types
        super().__init__(", ".join(record_types))


class RightInvalidError(ConsentError):
    """A request by right that cannot be filed or answered like this, with each fault as `(field, rule)`."""

    def __init__(self, faults: list[tuple[str, str]]) -> None:
        self.faults = faults
        super().__init__("; ".join(f"{field}: {rule}" for field, rule in faults))


class RoleForbidsError(ConsentError):
    """The role in which this broker is deployed does not have this capability."""

    def __init__(self, role: str, capability: str) -> None:
        self.role = role
        self.capability = capability
        super().__init__(f"role_forbids: a {role} may not {capability}")


class TooManyContactsError(ConsentError):
    """Too many addresses were named in one day: each is sent a code, and it may be a stranger's."""


class SignerRefusedError(ConsentError):
    """Whoever decides may not decide for this person: the reason is one of the law's (`RefusalReason`)."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class CoHolderNeededError(ConsentError):
    """It would open an account that others hold too, and they were not asked (THIRD_PARTY_RIGHTS)."""


class ReceiptInvalidError(ConsentError):
    """A receipt that does not verify: the reason says which check failed."""
