"""Accounts that I hold with others: what I am asked for as a co-holder, and whom I do not want told.

A co-holder sees who asks, for what, and which account it is; nothing else of what the other agreed to.
"""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

from fastapi import APIRouter, Depends
from sqlmodel import Session, col, select
from starlette.responses import Response

from broker.receipt_signing import receipt_signer
from broker.web.citizen.desk import Desk, DeskOf, Reader, ReaderOf
from broker.web.citizen.people_wording import approval_in_words
from broker.web.csrf import OwnForm
from broker.web.errors import BadChoiceError, PageNotFoundError
from broker.web.rendering import Page, PageOf
from broker.web.signin.accounts import display_name
from broker.web.signin.guards import require_citizen
from broker.web.signin.models import Account
from consent import approvals, coholding, shields
from consent.approvals import ApprovalView, Outcome
from consent.errors import CoHolderNeededError, SignerRefusedError, WrongStateError
from consent.models import Organisation
from consent.people_vocabulary import ShieldReason
from consent.reading import party
from vault.keys.keyring import Keyring

router = APIRouter(prefix="/approvals", dependencies=[Depends(require_citizen)])


@dataclass(frozen=True, slots=True)
class _Row:
    """One request to a co-holder, in words."""

    view: ApprovalView
    recipient_name: str
    purpose_name: str
    purpose_text: str
    asked_by: str | None
    accounts: tuple[str, ...]
    state: str


@dataclass(frozen=True, slots=True)
class _Account:
    """One shared account, in words; `others` are subject id and name."""

    name: str
    others: tuple[tuple[str, str | None], ...]


@router.get("", name="approvals")
def show_approvals(page: PageOf, reader: ReaderOf) -> Response:
    """What waits, what was decided, and the shared accounts."""
    return _page(page, reader)


@router.post("/shields", name="approvals.shield")
def post_shield(page: PageOf, form: OwnForm, desk: DeskOf) -> Response:
    """Have somebody neither asked nor told any more: it shows nowhere but here, and waives nothing."""
    other_id = form.one("other") or ""
    if other_id not in _others(desk.reader):
        raise PageNotFoundError
    shields.raise_shield(
        desk.work,
        desk.keyring,
        desk.subject_id,
        other_id,
        reason=ShieldReason.OWN_WISH,
        staff=None,
        now=desk.now,
    )
    return page.redirect("/approvals")


@router.post("/shields/{shield_id}/end", name="approvals.shield.end")
def post_shield_end(shield_id: str, page: PageOf, form: OwnForm, desk: DeskOf) -> Response:
    """The person is asked again."""
    del form
    shields.lift_shield(
        desk.work,
        desk.keyring,
        shield_id,
        subject_id=desk.subject_id,
        staff=None,
        now=desk.now,
    )
    return page.redirect("/approvals")


@router.post("/{grant_id}", name="approvals.decide")
def post_decision(grant_id: str, page: PageOf, form: OwnForm, desk: DeskOf) -> Response:
    """Agree, decline, or stop it for all. What has ended meanwhile stays as it is."""
    whose = (desk.work, desk.keyring, grant_id, desk.subject_id)
    with suppress(WrongStateError):
        match form.one("decision"):
            case "approve":
                return _approve(page, desk, grant_id)
            case "refuse":
                approvals.refuse(*whose, desk.now)
            case "stop":
                approvals.withdraw(*whose, desk.now)
            case _:
                raise BadChoiceError
    return page.redirect("/approvals")


def _approve(page: Page, desk: Desk, grant_id: str) -> Response:
    try:
        outcome = approvals.approve(
            desk.work,
            desk.keyring,
            grant_id,
            desk.subject_id,
            purposes=desk.installation.purposes,
            sign_receipt=receipt_signer(desk.installation, desk.now),
            now=desk.now,
        )
    except (SignerRefusedError, CoHolderNeededError):
        # Whoever agreed for the other may not any more, or others hold the account by now.
        desk.work.discard()
        outcome = Outcome.OVER
    if outcome is Outcome.OVER:
        return _page(page, desk.reader, is_over=True)
    return page.redirect("/approvals")


def _page(page: Page, reader: Reader, *, is_over: bool = False) -> Response:
    views = approvals.approvals_of(reader.session, reader.keyring, reader.subject_id, reader.now)
    held = coholding.accounts(reader.session, reader.subject_id)
    standing = shields.shields(reader.session, reader.keyring, reader.subject_id)
    people = {one.asked_by for one in views} | {who for account in held for who in account.subject_ids}
    names = names_of(reader.session, reader.keyring, people | {one.other_id for one in standing})
    shielded = {one.other_id for one in standing}
    return page.answer(
        "citizen/approvals.html",
        status=409 if is_over else 200,
        is_over=is_over,
        rows=[_row(page, reader, view, names.get(view.asked_by)) for view in views],
        accounts=[
            _Account(
                _account_name(page, reader, account.organisation_id, account.record_type),
                tuple(
                    (who, names.get(who))
                    for who in account.subject_ids
                    if who != reader.subject_id and who not in shielded
                ),
            )
            for account in held
        ],
        shields=[(one.shield_id, names.get(one.other_id), one.raised_at) for one in standing],
    )


def _row(page: Page, reader: Reader, view: ApprovalView, asked_by: str | None) -> _Row:
    purpose = reader.purpose(view.purpose)
    return _Row(
        view=view,
        recipient_name=view.recipient.name(page.language),
        purpose_name=purpose.name.in_language(page.language),
        purpose_text=purpose.text.in_language(page.language),
        asked_by=asked_by,
        accounts=tuple(
            _account_name(page, reader, holder.organisation_id, record_type)
            for holder, record_type in view.accounts
        ),
        state=approval_in_words(page.words, view.state, view.decision),
    )


def _account_name(page: Page, reader: Reader, organisation_id: str, record_type: str) -> str:
    holder = party(reader.session.get_one(Organisation, organisation_id))
    label = reader.installation.catalogue.get(record_type).label(page.language)
    return f"{holder.name(page.language)} · {label}"


def _others(reader: Reader) -> set[str]:
    """Everybody who holds an account with this person."""
    held = coholding.accounts(reader.session, reader.subject_id)
    return {who for account in held for who in account.subject_ids} - {reader.subject_id}


def names_of(session: Session, keyring: Keyring, subject_ids: Collection[str]) -> dict[str, str | None]:
    """The names that people gave with their accounts: who holds an account together knows each other."""
    rows = session.exec(select(Account).where(col(Account.subject_id).in_(subject_ids)))
    return {str(row.subject_id): display_name(keyring, row) for row in rows}
