"""What a recipient owes for what it stored: to delete it in time, and to prove that it did.

Two clocks: the end of access stops the pulls, the end of the data life says when what was stored must be gone
(PIPA articles 21 and 37; the consent model's invariant 9). An obligation is opened by the lane, together with
the first delivery that may be stored, and changed only under its consent's lock. The lane never changes it:
what deliveries since then mean for it is computed when it is read (`standing`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlmodel import Session, col, select

from consent.disclosure import instant
from consent.evidence import Work, record_consent_event
from consent.models import Consent, Delivery, Obligation
from consent.outbox import DutyKind, owe
from consent.versions import REQUESTED_NUMBER
from consent.vocabulary import ConsentState, DueCause, EventType, ObligationState
from vault.keys.keyring import Keyring

DAYS_AFTER_END: Final = 3
"""How many days "without delay" is, unless it is set otherwise (PIPA article 37(4))."""

ANSWERED: Final = frozenset({ObligationState.ATTESTED, ObligationState.DISPUTED})
"""The recipient has said that it deleted: time alone changes nothing any more."""

_CAUSES: Final = {
    ConsentState.WITHDRAWN: DueCause.WITHDRAWN,
    ConsentState.REVOKED: DueCause.REVOKED,
    ConsentState.INVALIDATED: DueCause.INVALIDATED,
    ConsentState.FULFILLED: DueCause.FULFILLED,
    ConsentState.EXPIRED: DueCause.EXPIRED,
}
_WITHOUT_DELAY: Final = frozenset({DueCause.WITHDRAWN, DueCause.REVOKED, DueCause.INVALIDATED})
LOOK_AGAIN: Final = timedelta(days=1)
"""How often to see whether a delivery has come after an attestation, while the consent lives."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A delivery that the recipient may store, and until when."""

    delivery_id: str
    as_of: datetime
    retention_days: int
    payload_digest: bytes

    @property
    def keep_until(self) -> datetime:
        """The end of its data life."""
        return self.as_of + timedelta(days=self.retention_days)


@dataclass(frozen=True, slots=True)
class Standing:
    """An obligation as it is now, whatever its row says; `cause` is None while the consent lives."""

    state: ObligationState
    cause: DueCause | None
    due_at: datetime
    kept: tuple[Kept, ...]


def due_date(
    kept: Sequence[Kept], cause: DueCause | None, ended_at: datetime | None, days_after_end: int
) -> datetime:
    """When everything that was delivered must be gone.

    At the end of the last delivery's data life; once somebody ended the consent, without delay, and never
    later than that.
    """
    data_life_end = max(one.keep_until for one in kept)
    if cause in _WITHOUT_DELAY and ended_at is not None:
        return min(data_life_end, ended_at + timedelta(days=days_after_end))
    return data_life_end


def standing(consent: Consent, row: Obligation, kept: Sequence[Kept]) -> Standing:
    """What an obligation's row means now. A delivery that an attestation does not cover opens it again.

    Whether the person doubts that attestation makes no difference to what came after it.
    """
    state = ObligationState(row.state)
    if state in ANSWERED and len(kept) > row.attested_count:
        state = ObligationState.PENDING
    cause = _CAUSES.get(ConsentState(consent.state))
    due_at = due_date(kept, cause, consent.ended_at, row.days_after_end)
    if state is ObligationState.OVERDUE and row.due_at is not None:
        due_at = min(row.due_at, due_at)  # another pull does not undo that it is late
    stored = None if row.cause is None else DueCause(row.cause)
    return Standing(state, cause or stored, due_at, tuple(kept))


def first_check(as_of: datetime, retention_days: int, days_after_end: int) -> datetime:
    """When to look first at an obligation that a delivery opens: in time to remind the recipient."""
    return as_of + timedelta(days=max(retention_days - days_after_end, 0))


def kept_deliveries(session: Session, grant_id: str) -> list[Kept]:
    """The deliveries of a consent that may be stored, in the order in which they were made."""
    rows = session.exec(
        select(Delivery)
        .where(Delivery.grant_id == grant_id, col(Delivery.retention_days) > 0)
        .order_by(col(Delivery.as_of), col(Delivery.delivery_id))
    )
    return [kept_of(row) for row in rows]


def kept_of(row: Delivery) -> Kept:
    """A delivery as far as its deletion goes."""
    return Kept(row.delivery_id, row.as_of, row.retention_days, row.payload_digest)


def find(session: Session, grant_id: str) -> Obligation | None:
    """The obligation of a consent, read afresh; None without a delivery that may be stored."""
    return session.exec(
        select(Obligation).where(Obligation.grant_id == grant_id).execution_options(populate_existing=True)
    ).one_or_none()


