"""One person at one request: opening, agreeing, declining. Joins consent domain and authorization server."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from sqlmodel import select

from broker.oauth import interaction
from broker.oauth.ciba_requests import NO_REDIRECT_URI
from broker.oauth.errors import InteractionGoneError, OAuthCode
from broker.oauth.interaction import InteractionView
from broker.receipt_signing import receipt_signer
from broker.web.citizen import proposing
from broker.web.citizen.desk import Desk
from broker.web.errors import BadChoiceError, PageNotFoundError, RequestGoneError
from broker.web.i18n import Language
from consent import approvals, changing, deals, lifecycle
from consent.deal_holding import deal_id_of
from consent.deal_opening import join
from consent.errors import (
    InvalidTermsError,
    NotFoundError,
    RequiredItemMissingError,
    SignerRefusedError,
    WrongStateError,
)
from consent.granting import ReceiptSigner
from consent.models import Consent, Organisation
from consent.people_vocabulary import Action
from consent.preview import Previewed, Previewer
from consent.purposes import Purpose
from consent.reading import Party, party
from consent.standing import refusal_of, require_signer
from consent.terms import narrow

ALLOW: Final = "allow"
DENY: Final = "deny"


@dataclass(frozen=True, slots=True)
class Opened:
    """A request that this person has opened, and may decide on.

    `turned_away_to`: the role of a deal that it is for is not for them, and this is where they go back to.
    `sent_back_to`: there is nothing to decide for them, and only the client is told why.
    """

    view: InteractionView
    grant_id: str
    recipient: Party
    purpose: Purpose
    change_id: str | None = None
    deal_id: str | None = None
    turned_away_to: str | None = None
    sent_back_to: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What the form said: optional items that were ticked, digest of the text, holders that were shown.

    `chosen`: for a record type the answer that is to be given instead of what was asked for.
    """

    ticked: frozenset[str]
    notice_digest: bytes
    language: Language
    holders: frozenset[str]
    chosen: Mapping[str, str]


def open_request(desk: Desk, interaction_id: str, language: Language) -> Opened:
    """The request; on the first opening it becomes a consent in state REQUESTED.

    Raises RequestGoneError: over, answered and somebody else's are one answer.
    """
    installation = desk.installation
    try:
        view = interaction.load_interaction(desk.work.session, desk.keyring, interaction_id, desk.now)
        if view.subject_id not in {None, desk.subject_id}:
            raise RequestGoneError
        _require_mandate(desk, view)
        purpose = installation.purposes.get(view.terms.purpose)
        if view.replaces is not None:
            return _open_change(desk, view, purpose, view.replaces)
        grant_id = view.grant_id
        if grant_id is None and view.deal_member_id is not None:
            return _come_to_deal(desk, view, purpose, language)
        if grant_id is None:
            new = _new_consent(desk, view, purpose, language)
            grant_id = lifecycle.request(desk.work, desk.keyring, new, desk.now)
            interaction.attach_consent(desk.work.session, interaction_id, desk.subject_id, grant_id, desk.now)
        else:
            _require_same_signer(desk, grant_id)
    except InteractionGoneError as error:
        raise RequestGoneError from error
    deal_id = deal_id_of(desk.work.session, grant_id)
    return Opened(view, grant_id, _recipient(desk, view), purpose, deal_id=deal_id)


def _open_change(desk: Desk, view: InteractionView, purpose: Purpose, grant_id: str) -> Opened:
    """The same for what a consent is to say instead, or besides: the terms are those that would stand."""
    recipient = _recipient(desk, view)
    change = proposing.opened(desk, view, grant_id, purpose)
    if not isinstance(change, OAuthCode):
        return Opened(replace(view, terms=change.terms), grant_id, recipient, purpose, change.change_id)
    address = interaction.deny(
        desk.work.session,
        desk.keyring,
        desk.installation.settings.server.issuer,
        view.interaction_id,
        desk.subject_id,
        desk.now,
        refusal=change,
    )
    return Opened(view, grant_id, recipient, purpose, sent_back_to=address)


