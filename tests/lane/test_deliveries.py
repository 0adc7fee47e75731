"""What a pull answers when everything is in order: everything that was granted, and nothing else."""

import base64
import hashlib
from datetime import timedelta

import rfc8785

from tests.consent.details import ABSENT, BILL, HOSPITAL, POLICY, REGISTER
from tests.lane.world import (
    ANYTHING,
    BILLS,
    DELIVERIES,
    POLICIES,
    VISITS,
    World,
    bill,
    numbers,
)
from vault.record_types.catalogue import Catalogue


def test_everything_that_was_granted(world: World) -> None:
    granted = world.granted()
    answer = world.pull(granted.token)
    assert answer.status_code == 200
    body = answer.json()
    assert list(body["records"]) == [BILL, POLICY]
    assert body["grant_id"] == granted.grant_id
    (policy,) = body["records"][POLICY]
    assert policy["holder"] == REGISTER
    assert policy["version"] == 1
    assert policy["data"] == Catalogue.load().get(POLICY).example
    assert answer.headers["cache-control"] == "no-store"
    (row,) = world.deliveries(granted.grant_id)
    assert (row.delivery_id, row.ordinal, row.record_count) == (body["delivery_id"], 1, 3)
    assert row.payload_digest.hex() == body["payload_digest"]
    assert world.told(granted.grant_id) == [("delivery.released", None)]
    (released,) = world.events(granted.grant_id)
    assert released["facts"] == {"payload": body["payload_digest"], "records": 3}
    assert (released["recipient"], released["purpose"]) == (row.recipient_id, "insurance.indemnity_claim")


def test_the_log_does_not_say_what_was_in_it(world: World) -> None:
    granted = world.granted()
    body = world.pull(granted.token).json()
    (released,) = world.events(granted.grant_id)
    said = str(released)
    assert body["delivery_id"] not in said
    assert not [
        one["record_id"]
        for records in body["records"].values()
        for one in records
        if one["record_id"] in said
    ]
    *_, told = world.office.timeline(granted.grant_id)
    assert told.detail["delivery_id"] == body["delivery_id"]
    assert len(told.detail["records"]) == 3


def test_one_type_of_those_granted(world: World) -> None:
    granted = world.granted({"access.max_pulls": 2})
    assert list(world.pull(granted.token, POLICIES).json()["records"]) == [POLICY]
    assert numbers(world.pull(granted.token, BILLS)) == ["2026-11-02", "2026-11-26"]


def test_only_the_fields_that_were_granted(world: World) -> None:
    granted = world.granted({"items.0.fields": ["totals", "institution"]})
    for record in world.pull(granted.token).json()["records"][BILL]:
        assert set(record["data"]) == {"totals", "institution"}


def test_the_document_when_that_was_granted(world: World) -> None:
    granted = world.granted({"items.0.mode": "document", "items.0.fields": ABSENT})
    record, _ = world.pull(granted.token).json()["records"][BILL]
    assert set(record["data"]) == set(Catalogue.load().get(BILL).example)


def test_a_period_holds_whole_records_only_both_ends_included(world: World) -> None:
    granted = world.granted({"items.0.filter.period": {"from": "2026-11-02", "to": "2026-11-29"}})
    assert numbers(world.pull(granted.token)) == ["2026-11-02"]


def test_an_institution_that_was_not_named_is_left_out(world: World) -> None:
    granted = world.granted({"items.0.filter": {"institution": ["11200001"]}})
    assert numbers(world.pull(granted.token)) == ["2026-11-10"]


def test_the_data_period_limits_what_no_filter_does(world: World) -> None:
    granted = world.granted(
        {"items.0.filter": ABSENT, "data_period": {"from": "2026-10-05", "to": "2026-11-02"}}
    )
    assert numbers(world.pull(granted.token)) == ["2026-10-05", "2026-11-02"]


def test_a_holder_that_was_not_named_delivers_nothing(world: World) -> None:
    granted = world.granted({"holders": [HOSPITAL]})
    assert world.pull(granted.token).json()["records"][POLICY] == []


def test_a_record_that_arrives_after_the_consent_is_covered(world: World) -> None:
    granted = world.granted()
    world.collect(bill(("20261120-0009", "11100079", "2026-11-20", "2026-11-20")))
    assert numbers(world.pull(granted.token)) == ["2026-11-02", "2026-11-20", "2026-11-26"]


def test_an_item_that_the_person_left_off_is_not_there(world: World) -> None:
    given = world.office.agree(granted=[BILL])
    assert list(world.pull(world.token(given)).json()["records"]) == [BILL]


def test_the_digest_can_be_computed_again_by_anybody(world: World) -> None:
    body = world.pull(world.granted().token).json()
    nonce = base64.urlsafe_b64decode(body["nonce"] + "=")
    assert len(nonce) == 32
    content = {name: body[name] for name in ("as_of", "delivery_id", "grant_id", "records")}
    assert set(body) - set(content) == {"payload_digest", "nonce"}
    assert hashlib.sha256(nonce + rfc8785.dumps(content)).hexdigest() == body["payload_digest"]


def test_the_same_key_answers_the_same_bytes(world: World) -> None:
    granted = world.granted()
    first = world.pull(granted.token, DELIVERIES, idempotency_key="one")
    world.clock.advance(timedelta(hours=23, minutes=59))
    again = world.pull(world.token(granted.given), ANYTHING, idempotency_key="one")
    assert first.status_code == again.status_code == 200
    assert first.content == again.content
    assert len(world.deliveries(granted.grant_id)) == 1
    assert world.told(granted.grant_id) == [("delivery.released", None), ("delivery.repeated", None)]
    released, repeated = world.events(granted.grant_id)
    assert released["facts"] == repeated["facts"]


def test_a_correction_after_the_delivery_changes_no_redelivery(world: World) -> None:
    granted = world.granted({"access.max_pulls": 2})
    first = world.pull(granted.token, idempotency_key="one")
    (result,) = world.collect(bill(VISITS[0], period={"from": "2026-11-03", "to": "2026-11-03"}))
    assert result.outcome == "corrected"
    assert world.pull(granted.token, idempotency_key="one").content == first.content
    fresh = world.pull(granted.token, idempotency_key="two")
    assert numbers(fresh) == ["2026-11-03", "2026-11-26"]
    versions = {record["record_id"]: record["version"] for record in fresh.json()["records"][BILL]}
    assert versions[result.record_id] == 2


def test_a_record_that_arrives_after_the_delivery_is_in_no_redelivery(world: World) -> None:
    granted = world.granted()
    first = world.pull(granted.token, idempotency_key="one")
    world.collect(bill(("20261120-0009", "11100079", "2026-11-20", "2026-11-20")))
    assert world.pull(granted.token, idempotency_key="one").content == first.content


def test_without_a_key_each_get_is_a_delivery_of_its_own(world: World) -> None:
    granted = world.granted({"access.max_pulls": 2})
    first, second = world.pull(granted.token), world.pull(granted.token)
    assert first.json()["delivery_id"] != second.json()["delivery_id"]
    assert [row.ordinal for row in world.deliveries(granted.grant_id)] == [1, 2]


def test_the_same_content_twice_has_two_digests(world: World) -> None:
    granted = world.granted({"access.max_pulls": 2})
    answers = [world.pull(granted.token).json() for _ in range(2)]
    assert answers[0]["records"] == answers[1]["records"]
    assert answers[0]["nonce"] != answers[1]["nonce"]
    assert answers[0]["payload_digest"] != answers[1]["payload_digest"]
