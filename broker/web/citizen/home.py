"""The citizen's home, "Where my data goes": every consent, the sources, the latest pulls."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fastapi import APIRouter, Depends
from sqlmodel import Session, col, select
from starlette.responses import Response

from broker.deps import Installed, Now, Read
from broker.oauth.models import Interaction
from broker.web.citizen.views import Card, card
from broker.web.i18n import Words
from broker.web.rendering import PageOf
from broker.web.signin.guards import Citizen, require_citizen
from consent.purposes import Purposes
from consent.reading import ConsentView, PullView, consents_of, links_of
from vault.record_types.catalogue import Catalogue

router = APIRouter(dependencies=[Depends(require_citizen)])

_LATEST_PULLS: Final = 5


@dataclass(frozen=True, slots=True)
class LatestPull:
    """One pull with the consent that it belongs to."""

    pull: PullView
    grant_id: str
    recipient_name: str


@router.get("", name="home")
def show_home(page: PageOf, citizen: Citizen, installation: Installed, session: Read, now: Now) -> Response:
    """Everything on one page: waiting, active and ended consents, sources, latest pulls."""
    keyring = installation.keyring
    consents = consents_of(session, keyring, citizen.subject_id, now)
    requests = _open_requests(session, citizen.subject_id, now)
    cards = _cards(page.words, consents, requests, (installation.purposes, installation.catalogue))
    return page.answer(
        "citizen/home.html",
        waiting=[entry for entry in cards if entry.group == "waiting"],
        active=[entry for entry in cards if entry.group == "active"],
        ended=[entry for entry in cards if entry.group == "ended"],
        links=[link for link in links_of(session, keyring, citizen.subject_id) if link.ended_at is None],
        latest_pulls=latest_pulls(page.words, consents),
    )


def latest_pulls(words: Words, consents: Sequence[ConsentView]) -> list[LatestPull]:
    """The newest pulls of all consents, the newest first."""
    pulls = [
        LatestPull(pull, consent.grant_id, consent.recipient.name(words.language))
        for consent in consents
        for pull in consent.pulls
    ]
    return sorted(pulls, key=lambda latest: latest.pull.as_of, reverse=True)[:_LATEST_PULLS]


def _cards(
    words: Words, consents: Sequence[ConsentView], requests: dict[str, str], known: tuple[Purposes, Catalogue]
) -> list[Card]:
    purposes, catalogue = known
    return [
        card(
            words,
            consent,
            purpose_name=purposes.get(consent.purpose).name.in_language(words.language),
            catalogue=catalogue,
            request_path=_path(words, requests.get(consent.grant_id)),
        )
        for consent in consents
    ]


def _path(words: Words, interaction_id: str | None) -> str | None:
    return None if interaction_id is None else f"/{words.language}/consent/{interaction_id}"


def _open_requests(session: Session, subject_id: str, now: datetime) -> dict[str, str]:
    """The interactions in which this person can still decide, by grant."""
    rows = session.exec(
        select(Interaction.grant_id, Interaction.interaction_id).where(
            Interaction.subject_id == subject_id, col(Interaction.expires_at) > now
        )
    )
    return {grant_id: interaction_id for grant_id, interaction_id in rows if grant_id is not None}
