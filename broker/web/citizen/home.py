"""The citizen's home, "Where my data goes": every consent, the sources, the latest pulls."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter, Depends
from sqlmodel import col, select
from starlette.responses import Response

from broker.oauth.models import Interaction
from broker.web.citizen.desk import Reader, ReaderOf
from broker.web.citizen.views import Card, card
from broker.web.i18n import Words
from broker.web.rendering import PageOf
from broker.web.signin.guards import require_citizen
from consent.inbox import unread_count
from consent.reading import ConsentView, PullView, consents_of

router = APIRouter(dependencies=[Depends(require_citizen)])

_LATEST_PULLS: Final = 5


@dataclass(frozen=True, slots=True)
class LatestPull:
    """One pull with the consent that it belongs to."""

    pull: PullView
    grant_id: str
    recipient_name: str


@router.get("", name="home")
def show_home(page: PageOf, reader: ReaderOf) -> Response:
    """Everything on one page: waiting, active and ended consents, sources, latest pulls."""
    consents = [
        consent
        for consent in consents_of(reader.session, reader.keyring, reader.subject_id, reader.now)
        if reader.covers(consent.purpose)
    ]
    cards = _cards(page.words, reader, consents)
    return page.answer(
        "citizen/home.html",
        waiting=[entry for entry in cards if entry.group == "waiting"],
        active=[entry for entry in cards if entry.group == "active"],
        ended=[entry for entry in cards if entry.group == "ended"],
        links=[link for link in reader.links() if link.ended_at is None and reader.acting is None],
        latest_pulls=latest_pulls(page.words, consents),
        unread=0 if reader.acting else unread_count(reader.session, reader.subject_id),
    )


def latest_pulls(words: Words, consents: Sequence[ConsentView]) -> list[LatestPull]:
    """The newest pulls of all consents, the newest first."""
    pulls = [
        LatestPull(pull, consent.grant_id, consent.recipient.name(words.language))
        for consent in consents
        for pull in consent.pulls
    ]
    return sorted(pulls, key=lambda latest: latest.pull.as_of, reverse=True)[:_LATEST_PULLS]


def _cards(words: Words, reader: Reader, consents: Sequence[ConsentView]) -> list[Card]:
    requests = _open_requests(reader)
    return [
        card(
            words,
            consent,
            purpose_name=reader.purpose(consent.purpose).name.in_language(words.language),
            catalogue=reader.installation.catalogue,
            request_path=_path(words, requests.get(consent.grant_id)),
        )
        for consent in consents
    ]


def _path(words: Words, interaction_id: str | None) -> str | None:
    return None if interaction_id is None else f"/{words.language}/consent/{interaction_id}"


def _open_requests(reader: Reader) -> dict[str, str]:
    """The interactions in which this person can still decide, by grant."""
    rows = reader.session.exec(
        select(Interaction.grant_id, Interaction.interaction_id).where(
            Interaction.subject_id == reader.subject_id, col(Interaction.expires_at) > reader.now
        )
    )
    return {grant_id: interaction_id for grant_id, interaction_id in rows if grant_id is not None}