def fall_due(work: Work, keyring: Keyring, consent: Consent, now: datetime) -> None:
    """The consent, which is locked, has ended: the recipient is told, and what it stored has a date.

    A request that nobody signed is left out: its recipient knows no grant.
    """
    if consent.version_number > REQUESTED_NUMBER:
        owe(work.session, DutyKind.TELL_ENDED, consent.grant_id, now)
    settle_date(work, keyring, consent, now)


def settle_date(work: Work, keyring: Keyring, consent: Consent, now: datetime) -> Standing | None:
    """Write down date and cause of an ended consent's obligation; its standing, None if it has no obligation.

    Before the recipient is told this is repeated: a delivery may have been committed at the very moment of
    the end. `consent` is locked.
    """
    row = find(work.session, consent.grant_id)
    if row is None:
        return None
    now_standing = standing(consent, row, kept_deliveries(work.session, consent.grant_id))
    if now_standing.state in ANSWERED:
        row.check_at = None
        if now_standing.state is ObligationState.DISPUTED:  # whoever looks into the doubt sees the date
            row.cause, row.due_at = now_standing.cause, now_standing.due_at
    elif row.state in ANSWERED or (row.cause, row.due_at) != (now_standing.cause, now_standing.due_at):
        _set_date(work, keyring, consent, row, now_standing, now)
    return now_standing


def check(work: Work, keyring: Keyring, consent: Consent, now: datetime) -> None:
    """Look at an obligation whose time has come: remind the recipient, or note that it is late.

    `consent` is locked. Before that time nothing happens.
    """
    row = find(work.session, consent.grant_id)
    if row is None or row.check_at is None or now < row.check_at:
        return
    found = standing(consent, row, kept_deliveries(work.session, consent.grant_id))
    remind_at = found.due_at - timedelta(days=row.days_after_end)
    if found.state in ANSWERED:
        row.check_at = now + LOOK_AGAIN if consent.ended_at is None else None
    elif now >= found.due_at:
        _note_overdue(work, keyring, consent, row, found, now)
    elif now >= remind_at:
        _set_date(work, keyring, consent, row, found, now)
        row.check_at = found.due_at
        owe(work.session, DutyKind.TELL_DUE, consent.grant_id, now)
    else:
        row.check_at = remind_at  # deliveries have come since
        if consent.ended_at is None:
            row.state, row.cause, row.due_at = ObligationState.PENDING, None, None


def acknowledge_due(
    work: Work, keyring: Keyring, consent: Consent, due_at: str | None, now: datetime
) -> None:
    """The recipient took the event that told it of the date `due_at`, as the event wrote it."""
    row = find(work.session, consent.grant_id)
    if row is None or row.due_at is None or row.state != ObligationState.PENDING:
        return
    if instant(row.due_at) != due_at:
        return  # there is another date by now, and another event on its way
    row.state, row.acknowledged_at = ObligationState.NOTIFIED, now
    record(work, keyring, consent, row, EventType.OBLIGATION_NOTIFIED, now)


def record(  # noqa: PLR0913, PLR0917 - an event of an obligation is all of these
    work: Work,
    keyring: Keyring,
    consent: Consent,
    row: Obligation,
    event: EventType,
    now: datetime,
    *,
    detail: Mapping[str, Any] | None = None,
    facts: Mapping[str, str | int] | None = None,
) -> None:
    """Put it into the log. Cause and date are public: an auditor sees what is late."""
    public: dict[str, str | int] = {} if row.cause is None else {"cause": row.cause}
    if row.due_at is not None:
        public["due"] = instant(row.due_at)
    record_consent_event(
        work,
        keyring,
        consent,
        event,
        facts=public | dict(facts or {}),
        detail={"obligation_id": row.obligation_id, **(detail or {})},
        now=now,
    )


def _set_date(  # noqa: PLR0913, PLR0917 - a date is set on all of these
    work: Work, keyring: Keyring, consent: Consent, row: Obligation, found: Standing, now: datetime
) -> None:
    """Put date and cause on record. Who was told another date must be told again; late stays late."""
    if row.state != ObligationState.OVERDUE:
        row.state, row.acknowledged_at = ObligationState.PENDING, None
        remind_at = found.due_at - timedelta(days=row.days_after_end)
        row.check_at = remind_at if remind_at > now else found.due_at
    row.cause, row.due_at = found.cause or DueCause.RETENTION_OVER, found.due_at
    record(work, keyring, consent, row, EventType.OBLIGATION_DUE, now)


def _note_overdue(  # noqa: PLR0913, PLR0917 - as above
    work: Work, keyring: Keyring, consent: Consent, row: Obligation, found: Standing, now: datetime
) -> None:
    row.state, row.check_at = ObligationState.OVERDUE, None
    row.cause, row.due_at = found.cause or DueCause.RETENTION_OVER, found.due_at
    record(work, keyring, consent, row, EventType.OBLIGATION_OVERDUE, now)
    owe(work.session, DutyKind.TELL_DUE, consent.grant_id, now)
