"""Answers instead of records: one entry, nothing of the records in it, signed, and the same for good."""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest

from broker.installation import Installation
from broker.oauth.pairwise import pairwise_subject
from consent.derivations import Derivations
from tests.consent.details import BILL, HOSPITAL, POLICY, PURPOSE
from tests.consent.office import RECIPIENT
from tests.installation import ISSUER, Clock
from tests.lane.world import ANYTHING, BILLS, VISITS, Granted, World, bill, code_of, opened
from vault.jose import verify_jwt

# Two of the world's bills match the usual terms; each is of 124 200 won for the patient.
PAID: Final = 2 * 124_200
DERIVED: Final = {"mode": "derived", "derivation": "test.bills", "record_type": BILL, "required": True}


def count(records: Any, as_of: Any) -> dict[str, int | str]:  # noqa: ANN401 - JSON, a day
    return {"bills": len(records), "as_of": as_of.isoformat()}


@pytest.fixture
def world(installation: Installation, clock: Clock) -> Iterator[World]:
    """The lane's world with a derivation that counts."""
    with opened(replace(installation, derivations=Derivations([("test.bills@7", count)])), clock) as world:
        yield world


def asking(value: object = PAID, **members: object) -> dict[str, Any]:
    """One item: whether that much was paid in all."""
    item = {
        "record_type": BILL,
        "mode": "predicate",
        "predicate": {"name": "paid_at_least", "value": value},
        "required": True,
        "filter": {"institution": ["11100079"], "period": {"from": "2026-11-01", "to": "2026-11-30"}},
    }
    return item | members


def granted(world: World, *items: Mapping[str, Any], **changes: object) -> Granted:
    return world.granted({"items": list(items), **changes})


def one_entry(world: World, consent: Granted, **asked: Any) -> dict[str, Any]:  # noqa: ANN401 - see pull
    answer = world.pull(consent.token, **asked)
    assert answer.status_code == 200, answer.text
    (entries,) = answer.json()["records"].values()
    (entry,) = entries
    assert isinstance(entry, dict)
    return entry


@pytest.mark.parametrize(("value", "said"), [(PAID, True), (PAID + 1, False)])
def test_a_predicate_is_one_entry_that_says_yes_or_no(world: World, value: int, said: bool) -> None:  # noqa: FBT001 - the answer
    consent = granted(world, asking(value))
    entry = one_entry(world, consent)
    assert (entry["version"], entry["holder"]) == (1, ISSUER)
    data = entry["data"]
    assert data.pop("signature").count(".") == 2
    assert data == {
        "predicate": {"name": "paid_at_least", "value": value},
        "answer": said,
        "as_of": "2026-12-01",
        "rule": "paid_at_least@1",
        "padding": "0" * (4 if said else 3),
    }


def test_nothing_of_the_records_leaves_with_it(world: World) -> None:
    consent = granted(world, asking(1))
    answer = world.pull(consent.token)
    pinned = world.value(
        "SELECT count(*) FROM delivery_record WHERE delivery_id = :id", id=answer.json()["delivery_id"]
    )
    assert pinned == 2
    *_, told = world.office.timeline(consent.grant_id)
    records = [record_id for record_id, _, _ in told.detail["records"]]
    assert len(records) == 2
    # The digest is random, in hexadecimal: now and then six digits of it are an amount.
    told_to_all = answer.text.replace(answer.json()["payload_digest"], "")
    for secret in (*records, "124200", str(PAID), "한빛", HOSPITAL, VISITS[0][0], "11100079"):
        assert secret not in told_to_all
    (released,) = world.events(consent.grant_id)
    assert released["facts"]["records"] == 1
    assert world.deliveries(consent.grant_id)[0].record_count == 1


def test_the_log_holds_the_question_and_not_the_answer(world: World) -> None:
    consent = granted(world, asking(), DERIVED | {"record_type": POLICY})
    world.pull(consent.token)
    *_, told = world.office.timeline(consent.grant_id)
    assert told.detail["items"] == [
        [BILL, "predicate", [{"name": "paid_at_least", "value": PAID}]],
        [POLICY, "derived", ["test.bills"]],
    ]
    assert "answer" not in json.dumps(told.detail)


def test_no_record_differs_in_nothing_but_the_answer(world: World) -> None:
    nothing = granted(world, asking(filter={"institution": ["99999999"]}))
    something = granted(world, asking())
    assert one_entry(world, nothing)["data"]["answer"] is None
    assert one_entry(world, something)["data"]["answer"] is True


