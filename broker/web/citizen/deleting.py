"""What a recipient must delete, in words: by when, why, and whether it showed that it did. Pure."""

from dataclasses import dataclass
from datetime import datetime

from broker.web.i18n import Words
from consent.attestation import AttestationView
from consent.owed import ObligationView
from consent.vocabulary import AttestationFault, DeletionMethod, DueCause, EventType, ObligationState


@dataclass(frozen=True, slots=True)
class DeletionWords:
    """A recipient's obligation in words. `group` colours the label; `cause` is None while nothing is due."""

    state: str
    group: str
    cause: str | None
    due_at: datetime
    count: int
    was_acknowledged: bool
    attested_at: datetime | None
    deleted_at: datetime | None
    method: str | None
    is_overdue: bool
    is_disputed: bool
    can_be_disputed: bool


def deletion(
    words: Words, obligation: ObligationView | None, attestation: AttestationView | None
) -> DeletionWords | None:
    """An obligation and the attestation that answers it; None if there is nothing to delete."""
    if obligation is None:
        return None
    told = attestation if obligation.attested_at is not None else None
    return DeletionWords(
        state=_state_in_words(words, obligation.state),
        group="ended" if obligation.state is ObligationState.ATTESTED else "waiting",
        cause=None if obligation.cause is None else _cause_in_words(words, obligation.cause),
        due_at=obligation.due_at,
        count=len(obligation.deliveries),
        was_acknowledged=obligation.acknowledged_at is not None,
        attested_at=obligation.attested_at,
        deleted_at=None if told is None else told.deleted_at,
        method=None if told is None else _method_in_words(words, told.method),
        is_overdue=obligation.state is ObligationState.OVERDUE,
        is_disputed=obligation.state is ObligationState.DISPUTED,
        can_be_disputed=obligation.state is ObligationState.ATTESTED,
    )


def deletion_event_in_words(words: Words, event: str) -> str:
    """What happened to an obligation; an event of a later program keeps its code."""
    known: dict[str, str] = {
        EventType.OBLIGATION_DUE: words.gettext("The day was set by which the recipient must delete"),
        EventType.OBLIGATION_NOTIFIED: words.gettext("The recipient confirmed that it must delete"),
        EventType.OBLIGATION_ATTESTED: words.gettext(
            "The recipient confirmed with its signature that it deleted"
        ),
        EventType.OBLIGATION_OVERDUE: words.gettext("The recipient did not confirm the deletion in time"),
        EventType.OBLIGATION_DISPUTED: words.gettext("You doubted that the recipient deleted"),
        EventType.ATTESTATION_REFUSED: words.gettext(
            "A confirmation of deletion was not valid and was refused"
        ),
    }
    return known.get(event, event)


def fault_in_words(words: Words, fault: str) -> str:
    """Why a confirmation of deletion was refused; a code of a later program stays as it is."""
    known: dict[str, str] = {
        AttestationFault.MALFORMED: words.gettext("it was not in the agreed form"),
        AttestationFault.KEY_UNKNOWN: words.gettext("the recipient's own key had not signed it"),
        AttestationFault.MISADDRESSED: words.gettext("it was not from this recipient, or not for us"),
        AttestationFault.OF_ANOTHER: words.gettext("it was about something else"),
        AttestationFault.NOT_FRESH: words.gettext("it was not signed just now"),
        AttestationFault.TOO_EARLY: words.gettext("data was sent after the deletion it told of"),
        AttestationFault.IN_FUTURE: words.gettext("it told of a deletion yet to come"),
        AttestationFault.DIGESTS_DIFFER: words.gettext("it did not cover exactly what was sent"),
    }
    return known.get(fault, fault)


def _state_in_words(words: Words, state: ObligationState) -> str:
    return {
        ObligationState.PENDING: words.gettext("To be deleted"),
        ObligationState.NOTIFIED: words.gettext("To be deleted; the recipient knows"),
        ObligationState.ATTESTED: words.gettext("Deleted, with the recipient's signature"),
        ObligationState.OVERDUE: words.gettext("Late: no proof of deletion"),
        ObligationState.DISPUTED: words.gettext("Doubted by you"),
    }[state]


def _cause_in_words(words: Words, cause: DueCause) -> str:
    return {
        DueCause.WITHDRAWN: words.gettext("You stopped sharing"),
        DueCause.REVOKED: words.gettext("The consent was revoked"),
        DueCause.INVALIDATED: words.gettext("The consent lost its ground"),
        DueCause.FULFILLED: words.gettext("Everything was sent, and may be kept as long as you agreed"),
        DueCause.EXPIRED: words.gettext("The time is over; what was sent may be kept as long as you agreed"),
        DueCause.RETENTION_OVER: words.gettext("The time that you agreed to for keeping it is over"),
    }[cause]


def _method_in_words(words: Words, method: DeletionMethod) -> str:
    return {
        DeletionMethod.ERASED: words.gettext("erased"),
        DeletionMethod.OVERWRITTEN: words.gettext("overwritten"),
        DeletionMethod.KEY_DESTROYED: words.gettext("made unreadable by destroying its key"),
        DeletionMethod.MEDIA_DESTROYED: words.gettext("destroyed with what it was stored on"),
    }[method]
