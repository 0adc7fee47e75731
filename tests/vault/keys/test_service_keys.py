"""The broker's own keys: one current key of a name, sealed together with its public half."""

import json
from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from sqlmodel import select, update

from tests.databases import Databases
from vault.errors import TamperedError
from vault.jose import generate_private_jwk, public_jwk, public_jwks, sign_jwt, thumbprint, verify_jwt
from vault.keys.keyring import Keyring
from vault.keys.models import ServiceKeyRow


def test_a_public_key_exchanged_in_the_database_is_refused(
    keyring: Keyring, databases: Databases, now: datetime
) -> None:
    keyring.ensure_service_key("receipt", "ES256", now)
    stranger = public_jwk(generate_private_jwk("ES256"))
    with databases.keyring.write() as session:
        session.execute(update(ServiceKeyRow).values(public_jwk=json.dumps(stranger)))
    with pytest.raises(TamperedError):
        keyring.service_keys("receipt")


def test_a_key_moved_to_another_name_is_refused(
    keyring: Keyring, databases: Databases, now: datetime
) -> None:
    keyring.ensure_service_key("receipt", "ES256", now)
    with databases.keyring.write() as session:
        session.execute(update(ServiceKeyRow).values(name="oauth"))
    with pytest.raises(TamperedError):
        keyring.service_keys("oauth")


def test_a_name_keeps_its_kind(keyring: Keyring, now: datetime) -> None:
    keyring.ensure_service_key("log", "Ed25519", now)
    with pytest.raises(ValueError, match="Ed25519"):
        keyring.ensure_service_key("log", "ES256", now)


def test_a_key_is_made_once(keyring: Keyring, now: datetime) -> None:
    first = keyring.ensure_service_key("oauth", "ES256", now)
    assert keyring.ensure_service_key("oauth", "ES256", now + timedelta(days=1)) == first
    assert keyring.service_keys("oauth") == [first]
    assert keyring.service_keys("receipt") == []
    assert (first.name, first.kind, first.state, first.created_at) == ("oauth", "ES256", "current", now)
    assert (first.signs_from, first.signed_until) == (now, None)


def test_keys_sign_and_are_published_without_their_private_half(keyring: Keyring, now: datetime) -> None:
    oauth = keyring.ensure_service_key("oauth", "ES256", now)
    log = keyring.ensure_service_key("log", "Ed25519", now)
    openid = keyring.ensure_service_key("openid", "RS256", now)
    published = public_jwks([oauth, log, openid])
    assert all(not {"d", "p", "q"} & set(key) for key in published["keys"])
    for key in (oauth, log, openid):
        assert key.kid == key.public_jwk["kid"] == thumbprint(key.public_jwk)
        token = sign_jwt({"sub": "x"}, key.private_pem, kid=key.kid, typ="test+jwt", alg=key.kind)
        assert verify_jwt(token, published, algorithms=[key.kind], typ="test+jwt")[1] == {"sub": "x"}
    assert isinstance(load_pem_private_key(oauth.private_pem, None), EllipticCurvePrivateKey)
    assert isinstance(load_pem_private_key(log.private_pem, None), Ed25519PrivateKey)
    native = load_pem_private_key(openid.private_pem, None)
    assert isinstance(native, RSAPrivateKey)
    assert (native.key_size, openid.public_jwk["alg"]) == (3072, "RS256")


def test_a_private_key_is_in_no_repr_and_not_in_the_database(
    keyring: Keyring, databases: Databases, now: datetime
) -> None:
    key = keyring.ensure_service_key("oauth", "ES256", now)
    assert "PRIVATE" not in repr(key)
    with databases.keyring.read() as session:
        row = session.exec(select(ServiceKeyRow)).one()
    assert b"PRIVATE" not in row.sealed
