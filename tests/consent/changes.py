"""A periodic consent, and the steps that change it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from consent import adjusting, changing
from consent.lifecycle import Given
from consent.purposes import Purpose
from consent.superseding import Changed
from consent.terms import Terms
from tests.consent.details import BILL, POLICY, terms_with
from tests.consent.office import CLIENT, Office

PERIODIC: Final[Mapping[str, Any]] = {
    "access.kind": "periodic",
    "access.cycle": "P1W",
    "access.max_pulls": 5,
    "data_period.to": "2026-12-31",
}


def periodic(changes: Mapping[str, Any] | None = None) -> Terms:
    return terms_with({**PERIODIC, **(changes or {})})


def agreed(office: Office, changes: Mapping[str, Any] | None = None) -> Given:
    return office.agree(periodic(changes))


def revised(purpose: Purpose, *, is_material: bool = True, revision: str = "2027-01-01") -> Purpose:
    """The purpose with another notice."""
    notice = purpose.notice.model_copy(
        update={"revision": revision, "ko": "새 안내문", "en": "A new text", "is_material": is_material}
    )
    return purpose.model_copy(update={"notice": notice})


def propose(office: Office, grant_id: str, terms: Terms, **others: Any) -> str:  # noqa: ANN401 - who and when
    now = office.clock()
    arguments: dict[str, Any] = {
        "subject_id": office.subject_id,
        "client_id": CLIENT,
        "expires_at": now.replace(minute=59),
        **others,
    }
    with office.work() as work:
        return changing.propose(work, office.keyring, grant_id, terms=terms, now=now, **arguments)


def sign(office: Office, change_id: str, granted: frozenset[str] = frozenset({BILL, POLICY})) -> Changed:
    signature = changing.ChangeSignature(
        change_id, office.subject_id, granted, office.purpose.notice_digest("ko"), "ko"
    )
    return sign_with(office, signature)


def sign_with(office: Office, signature: changing.ChangeSignature) -> Changed:
    with office.work() as work:
        return changing.sign_change(
            work,
            office.keyring,
            signature,
            purpose=office.purpose,
            sign_receipt=office.sign_receipt,
            now=office.clock(),
        )


def narrow_down(
    office: Office,
    grant_id: str,
    kept: frozenset[str] = frozenset({BILL}),
    *,
    valid_until: datetime | None = None,
    subject_id: str | None = None,
) -> Changed:
    with office.work() as work:
        return adjusting.narrow_down(
            work,
            office.keyring,
            grant_id,
            subject_id or office.subject_id,
            kept=kept,
            valid_until=valid_until,
            purpose=office.purpose,
            sign_receipt=office.sign_receipt,
            now=office.clock(),
        )


def renew(
    office: Office, grant_id: str, purpose: Purpose | None = None, *, read: Purpose | None = None
) -> Changed:
    with office.work() as work:
        return adjusting.renew(
            work,
            office.keyring,
            grant_id,
            office.subject_id,
            purpose=purpose or office.purpose,
            catalogue=office.installation.catalogue,
            read=None if read is None else adjusting.Read(read.notice_digest("ko"), "ko"),
            sign_receipt=office.sign_receipt,
            now=office.clock(),
        )


def reconsent(office: Office, grant_id: str, purpose: Purpose, digest: bytes | None = None) -> Changed:
    with office.work() as work:
        return adjusting.reconsent(
            work,
            office.keyring,
            grant_id,
            office.subject_id,
            notice_digest=digest or purpose.notice_digest("ko"),
            language="ko",
            purpose=purpose,
            sign_receipt=office.sign_receipt,
            now=office.clock(),
        )
