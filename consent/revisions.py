"""Notice texts and their revisions: each text is kept for ever, and a change that matters asks again.

A consent pins the digest of the text it was shown (invariant 13). When a purpose's text is revised, people
who agreed to an earlier one are told; where the revision is material their consents pause until they have
read the new text and signed it (`consent.adjusting.reconsent`).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, get_args

import orjson
import rfc8785
from sqlmodel import Session, col, select

from consent.errors import NotFoundError, UnknownPurposeError
from consent.evidence import Work, record_consent_event
from consent.granting import current_version
from consent.lifecycle import invalidate, lock, pause_locked
from consent.models import Consent, NoticeRevision
from consent.purposes import Caps, Language, Notice, Purpose, Purposes, Text
from consent.states import LIVING
from consent.vocabulary import AccessKind, EventType, StateReason
from vault.insert import insert_if_absent
from vault.keys.keyring import Keyring

LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
_BATCH: Final = 100
_NOTHING: Final = Caps(
    kind=AccessKind.ONCE, max_pulls=1, max_days=1, max_lookback_days=1, max_retention_days=0
)


def publish(session: Session, purpose: Purpose, now: datetime) -> int:
    """Keep the purpose's texts as they read now; answers how many were new. Idempotent.

    Each waits for `apply`, the first one too: consents may be older than the keeping of texts.
    """
    new = 0
    for language in LANGUAGES:
        digest = purpose.notice_digest(language)
        predecessor = session.exec(
            select(NoticeRevision.digest)
            .where(NoticeRevision.purpose == purpose.code, NoticeRevision.language == language)
            .order_by(col(NoticeRevision.published_at).desc(), col(NoticeRevision.digest))
            .limit(1)
        ).first()
        if predecessor == digest:
            continue
        known = session.get(NoticeRevision, digest)
        if known is not None:  # an earlier text again: it asks those who agreed to what came between
            known.predecessor_digest, known.published_at = predecessor, now
            known.is_material = purpose.notice.is_material
            known.applied_to, known.applied_at = "", None
            new += 1
            continue
        values = {
            "digest": digest,
            "purpose": purpose.code,
            "language": language,
            "revision": purpose.notice.revision,
            "text": rfc8785.dumps(purpose.shown(language)).decode(),
            "is_material": purpose.notice.is_material,
            "predecessor_digest": predecessor,
            "published_at": now,
            "applied_to": "",
            "applied_at": None,
        }
        new += insert_if_absent(session, NoticeRevision, values)
    return new


def text_of(session: Session, digest: bytes) -> NoticeRevision:
    """A text that was shown once, by its digest. Raises NotFoundError."""
    row = session.get(NoticeRevision, digest)
    if row is None:
        raise NotFoundError
    return row


def withdrawn(session: Session, code: str) -> Purpose:
    """A purpose that nobody declares any more, as it was last shown: for people who want to see or stop it.

    Nothing can be asked under it. Raises UnknownPurposeError if no text of it was ever kept.
    """
    shown: dict[str, dict[str, str]] = {}
    rows = select(NoticeRevision).where(NoticeRevision.purpose == code)
    for row in session.exec(rows.order_by(col(NoticeRevision.published_at))):
        shown[row.language] = orjson.loads(row.text)
    if set(shown) != set(LANGUAGES):
        raise UnknownPurposeError(code)

    def both(member: str) -> Text:
        return Text(ko=shown["ko"][member], en=shown["en"][member])

    notice = Notice(ko=shown["ko"]["notice"], en=shown["en"]["notice"], revision=shown["ko"]["revision"])
    return Purpose.model_construct(
        code=code,
        legal_basis="",
        dpv_purpose="",
        items=(),
        caps=_NOTHING,
        name=both("name"),
        text=both("text"),
        refusal_effect=both("refusal_effect"),
        notice=notice,
    )


def waiting(session: Session) -> list[bytes]:
    """Revisions that not everybody was told of yet, the oldest first."""
    rows = select(NoticeRevision.digest).where(col(NoticeRevision.applied_at).is_(None))
    return list(session.exec(rows.order_by(col(NoticeRevision.published_at), col(NoticeRevision.digest))))


def apply(work: Work, keyring: Keyring, digest: bytes, now: datetime, *, at_once: int | None = None) -> bool:
    """Tell, or pause, the next consents that stand on an earlier text; True while there may be more.

    A batch (or `at_once` consents) is a transaction, with how far it came: a death in between tells nobody
    twice.
    """
    most = at_once or _BATCH
    revision, grant_ids = _next(work.session, digest, most)
    for grant_id in grant_ids:
        _apply_to(work, keyring, lock(work, grant_id), revision, now)
        revision.applied_to = grant_id
    if len(grant_ids) == most:
        return True
    revision.applied_at = now
    return False


def next_of(session: Session, digest: bytes) -> str | None:
    """The consent that `apply` comes to next; the revision is locked. None after the last."""
    _, grant_ids = _next(session, digest, 1)
    return grant_ids[0] if grant_ids else None


def pass_over(session: Session, digest: bytes, grant_id: str) -> None:
    """Leave out a consent that cannot be told, if it is still the next: everybody after it must be told."""
    revision, grant_ids = _next(session, digest, 1)
    if grant_ids == [grant_id]:
        revision.applied_to = grant_id


def _next(session: Session, digest: bytes, most: int) -> tuple[NoticeRevision, Sequence[str]]:
    """The revision, locked, and the consents that have yet to be told of it."""
    revision = session.exec(
        select(NoticeRevision).where(NoticeRevision.digest == digest).with_for_update()
    ).one()
    grant_ids = session.exec(
        select(Consent.grant_id)
        .where(
            Consent.purpose == revision.purpose,
            col(Consent.state).in_(LIVING),
            col(Consent.grant_id) > (revision.applied_to or ""),
        )
        .order_by(col(Consent.grant_id))
        .limit(most)
    ).all()
    return revision, grant_ids


def without_purpose(session: Session, purposes: Purposes) -> list[str]:
    """Living consents for a purpose that nobody declares any more."""
    declared = [purpose.code for purpose in purposes.all()]
    orphans = select(Consent.grant_id).where(
        col(Consent.state).in_(LIVING), col(Consent.purpose).not_in(declared)
    )
    return sorted(session.exec(orphans))


def invalidate_orphan(work: Work, keyring: Keyring, grant_id: str, now: datetime) -> None:
    """End a consent whose purpose has fallen, unless it has ended by now."""
    consent = lock(work, grant_id)
    if consent.state in LIVING:
        invalidate(work, keyring, consent, StateReason.PURPOSE_WITHDRAWN, now)


def _apply_to(
    work: Work, keyring: Keyring, consent: Consent, revision: NoticeRevision, now: datetime
) -> None:
    version = current_version(work, consent)
    stands_on_it = version.notice_digest == revision.digest
    # Who signed after it was published signed the new text, or one in the other language.
    is_of_it = version.language == revision.language and version.created_at < revision.published_at
    if consent.state not in LIVING or stands_on_it or not is_of_it:
        return
    facts: dict[str, str | int] = {"material": int(revision.is_material)}
    detail = {"notice": revision.digest.hex(), "revision": revision.revision}
    record_consent_event(
        work, keyring, consent, EventType.NOTICE_REVISED, facts=facts, detail=detail, now=now
    )
    if not revision.is_material or now >= consent.valid_until:
        return
    pause_locked(work, keyring, consent, StateReason.RECONSENT, now)
