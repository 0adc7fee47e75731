"""Giving a consent: what cannot be given, and what giving makes (consent/lifecycle.py, granting.py)."""

from dataclasses import replace

import pytest
from sqlmodel import select

from consent.collection import VALID_FOR, unlink
from consent.errors import (
    InvalidTermsError,
    NoHolderError,
    NotFoundError,
    NoticeChangedError,
    ReceiptInvalidError,
    RequiredItemMissingError,
    UnknownOrganisationError,
    WrongStateError,
)
from consent.lifecycle import Given, Signature
from consent.models import ConsentCompartment, ConsentVersion
from consent.organisations import suspend
from consent.purposes import Purpose
from consent.receipt_signature import verify_receipt
from consent.terms import Terms
from consent.versions import open_terms
from consent.vocabulary import ConsentState, EventType
from tests.consent.details import ABSENT, BILL, HOSPITAL, POLICY, REGISTER, terms_with
from tests.consent.office import RECIPIENT, Office
from vault.errors import ErasedError


def take(office: Office, step: str, grant_id: str) -> None:
    getattr(office, step)(grant_id)


def signature_for(office: Office, grant_id: str) -> Signature:
    digest = office.purpose.notice_digest("ko")
    return Signature(grant_id, office.subject_id, frozenset({BILL, POLICY}), digest, "ko")


def version(office: Office, version_id: str) -> ConsentVersion:
    with office.installation.data.read() as session:
        return session.get_one(ConsentVersion, version_id)


def compartments(office: Office, given: Given) -> set[tuple[str, str]]:
    with office.installation.data.read() as session:
        rows = session.exec(select(ConsentCompartment)).all()
    return {(row.version_id, row.compartment_id) for row in rows if row.version_id == given.version_id}


def fail_to_sign(_: object) -> str:
    raise ReceiptInvalidError


# What cannot be given


def test_signing_another_text_is_refused(sqlite_office: Office) -> None:
    grant_id = sqlite_office.request()
    signature = signature_for(sqlite_office, grant_id)
    for wrong in (replace(signature, notice_digest=b"x" * 32), replace(signature, language="en")):
        with pytest.raises(NoticeChangedError):
            sqlite_office.sign(wrong)
    assert sqlite_office.consent(grant_id).state == ConsentState.REQUESTED


def test_a_notice_that_changed_after_it_was_shown_is_refused(sqlite_office: Office) -> None:
    grant_id = sqlite_office.request()
    raw = sqlite_office.purpose.model_dump(mode="json")
    revised = Purpose.model_validate(raw | {"notice": raw["notice"] | {"revision": "2026-12-24"}})
    with pytest.raises(NoticeChangedError):
        sqlite_office.sign(signature_for(sqlite_office, grant_id), purpose=revised)


def test_the_text_of_another_purpose_is_refused(sqlite_office: Office) -> None:
    grant_id = sqlite_office.request()
    other = sqlite_office.purpose.model_copy(update={"code": "insurance.other"})
    signature = replace(signature_for(sqlite_office, grant_id), notice_digest=other.notice_digest("ko"))
    with pytest.raises(NoticeChangedError):
        sqlite_office.sign(signature, purpose=other)


def test_a_required_item_cannot_be_left_off(sqlite_office: Office) -> None:
    grant_id = sqlite_office.request()
    for granted in ([POLICY], []):
        with pytest.raises(RequiredItemMissingError) as caught:
            sqlite_office.give(grant_id, granted)
        assert caught.value.record_types == [BILL]
    assert sqlite_office.consent(grant_id).state == ConsentState.REQUESTED


def test_nothing_that_was_not_asked_for_can_be_given(sqlite_office: Office) -> None:
    grant_id = sqlite_office.request()
    with pytest.raises(InvalidTermsError):
        sqlite_office.give(grant_id, [BILL, POLICY, "resident.household"])


def test_a_request_whose_window_is_over_cannot_be_given(sqlite_office: Office) -> None:
    grant_id = sqlite_office.request()
    sqlite_office.clock.now = sqlite_office.consent(grant_id).valid_until
    with pytest.raises(WrongStateError):
        sqlite_office.give(grant_id)


def test_a_holder_that_was_suspended_meanwhile_is_refused(sqlite_office: Office) -> None:
    grant_id = sqlite_office.request()
    with sqlite_office.work() as work:
        suspend(work.session, HOSPITAL)
    with pytest.raises(UnknownOrganisationError) as caught:
        sqlite_office.give(grant_id)
    assert caught.value.organisation_ids == [HOSPITAL]


@pytest.mark.parametrize("step", ["refuse", "withdraw", "give"])
def test_a_foreign_consent_is_as_unknown(office: Office, step: str) -> None:
    given = office.agree() if step == "withdraw" else None
    grant_id = office.request() if given is None else given.grant_id
    stranger = replace(office, subject_id=office.newcomer())
    before = office.consent(grant_id)
    answers = []
    for asked in (grant_id, "no-such-consent"):
        with pytest.raises(NotFoundError) as caught:
            take(stranger, step, asked)
        answers.append(caught.value.args)
    assert answers[0] == answers[1]
    assert office.consent(grant_id) == before


def test_a_person_who_was_erased_cannot_be_asked(sqlite_office: Office) -> None:
    sqlite_office.keyring.erase_subject(sqlite_office.subject_id, sqlite_office.clock())
    with pytest.raises(ErasedError):
        sqlite_office.request()


