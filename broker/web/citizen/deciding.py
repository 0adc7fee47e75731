"""One person at one request: opening, agreeing, declining. Joins consent domain and authorization server."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from broker.oauth import interaction
from broker.oauth.errors import InteractionGoneError
from broker.oauth.interaction import InteractionView
from broker.web.citizen.desk import Desk
from broker.web.citizen.receipts import receipt_signer
from broker.web.errors import BadChoiceError, PageNotFoundError, RequestGoneError
from broker.web.i18n import Language
from consent import lifecycle
from consent.errors import InvalidTermsError, RequiredItemMissingError, WrongStateError
from consent.models import Organisation
from consent.purposes import Purpose
from consent.reading import Party, party

ALLOW: Final = "allow"
DENY: Final = "deny"


@dataclass(frozen=True, slots=True)
class Opened:
    """A request that this person has opened, and may decide on."""

    view: InteractionView
    grant_id: str
    recipient: Party
    purpose: Purpose


@dataclass(frozen=True, slots=True)
class Choice:
    """What the form said: optional items that were ticked, digest of the text, holders that were shown."""

    ticked: frozenset[str]
    notice_digest: bytes
    language: Language
    holders: frozenset[str]


def open_request(desk: Desk, interaction_id: str, language: Language) -> Opened:
    """The request; on the first opening it becomes a consent in state REQUESTED.

    Raises RequestGoneError: over, answered and somebody else's are one answer.
    """
    installation = desk.installation
    try:
        view = interaction.load_interaction(desk.work.session, desk.keyring, interaction_id, desk.now)
        if view.subject_id not in {None, desk.subject_id}:
            raise RequestGoneError
        purpose = installation.purposes.get(view.terms.purpose)
        grant_id = view.grant_id
        if grant_id is None:
            new = lifecycle.NewConsent(
                subject_id=desk.subject_id,
                recipient_id=view.recipient_id,
                client_id=view.client_id,
                terms=view.terms,
                notice_digest=purpose.notice_digest(language),
                language=language,
            )
            grant_id = lifecycle.request(desk.work, desk.keyring, new, desk.now)
            interaction.attach_consent(desk.work.session, interaction_id, desk.subject_id, grant_id, desk.now)
    except InteractionGoneError as error:
        raise RequestGoneError from error
    recipient = desk.work.session.get(Organisation, view.recipient_id)
    if recipient is None:
        raise PageNotFoundError
    return Opened(view, grant_id, party(recipient), purpose)


def allow(desk: Desk, opened: Opened, choice: Choice) -> str:
    """The person agrees to what is required and to what was ticked; answers the address to go to.

    Raises NoticeChangedError when the text has changed since it was read, RequestGoneError, BadChoiceError.
    """
    installation = desk.installation
    required = {item.record_type for item in opened.view.terms.items if item.required}
    signature = lifecycle.Signature(
        grant_id=opened.grant_id,
        subject_id=desk.subject_id,
        granted=choice.ticked | required,
        notice_digest=choice.notice_digest,
        language=choice.language,
        holders=choice.holders,
    )
    try:
        given = lifecycle.give(
            desk.work,
            desk.keyring,
            signature,
            purpose=opened.purpose,
            sign_receipt=receipt_signer(installation, desk.now),
            now=desk.now,
        )
    except (InvalidTermsError, RequiredItemMissingError) as error:
        raise BadChoiceError from error
    except WrongStateError as error:
        raise RequestGoneError from error
    try:
        address = interaction.allow(
            desk.work.session,
            installation.settings.server.issuer,
            opened.view.interaction_id,
            desk.subject_id,
            given.version_id,
            desk.now,
            code_seconds=installation.settings.oauth.code_seconds,
        )
    except InteractionGoneError as error:
        raise RequestGoneError from error
    _keep(desk, opened, ALLOW, address)
    return address


def deny(desk: Desk, opened: Opened) -> str:
    """The person declines, without giving a reason; answers the address to go to. Raises RequestGoneError."""
    installation = desk.installation
    try:
        lifecycle.refuse(desk.work, desk.keyring, opened.grant_id, desk.subject_id, desk.now)
        address = interaction.deny(
            desk.work.session,
            installation.settings.server.issuer,
            opened.view.interaction_id,
            desk.subject_id,
            desk.now,
        )
    except (WrongStateError, InteractionGoneError) as error:
        raise RequestGoneError from error
    _keep(desk, opened, DENY, address)
    return address


def repeat(desk: Desk, interaction_id: str, decision: str) -> str | None:
    """Where this person was sent by the same decision a moment ago: a form may be posted twice."""
    life = timedelta(seconds=desk.installation.settings.oauth.code_seconds)
    return interaction.same_answer(
        desk.work.session,
        desk.keyring,
        interaction_id,
        desk.subject_id,
        decision=decision,
        since=desk.now - life,
    )


def _keep(desk: Desk, opened: Opened, decision: str, address: str) -> None:
    interaction.keep_answer(desk.work.session, desk.keyring, opened.view.interaction_id, decision, address)
