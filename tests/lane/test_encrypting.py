"""Answers encrypted to the recipient: on demand, to its own key, or not at all."""

import json
from typing import Any, Final

import pytest
from httpx import Response
from joserfc import jwe, jwk

from broker.lane.encrypting import wants_encryption
from tests.lane.world import ANYTHING, DELIVERIES, World, code_of
from vault.jose import Jwk, generate_private_jwk, public_jwk

PRIVATE: Final = generate_private_jwk("ES256")
JOSE: Final = "application/jose"


def with_key(world: World, **changes: object) -> None:
    """Give the recipient's client a key for encryption."""
    key = public_jwk(PRIVATE) | {"use": "enc", "alg": "ECDH-ES+A256KW"} | changes
    world.tamper("UPDATE client SET jwks = :jwks", jwks=json.dumps({"keys": [key]}))


def pull(world: World, token: str, *, key: str = "one", proof_key: Jwk | None = None) -> Response:
    headers = {
        "Authorization": f"DPoP {token}",
        "DPoP": world.proof(token, ANYTHING, key=proof_key),
        "Accept": JOSE,
        "Idempotency-Key": key,
    }
    answer: Response = world.http.get(ANYTHING, headers=headers)
    return answer


def opened(answer: Response) -> bytes:
    assert (answer.status_code, answer.headers["content-type"]) == (200, JOSE)
    assert answer.headers["cache-control"] == "no-store"
    private: Any = {name: PRIVATE[name] for name in ("kty", "crv", "x", "y", "d")}
    registry = jwe.JWERegistry(algorithms=["ECDH-ES+A256KW", "A256GCM"])
    content = jwe.decrypt_compact(answer.text, jwk.ECKey.import_key(private), registry=registry).plaintext
    assert content is not None
    return content


def test_without_a_key_it_is_refused_and_no_place_is_taken(world: World) -> None:
    granted = world.granted()
    assert code_of(pull(world, granted.token)) == (406, "no_encryption_key")
    assert world.deliveries(granted.grant_id) == []
    assert world.told(granted.grant_id) == []


def test_a_key_for_something_else_is_no_key(sqlite_world: World) -> None:
    with_key(sqlite_world, use="sig")
    assert code_of(pull(sqlite_world, sqlite_world.granted().token)) == (406, "no_encryption_key")


def test_a_stranger_learns_nothing_of_the_clients_keys(sqlite_world: World) -> None:
    token = sqlite_world.granted().token
    stranger = pull(sqlite_world, token, proof_key=generate_private_jwk("ES256"))
    unknown = pull(sqlite_world, "mda_" + "x" * 43)
    assert code_of(stranger) == code_of(unknown) == (401, "invalid_token")


def test_the_content_is_the_answer_itself(world: World) -> None:
    with_key(world)
    granted = world.granted()
    content = opened(pull(world, granted.token))
    assert world.pull(granted.token, idempotency_key="one").content == content
    again = pull(world, granted.token)
    assert opened(again) == content
    (row,) = world.deliveries(granted.grant_id)
    assert json.loads(content)["payload_digest"] == row.payload_digest.hex()


def test_a_refusal_stays_readable(sqlite_world: World) -> None:
    with_key(sqlite_world)
    granted = sqlite_world.granted()
    opened(pull(sqlite_world, granted.token))
    assert code_of(pull(sqlite_world, granted.token, key="two")) == (403, "no_place_left")


def test_who_does_not_ask_gets_json(sqlite_world: World) -> None:
    with_key(sqlite_world)
    answer = sqlite_world.pull(sqlite_world.granted().token, DELIVERIES, idempotency_key="one")
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ([], False),
        (["*/*"], False),
        (["application/*"], False),
        (["application/json"], False),
        (["application/jose;q=0"], False),
        (["application/jose; q=0.000"], False),
        (["application/josephine"], False),
        (["application/jose"], True),
        (["Application/JOSE"], True),
        (["application/jose;q="], True),
        (["application/jose;q=."], True),
        (["application/jose;q=0.0.0"], True),
        (["application/jose;q=00"], True),
        (["application/json;q=0.9, application/jose;q=0.1"], True),
        (["text/html", "application/jose"], True),
        (["application/jose;v=1;q=1"], True),
    ],
)
def test_it_is_asked_for_by_name(accept: list[str], wanted: bool) -> None:  # noqa: FBT001 - the expectation
    assert wants_encryption(accept) is wanted
