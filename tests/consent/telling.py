"""An office whose people are told: events as the lane and others leave them, and what became of them."""

from collections.abc import Mapping
from typing import Any, Final

from sqlmodel import select

from consent.contacts import NewContact, add_contact, confirm_contact
from consent.digests import close_digests, tell_year
from consent.evidence import record_consent_event
from consent.models import Consent, Duty, Notification
from consent.notification_wishes import Channel, Wishes, save_wishes
from consent.notifications import Told, fold
from consent.vocabulary import EventType
from tests.consent.office import Office

HOUR: Final = 8
HOW: Final = Told(frozenset(Channel), HOUR)
CODE: Final = "12345678"


def happens(
    office: Office, grant_id: str, event: EventType, *, detail: Mapping[str, Any] | None = None, **facts: str
) -> None:
    """An entry about a consent, as whoever it happens to records it."""
    with office.work() as work:
        consent = work.session.get_one(Consent, grant_id)
        now = office.clock()
        record_consent_event(work, office.keyring, consent, event, detail=detail or {}, facts=facts, now=now)


class Died(BaseException):
    """What a kill is to a test in one process."""


def tell(office: Office, *, limit: int = 200, how: Told = HOW, dies: bool = False) -> int:
    """Fold to the end of the log, batch by batch; answers how many entries were read.

    `dies`: killed before the second commit, or the first where there is no second.
    """
    read, is_dying = 0, False
    while True:
        with office.work() as work:
            batch = fold(work.session, office.keyring, how, office.clock(), limit=limit)
            if dies and (is_dying or batch < limit):
                raise Died
            is_dying = True
        if not batch:
            return read
        read += batch


def digest(office: Office, *, limit: int = 200, dies: bool = False) -> int:
    with office.work() as work:
        closed = close_digests(work.session, HOW, office.clock(), limit=limit)
        if dies:
            raise Died
        return closed


def tell_years(office: Office, *, limit: int = 200) -> int:
    with office.work() as work:
        return tell_year(work.session, HOW, office.clock(), limit=limit)


def wish(office: Office, wishes: Wishes, subject_id: str | None = None) -> None:
    with office.work() as work:
        save_wishes(work.session, subject_id or office.subject_id, wishes, office.clock(), hour=HOUR)


def reachable(office: Office, channel: Channel, address: str) -> str:
    """A confirmed contact of the office's person."""
    new = NewContact(office.subject_id, channel, address, CODE, "ko")
    with office.work() as work:
        contact_id = add_contact(work.session, office.keyring, new, office.clock())
    with office.work() as work:
        owner = (office.subject_id, channel)
        assert confirm_contact(work.session, office.keyring, owner, CODE, office.clock())
    return contact_id


def notifications(office: Office, *events: str) -> list[Notification]:
    """Everybody's, in the order of the log; of these events only, if any are named."""
    with office.installation.data.read() as session:
        rows = session.exec(select(Notification)).all()
    found = [row for row in rows if not events or row.event in events]
    return sorted(found, key=lambda row: (row.idx is None, row.idx or 0, row.at))


def duties(office: Office, *kinds: str) -> list[Duty]:
    with office.installation.data.read() as session:
        return [duty for duty in session.exec(select(Duty)) if duty.kind in kinds]
