"""The operator's overview: what is late, waits or stands still, and statistics. Without anybody's name.

Operators act through the command line; every list names its command.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

from fastapi import APIRouter, Depends
from sqlmodel import Session
from starlette.responses import Response

from broker.deps import Installed, Now, Read
from broker.web.i18n import Words
from broker.web.listing import (
    SHOWN,
    Listing,
    due_soon_listing,
    more_in_words,
    overdue_listing,
    time_left,
)
from broker.web.operator import wording
from broker.web.rendering import PageOf
from broker.web.signin.guards import require_operator
from consent import oversight
from consent.counting import ACTIVE, NOT_A_STEP, statistics
from consent.oversight import CheckpointAge, DutyEntry, EmergencyEntry, Listed, OrganisationEntry, RightEntry

router = APIRouter(prefix="/operate", dependencies=[Depends(require_operator)])


@router.get("", name="operate")
def show_overview(page: PageOf, installation: Installed, session: Read, now: Now) -> Response:
    """Everything that needs somebody, the most urgent of each kind first."""
    smallest = installation.settings.statistics.smallest_cell
    checkpoint = oversight.checkpoint_age(session)
    return page.answer(
        "operator/overview.html",
        listings=_listings(page.words, session, now),
        checkpoint=checkpoint,
        checkpoint_age=_age_of(page.words, checkpoint, now),
        smallest=smallest,
        statistics=list(_statistics(page.words, statistics(session, smallest=smallest), smallest)),
    )


def _listings(words: Words, session: Session, now: datetime) -> list[Listing]:
    overdue = oversight.overdue_deletions(session, now, limit=SHOWN)
    soon = oversight.deletions_due_soon(session, now, limit=SHOWN)
    return [
        overdue_listing(words, overdue, "mydata obligation list --overdue"),
        due_soon_listing(words, soon, "mydata obligation list"),
        _rights(words, oversight.open_rights(session, now, limit=SHOWN), now),
        _emergencies(words, oversight.unreviewed_emergencies(session, now, limit=SHOWN), now),
        _duties(words, oversight.given_up_duties(session, limit=SHOWN)),
        _organisations(words, oversight.suspended_organisations(session, limit=SHOWN)),
    ]


def _rights(words: Words, found: Listed[RightEntry], now: datetime) -> Listing:
    return Listing(
        identifier="open-rights",
        title=words.gettext("Requests by right without an answer"),
        nothing=words.gettext("Every request by right has its answer."),
        headings=(
            words.gettext("Request"),
            words.gettext("Kind"),
            words.gettext("State"),
            words.gettext("Time left"),
        ),
        rows=tuple(
            (
                entry.right_id,
                wording.right_kind(words, entry.kind),
                wording.right_state(words, entry.state),
                time_left(words, entry.due_at, now),
            )
            for entry in found.entries
        ),
        total=found.total,
        late=found.late,
        more=more_in_words(words, found.more),
        commands=("mydata right show", "mydata right answer"),
    )


def _emergencies(words: Words, found: Listed[EmergencyEntry], now: datetime) -> Listing:
    return Listing(
        identifier="unreviewed-emergencies",
        title=words.gettext("Emergency accesses without a review"),
        nothing=words.gettext("Every emergency access was reviewed."),
        headings=(
            words.gettext("Access"),
            words.gettext("Recipient"),
            words.gettext("Opened"),
            words.gettext("Time left"),
        ),
        rows=tuple(
            (entry.emergency_id, entry.recipient_id, entry.opened_at, time_left(words, entry.due_at, now))
            for entry in found.entries
        ),
        total=found.total,
        late=found.late,
        more=more_in_words(words, found.more),
        commands=("mydata emergency review",),
    )


def _duties(words: Words, found: Listed[DutyEntry]) -> Listing:
    return Listing(
        identifier="dead-duties",
        title=words.gettext("Messages that were given up"),
        nothing=words.gettext("Nothing was given up."),
        headings=(
            words.gettext("Duty"),
            words.gettext("Kind"),
            words.gettext("Fault"),
            words.gettext("Attempts"),
            words.gettext("Given up"),
        ),
        rows=tuple(
            (
                entry.duty_id,
                wording.duty_kind(words, entry.kind),
                entry.fault or "–",
                words.number(entry.attempts),
                entry.dead_at or "–",
            )
            for entry in found.entries
        ),
        total=found.total,
        late=found.late,
        more=more_in_words(words, found.more),
        commands=("mydata duty list", "mydata duty replay"),
    )


def _organisations(words: Words, found: Listed[OrganisationEntry]) -> Listing:
    return Listing(
        identifier="suspended-organisations",
        title=words.gettext("Suspended organisations"),
        nothing=words.gettext("No organisation is suspended."),
        headings=(words.gettext("Organisation"), words.gettext("Role")),
        rows=tuple(
            (
                entry.organisation_id,
                wording.organisation_roles(words, is_recipient=entry.is_recipient, is_holder=entry.is_holder),
            )
            for entry in found.entries
        ),
        total=found.total,
        late=found.late,
        more=more_in_words(words, found.more),
        commands=("mydata org reinstate", "mydata org remove"),
    )


def _age_of(words: Words, checkpoint: CheckpointAge, now: datetime) -> str | None:
    return None if checkpoint.signed_at is None else wording.age(words, now - checkpoint.signed_at)


def _statistics(words: Words, told: Mapping[str, object], smallest: int) -> Iterator[tuple[str, str, str]]:
    """Each total in words, with its code and count; a small one is not told."""
    hidden = words.gettext("not told: fewer than %(count)s, or would give one away", count=smallest)
    for group, counts in ((ACTIVE, told[ACTIVE]), ("", told["total"])):
        for name, count in _flat(group, counts):
            yield _metric(words, name), name, hidden if count is None else words.number(count)


def _metric(words: Words, name: str) -> str:
    _, is_purpose, purpose = name.partition(f"{ACTIVE}.byPurpose.")
    if is_purpose:
        return words.gettext("Consents in force for %(purpose)s", purpose=purpose)
    return wording.metric(words, name.removesuffix(".total"))


def _flat(group: str, counts: object) -> Iterator[tuple[str, int | None]]:
    """Members as `group.member`, however deep; the step that we do not have is left out."""
    if not isinstance(counts, Mapping):
        yield group, counts if isinstance(counts, int) else None
        return
    for name, member in counts.items():
        if name != NOT_A_STEP:
            yield from _flat(f"{group}.{name}" if group else name, member)
