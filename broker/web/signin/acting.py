"""Acting for somebody else: kept with the browser's session, ended with one press, and only on these pages.

Every page that is not named here is closed while somebody acts for another person, so no page can forget it.
What is refused is on the record of the person whose affairs they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final

from sqlalchemy import update
from sqlmodel import Session, col

from broker.web.signin.models import AccountSession
from broker.web.signin.sessions import digest_of
from consent.models import Representation
from consent.party_records import name_of
from consent.people_vocabulary import Action
from consent.standing import Acting, find_acting
from vault.keys.keyring import Keyring

END_ROUTE: Final = "acting.end.post"

ROUTES: Final[Mapping[str, Action]] = MappingProxyType(
    {
        "home": Action.SEE,
        "consents.one": Action.SEE,
        "receipt": Action.SEE,
        "receipt.file": Action.SEE,
        "receipt.text": Action.SEE,
        "consents.stop": Action.WITHDRAW,
        "consents.stop.post": Action.WITHDRAW,
        "consents.stopped": Action.WITHDRAW,
        "consents.pause.post": Action.WITHDRAW,
        "consents.resume.post": Action.CONSENT,
        "consents.notice": Action.SEE,
        "consents.notice.post": Action.CONSENT,
        "consent": Action.CONSENT,
        "consent.post": Action.CONSENT,
    },
)
"""The pages that are open to who acts for somebody, and what their mandate must allow for each."""


@dataclass(frozen=True, slots=True)
class ActingFor:
    """For whom somebody acts at the moment, as every page shows it."""

    acting: Acting
    name: str | None = field(repr=False)


def read_acting(
    session: Session,
    keyring: Keyring,
    representation_id: str,
    representative_id: str,
    now: datetime,
) -> ActingFor | None:
    """What a session's choice still allows; None once it is over."""
    acting = find_acting(session, representation_id, representative_id, now)
    if acting is None:
        return None
    row = session.get_one(Representation, representation_id)
    return ActingFor(acting, name_of(keyring, row, "subject"))


def set_acting(session: Session, raw_cookie: str | None, representation_id: str | None) -> None:
    """From now on this browser acts for somebody, or, with None, for nobody but its own person."""
    session.exec(
        update(AccountSession)
        .where(col(AccountSession.session_digest) == digest_of(raw_cookie or ""))
        .values(representation_id=representation_id),
    )