def _recipient(desk: Desk, view: InteractionView) -> Party:
    recipient = desk.work.session.get(Organisation, view.recipient_id)
    if recipient is None:
        raise PageNotFoundError
    return party(recipient)


def _come_to_deal(desk: Desk, view: InteractionView, purpose: Purpose, language: Language) -> Opened:
    """The same for a role of a deal. Who may not have it is refused, which stays on their record."""
    new = _new_consent(desk, view, purpose, language)
    try:
        joined = join(
            desk.work,
            desk.keyring,
            desk.installation.deal_shapes,
            view.deal_member_id or "",
            new,
            desk.now,
        )
    except WrongStateError as error:
        raise RequestGoneError from error
    session, grant_id = desk.work.session, joined.grant_id
    interaction.attach_consent(session, view.interaction_id, desk.subject_id, grant_id, desk.now)
    recipient = party(session.get_one(Organisation, view.recipient_id))
    if not joined.is_refused:
        return Opened(view, grant_id, recipient, purpose, deal_id=deal_id_of(session, grant_id))
    issuer = desk.installation.settings.server.issuer
    address = interaction.deny(session, desk.keyring, issuer, view.interaction_id, desk.subject_id, desk.now)
    return Opened(view, grant_id, recipient, purpose, turned_away_to=address)


def _new_consent(
    desk: Desk,
    view: InteractionView,
    purpose: Purpose,
    language: Language,
) -> lifecycle.NewConsent:
    return lifecycle.NewConsent(
        subject_id=desk.subject_id,
        recipient_id=view.recipient_id,
        client_id=view.client_id,
        terms=view.terms,
        notice_digest=purpose.notice_digest(language),
        language=language,
        signed_by=None if desk.acting is None else desk.acting.representative_id,
    )


def _require_mandate(desk: Desk, view: InteractionView) -> None:
    """Who acts for somebody decides on what their mandate covers, and never changes or extends a consent.

    Nor do they sign in as that person, or answer what that person was asked without a browser. Raises
    SignerRefusedError.
    """
    if desk.acting is None:
        return
    is_change = view.replaces is not None or view.change_id is not None
    is_personal = view.is_sign_in or view.redirect_uri == NO_REDIRECT_URI
    if is_change or is_personal or not desk.acting.scope.allows(Action.CONSENT, view.terms.purpose):
        raise SignerRefusedError(refusal_of(desk.acting.kind))


def _require_same_signer(desk: Desk, grant_id: str) -> None:
    """What a representative opened, they decide on; what the person opened, the person. RequestGoneError."""
    signed_by = desk.work.session.exec(select(Consent.signed_by).where(Consent.grant_id == grant_id)).one()
    if signed_by != (None if desk.acting is None else desk.acting.representative_id):
        raise RequestGoneError


def _ask_others(desk: Desk, opened: Opened, choice: Choice) -> None:
    """Before a new consent is signed: may whoever signs do so, and who holds its accounts too.

    Raises SignerRefusedError.
    """
    consent = desk.work.session.get_one(Consent, opened.grant_id)
    require_signer(desk.work.session, consent, desk.now)
    approvals.ask(
        desk.work,
        desk.keyring,
        opened.grant_id,
        desk.subject_id,
        holders=opened.view.terms.holders or choice.holders,
        record_types=_granted(opened, choice.ticked),
        now=desk.now,
    )


def allow(desk: Desk, opened: Opened, choice: Choice) -> str:
    """The person agrees to what is required and to what was ticked; answers the address to go to.

    Raises NoticeChangedError when the text has changed since it was read, RequestGoneError, BadChoiceError.
    """
    installation = desk.installation
    try:
        version_id = _sign(desk, opened, choice)
    except (InvalidTermsError, RequiredItemMissingError) as error:
        raise BadChoiceError from error
    except (NotFoundError, WrongStateError) as error:
        raise RequestGoneError from error
    try:
        address = interaction.allow(
            desk.work.session,
            desk.keyring,
            installation.settings.server.issuer,
            opened.view.interaction_id,
            desk.subject_id,
            version_id,
            desk.now,
            code_seconds=installation.settings.oauth.code_seconds,
            signed_in=desk.signed_in,
        )
    except InteractionGoneError as error:
        raise RequestGoneError from error
    _keep(desk, opened, ALLOW, address)
    return address


