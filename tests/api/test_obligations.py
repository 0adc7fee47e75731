"""What a recipient owes, over HTTP: its own only, and closed by nothing but its own word."""

import hashlib
import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from broker.oauth.models import Client
from consent.attestation import TYPE
from consent.disclosure import instant
from tests.api.conftest import Office, bound
from tests.installation import ISSUER
from tests.oauth.world import Recipient
from vault.jose import generate_private_jwk, public_jwk, sign_with_jwk
from vault.schema import random_id


def ask(
    office: Office, query: str = "", recipient: Recipient | None = None, scope: str = "obligations"
) -> httpx.Response:
    speaker = recipient or office.world.insurer
    token = office.own_token(speaker, scope)
    headers = bound(speaker, "/v1/obligations", token, htm="GET")
    return office.http.get(f"/v1/obligations{query}", headers=headers)


def owed(office: Office, query: str = "") -> list[dict[str, Any]]:
    answer = ask(office, query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["obligations"]
    return found


def word(office: Office, one: dict[str, Any], **changes: object) -> str:
    """The recipient's attestation over an obligation as it was listed."""
    insurer = office.world.insurer
    key: Any = changes.pop("key", insurer.key)
    claims = {
        "iss": insurer.client_id,
        "aud": ISSUER,
        "iat": insurer.seconds,
        "jti": random_id(),
        "obligation_id": one["obligation_id"],
        "grant_id": one["grant_id"],
        "deliveries": sorted(delivery["payload_digest"] for delivery in one["deliveries"]),
        "deleted_at": instant(office.world.clock()),
        "method": "erased",
    } | changes
    return sign_with_jwk(claims, key, {"alg": key["alg"], "kid": key["kid"], "typ": TYPE})


def attest(
    office: Office, obligation_id: str, raw: str, recipient: Recipient | None = None
) -> httpx.Response:
    speaker = recipient or office.world.insurer
    path = f"/v1/obligations/{obligation_id}/attestation"
    token = office.own_token(speaker, "obligations")
    return office.say(path, {"attestation": raw}, token=token, recipient=speaker)


def problem(answer: httpx.Response, status: int, code: str) -> bool:
    return (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_token_of_another_scope_is_refused(small_office: Office) -> None:
    assert problem(ask(small_office, scope="deliveries"), 403, "insufficient_scope")


def test_another_recipient_sees_nothing_and_may_attest_nothing(office: Office) -> None:
    office.delivery()
    stranger = office.world.stranger
    assert ask(office, recipient=stranger).json() == {"obligations": [], "next": None}
    (one,) = owed(office)
    assert problem(attest(office, one["obligation_id"], word(office, one), stranger), 404, "not_found")
    assert problem(attest(office, "unknown", word(office, one)), 404, "not_found")


@pytest.mark.parametrize("query", ["?state=DONE", "?limit=0", "?limit=101", f"?after={'a' * 101}"])
def test_a_query_that_makes_no_sense_is_refused(small_office: Office, query: str) -> None:
    assert ask(small_office, query).status_code == 422


@pytest.mark.parametrize(
    "body", [{}, {"attestation": ""}, {"attestation": 1}, {"attestation": "a", "more": 1}]
)
def test_a_body_that_is_none_is_refused(small_office: Office, body: object) -> None:
    token = small_office.own_token(scope="obligations")
    answer = small_office.say("/v1/obligations/one/attestation", body, token=token)
    assert problem(answer, 422, "invalid_request")


def test_what_is_refused_is_on_record(office: Office) -> None:
    _, grant_id = office.delivery()
    office.world.withdraw(grant_id)
    (one,) = owed(office)
    cases = {
        "attestation_malformed": "no token",
        "attestation_key_unknown": word(office, one, key=generate_private_jwk("ES256")),
        "attestation_misaddressed": word(office, one, aud="https://other.example"),
        "attestation_digests_differ": word(office, one, deliveries=[]),
        "attestation_not_fresh": word(office, one, iat=0),
    }
    for code, raw in cases.items():
        answer = attest(office, one["obligation_id"], raw)
        assert problem(answer, 422, code)
        assert answer.headers["Content-Type"] == "application/problem+json"
    (still,) = owed(office, "?state=PENDING")
    assert still == one


def test_a_key_counts_as_long_as_it_is_registered(office: Office) -> None:
    """Invariant 10: registered at the moment of the attestation, neither before nor after."""
    insurer, other = office.world.insurer, generate_private_jwk("ES256")
    _, grant_id = office.delivery()
    office.world.withdraw(grant_id)
    (due,) = owed(office)
    for keys, status in (([insurer.key], 422), ([insurer.key, other], 200)):
        for registered in ([insurer.key, other], keys):
            _register(office, registered)
        answer = attest(office, due["obligation_id"], word(office, due, key=other))
        assert answer.status_code == status, answer.text
    assert [one["state"] for one in owed(office)] == ["ATTESTED"]


def test_a_delivery_opens_one_and_the_recipients_word_closes_it(office: Office) -> None:
    delivery_id, grant_id = office.delivery()
    delivered = office.world.clock()
    (one,) = owed(office)
    assert (one["state"], one["cause"], one["grant_id"]) == ("PENDING", None, grant_id)
    assert _at(one["due_at"]) == instant(delivered + timedelta(days=90))
    (delivery,) = one["deliveries"]
    assert delivery["delivery_id"] == delivery_id
    assert _at(delivery["delete_by"]) == _at(one["due_at"])
    office.world.clock.advance(timedelta(hours=1))
    office.world.withdraw(grant_id)
    (due,) = owed(office, "?state=PENDING&state=NOTIFIED")
    assert due["cause"] == "withdrawn"
    assert _at(due["due_at"]) == instant(office.world.clock() + timedelta(days=3))
    raw = word(office, due)
    for _ in range(2):
        answer = attest(office, due["obligation_id"], raw)
        assert answer.status_code == 200, answer.text
        assert answer.json()["state"] == "ATTESTED"
    assert owed(office, "?state=PENDING") == []
    (closed,) = owed(office, "?state=ATTESTED")
    assert _at(closed["attested_at"]) == instant(office.world.clock())


def test_the_digests_are_those_that_were_delivered(office: Office) -> None:
    tokens = office.grant()
    pulled = office.pull(tokens["access_token"]).json()
    office.pull(tokens["access_token"])  # the same again, under the same key
    (one,) = owed(office)
    assert [delivery["payload_digest"] for delivery in one["deliveries"]] == [pulled["payload_digest"]]
    assert len(bytes.fromhex(pulled["payload_digest"])) == hashlib.sha256().digest_size


def test_pages_follow_each_other(small_office: Office) -> None:
    grants = {small_office.delivery()[1] for _ in range(3)}
    seen, after = [], ""
    for _ in range(3):
        page = ask(small_office, f"?limit=1&after={after}").json()
        seen += [one["grant_id"] for one in page["obligations"]]
        after = page["next"] or ""
    assert (set(seen), len(seen), after) == (grants, 3, "")


def _at(text: str) -> str:
    """The same instant with six digits."""
    head, _, fraction = text.removesuffix("Z").partition(".")
    return f"{head}.{fraction or '0':0<6}Z"


def _register(office: Office, keys: list[Any]) -> None:
    """Give the insurer's client these keys and no others."""
    with office.world.installation.data.write() as session:
        client = session.get_one(Client, office.world.insurer.client_id)
        client.jwks = json.dumps({"keys": [public_jwk(key) for key in keys]})
