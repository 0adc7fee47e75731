"""Data was changed behind the broker's back: nothing is released, and it is on record."""

import hashlib

import pytest

from consent.erasure import erase_source
from consent.staff import Staff
from tests.consent.details import BILL, POLICY
from tests.lane.world import BILLS, POLICIES, VISITS, Granted, World, bill, code_of

TAMPERED = ("record.tampered", "record_unreadable")
UNREADABLE = (403, "record_unreadable")
ERASED = ("delivery.refused", "erased")
GONE = (410, "erased")
FLIPPED: dict[str, object] = {"flipped": b"\xff"}


@pytest.fixture
def granted(world: World) -> Granted:
    return world.granted({"access.max_pulls": 3})


def assert_nothing_released(world: World, granted: Granted, event: tuple[str, str]) -> None:
    assert world.told(granted.grant_id) == [event]
    assert world.deliveries(granted.grant_id) == []


def record_id(world: World, record_type: str = BILL) -> str:
    found: str = world.value(
        "SELECT min(record_id) FROM record WHERE record_type = :record_type", record_type=record_type
    )
    return found


def flip(value: bytes, place: int) -> bytes:
    changed = bytearray(value)
    changed[place] ^= 1
    return bytes(changed)


def sealed(world: World, record_id: str) -> bytes:
    return bytes(world.value("SELECT ciphertext FROM record_version WHERE record_id = :id", id=record_id))


def put_sealed(world: World, record_id: str, ciphertext: bytes) -> None:
    statement = "UPDATE record_version SET ciphertext = :ciphertext WHERE record_id = :id"
    assert world.tamper(statement, ciphertext=ciphertext, id=record_id) == 1


def test_one_bit_of_a_ciphertext(world: World, granted: Granted) -> None:
    target = record_id(world)
    whole = sealed(world, target)
    put_sealed(world, target, flip(whole, 60))
    assert code_of(world.pull(granted.token)) == UNREADABLE
    assert_nothing_released(world, granted, TAMPERED)
    *_, told = world.office.timeline(granted.grant_id)
    assert told.detail == {"grant_id": granted.grant_id, "record_id": target, "version": 1}
    put_sealed(world, target, whole)
    assert world.pull(granted.token).status_code == 200


def test_a_changed_ciphertext_with_a_digest_to_match_it(world: World, granted: Granted) -> None:
    """The digest is a plain column: whoever changes the one can change the other."""
    target = record_id(world)
    whole = sealed(world, target)
    changes = [flip(whole, place) for place in (0, 5, 30, 60, -1)]
    changes += [whole[:length] for length in (0, 10, 90, -1)]
    for changed in changes:
        put_sealed(world, target, changed)
        world.tamper(
            "UPDATE record_version SET ciphertext_digest = :digest WHERE record_id = :id",
            digest=hashlib.sha256(changed).digest(),
            id=target,
        )
        assert code_of(world.pull(granted.token)) == UNREADABLE
    assert world.told(granted.grant_id) == [TAMPERED] * len(changes)
    assert world.deliveries(granted.grant_id) == []


def test_a_digest_that_is_not_the_ciphertexts(world: World, granted: Granted) -> None:
    world.tamper("UPDATE record_version SET ciphertext_digest = :digest", digest=b"d" * 32)
    assert code_of(world.pull(granted.token)) == UNREADABLE
    assert_nothing_released(world, granted, TAMPERED)


def test_ciphertexts_swapped_between_rows_of_one_compartment(world: World, granted: Granted) -> None:
    swap = """
        UPDATE record_version SET ciphertext = o.ciphertext, ciphertext_digest = o.ciphertext_digest
        FROM record_version o
        WHERE record_version.record_id IN (:one, :other) AND o.record_id IN (:one, :other)
          AND o.record_id <> record_version.record_id
    """
    one = record_id(world)
    other = world.value("SELECT max(record_id) FROM record WHERE record_type = :type", type=BILL)
    assert world.tamper(swap, one=one, other=other) == 2
    assert code_of(world.pull(granted.token)) == UNREADABLE
    assert_nothing_released(world, granted, TAMPERED)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE record SET holder_id = 'insurance-register'",
        "UPDATE record SET record_type = 'insurance.indemnity_policy' WHERE holder_id = 'seoul-hospital'",
        "UPDATE record_version SET schema_revision = 2",
    ],
)
def test_what_a_ciphertext_is_bound_to(world: World, granted: Granted, change: str) -> None:
    assert world.tamper(change) > 0
    assert code_of(world.pull(granted.token)) == UNREADABLE
    assert_nothing_released(world, granted, TAMPERED)