def test_a_receipt_that_cannot_be_signed_leaves_no_consent(office: Office) -> None:
    grant_id = office.request()
    with pytest.raises(ReceiptInvalidError):
        office.sign(signature_for(office, grant_id), sign_receipt=fail_to_sign)
    assert office.event_types(grant_id) == [EventType.CONSENT_REQUESTED]
    assert office.consent(grant_id).version_number == 0


def test_what_an_attempt_that_failed_had_shared_does_not_outlive_the_next_one(office: Office) -> None:
    grant_id = office.request()
    with pytest.raises(ReceiptInvalidError):
        office.sign(signature_for(office, grant_id), sign_receipt=fail_to_sign)
    given = office.give(grant_id, [BILL])
    assert office.shares(grant_id) == compartments(office, given)


# What giving makes


def test_a_request_keeps_what_was_asked_and_opens_nothing(office: Office) -> None:
    terms = terms_with()
    grant_id = office.request(terms)
    consent = office.consent(grant_id)
    asked = version(office, f"{grant_id}.0")
    assert (consent.state, consent.change_count, consent.version_number) == (ConsentState.REQUESTED, 0, 0)
    assert (consent.valid_from, consent.valid_until) == (terms.access.valid_from, terms.access.valid_until)
    assert open_terms(office.keyring, office.subject_id, asked) == terms
    assert asked.terms_digest == keyed_digest(office, terms)
    assert asked.receipt_sealed is None
    assert office.shares(grant_id) == set()


def test_giving_makes_a_share_for_every_granted_item_of_every_named_holder(office: Office) -> None:
    given = office.agree(granted=[BILL])
    expected = {
        (given.version_id, office.keyring.compartment_id(office.subject_id, holder, BILL))
        for holder in (HOSPITAL, REGISTER)
    }
    assert office.shares(given.grant_id) == compartments(office, given) == expected


def test_without_named_holders_the_linked_ones_are_shared(office: Office) -> None:
    office.clock.advance(-VALID_FOR)
    office.link(REGISTER, "over")
    office.clock.advance(VALID_FOR)
    office.link(HOSPITAL, "1")
    office.link(HOSPITAL, "2")
    ended = office.link(REGISTER, "1")
    with office.work() as work:
        unlink(work, office.keyring, ended, office.subject_id, office.clock())
    given = office.give(office.request(terms_with({"holders": ABSENT})), [BILL], holders=[HOSPITAL])
    expected = {(given.version_id, office.keyring.compartment_id(office.subject_id, HOSPITAL, BILL))}
    assert office.shares(given.grant_id) == compartments(office, given) == expected
    assert given.terms.holders == (HOSPITAL,)


@pytest.mark.parametrize("shown", [[], [HOSPITAL], [HOSPITAL, REGISTER, "another"]])
def test_other_holders_than_were_shown_are_not_agreed_to(sqlite_office: Office, shown: list[str]) -> None:
    sqlite_office.link(HOSPITAL, "1")
    sqlite_office.link(REGISTER, "1")
    grant_id = sqlite_office.request(terms_with({"holders": ABSENT}))
    with pytest.raises(NoticeChangedError):
        sqlite_office.give(grant_id, [BILL], holders=shown)
    assert sqlite_office.consent(grant_id).state == ConsentState.REQUESTED


def test_a_consent_over_nothing_is_not_given(sqlite_office: Office) -> None:
    grant_id = sqlite_office.request(terms_with({"holders": ABSENT}))
    with pytest.raises(NoHolderError):
        sqlite_office.give(grant_id, [BILL])
    assert sqlite_office.consent(grant_id).state == ConsentState.REQUESTED


def test_a_suspended_recipient_is_not_agreed_with(sqlite_office: Office) -> None:
    grant_id = sqlite_office.request()
    with sqlite_office.work() as work:
        suspend(work.session, RECIPIENT)
    with pytest.raises(UnknownOrganisationError):
        sqlite_office.give(grant_id, [BILL])


def keyed_digest(office: Office, terms: Terms) -> bytes:
    return office.keyring.index("consent.terms", terms.canonical().decode())


def test_giving_keeps_the_narrowed_terms_beside_what_was_asked(office: Office) -> None:
    given = office.agree(granted=[BILL])
    agreed, asked = version(office, given.version_id), version(office, f"{given.grant_id}.0")
    opened = open_terms(office.keyring, office.subject_id, agreed)
    assert opened == given.terms
    assert [item.record_type for item in opened.items] == [BILL]
    assert agreed.terms_digest == keyed_digest(office, given.terms) != asked.terms_digest
    assert agreed.terms_digest != given.terms.digest()
    assert open_terms(office.keyring, office.subject_id, asked) == terms_with()


def test_the_receipt_says_what_was_agreed(office: Office) -> None:
    given = office.agree(granted=[BILL])
    assert given.receipt_jws is not None
    claims = verify_receipt(given.receipt_jws, office.receipt_jwks())
    assert claims["grant_id"] == given.grant_id
    assert claims["version"] == 1
    assert claims["terms"] == given.terms.to_detail()
    assert [holder["id"] for holder in claims["process"]["holders"]] == sorted([HOSPITAL, REGISTER])
    assert claims["notice"]["sha256"] == office.purpose.notice_digest("ko").hex()
    assert office.subject_id not in str(claims)


def test_the_event_of_giving_holds_the_terms_sealed_and_not_in_its_facts(office: Office) -> None:
    given = office.agree()
    event = office.timeline(given.grant_id)[-1]
    assert event.detail["terms"] == given.terms.to_detail()
    assert event.detail["notice"] == office.purpose.notice_digest("ko").hex()
    assert event.facts == {"change": 1, "access": "once"}
