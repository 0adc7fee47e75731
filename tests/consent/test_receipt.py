"""What a receipt says: all that was agreed, in the standards' terms, and nothing that names the person."""

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Final

import pytest
import rfc8785

from consent.models import Organisation
from consent.organisations import OrganisationStatus
from consent.receipt import RECEIPT_SCHEMA, Agreement, receipt
from tests.consent.details import ABSENT, HOSPITAL, PURPOSE, REGISTER, terms_with

GIVEN_AT: Final = datetime(2026, 12, 1, 9, 0, tzinfo=timezone(timedelta(hours=9)))


def agreement() -> Agreement:
    recipient = Organisation(
        organisation_id="hanbit-insurance",
        name_ko="한빛손해보험",
        name_en="Hanbit Insurance",
        registration_number="104-81-00001",
        contact="privacy@hanbit.example",
        is_recipient=True,
        is_holder=False,
        status=OrganisationStatus.ACTIVE,
        created_at=GIVEN_AT,
    )
    return Agreement(
        grant_id="grant",
        version_number=1,
        subject_ref="handle",
        recipient=recipient,
        holders=(HOSPITAL, REGISTER),
        terms=terms_with(),
        notice_digest=bytes(range(32)),
        notice_revision="2026-11-01",
        language="en",
        given_at=GIVEN_AT,
    )


def test_a_receipt_holds_the_seven_things_that_a_person_must_be_told() -> None:
    told = receipt(agreement())
    assert told["purpose"] == told["terms"]["purpose"] == PURPOSE
    assert told["holders"] == [HOSPITAL, REGISTER]
    assert told["recipient"] == {
        "id": "hanbit-insurance",
        "name": {"ko": "한빛손해보험", "en": "Hanbit Insurance"},
        "registration_number": "104-81-00001",
        "contact": "privacy@hanbit.example",
    }
    assert told["terms"]["items"] == terms_with().to_detail()["items"]
    assert told["terms"]["access"]["kind"] == "once"
    assert told["terms"]["access"]["valid_until"] == "2026-12-31T00:00:00+09:00"
    assert told["terms"]["retention"] == {"store": True, "period": "P90D", "on_end": "delete"}


def test_a_receipt_pins_the_text_that_was_shown() -> None:
    assert receipt(agreement())["notice"] == {
        "revision": "2026-11-01",
        "language": "en",
        "sha256": bytes(range(32)).hex(),
    }


def test_a_receipt_pins_its_terms_by_their_digest() -> None:
    told = receipt(agreement())
    assert told["terms_sha256"] == terms_with().digest().hex()
    other = receipt(replace(agreement(), terms=terms_with({"holders": ABSENT})))
    assert other["terms_sha256"] != told["terms_sha256"]
    assert "holders" not in other["terms"]


def test_a_receipt_is_a_record_in_the_standards_terms() -> None:
    told = receipt(agreement())
    assert told["schema"] == RECEIPT_SCHEMA
    assert told["status"] == "https://w3id.org/dpv#ConsentGiven"
    assert (told["grant_id"], told["version"], told["data_subject"]) == ("grant", 1, "handle")


def test_the_instant_of_giving_is_told_in_utc() -> None:
    assert receipt(agreement())["given_at"] == "2026-12-01T00:00:00.000000Z"


@pytest.mark.parametrize("claim", ["iss", "aud", "jti", "iat"])
def test_the_signers_claims_are_left_to_the_signer(claim: str) -> None:
    assert claim not in receipt(agreement())


def test_a_receipt_is_plain_json() -> None:
    told = receipt(agreement())
    assert json.loads(rfc8785.dumps(told)) == told