def test_an_older_ciphertext_under_the_current_version(world: World, granted: Granted) -> None:
    (result,) = world.collect(bill(VISITS[0], night_holiday="night"))
    assert result.outcome == "corrected"
    roll_back = """
        UPDATE record_version SET ciphertext = o.ciphertext, ciphertext_digest = o.ciphertext_digest
        FROM record_version o
        WHERE o.record_id = record_version.record_id AND o.version = 1 AND record_version.version = 2
    """
    assert world.tamper(roll_back) == 1
    assert code_of(world.pull(granted.token)) == UNREADABLE
    assert_nothing_released(world, granted, TAMPERED)


def test_a_tampered_record_of_a_type_that_is_not_asked_for(world: World, granted: Granted) -> None:
    target = record_id(world)
    put_sealed(world, target, flip(sealed(world, target), 60))
    assert world.pull(granted.token, POLICIES).status_code == 200
    assert code_of(world.pull(granted.token, BILLS)) == UNREADABLE


def test_a_compartment_that_was_put_under_a_consent_opens_nothing(world: World) -> None:
    """What the data database lists is no permission: a compartment opens with a share only."""
    narrow = world.granted({"items": [{"record_type": BILL, "mode": "document", "required": True}]})
    policies = world.value("SELECT compartment_id FROM record WHERE record_type = :type", type=POLICY)
    world.tamper(
        "INSERT INTO consent_compartment (version_id, compartment_id) VALUES (:version_id, :id)",
        version_id=narrow.version_id,
        id=policies,
    )
    world.tamper("UPDATE record SET record_type = :type WHERE compartment_id = :id", type=BILL, id=policies)
    assert code_of(world.pull(narrow.token)) == GONE
    assert_nothing_released(world, narrow, ERASED)


def test_terms_that_were_changed(world: World, granted: Granted) -> None:
    terms = bytes(
        world.value("SELECT terms_sealed FROM consent_version WHERE version_id = :id", id=granted.version_id)
    )
    world.tamper(
        "UPDATE consent_version SET terms_sealed = :terms WHERE version_id = :id",
        terms=flip(terms, -1),
        id=granted.version_id,
    )
    assert code_of(world.pull(granted.token)) == UNREADABLE
    assert_nothing_released(world, granted, TAMPERED)


def test_terms_of_another_consent(world: World, granted: Granted) -> None:
    wider = world.granted({"items.0.filter": {"institution": ["11200001", "11100079"]}})
    terms = world.value(
        "SELECT terms_sealed FROM consent_version WHERE version_id = :id", id=wider.version_id
    )
    world.tamper(
        "UPDATE consent_version SET terms_sealed = :terms WHERE version_id = :id",
        terms=terms,
        id=granted.version_id,
    )
    assert code_of(world.pull(granted.token)) == UNREADABLE
    assert_nothing_released(world, granted, TAMPERED)


def test_a_changed_nonce_stops_the_redelivery(world: World, granted: Granted) -> None:
    assert world.pull(granted.token, idempotency_key="one").status_code == 200
    nonce = bytes(world.value("SELECT nonce_sealed FROM delivery"))
    world.tamper("UPDATE delivery SET nonce_sealed = :nonce", nonce=flip(nonce, -1))
    assert code_of(world.pull(granted.token, idempotency_key="one")) == UNREADABLE
    assert world.told(granted.grant_id)[1:] == [TAMPERED]


def test_a_pinned_version_replaced_by_another_valid_one(world: World, granted: Granted) -> None:
    assert world.pull(granted.token, idempotency_key="one").status_code == 200
    (result,) = world.collect(bill(VISITS[0], period={"from": "2026-11-03", "to": "2026-11-03"}))
    moved = world.tamper("UPDATE delivery_record SET version = 2 WHERE record_id = :id", id=result.record_id)
    assert moved == 1
    assert code_of(world.pull(granted.token, idempotency_key="one")) == (410, "redelivery_differs")
    assert world.told(granted.grant_id)[1:] == [("delivery.refused", "redelivery_differs")]


