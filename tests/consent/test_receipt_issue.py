"""Receipts of ends and deletions: owed in the end's own transaction, made once, provable from the log."""

import json
from datetime import timedelta
from typing import Any, Final

import pytest
from sqlmodel import select

from broker.jobs.duties import drain
from broker.jobs.publishing import log_key, publish
from consent.attestation import Attested
from consent.errors import NotFoundError
from consent.ledger.errors import NotInLogError
from consent.ledger.verify import verify_receipt_file
from consent.models import Consent, Duty, Organisation, Receipt
from consent.outbox import DutyKind
from consent.receipt_issue import agreement_of, issue
from consent.receipt_reading import ReceiptView, bundle_of, receipt_view, receipts_of
from consent.receipt_signature import verify_receipt
from consent.receipt_vocabulary import ReceiptKind
from consent.vocabulary import ConsentState, StateReason
from tests.consent.details import terms_with
from tests.consent.keeping import Keeper
from tests.consent.office import RECIPIENT, Office, consent_in
from tests.installation import ISSUER

DAY: Final = timedelta(days=1)
ENDS: Final = {
    ConsentState.FULFILLED: "fulfilment",
    ConsentState.EXPIRED: "expiry",
    ConsentState.WITHDRAWN: "withdrawal",
    ConsentState.REVOKED: "revocation",
    ConsentState.INVALIDATED: "invalidation",
}


def receipts(office: Office, grant_id: str) -> list[ReceiptView]:
    with office.installation.data.read() as session:
        return receipts_of(session, office.keyring, office.subject_id, grant_id)


def kinds(office: Office, grant_id: str) -> list[str]:
    return [view.kind.value for view in receipts(office, grant_id)]


def owed(office: Office) -> list[str]:
    with office.installation.data.read() as session:
        return [duty.target for duty in session.exec(select(Duty).where(Duty.kind == DutyKind.ISSUE_RECEIPT))]


def issue_now(office: Office) -> None:
    drain(office.installation, office.clock() + 60 * DAY)  # an end by time has an instant of its own


def bundle(office: Office, view: ReceiptView, *, is_opened: bool = False) -> dict[str, Any]:
    with office.installation.data.read() as session:
        return bundle_of(
            session,
            office.keyring,
            office.subject_id,
            view,
            jwks=office.receipt_jwks()["keys"],
            log_key=log_key(office.installation).vkey,
            is_opened=is_opened,
        )


# What nobody agreed to has no receipt


@pytest.mark.parametrize("state", [ConsentState.REQUESTED, ConsentState.REFUSED])
def test_what_was_never_given_has_no_receipt(sqlite_office: Office, state: ConsentState) -> None:
    grant_id = consent_in(sqlite_office, state)
    assert owed(sqlite_office) == []
    assert receipts(sqlite_office, grant_id) == []


def test_a_request_that_ran_out_owes_no_receipt(sqlite_office: Office) -> None:
    grant_id = sqlite_office.request()
    sqlite_office.expire(grant_id)
    assert owed(sqlite_office) == []


def test_another_persons_receipts_are_as_unknown(office: Office) -> None:
    grant_id = office.agree().grant_id
    stranger = office.newcomer()
    with office.installation.data.read() as session:
        for subject_id, asked in ((stranger, grant_id), (office.subject_id, "unknown")):
            with pytest.raises(NotFoundError):
                receipts_of(session, office.keyring, subject_id, asked)
        with pytest.raises(NotFoundError):
            receipt_view(session, office.keyring, office.subject_id, grant_id, "unknown")
        mine = receipt_view(session, office.keyring, office.subject_id, grant_id, "1")
        with pytest.raises(NotFoundError):
            bundle_of(session, office.keyring, stranger, mine, jwks=[], log_key="", is_opened=True)


@pytest.mark.parametrize("target", ["unknown:withdrawal", "{}:withdrawal", "{}:deletion"])
def test_a_duty_for_what_never_happened_makes_nothing(sqlite_office: Office, target: str) -> None:
    grant_id = sqlite_office.agree().grant_id
    with sqlite_office.work() as work, pytest.raises(NotFoundError):
        issue(
            work,
            sqlite_office.keyring,
            target.format(grant_id),
            sqlite_office.sign_receipt,
            sqlite_office.clock(),
        )
    assert kinds(sqlite_office, grant_id) == ["grant"]


