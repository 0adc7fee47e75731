"""Registering clients: what is wrong is refused with every fault, and nothing is overwritten."""

from typing import Any

import pytest
from sqlmodel import Session

from broker.oauth import clients
from broker.oauth.clients import ClientRegistration, ClientStatus
from broker.oauth.errors import ClientExistsError, ClientInvalidError, UnknownClientError
from tests.oauth.conftest import registration
from tests.oauth.world import World
from vault.jose import generate_private_jwk, public_jwk

KEY = generate_private_jwk("ES256")
PUBLIC = public_jwk(KEY)
WEAK_RSA = {"kty": "RSA", "kid": "weak", "n": "AQAB" * 42, "e": "AQAB"}

REFUSED = [
    pytest.param({"client_id": "a b"}, "client_id", id="id with a blank"),
    pytest.param({"client_id": "x\x00y"}, "client_id", id="id with a NUL"),
    pytest.param({"organisation_id": "nowhere"}, "organisation_id", id="unknown organisation"),
    pytest.param(
        {"organisation_id": "hospital"}, "organisation_id", id="an organisation that receives nothing"
    ),
    pytest.param({"scope": ""}, "scope", id="no scope"),
    pytest.param({"scope": "profile"}, "scope", id="unknown scope"),
    pytest.param({"redirect_uris": ()}, "scope", id="records.read without redirect URI"),
    pytest.param({"purposes": ()}, "scope", id="records.read without purpose"),
    pytest.param({"scope": "openid", "redirect_uris": ()}, "scope", id="openid without redirect URI"),
    pytest.param({"jwks": {}}, "jwks.keys", id="no key set"),
    pytest.param({"jwks": {"keys": []}}, "jwks.keys", id="no key"),
    pytest.param({"jwks": {"keys": ["key"]}}, "jwks.keys.0", id="not a key"),
    pytest.param({"jwks": {"keys": [KEY]}}, "jwks.keys.0", id="private key"),
    pytest.param(
        {"jwks": {"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "s"}]}}, "jwks.keys.0", id="secret"
    ),
    pytest.param({"jwks": {"keys": [WEAK_RSA]}}, "jwks.keys.0", id="RSA too short"),
    pytest.param({"jwks": {"keys": [PUBLIC | {"crv": "P-384"}]}}, "jwks.keys.0", id="other curve"),
    pytest.param({"jwks": {"keys": [PUBLIC, PUBLIC]}}, "jwks.keys", id="one kid twice"),
    pytest.param({"jwks": {"keys": [PUBLIC | {"use": "enc"}]}}, "jwks.keys", id="no key for signing"),
]

REFUSED_REDIRECT_URIS = [
    "http://insurer.example/callback",
    "http://127.0.0.1:8080/callback",
    "ftp://insurer.example/",
    "insurer-app:/callback",
    "/callback",
    "https://",
    "https://insurer.example/callback#part",
    "https://insurer.example/callback#",
    "https://me@insurer.example/callback",
    "https://insurer.example:99999/",
    "https://[insurer.example/",
    "https://insurer.example/가",
    "https://insurer.example/a b",
    "https://insurer.example/?flag",
    "https://insurer.example/?a=b c",
    "https://insurer.example/?a=%2f",
    "https://insurer.example/" + "x" * 2000,
    "https://insurer..example/",
    "https://.insurer.example/",
    f"https://{'x' * 64}.example/",
]


def register(session: Session, world: World, *, is_loopback_allowed: bool = False, **changes: object) -> None:
    wanted: dict[str, Any] = registration(world.insurer, "insurer").model_dump() | {"client_id": "new-client"}
    new = ClientRegistration(**(wanted | changes))
    clients.add(session, new, is_loopback_allowed=is_loopback_allowed, now=world.clock())


@pytest.mark.parametrize(("changes", "path"), REFUSED)
def test_a_wrong_client_is_refused(small_world: World, changes: dict[str, Any], path: str) -> None:
    with small_world.installation.data.write() as session:
        with pytest.raises(ClientInvalidError) as refusal:
            register(session, small_world, **changes)
        assert path in {fault for fault, _ in refusal.value.faults}
        assert clients.find_active(session, "new-client") is None


@pytest.mark.parametrize("uri", REFUSED_REDIRECT_URIS)
def test_a_wrong_redirect_uri_is_refused(small_world: World, uri: str) -> None:
    with small_world.installation.data.write() as session, pytest.raises(ClientInvalidError) as refusal:
        register(session, small_world, redirect_uris=("https://insurer.example/", uri))
    assert [path for path, _ in refusal.value.faults] == ["redirect_uris.1"]


@pytest.mark.parametrize("uri", REFUSED_REDIRECT_URIS)
def test_a_wrong_address_for_events_is_refused(small_world: World, uri: str) -> None:
    with small_world.installation.data.write() as session, pytest.raises(ClientInvalidError) as refusal:
        register(session, small_world, events_endpoint=uri)
    assert [path for path, _ in refusal.value.faults] == ["events_endpoint"]


def test_every_fault_is_told_at_once(small_world: World) -> None:
    with small_world.installation.data.write() as session, pytest.raises(ClientInvalidError) as refusal:
        register(session, small_world, client_id="", organisation_id="", redirect_uris=("ftp://x",), jwks={})
    assert {path for path, _ in refusal.value.faults} == {
        "client_id",
        "organisation_id",
        "jwks.keys",
        "redirect_uris.0",
    }


def test_a_client_is_never_overwritten(world: World) -> None:
    with world.installation.data.write() as session:
        with pytest.raises(ClientExistsError):
            register(session, world, client_id=world.insurer.client_id, name="somebody else")
        assert clients.show(session, world.insurer.client_id).name == "insurer"


def test_loopback_is_for_demos(small_world: World) -> None:
    uris = ("http://127.0.0.1:8080/callback", "http://[::1]:1/", "http://localhost/?a=b")
    with small_world.installation.data.write() as session:
        register(session, small_world, is_loopback_allowed=True, redirect_uris=uris)
        assert clients.show(session, "new-client").redirect_uris == uris
        with pytest.raises(ClientInvalidError):
            register(session, small_world, is_loopback_allowed=True, redirect_uris=("http://10.0.0.1/",))


@pytest.mark.parametrize("kind", ["ES256", "PS256", "Ed25519"])
def test_what_was_registered_comes_back(world: World, kind: Any) -> None:  # noqa: ANN401 - a literal
    keys = {"keys": [public_jwk(generate_private_jwk(kind))]}
    with world.installation.data.write() as session:
        events = "https://insurer.example/events"
        register(session, world, jwks=keys, scope="obligations deliveries", events_endpoint=events)
    with world.installation.data.read() as session:
        found = clients.show(session, "new-client")
        assert found in clients.all_clients(session)
    assert found.jwks == keys
    assert found.scopes == {"deliveries", "obligations"}
    assert found.events_endpoint == events
    assert (found.status, found.created_at) == (ClientStatus.ACTIVE, world.clock())


def test_suspending_stays_on_record(world: World) -> None:
    with world.installation.data.write() as session:
        clients.suspend(session, world.insurer.client_id)
    with world.installation.data.read() as session:
        assert clients.find_active(session, world.insurer.client_id) is None
        assert clients.show(session, world.insurer.client_id).status == ClientStatus.SUSPENDED


@pytest.mark.parametrize("client_id", ["nobody", "x\x00y"])
def test_an_unknown_client_is_named(world: World, client_id: str) -> None:
    with world.installation.data.write() as session:
        for act in (clients.show, clients.suspend):
            with pytest.raises(UnknownClientError):
                act(session, client_id)