def test_a_pinned_record_that_is_gone(world: World, granted: Granted) -> None:
    assert world.pull(granted.token, idempotency_key="one").status_code == 200
    assert world.tamper("DELETE FROM delivery_record WHERE record_id = :id", id=record_id(world, POLICY)) == 1
    assert code_of(world.pull(granted.token, idempotency_key="one")) == (410, "redelivery_differs")


def test_a_delivery_of_which_one_source_was_erased(world: World, granted: Granted) -> None:
    assert world.pull(granted.token, idempotency_key="one").status_code == 200
    office = world.office
    holder_id = world.value("SELECT holder_id FROM record WHERE record_type = :policy", policy=POLICY)
    with office.work() as work:
        staff, now = Staff("minji", "request 7"), world.clock()
        erased = erase_source(work, office.keyring, office.subject_id, holder_id, staff=staff, now=now)
    assert erased.records == 1
    assert code_of(world.pull(granted.token, idempotency_key="one")) == GONE
    assert world.told(granted.grant_id)[1:] == [ERASED]


# Keys


def test_without_shares_a_consent_opens_nothing(world: World, granted: Granted) -> None:
    assert world.tamper_keyring("DELETE FROM consent_share") == 4
    assert code_of(world.pull(granted.token)) == GONE
    assert_nothing_released(world, granted, ERASED)


def test_without_shares_there_is_no_redelivery(world: World, granted: Granted) -> None:
    assert world.pull(granted.token, idempotency_key="one").status_code == 200
    world.installation.keyring.delete_shares(granted.grant_id)
    assert code_of(world.pull(granted.token, idempotency_key="one")) == GONE
    assert world.told(granted.grant_id)[1:] == [ERASED]


def test_one_share_missing_is_enough(world: World, granted: Granted) -> None:
    compartment_id = world.value("SELECT compartment_id FROM record WHERE record_type = :type", type=POLICY)
    assert (
        world.tamper_keyring("DELETE FROM consent_share WHERE compartment_id = :id", id=compartment_id) == 1
    )
    assert code_of(world.pull(granted.token)) == GONE
    assert_nothing_released(world, granted, ERASED)


def test_a_share_of_another_consent(world: World, granted: Granted) -> None:
    world.granted()
    swap = """
        UPDATE consent_share SET wrapped = o.wrapped FROM consent_share o
        WHERE o.compartment_id = consent_share.compartment_id AND o.version_id <> consent_share.version_id
    """
    assert world.tamper_keyring(swap) == 8
    assert code_of(world.pull(granted.token)) == UNREADABLE
    assert_nothing_released(world, granted, TAMPERED)


def test_a_share_of_another_epoch(world: World, granted: Granted) -> None:
    world.tamper_keyring("UPDATE consent_share SET epoch_id = 'no such epoch'")
    assert code_of(world.pull(granted.token)) == GONE
    assert_nothing_released(world, granted, ERASED)


def test_an_erased_subject(world: World, granted: Granted) -> None:
    assert world.pull(granted.token, idempotency_key="one").status_code == 200
    world.installation.keyring.erase_subject(world.office.subject_id, world.clock())
    assert code_of(world.pull(granted.token, idempotency_key="one")) == GONE
    assert code_of(world.pull(granted.token, idempotency_key="two")) == GONE
    assert world.told(granted.grant_id)[1:] == [ERASED] * 2


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ("DELETE FROM audit_key", GONE),
        ("UPDATE audit_key SET epoch_id = 'no such epoch'", GONE),
        ("UPDATE audit_key SET key_id = :flipped", UNREADABLE),
        ("UPDATE audit_key SET wrapped = :flipped", UNREADABLE),
    ],
)
def test_without_the_audit_key_nothing_is_released_and_nothing_can_be_sealed(
    world: World, granted: Granted, change: str, answer: tuple[int, str]
) -> None:
    assert world.tamper_keyring(change, **(FLIPPED if ":flipped" in change else {})) == 1
    assert code_of(world.pull(granted.token)) == answer
    assert world.told(granted.grant_id) == []
    assert world.deliveries(granted.grant_id) == []


def test_one_consent_that_fails_does_not_stop_the_next(world: World, granted: Granted) -> None:
    target = world.granted()
    world.tamper(
        "UPDATE consent_version SET terms_sealed = :terms WHERE version_id = :id",
        terms=b"not sealed at all",
        id=target.version_id,
    )
    assert code_of(world.pull(target.token)) == UNREADABLE
    assert world.pull(granted.token).status_code == 200
