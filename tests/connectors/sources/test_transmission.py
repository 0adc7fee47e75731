"""A transmission request: every way in which it is not in order, and the ground on which it is refused."""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.errors import TransmissionRefusedError
from connectors.sources.transmission import (
    TYPE,
    PageWish,
    Received,
    SigningKey,
    Transmission,
    read_transmission,
    sign_transmission,
)
from vault.jose import generate_private_jwk, peek, public_jwk, public_jwk_of_pem, sign_with_jwk
from vault.keys.service_keys import _generate

NOW = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
ISSUER = "https://broker.example"
HOLDER = "seoul-hospital"
KEY = generate_private_jwk("ES256")
KEYS = {"keys": [public_jwk(KEY)]}
ABSENT: Any = object()

NOT_ELIGIBLE = "RECEIVER_NOT_ELIGIBLE"
NOT_SPECIFIC = "REQUEST_NOT_SPECIFIC"


def claims() -> dict[str, Any]:
    return {
        "iss": ISSUER,
        "aud": HOLDER,
        "jti": "one",
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 60,
        "transmission": {
            "purpose": "vault.collection",
            "holder": HOLDER,
            "recipient": ISSUER,
            "data": {"record_types": ["health.medical_bill"], "number": "P-0001"},
            "cycle": "P1D",
            "until": int((NOW + timedelta(days=365)).timestamp()),
            "retention": "until_erased",
        },
        "page": {"since": 0, "cursor": None, "limit": 100},
    }


def changed(path: str, value: object) -> dict[str, Any]:
    members = copy.deepcopy(claims())
    *steps, last = path.split(".")
    place = members
    for step in steps:
        place = place[step]
    if value is ABSENT:
        del place[last]
    else:
        place[last] = value
    return members


def signed(members: dict[str, Any], **header: str) -> str:
    return sign_with_jwk(members, KEY, {"alg": "ES256", "typ": TYPE, "kid": KEY["kid"]} | header)


def read(token: str, keys: dict[str, Any] | None = None, now: datetime = NOW) -> Received:
    return read_transmission(token, keys or KEYS, issuer=ISSUER, holder_id=HOLDER, now=now)


def refused(token: str, keys: dict[str, Any] | None = None, now: datetime = NOW) -> str:
    with pytest.raises(TransmissionRefusedError) as caught:
        read(token, keys, now)
    assert "P-0001" not in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "{}", "é" * 20])
def test_what_is_no_signed_request_comes_from_nobody_eligible(token: str) -> None:
    assert refused(token) == NOT_ELIGIBLE


def test_a_request_that_was_changed_or_signed_by_another_key() -> None:
    token = signed(claims())
    header, _, signature = token.split(".")
    other = signed(changed("transmission.data.number", "P-0002")).split(".")[1]
    assert refused(f"{header}.{other}.{signature}") == NOT_ELIGIBLE
    stranger = generate_private_jwk("ES256")
    assert refused(token, {"keys": [public_jwk(stranger)]}) == NOT_ELIGIBLE
    assert refused(token, {"keys": []}) == NOT_ELIGIBLE


@pytest.mark.parametrize("typ", ["JWT", "dpop+jwt", "consent-receipt+jwt"])
def test_something_else_that_the_broker_signed_is_no_request(typ: str) -> None:
    assert refused(signed(claims(), typ=typ)) == NOT_ELIGIBLE


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("iss", "https://other.example", NOT_ELIGIBLE),
        ("iss", ABSENT, NOT_ELIGIBLE),
        ("aud", "other-hospital", NOT_SPECIFIC),
        ("aud", [HOLDER, "other-hospital"], NOT_SPECIFIC),
        ("transmission.holder", "other-hospital", NOT_SPECIFIC),
        ("transmission.recipient", "https://other.example", NOT_ELIGIBLE),
        ("jti", ABSENT, NOT_SPECIFIC),
        ("jti", "", NOT_SPECIFIC),
        ("exp", ABSENT, NOT_SPECIFIC),
        ("exp", int(NOW.timestamp()), NOT_SPECIFIC),
        ("exp", int(NOW.timestamp()) + 301, NOT_SPECIFIC),
        ("iat", ABSENT, NOT_SPECIFIC),
        ("iat", int(NOW.timestamp()) + 61, NOT_SPECIFIC),
        ("transmission.until", int(NOW.timestamp()), NOT_SPECIFIC),
        ("page.since", -1, NOT_SPECIFIC),
        ("page.since", "0", NOT_SPECIFIC),
        ("page.since", True, NOT_SPECIFIC),
        ("page.limit", 0, NOT_SPECIFIC),
        ("page.limit", 501, NOT_SPECIFIC),
        ("page.cursor", "", NOT_SPECIFIC),
        ("page.cursor", "x" * 501, NOT_SPECIFIC),
        ("page", [], NOT_SPECIFIC),
        ("transmission", None, NOT_SPECIFIC),
        ("transmission.data", "all", NOT_SPECIFIC),
        ("transmission.data.record_types", [], NOT_SPECIFIC),
        ("transmission.data.record_types", "all", NOT_SPECIFIC),
        ("transmission.data.record_types", [1], NOT_SPECIFIC),
        ("transmission.data.record_types", ["x"] * 51, NOT_SPECIFIC),
        ("transmission.data.number", 1, NOT_SPECIFIC),
    ],
)
def test_a_claim_that_is_not_in_order(path: str, value: object, reason: str) -> None:
    assert refused(signed(changed(path, value))) == reason


@pytest.mark.parametrize("item", ["purpose", "holder", "recipient", "data", "cycle", "until", "retention"])
def test_each_of_the_seven_items_is_needed(item: str) -> None:
    """PIPA decree article 42-5(3)."""
    assert refused(signed(changed(f"transmission.{item}", ABSENT))) == NOT_SPECIFIC


def test_a_request_is_good_for_a_minute() -> None:
    token = signed(claims())
    assert read(token, now=NOW + timedelta(seconds=59)).jti == "one"
    assert refused(token, now=NOW + timedelta(seconds=60)) == NOT_SPECIFIC


def test_what_the_broker_signs_a_holder_reads() -> None:
    transmission = Transmission(
        purpose="vault.collection",
        holder=HOLDER,
        recipient=ISSUER,
        record_types=("health.medical_bill", "health.prescription"),
        number="P-0001",
        cycle=None,
        until=NOW + timedelta(days=1),
        retention="until_erased",
    )
    wish = PageWish(17, "a cursor", 50)
    pem = _generate("ES256")
    key = SigningKey(public_jwk_of_pem(pem)["kid"], pem)
    tokens = {sign_transmission(transmission, wish, key, issuer=ISSUER, now=NOW) for _ in range(2)}
    assert len(tokens) == 2  # each attempt is a request of its own
    keys = {"keys": [public_jwk_of_pem(pem)]}
    for token in tokens:
        received = read(token, keys)
        assert (received.transmission, received.wish) == (transmission, wish)
        assert received.expires_at == NOW + timedelta(seconds=60)
    assert len({peek(token)[1]["jti"] for token in tokens}) == 2
    assert "P-0001" not in repr(transmission)
    assert "a cursor" not in repr(wish)
    assert "PRIVATE" not in repr(key)