def test_a_party_that_is_not_registered_is_no_party(sqlite_office: Office) -> None:
    grant_id = sqlite_office.agree().grant_id
    with sqlite_office.installation.data.read() as session:
        consent = session.get_one(Consent, grant_id)
        with pytest.raises(NotFoundError):
            agreement_of(
                session,
                consent,
                None,  # type: ignore[arg-type] # it is not come to
                terms_with({"holders": ["nobody"]}),
                sqlite_office.purpose,
                now=sqlite_office.clock(),
            )


# Ends


@pytest.mark.parametrize("state", list(ENDS))
def test_every_end_has_its_receipt(office: Office, state: ConsentState) -> None:
    grant_id = consent_in(office, state)
    assert owed(office) == [f"{grant_id}:{ENDS[state]}"]
    issue_now(office)
    assert kinds(office, grant_id) == ["grant", ENDS[state]]
    claims = verify_receipt(receipts(office, grant_id)[-1].jws, office.receipt_jwks())
    assert claims["end"]["cause"] == ENDS[state]
    assert claims["events"][-1]["status"] == claims["status"]
    assert claims["iss"] == ISSUER


def test_a_receipt_is_made_once_however_often_it_is_asked_for(office: Office) -> None:
    grant_id = consent_in(office, ConsentState.WITHDRAWN)
    issue_now(office)
    first = receipts(office, grant_id)
    for _ in range(2):
        with office.work() as work:
            issue(work, office.keyring, f"{grant_id}:withdrawal", office.sign_receipt, office.clock())
    assert [view.jws for view in receipts(office, grant_id)] == [view.jws for view in first]


def test_an_end_is_named_with_its_reason_though_the_state_has_moved_on(sqlite_office: Office) -> None:
    grant_id = sqlite_office.agree().grant_id
    sqlite_office.revoke(grant_id, StateReason.SECURITY)
    with sqlite_office.work() as work:
        work.session.get_one(Consent, grant_id).state_reason = None
    issue_now(sqlite_office)
    assert receipts(sqlite_office, grant_id)[-1].claims["end"]["reason"] == "security"


def test_what_was_fulfilled_and_then_withdrawn_has_both_receipts(sqlite_office: Office) -> None:
    grant_id = consent_in(sqlite_office, ConsentState.FULFILLED)
    sqlite_office.clock.advance(DAY)
    sqlite_office.withdraw(grant_id)
    issue_now(sqlite_office)  # both are made after both have happened
    _, fulfilled, withdrawn = receipts(sqlite_office, grant_id)
    assert [one["event"] for one in fulfilled.claims["events"]][-1] == "consent.fulfilled"
    assert [one["event"] for one in withdrawn.claims["events"]][-1] == "consent.withdrawn"
    assert fulfilled.claims["end"]["at"] < withdrawn.claims["end"]["at"]


def test_a_receipt_of_an_end_says_what_must_be_deleted_and_by_when(office: Office) -> None:
    keeper = Keeper(office)
    grant_id = keeper.agree()
    keeper.deliver(grant_id)
    office.clock.advance(DAY)
    office.withdraw(grant_id)
    issue_now(office)
    claims = receipts(office, grant_id)[-1].claims
    due = keeper.view(grant_id)
    assert claims["end"]["delivered_count"] == 1
    assert claims["obligation"]["delete"] == [one.payload_digest.hex() for one in due.deliveries]
    assert claims["obligation"]["due_at"] == due.due_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_a_deletion_that_was_attested_has_its_receipt(office: Office) -> None:
    keeper = Keeper(office)
    grant_id = keeper.agree()
    keeper.deliver(grant_id)
    office.withdraw(grant_id)
    assert isinstance(keeper.attest(grant_id, keeper.attestation(grant_id)), Attested)
    issue_now(office)
    assert kinds(office, grant_id) == ["grant", "withdrawal", "deletion"]
    _, withdrawal, deletion = receipts(office, grant_id)
    assert "obligation" not in withdrawal.claims  # it was made after the recipient had attested
    digest = keeper.row(grant_id).attestation_digest
    assert digest is not None
    assert deletion.claims["obligation"]["attestation_sha256"] == digest.hex()
    assert deletion.claims["obligation"]["delete"] == [
        one.payload_digest.hex() for one in keeper.view(grant_id).deliveries
    ]


