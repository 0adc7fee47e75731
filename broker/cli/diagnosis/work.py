"""What should have been done by now: duties, ends of consents and links, asking holders; and by whom."""

from datetime import datetime, timedelta

from sqlalchemy import type_coerce
from sqlmodel import Session, col, func, select

from broker.cli.diagnosis.finding import Finding, failed, in_words, ok, warning
from broker.cli.diagnosis.log import oldest_unsigned
from consent.ledger.models import LedgerCheckpoint
from consent.models import (
    Consent,
    Duty,
    HolderConnection,
    Organisation,
    PendingRecord,
    SourceLink,
    SourceProgress,
)
from consent.organisations import OrganisationStatus
from consent.outbox import HOOKED, OWN_FAULT, PINGED, PUSHED
from consent.pending import PendingState
from consent.vocabulary import ConsentState
from vault.schema import Instant

_STUBBORN = 5  # attempts: after them a duty has waited a minute, and something is wrong with it
_SOON = timedelta(days=2)
_RUN = "Run `mydata worker`; if it runs, look for `job failed` in its log."


def check_duties(session: Session, now: datetime, *, patience: timedelta) -> Finding:
    """Duties are done when they are due, and none fails again and again. Events have a check of their own."""
    check = "duties"
    undone = select(Duty).where(
        col(Duty.done_at).is_(None),
        col(Duty.dead_at).is_(None),
        col(Duty.kind).not_in(PUSHED | HOOKED | PINGED),
    )
    late = session.exec(
        undone.where(col(Duty.due_at) < now - patience).order_by(col(Duty.due_at)).limit(1)
    ).first()
    if late is not None:
        count = _count(session, late=now - patience)
        detail = f"{count} duties are overdue, the first ({late.kind}) for {in_words(now - late.due_at)}."
        return failed(check, detail, _RUN)
    stubborn = session.exec(
        undone.where(col(Duty.attempts) >= _STUBBORN).order_by(col(Duty.created_at)).limit(1)
    ).first()
    if stubborn is None:
        return ok(check)
    age = in_words(now - stubborn.created_at)
    detail = f"A duty ({stubborn.kind}) has failed {stubborn.attempts} times in {age}."
    return failed(check, detail, "Look for `duty postponed` in the worker's log; the error is named there.")


def check_events(session: Session, now: datetime, *, patience: timedelta) -> Finding:
    """Events reach the recipients that they are for, and what is pushed to anybody can be made and signed."""
    check = "events"
    if (own := _own_faults(session, now)) is not None:
        return failed(check, own, "Look for `push postponed` in the worker's log, and run `mydata key list`.")
    events = select(func.count(), func.min(Duty.created_at)).where(
        col(Duty.kind).in_(PUSHED), col(Duty.done_at).is_(None)
    )
    dead, since = session.exec(events.where(col(Duty.dead_at).is_not(None))).one()
    if since is not None:
        detail = f"{dead} events were given up, the first from {in_words(now - since)} ago."
        cure = "`mydata duty list` names the faults. Once the recipient is back: `mydata duty replay --all`."
        return failed(check, detail, cure)
    waiting = events.where(col(Duty.dead_at).is_(None))
    late, since = session.exec(waiting.where(col(Duty.due_at) < now - patience)).one()
    if since is not None:
        return failed(
            check, f"{late} events should have been sent, the first {in_words(now - since)} ago.", _RUN
        )
    failing, since = session.exec(waiting.where(col(Duty.attempts) >= _STUBBORN)).one()
    if since is None:
        return ok(check)
    detail = f"{failing} events are not taken by their recipients, the first for {in_words(now - since)}."
    return warning(check, detail, "Look for `event not taken` in the worker's log, and ask the recipient.")


def check_expiry(session: Session, now: datetime, *, patience: timedelta) -> Finding:
    """What time has ended is on record as ended, and its shares are gone."""
    check = "expiry"
    consents = _overdue_consents(session, now - patience)
    links = _overdue_links(session, now - patience)
    ends = [end for _, end in (consents, links) if end is not None]
    if not ends:
        return ok(check)
    detail = (
        f"{consents[0]} consents and {links[0]} links of sources are over and not ended, "
        f"the first for {in_words(now - min(ends))}. Nothing is released from them."
    )
    return failed(check, detail, _RUN)


