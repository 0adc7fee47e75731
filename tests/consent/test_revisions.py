"""Notice texts and their revisions (consent/revisions.py; invariant 13)."""

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from consent import revisions
from consent.errors import NotFoundError, ReconsentNeededError, UnknownPurposeError
from consent.granting import current_version
from consent.lifecycle import lock
from consent.models import ConsentVersion, NoticeRevision
from consent.purposes import Purpose, Purposes
from consent.vocabulary import ConsentState, EventType, StateReason
from tests.consent.changes import agreed, reconsent, revised
from tests.consent.office import Office


def publish(office: Office, purpose: Purpose) -> int:
    with office.work() as work:
        return revisions.publish(work.session, purpose, office.clock())


def apply_all(office: Office) -> int:
    """Everything that waits; answers how many batches it took."""
    batches = 0
    with office.installation.data.read() as session:
        digests = revisions.waiting(session)
    for digest in digests:
        has_more = True
        while has_more:
            with office.work() as work:
                has_more = revisions.apply(work, office.keyring, digest, office.clock())
            batches += 1
    return batches


def stored(office: Office) -> list[NoticeRevision]:
    with office.installation.data.read() as session:
        return list(session.exec(select(NoticeRevision).order_by(col(NoticeRevision.published_at))))


def versions(office: Office, grant_id: str) -> list[dict[str, Any]]:
    with office.installation.data.read() as session:
        rows = select(ConsentVersion).where(ConsentVersion.grant_id == grant_id)
        return [row.model_dump() for row in session.exec(rows.order_by(col(ConsentVersion.number)))]


def state(office: Office, grant_id: str) -> tuple[str, str | None]:
    consent = office.consent(grant_id)
    return consent.state, consent.state_reason


def test_each_text_is_kept_once_with_what_it_took_the_place_of(office: Office) -> None:
    purpose = office.purpose
    assert [publish(office, purpose), publish(office, purpose)] == [2, 0]
    office.clock.advance(timedelta(days=1))
    assert publish(office, revised(purpose)) == 2
    kept = {row.digest: row for row in stored(office)}
    for language in revisions.LANGUAGES:
        old, new = purpose.notice_digest(language), revised(purpose).notice_digest(language)
        assert kept[new].predecessor_digest == old
        assert kept[old].predecessor_digest is None
        assert hashlib.sha256(kept[new].text.encode()).digest() == new


def test_a_text_is_found_by_its_digest(sqlite_office: Office) -> None:
    publish(sqlite_office, sqlite_office.purpose)
    with sqlite_office.installation.data.read() as session:
        found = revisions.text_of(session, sqlite_office.purpose.notice_digest("en"))
        assert found.language == "en"
        with pytest.raises(NotFoundError):
            revisions.text_of(session, b"unknown")


def test_a_material_revision_pauses_until_it_was_read(office: Office) -> None:
    publish(office, office.purpose)
    given, paused, ended = agreed(office), agreed(office), agreed(office)
    office.pause(paused.grant_id)
    office.withdraw(ended.grant_id)
    apply_all(office)
    assert state(office, given.grant_id) == (ConsentState.GIVEN, None)
    office.clock.advance(timedelta(days=1))
    purpose = revised(office.purpose)
    publish(office, purpose)
    apply_all(office)
    for one in (given, paused):
        assert state(office, one.grant_id) == (ConsentState.PAUSED, StateReason.RECONSENT)
        assert office.event_types(one.grant_id)[-2:] == [
            EventType.NOTICE_REVISED,
            EventType.CONSENT_PAUSED,
        ]
        with pytest.raises(ReconsentNeededError):
            office.resume(one.grant_id)
    assert state(office, ended.grant_id)[0] == ConsentState.WITHDRAWN
    size = office.log_size()
    assert apply_all(office) == 0
    assert office.log_size() == size
    reconsent(office, given.grant_id, purpose)
    assert state(office, given.grant_id) == (ConsentState.GIVEN, None)


def test_a_small_revision_is_told_and_nothing_stops(office: Office) -> None:
    publish(office, office.purpose)
    given = agreed(office)
    office.clock.advance(timedelta(days=1))
    publish(office, revised(office.purpose, is_material=False))
    apply_all(office)
    assert state(office, given.grant_id) == (ConsentState.GIVEN, None)
    events = office.timeline(given.grant_id)
    assert (events[-1].type, events[-1].facts["material"]) == (EventType.NOTICE_REVISED, 0)