def test_a_deletions_receipt_lists_what_was_attested_whatever_came_since(office: Office) -> None:
    """A pull may commit after another one and be of an earlier instant."""
    keeper = Keeper(office)
    grant_id = keeper.agree()
    office.clock.advance(DAY)
    keeper.deliver(grant_id)
    (attested,) = keeper.view(grant_id).deliveries
    assert isinstance(keeper.attest(grant_id), Attested)
    at = office.clock()
    office.clock.advance(-DAY)
    keeper.deliver(grant_id)
    office.clock.advance(2 * DAY)
    issue_now(office)
    deletion = receipts(office, grant_id)[-1].claims["obligation"]
    assert deletion["delete"] == [attested.payload_digest.hex()]
    assert deletion["attested_at"] == at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_a_version_that_not_everybody_signed_has_no_receipt_of_its_end(office: Office) -> None:
    """It was never in force, so no duty may wait for what cannot be made."""
    grant_id = consent_in(office, ConsentState.PARTIALLY_SIGNED)
    office.withdraw(grant_id)
    assert owed(office) == []
    with office.work() as work:
        issue(work, office.keyring, f"{grant_id}:withdrawal", office.sign_receipt, office.clock())
    assert receipts(office, grant_id) == []


# Nothing that is edited afterwards comes into a receipt


def test_edits_of_purpose_and_names_change_no_byte_of_a_receipt(office: Office) -> None:
    grant_id = office.agree().grant_id
    before = receipts(office, grant_id)[0].jws
    with office.work() as work:
        recipient = work.session.get_one(Organisation, RECIPIENT)
        recipient.name_ko, recipient.contact = "다른 이름", "other@example.com"
    office.withdraw(grant_id)
    issue_now(office)
    first, end = receipts(office, grant_id)
    assert first.jws == before
    assert end.claims["recipient"] == first.claims["recipient"]
    assert end.claims["process"] == first.claims["process"]
    assert end.claims["notice"] == first.claims["notice"]


def test_the_receipt_is_the_record_at_issue(office: Office) -> None:
    grant_id = office.agree().grant_id
    claims = receipts(office, grant_id)[0].claims
    event = office.timeline(grant_id)[-1]
    assert claims["terms"] == event.detail["terms"]
    assert claims["notice"]["sha256"] == event.detail["notice"]
    assert claims["given_at"] == event.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert claims["withdrawal"]["exercised_at"]["@id"] == f"{ISSUER}/ko/consents/{grant_id}/stop"


# Proof from the log


def test_until_the_log_is_signed_there_is_no_proof(office: Office) -> None:
    grant_id = office.agree().grant_id
    with pytest.raises(NotInLogError):
        bundle(office, receipts(office, grant_id)[0])


def test_a_receipt_of_no_entry_has_no_proof(sqlite_office: Office) -> None:
    grant_id = sqlite_office.agree().grant_id
    publish(sqlite_office.installation, sqlite_office.clock())
    (view,) = receipts(sqlite_office, grant_id)
    for other in (
        ReceiptView(view.reference, view.kind, 1, view.issued_at + DAY, view.jws, None),
        ReceiptView(view.reference, ReceiptKind.RENEWAL, 1, view.issued_at, view.jws, None),
    ):
        with pytest.raises(NotInLogError):
            bundle(sqlite_office, other)


@pytest.mark.parametrize("is_opened", [False, True])
def test_every_receipt_is_proven_offline(office: Office, *, is_opened: bool) -> None:
    keeper = Keeper(office)
    grant_id = keeper.agree()
    keeper.deliver(grant_id)
    office.withdraw(grant_id)
    keeper.attest(grant_id, keeper.attestation(grant_id))
    issue_now(office)
    publish(office.installation, office.clock())
    for view in receipts(office, grant_id):
        raw = json.dumps(bundle(office, view, is_opened=is_opened)).encode()
        report = verify_receipt_file(raw)
        assert (report.claims, report.is_opened, report.has_own_keys) == (view.claims, is_opened, True)
        assert report.head is not None
        assert report.head.size == office.log_size()


def test_a_bundle_that_is_not_opened_tells_no_more_than_the_receipt(office: Office) -> None:
    grant_id = office.agree().grant_id
    publish(office.installation, office.clock())
    made = bundle(office, receipts(office, grant_id)[0])
    assert made.keys() == {"format", "receipt", "jwks", "log_key", "entry"}
    assert made["entry"].keys() == {"index", "leaf", "proof"}


def test_receipts_lie_sealed(office: Office) -> None:
    grant_id = consent_in(office, ConsentState.WITHDRAWN)
    issue_now(office)
    with office.installation.data.read() as session:
        (row,) = session.exec(select(Receipt)).all()
    assert b"consent" not in row.receipt_sealed
    assert row.receipt_id == receipts(office, grant_id)[-1].claims["jti"]