def check_asking(session: Session, now: datetime, *, patience: timedelta) -> Finding:
    """Holders are asked when it is time, and answer. Those that are suspended are not to be asked."""
    check = "holders"
    due_at = func.coalesce(col(SourceProgress.next_at), col(SourceLink.given_at))  # never asked yet
    living = (
        select(func.count(), func.min(type_coerce(due_at, Instant)))
        .select_from(SourceLink)
        .join(HolderConnection, col(HolderConnection.holder_id) == col(SourceLink.holder_id))
        .join(Organisation, col(Organisation.organisation_id) == col(SourceLink.holder_id))
        .outerjoin(SourceProgress, col(SourceProgress.link_id) == col(SourceLink.link_id))
        .where(
            Organisation.status == OrganisationStatus.ACTIVE,
            col(SourceLink.ended_at).is_(None),
            col(SourceLink.valid_until) > now,
            col(SourceLink.identity_sealed).is_not(None),
        )
    )
    late, since = session.exec(living.where(type_coerce(due_at, Instant) < now - patience)).one()
    if since is not None:
        detail = f"{late} links of sources wait to be asked, the first for {in_words(now - since)}."
        return failed(check, detail, _RUN)
    failing, _ = session.exec(living.where(col(SourceProgress.attempts) >= _STUBBORN)).one()
    if not failing:
        return ok(check)
    detail = f"{failing} links of sources get no good answer from their holder."
    return warning(check, detail, "Look at the faults in `mydata source list`, and ask the holder.")


def check_pending(session: Session, now: datetime, *, patience: timedelta) -> Finding:
    """What is kept apart is decided on before its time is over, and goes when it is over."""
    check = "pending records"
    kept = select(func.count(), func.min(PendingRecord.expires_at))
    late, since = session.exec(kept.where(col(PendingRecord.expires_at) < now - patience)).one()
    if since is not None:
        detail = f"{late} records are kept apart for longer than they may be, by {in_words(now - since)}."
        return failed(check, detail, _RUN)
    waiting = kept.where(PendingRecord.state == PendingState.WAITING)
    soon, first = session.exec(waiting.where(col(PendingRecord.expires_at) < now + _SOON)).one()
    if first is None:
        return ok(check)
    detail = (
        f"{soon} records that nobody has decided on are destroyed soon, the first at {first:%F %H:%M} UTC."
    )
    cure = "Decide on them: mydata source pending list"
    return warning(check, detail, cure)


def check_worker(session: Session, now: datetime, *, patience: timedelta) -> Finding:
    """Some worker has done something since the oldest work that waits became due."""
    check = "worker"
    waiting = [
        since
        for since in (
            session.exec(
                select(func.min(Duty.due_at)).where(col(Duty.done_at).is_(None), col(Duty.dead_at).is_(None))
            ).one(),
            _overdue_consents(session, now)[1],
            _overdue_links(session, now)[1],
            oldest_unsigned(session),
        )
        if since is not None and since < now - patience
    ]
    if not waiting:
        return ok(check)
    signs = (func.max(Duty.done_at), func.max(LedgerCheckpoint.signed_at))
    seen = [at for sign in signs if (at := session.exec(select(sign)).one()) is not None]
    if seen and max(seen) > min(waiting):
        return ok(check, "It runs, though not everything gets done.")
    detail = f"No worker seems to run: work waits for {in_words(now - min(waiting))}."
    return failed(check, detail, "Run `mydata worker` beside the server, and keep it running.")


def _own_faults(session: Session, now: datetime) -> str | None:
    """What could not be pushed through a fault of the broker's, given up or not; None: nothing."""
    mine = (col(Duty.fault).startswith(OWN_FAULT, autoescape=True), col(Duty.done_at).is_(None))
    first = session.exec(select(Duty).where(*mine).order_by(col(Duty.created_at)).limit(1)).first()
    if first is None:
        return None
    count = session.exec(select(func.count()).select_from(Duty).where(*mine)).one()
    kind = (first.fault or "").removeprefix(OWN_FAULT)
    age = in_words(now - first.created_at)
    return f"{count} messages could not be made or signed by the broker, the first ({kind}) for {age}."


def _count(session: Session, *, late: datetime) -> int:
    return session.exec(
        select(func.count())
        .select_from(Duty)
        .where(
            col(Duty.done_at).is_(None),
            col(Duty.dead_at).is_(None),
            col(Duty.kind).not_in(PUSHED | HOOKED | PINGED),
            col(Duty.due_at) < late,
        )
    ).one()


def _overdue_consents(session: Session, by: datetime) -> tuple[int, datetime | None]:
    return session.exec(
        select(func.count(), func.min(Consent.valid_until)).where(
            col(Consent.state).in_((ConsentState.GIVEN, ConsentState.PAUSED)), col(Consent.valid_until) < by
        )
    ).one()


def _overdue_links(session: Session, by: datetime) -> tuple[int, datetime | None]:
    return session.exec(
        select(func.count(), func.min(SourceLink.valid_until)).where(
            col(SourceLink.ended_at).is_(None), col(SourceLink.valid_until) < by
        )
    ).one()
