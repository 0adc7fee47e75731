"""What a receipt says: all that was agreed, in the standards' terms, and nothing that names the person."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from importlib import resources
from typing import Any, Final

import pytest
import rfc8785

from broker.installation import load_purposes
from consent.models import Organisation
from consent.organisations import OrganisationStatus
from consent.receipt import (
    SEVEN_ITEMS,
    Agreement,
    Deletion,
    Delivered,
    Happened,
    Owed,
    receipt,
    receipt_of_deletion,
    receipt_of_end,
)
from consent.receipt_vocabulary import (
    CONTEXT,
    DPV,
    OF_END,
    OF_VERSION,
    RECEIPT_SCHEMA,
    STATUS_OF_EVENT,
    TERMS,
    ReceiptKind,
    dpv,
)
from consent.vocabulary import ConsentState, EventType, VersionKind
from tests.consent.details import HOSPITAL, PURPOSE, REGISTER, terms_with

KST: Final = timezone(timedelta(hours=9))
GIVEN_AT: Final = datetime(2026, 12, 1, 9, 0, tzinfo=KST)
ENDED_AT: Final = GIVEN_AT + timedelta(days=3)
HISTORY: Final = (
    Happened(EventType.CONSENT_REQUESTED, GIVEN_AT - timedelta(minutes=5)),
    Happened(EventType.CONSENT_GIVEN, GIVEN_AT),
    Happened(EventType.CONSENT_PAUSED, GIVEN_AT + timedelta(days=1)),
    Happened(EventType.CONSENT_WITHDRAWN, ENDED_AT),
)
DELIVERED: Final = (
    Delivered("d-1", GIVEN_AT, 3, bytes(32), GIVEN_AT),
    Delivered("d-2", GIVEN_AT, 2, bytes([1]) * 32, None),
)


def organisation(organisation_id: str, name_ko: str, name_en: str) -> Organisation:
    return Organisation(
        organisation_id=organisation_id,
        name_ko=name_ko,
        name_en=name_en,
        registration_number="104-81-00001",
        contact=f"privacy@{organisation_id}.example",
        is_recipient=True,
        is_holder=True,
        status=OrganisationStatus.ACTIVE,
        created_at=GIVEN_AT,
    )


def agreement(**changes: Any) -> Agreement:  # noqa: ANN401 - any field
    return replace(
        Agreement(
            grant_id="grant",
            version_number=1,
            kind=VersionKind.GRANT,
            subject_ref="handle",
            recipient=organisation("hanbit-insurance", "한빛손해보험", "Hanbit Insurance"),
            holders=(
                organisation(HOSPITAL, "서울한빛병원", "Seoul Hanbit Hospital"),
                organisation(REGISTER, "보험계약정보원", "Policy Register"),
            ),
            terms=terms_with(),
            purpose=load_purposes().get(PURPOSE),
            notice_digest=bytes(range(32)),
            language="en",
            agreed_at=GIVEN_AT,
            history=HISTORY[:1],
        ),
        **changes,
    )


def signed(content: dict[str, Any]) -> dict[str, Any]:
    return content | {"iss": "https://broker.example", "aud": "a", "jti": "first", "iat": 1}


def ended(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any argument
    told: dict[str, Any] = {"reason": None, "delivered": (), "owed": None} | changes
    return receipt_of_end(signed(receipt(agreement())), ReceiptKind.WITHDRAWAL, HISTORY, **told)


def deleted() -> dict[str, Any]:
    attested = Happened(EventType.OBLIGATION_ATTESTED, ENDED_AT + timedelta(days=1))
    deletion = Deletion(attested.at, (bytes(32), bytes([1]) * 32), bytes([2]) * 32)
    return receipt_of_deletion(signed(receipt(agreement())), [*HISTORY, attested], deletion)


def at(value: Any, pointer: str) -> Any:  # noqa: ANN401 - any JSON
    for name in pointer.removeprefix("/").split("/"):
        value = value[name]
    return value


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield name
            yield from strings(member)
    elif isinstance(value, list):
        for member in value:
            yield from strings(member)


# What DPV does not have cannot be said in its name


@pytest.mark.parametrize("term", ["", "ConsentPaused", "consentGiven", "ConsentGiven ", "isIndicationTime"])
def test_a_term_that_dpv_does_not_have_is_refused(term: str) -> None:
    with pytest.raises(ValueError, match="has no term"):
        dpv(term)


@pytest.mark.parametrize("kind", [kind for kind in VersionKind if kind is not VersionKind.REQUEST])
def test_every_dpv_name_of_a_receipt_is_in_the_list_of_2_3(kind: VersionKind) -> None:
    contents = [
        receipt(agreement(kind=kind)),
        ended(delivered=DELIVERED, owed=Owed(ENDED_AT, (b"",))),
        deleted(),
    ]
    found = {
        text.removeprefix(DPV) for content in contents for text in strings(content) if text.startswith(DPV)
    }
    assert len(found) > 20
    assert found - {""} <= TERMS


def test_every_purpose_that_services_bring_speaks_dpv() -> None:
    for purpose in load_purposes().all():
        for iri in (purpose.dpv_purpose, purpose.legal_basis):
            assert iri.startswith(DPV), (purpose.code, iri)
            assert iri.removeprefix(DPV) in TERMS, (purpose.code, iri)


def test_the_list_says_where_it_is_from() -> None:
    listed = json.loads(resources.files("consent").joinpath("dpv_terms.json").read_bytes())
    assert (listed["version"], len(TERMS)) == ("2.3", 1116)
    assert "dpv.csv" in listed["source"]
    assert "W3C" in listed["licence"]


def test_every_state_that_was_ever_given_has_a_status() -> None:
    of_state = {event.removeprefix("consent.").upper() for event in STATUS_OF_EVENT}
    assert {state for state in ConsentState if state not in of_state} == {"PARTIALLY_SIGNED", "REFUSED"}
    assert len(set(OF_END.values())) == 5
    assert set(OF_VERSION) == set(VersionKind) - {VersionKind.REQUEST}


# JSON-LD


def test_every_name_has_an_iri_and_the_context_fetches_nothing() -> None:
    context = receipt(agreement())["@context"]
    assert context == dict(CONTEXT)
    assert context["@vocab"].startswith("urn:")
    assert not [
        text
        for text in strings(context)
        if text.startswith("http") and not text.startswith((DPV, "http://purl.org/dc/terms/"))
    ]
    for name, told in context.items():
        if not name.startswith("@") and isinstance(told, dict):
            assert told["@id"].startswith((DPV, "dct:", "urn:")), name


@pytest.mark.parametrize(
    "content", [receipt(agreement()), ended(), deleted()], ids=["grant", "end", "deletion"]
)
def test_a_receipt_is_a_consent_receipt_of_the_schema(content: dict[str, Any]) -> None:
    assert content["@type"] == dpv("ConsentReceipt")
    assert content["schema"] == RECEIPT_SCHEMA
    assert json.loads(rfc8785.dumps(content)) == content


# What was agreed


def test_the_seven_items_are_found_where_the_receipt_says() -> None:
    told = receipt(agreement())
    assert told["seven_items"] == dict(SEVEN_ITEMS)
    found = {name: at(told, pointer) for name, pointer in told["seven_items"].items()}
    assert found["purpose"]["code"] == PURPOSE
    assert [holder["id"] for holder in found["holder"]] == [HOSPITAL, REGISTER]
    assert found["recipient"]["name"] == {"ko": "한빛손해보험", "en": "Hanbit Insurance"}
    assert [item["record_type"] for item in found["data"]] == [
        item.record_type for item in terms_with().items
    ]
    assert (found["periodicity"]["kind"], found["periodicity"]["@type"]) == ("once", dpv("SingularFrequency"))
    assert found["end"] == "2026-12-30T15:00:00.000000Z"
    assert found["retention"] == "P90D"


def test_what_is_needed_and_what_is_a_choice_are_told_apart() -> None:
    bill, policy = receipt(agreement())["process"]["personal_data"]
    assert (bill["necessity"], policy["necessity"]) == (dpv("Required"), dpv("Optional"))
    assert bill["fields"] == ["institution", "period", "lines", "totals"]
    assert (policy["mode"], policy["@type"]) == ("document", dpv("PersonalData"))


def test_an_answer_is_derived_data_and_no_copy() -> None:
    asked = {"record_type": "resident.household", "mode": "derived", "derivation": "d@1", "required": True}
    (item,) = receipt(agreement(terms=terms_with({"items": [asked]})))["process"]["personal_data"]
    assert (item["@type"], item["derivation"]) == (dpv("DerivedPersonalData"), "d@1")


def test_regular_access_has_its_cycle() -> None:
    terms = terms_with({"access.kind": "periodic", "access.cycle": "P1W", "access.max_pulls": 4})
    told = receipt(agreement(terms=terms))["process"]["frequency"]
    assert (told["@type"], told["cycle"], told["max_pulls"]) == (dpv("SporadicFrequency"), "P1W", 4)


def test_what_may_not_be_stored_is_used_only() -> None:
    terms = terms_with({"retention.store": False, "retention.period": "P0D"})
    assert receipt(agreement(terms=terms))["process"]["processing"] == [dpv("Transmit"), dpv("Use")]


def test_a_receipt_pins_the_text_that_was_shown_and_says_how_to_stop() -> None:
    told = receipt(agreement())
    assert told["notice"]["sha256"] == bytes(range(32)).hex()
    assert (told["notice"]["language"], told["language"]) == ("en", "en")
    assert told["withdrawal"]["exercised_at"] == {"@id": "/en/consents/grant/stop"}


def test_a_receipt_pins_its_terms_by_their_digest() -> None:
    told = receipt(agreement())
    assert told["terms_sha256"] == terms_with().digest().hex()
    assert told["terms"] == terms_with().to_detail()
    assert "terms_sha256" in ended()


@pytest.mark.parametrize("claim", ["iss", "aud", "jti", "iat"])
def test_the_signers_claims_are_left_to_the_signer(claim: str) -> None:
    assert claim not in receipt(agreement())
    assert claim not in ended()
    assert claim not in deleted()


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (VersionKind.GRANT, "ConsentGiven"),
        (VersionKind.AMENDMENT, "ConsentGiven"),
        (VersionKind.NARROWING, "ConsentGiven"),
        (VersionKind.RENEWAL, "RenewedConsentGiven"),
        (VersionKind.RECONSENT, "RenewedConsentGiven"),
    ],
)
def test_each_way_to_a_version_has_its_kind_and_status(kind: VersionKind, status: str) -> None:
    told = receipt(agreement(kind=kind))
    assert (told["kind"], told["status"]) == (kind.value, dpv(status))


def test_who_said_what_and_when_is_told() -> None:
    requested, given_ = receipt(agreement())["events"]
    assert (requested["indicated_by"], requested["status"]) == ("recipient", dpv("ConsentRequested"))
    assert (given_["indicated_by"], given_["at"]) == ("data_subject", "2026-12-01T00:00:00.000000Z")
    assert receipt(agreement(is_represented=True))["events"][1]["indicated_by"] == "representative"


# What became of it


def test_a_receipt_of_an_end_says_what_ended_why_and_what_had_left() -> None:
    told = ended(
        reason="co_holder", delivered=DELIVERED, owed=Owed(ENDED_AT + timedelta(days=3), (bytes(32),))
    )
    assert (told["kind"], told["status"]) == ("withdrawal", dpv("ConsentWithdrawn"))
    assert (told["end"]["cause"], told["end"]["reason"]) == ("withdrawal", "co_holder")
    assert told["end"]["at"] == "2026-12-04T00:00:00.000000Z"
    assert (told["end"]["delivered_count"], told["end"]["records_count"]) == (2, 5)
    first, second = told["end"]["delivered"]
    assert (first["payload_digest"], "acknowledged_at" in first, "acknowledged_at" in second) == (
        "00" * 32,
        True,
        False,
    )
    assert told["obligation"]["fulfilment"] == dpv("ObligationUnfulfilled")
    assert (told["obligation"]["delete"], told["obligation"]["due_at"]) == (
        ["00" * 32],
        "2026-12-07T00:00:00.000000Z",
    )


def test_an_end_after_nothing_was_sent_leaves_nothing_to_delete() -> None:
    told = ended()
    assert (told["end"]["delivered"], "reason" in told["end"], "obligation" in told) == ([], False, False)


def test_the_whole_life_is_in_the_receipt_of_its_end() -> None:
    told = ended()["events"]
    assert [one["event"] for one in told] == [one.event.value for one in HISTORY]
    assert ["indicated_by" in one for one in told] == [True, True, False, True]


def test_a_represented_person_is_represented_in_the_receipt_of_the_end_too() -> None:
    agreed = signed(receipt(agreement(is_represented=True)))
    told = receipt_of_end(agreed, ReceiptKind.WITHDRAWAL, HISTORY, reason=None, delivered=(), owed=None)
    assert told["events"][-1]["indicated_by"] == "representative"


def test_a_receipt_of_an_end_repeats_what_was_agreed_and_names_its_receipt() -> None:
    agreed, told = receipt(agreement()), ended()
    same = set(agreed) - {"kind", "status", "events"}
    assert {name: told[name] for name in same} == {name: agreed[name] for name in same}
    assert told["continues"] == "first"


def test_a_receipt_of_a_deletion_names_what_was_deleted_and_who_said_so() -> None:
    told = deleted()
    assert (told["kind"], told["status"]) == ("deletion", dpv("ConsentWithdrawn"))
    assert told["obligation"]["fulfilment"] == dpv("ObligationFulfilled")
    assert told["obligation"]["delete"] == ["00" * 32, "01" * 32]
    assert told["obligation"]["attestation_sha256"] == "02" * 32
    assert told["obligation"]["attested_at"] == "2026-12-05T00:00:00.000000Z"