def look(
    desk: Desk,
    opened: Opened,
    ticked: frozenset[str],
    chosen: Mapping[str, str],
) -> tuple[Previewed, ...]:
    """What would be sent now if the person agreed to this. Raises BadChoiceError."""
    asked, installation = opened.view.terms, desk.installation
    try:
        terms = narrow(asked, _granted(opened, ticked), opened.purpose.choose(chosen))
    except RequiredItemMissingError:
        return ()
    except InvalidTermsError as error:
        raise BadChoiceError from error
    previewer = Previewer(desk.work.session, desk.keyring, installation.catalogue, installation.derivations)
    return previewer.look(desk.subject_id, terms, desk.reader.holder_ids(terms), desk.now)


def _sign(desk: Desk, opened: Opened, choice: Choice) -> str:
    """The signature under a new consent, or under a change of a standing one; answers the version's id."""
    sign_receipt = receipt_signer(desk.installation, desk.now)
    if opened.change_id is not None:
        change = changing.ChangeSignature(
            change_id=opened.change_id,
            subject_id=desk.subject_id,
            granted=_granted(opened, choice.ticked),
            notice_digest=choice.notice_digest,
            language=choice.language,
            holders=choice.holders,
            chosen=choice.chosen,
        )
        changed = changing.sign_change(
            desk.work,
            desk.keyring,
            change,
            purpose=opened.purpose,
            sign_receipt=sign_receipt,
            now=desk.now,
        )
        return changed.version_id
    _ask_others(desk, opened, choice)
    signature = lifecycle.Signature(
        grant_id=opened.grant_id,
        subject_id=desk.subject_id,
        granted=_granted(opened, choice.ticked),
        notice_digest=choice.notice_digest,
        language=choice.language,
        holders=choice.holders,
        chosen=choice.chosen,
    )
    if opened.deal_id is not None:
        return _sign_deal(desk, signature, sign_receipt)
    given = lifecycle.give(
        desk.work,
        desk.keyring,
        signature,
        purpose=opened.purpose,
        sign_receipt=sign_receipt,
        now=desk.now,
    )
    return given.version_id


def _sign_deal(desk: Desk, signature: lifecycle.Signature, sign_receipt: ReceiptSigner) -> str:
    signed = deals.sign(
        desk.work,
        desk.keyring,
        signature,
        purposes=desk.installation.purposes,
        sign_receipt=sign_receipt,
        now=desk.now,
    )
    return signed.given.version_id


def deny(desk: Desk, opened: Opened) -> str:
    """The person declines, without giving a reason; answers the address to go to. Raises RequestGoneError."""
    installation = desk.installation
    try:
        if opened.deal_id is not None:
            deals.refuse(desk.work, desk.keyring, opened.grant_id, desk.subject_id, desk.now)
        elif opened.change_id is None:
            lifecycle.refuse(desk.work, desk.keyring, opened.grant_id, desk.subject_id, desk.now)
        else:
            changing.refuse_change(desk.work, desk.keyring, opened.change_id, desk.subject_id, desk.now)
        address = interaction.deny(
            desk.work.session,
            desk.keyring,
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


def _granted(opened: Opened, ticked: frozenset[str]) -> frozenset[str]:
    return ticked | {item.record_type for item in opened.view.terms.items if item.required}


def _keep(desk: Desk, opened: Opened, decision: str, address: str) -> None:
    interaction.keep_answer(desk.work.session, desk.keyring, opened.view.interaction_id, decision, address)
