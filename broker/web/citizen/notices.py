"""Notifications in plain words: what happened, with whom, and where to read on. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from broker.oauth.ciba import ASKED_EVENT
from broker.web.citizen import wording
from broker.web.citizen.collecting import refusal_in_words
from broker.web.i18n import Words
from consent.inbox import DigestLine, NoticeView
from consent.notifications import NoticeKind
from consent.vocabulary import EventType

_REFUSALS = frozenset({EventType.DELIVERY_REFUSED, EventType.COLLECTION_REFUSED, EventType.RECORD_TAMPERED})
_SOURCES = ("source.", "collection.", "record.", "records.", "subject.searched")


@dataclass(frozen=True, slots=True)
class Line:
    """One notification as a page shows it. `path` is without the language."""

    notification_id: str
    text: str
    who: str | None
    note: str | None
    at: datetime
    path: str | None
    index: int | None
    is_read: bool
    is_refusal: bool
    summary: tuple["SummaryLine", ...] = ()


@dataclass(frozen=True, slots=True)
class SummaryLine:
    """One line of a digest."""

    text: str
    who: str | None
    count: int
    first_at: datetime
    last_at: datetime


def notice_lines(
    words: Words, notices: Sequence[NoticeView], digests: Mapping[str, tuple[DigestLine, ...]] | None = None
) -> list[Line]:
    """Notifications in their order; `digests` are the lines of those that are digests, by id."""
    return [_line(words, notice, (digests or {}).get(notice.notification_id, ())) for notice in notices]


def event_told(words: Words, event: str) -> str:
    """What happened, said to somebody who may not have done it themselves."""
    known: dict[str, str] = {
        EventType.CONSENT_GIVEN: words.gettext("A consent was given in your name"),
        EventType.CONSENT_AMENDED: words.gettext("A consent was changed in your name"),
        EventType.CONSENT_RENEWED: words.gettext("A consent was renewed in your name"),
        EventType.CONSENT_REFUSED: words.gettext("Somebody else declined, so the request has ended"),
        EventType.CONSENT_PAUSED: words.gettext("Sending your data was paused"),
        ASKED_EVENT: words.gettext("An organisation asks for your decision"),
        EventType.CONSENT_WITHDRAWN: words.gettext("A consent was stopped; nothing is sent any more"),
    }
    return known.get(event) or wording.event_in_words(words, event)


def text_of(words: Words, notice: NoticeView) -> str:
    """A notification as one short sentence."""
    match notice.kind:
        case NoticeKind.DIGEST:
            return words.gettext("Summary of what was sent and refused")
        case NoticeKind.YEARLY:
            return words.gettext("Who received your data in %(year)s", year=notice.year)
        case _:
            return event_told(words, notice.event)


def path_of(notice: NoticeView) -> str | None:
    """Where to read on, without the language."""
    match notice.kind:
        case NoticeKind.DIGEST:
            return f"/inbox/{notice.notification_id}"
        case NoticeKind.YEARLY:
            return f"/history?year={notice.year}"
    if notice.event == ASKED_EVENT:
        return "/asked"
    if notice.event.startswith("right."):
        return "/rights"
    if notice.grant_id is not None:
        return f"/consents/{notice.grant_id}"
    return "/sources" if notice.event.startswith(_SOURCES) else None


def summary_lines(words: Words, lines: Sequence[DigestLine]) -> tuple[SummaryLine, ...]:
    """A digest's lines in words."""
    return tuple(
        SummaryLine(
            event_told(words, line.event),
            line.organisation.name(words.language) if line.organisation else None,
            line.count,
            line.first_at,
            line.last_at,
        )
        for line in lines
    )


def _line(words: Words, notice: NoticeView, lines: Sequence[DigestLine]) -> Line:
    return Line(
        notification_id=notice.notification_id,
        text=text_of(words, notice),
        who=notice.organisation.name(words.language) if notice.organisation else None,
        note=_note(words, notice),
        at=notice.at,
        path=path_of(notice),
        index=notice.index,
        is_read=notice.is_read,
        is_refusal=notice.event in _REFUSALS,
        summary=summary_lines(words, lines),
    )


def _note(words: Words, notice: NoticeView) -> str | None:
    """The reason, where the log names one."""
    reason = notice.facts.get("reason")
    if not isinstance(reason, str) or notice.event not in _REFUSALS:
        return None
    if notice.event == EventType.COLLECTION_REFUSED:
        return refusal_in_words(words, reason)
    return wording.reason_in_words(words, reason)