@pytest.mark.parametrize("item", [asking(), DERIVED], ids=["predicate", "derived"])
def test_the_size_of_a_delivery_does_not_depend_on_what_lies_behind_it(
    world: World, item: dict[str, Any]
) -> None:
    sizes = set()
    for value, institution in ((PAID, "11100079"), (PAID + 1, "11100079"), (PAID, "99999999")):
        asked = item | {"filter": {"institution": [institution]}}
        if item is not DERIVED:
            asked |= {"predicate": {"name": "paid_at_least", "value": value}}
        sizes.add(len(world.pull(granted(world, asked).token).content))
    assert len(sizes) == 1


def test_a_derivation_says_what_its_function_makes_of_the_records(world: World) -> None:
    consent = granted(world, DERIVED | {"filter": asking()["filter"]})
    data = one_entry(world, consent)["data"]
    assert data["derivation"] == "test.bills"
    assert data["answer"] == {"bills": 2, "as_of": "2026-12-01"}
    assert data["rule"] == "test.bills@7"


def test_the_recipient_can_show_the_answer_to_others(world: World) -> None:
    consent = granted(world, asking())
    answer = world.pull(consent.token).json()
    (entry,) = answer["records"][BILL]
    signature = entry["data"].pop("signature")
    header, claims = verify_jwt(
        signature, world.office.receipt_jwks(), algorithms=["ES256"], typ="mydata-answer+jwt"
    )
    assert claims == entry["data"] | {
        "iss": ISSUER,
        "recipient": RECIPIENT,
        "grant_id": consent.grant_id,
        "delivery_id": answer["delivery_id"],
        "record_type": BILL,
        "sub": pairwise_subject(world.installation.keyring, RECIPIENT, world.office.subject_id),
        "purpose": PURPOSE,
        "holders": sorted(consent.given.terms.to_detail()["holders"]),
        "data_period": consent.given.terms.to_detail()["data_period"],
    }
    published = world.http.get("/jwks").json()["keys"]
    assert header["kid"] in {key["kid"] for key in published}


def test_an_answer_stays_what_it_was_whatever_comes_afterwards(world: World) -> None:
    consent = granted(world, asking(PAID + 1))
    first = world.pull(consent.token, idempotency_key="one")
    world.collect(bill(("20261120-0009", "11100079", "2026-11-20", "2026-11-20")))
    world.clock.advance(timedelta(hours=23))
    token = world.token(consent.given)
    again = world.pull(token, ANYTHING, idempotency_key="one")
    assert again.content == first.content
    assert json.loads(first.content)["records"][BILL][0]["data"]["answer"] is False
    assert code_of(world.pull(token, idempotency_key="two")) == (403, "no_place_left")
    assert code_of(world.pull(token, BILLS, idempotency_key="three")) == (403, "no_place_left")


def test_beside_an_answer_other_items_are_records_as_ever(world: World) -> None:
    document = {"record_type": POLICY, "mode": "document", "required": True}
    records = world.pull(granted(world, asking(), document).token).json()["records"]
    assert list(records) == [BILL, POLICY]
    assert len(records[BILL]) == len(records[POLICY]) == 1
    assert records[POLICY][0]["data"]["policy_no"]


def test_an_erased_record_refuses_the_answer_and_tells_nothing_of_it(world: World) -> None:
    consent = granted(world, asking())
    world.tamper_keyring("DELETE FROM consent_share WHERE grant_id = :grant_id", grant_id=consent.grant_id)
    assert code_of(world.pull(consent.token)) == (410, "erased")


def test_a_rule_that_is_gone_answers_nothing(world: World) -> None:
    consent = granted(world, asking(predicate={"name": "no_such", "value": 1}))
    assert world.pull(consent.token).status_code == 500
    assert world.deliveries(consent.grant_id) == []


def test_a_periodic_consent_is_answered_anew_each_time(world: World) -> None:
    access = {"access.kind": "periodic", "access.cycle": "P1W", "access.max_pulls": 9}
    consent = granted(world, asking(PAID + 1), **access)
    assert one_entry(world, consent)["data"]["answer"] is False
    world.collect(bill(("20261120-0009", "11100079", "2026-11-20", "2026-11-20")))
    assert one_entry(world, consent)["data"]["answer"] is True


def test_the_padding_is_under_the_signature_too(world: World) -> None:
    entry = one_entry(world, granted(world, asking()))
    payload = entry["data"]["signature"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims["padding"] == entry["data"]["padding"]
