"""Finding a subject for the operator: by a holder's exact number only, and every search is on record."""

from dataclasses import dataclass, field
from datetime import datetime

from consent.collection import find_link
from consent.evidence import Work
from consent.staff import Staff, StaffAct, record_staff_act
from consent.vocabulary import EventType
from vault.keys.keyring import Keyring


@dataclass(frozen=True, slots=True)
class Search:
    """What is searched: a holder's number, whole. There is no search by a part of one, and no list."""

    holder_id: str
    number: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Found:
    """Whose number it is."""

    subject_id: str
    link_id: str


def find_subject(work: Work, keyring: Keyring, search: Search, staff: Staff, now: datetime) -> Found | None:
    """The subject behind a holder's number; None if it is nobody's here. Hits and misses are recorded."""
    link = find_link(work.session, keyring, search.holder_id, search.number)
    act = StaffAct(
        EventType.SUBJECT_SEARCHED,
        staff,
        facts={"found": int(link is not None)},
        detail={"holder": search.holder_id},
    )
    record_staff_act(work, keyring, act, link, now)
    return None if link is None else Found(link.subject_id, link.link_id)