def test_editing_a_text_changes_no_version_and_no_receipt(office: Office) -> None:
    """Invariant 13: every column of every version, the sealed receipt among them."""
    grant_id = agreed(office).grant_id
    before = versions(office, grant_id)
    assert before[-1]["receipt_sealed"] is not None
    office.clock.advance(timedelta(days=1))
    publish(office, revised(office.purpose))
    apply_all(office)
    assert state(office, grant_id) == (ConsentState.PAUSED, StateReason.RECONSENT)
    assert versions(office, grant_id) == before


def test_an_earlier_text_again_asks_those_who_agreed_to_what_came_between(sqlite_office: Office) -> None:
    first, second = sqlite_office.purpose, revised(sqlite_office.purpose)
    for purpose in (first, second):
        publish(sqlite_office, purpose)
        apply_all(sqlite_office)
        sqlite_office.clock.advance(timedelta(days=1))
    given = agreed(sqlite_office)
    with sqlite_office.work() as work:
        current_version(work, lock(work, given.grant_id)).notice_digest = second.notice_digest("ko")
    sqlite_office.clock.advance(timedelta(days=1))
    assert [publish(sqlite_office, first), publish(sqlite_office, first)] == [2, 0]
    apply_all(sqlite_office)
    assert state(sqlite_office, given.grant_id) == (ConsentState.PAUSED, StateReason.RECONSENT)


def test_a_purpose_that_nobody_declares_is_shown_as_it_read_last(sqlite_office: Office) -> None:
    purpose = sqlite_office.purpose
    with sqlite_office.installation.data.read() as session, pytest.raises(UnknownPurposeError):
        revisions.withdrawn(session, purpose.code)
    publish(sqlite_office, purpose)
    with sqlite_office.installation.data.read() as session:
        shown = revisions.withdrawn(session, purpose.code)
    for language in revisions.LANGUAGES:
        assert shown.shown(language) == purpose.shown(language)


def test_what_was_signed_after_the_revision_is_left_alone(sqlite_office: Office) -> None:
    publish(sqlite_office, revised(sqlite_office.purpose))
    sqlite_office.clock.advance(timedelta(minutes=1))
    given = agreed(sqlite_office)
    apply_all(sqlite_office)
    assert state(sqlite_office, given.grant_id) == (ConsentState.GIVEN, None)


def test_what_is_over_is_told_and_not_paused(sqlite_office: Office) -> None:
    given = agreed(sqlite_office)
    sqlite_office.clock.now = given.terms.access.valid_until
    publish(sqlite_office, revised(sqlite_office.purpose))
    apply_all(sqlite_office)
    assert state(sqlite_office, given.grant_id) == (ConsentState.GIVEN, None)


def test_many_consents_are_told_in_batches_each_once(
    sqlite_office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revisions, "_BATCH", 2)
    grant_ids = [agreed(sqlite_office).grant_id for _ in range(5)]
    sqlite_office.clock.advance(timedelta(days=1))
    publish(sqlite_office, revised(sqlite_office.purpose))
    assert apply_all(sqlite_office) > 3
    for grant_id in grant_ids:
        assert sqlite_office.event_types(grant_id).count(EventType.NOTICE_REVISED) == 1


def test_a_consent_is_passed_over_only_while_it_is_the_next(office: Office) -> None:
    first, second = sorted(agreed(office).grant_id for _ in range(2))
    office.clock.advance(timedelta(days=1))
    publish(office, revised(office.purpose))
    digest = revised(office.purpose).notice_digest("ko")
    with office.work() as work:
        assert revisions.next_of(work.session, digest) == first
    for _ in range(2):  # another worker was at the same one
        with office.work() as work:
            revisions.pass_over(work.session, digest, first)
    with office.work() as work:
        assert revisions.next_of(work.session, digest) == second
    with office.work() as work:
        revisions.apply(work, office.keyring, digest, office.clock())
    with office.work() as work:
        assert revisions.next_of(work.session, digest) is None


def test_a_consent_without_a_purpose_is_invalid(office: Office) -> None:
    given = agreed(office)
    ended = agreed(office)
    office.withdraw(ended.grant_id)
    with office.installation.data.read() as session:
        assert revisions.without_purpose(session, office.installation.purposes) == []
        assert revisions.without_purpose(session, Purposes({})) == [given.grant_id]
    for grant_id in (given.grant_id, ended.grant_id):
        with office.work() as work:
            revisions.invalidate_orphan(work, office.keyring, grant_id, office.clock())
    assert state(office, given.grant_id) == (ConsentState.INVALIDATED, StateReason.PURPOSE_WITHDRAWN)
    assert state(office, ended.grant_id)[0] == ConsentState.WITHDRAWN
