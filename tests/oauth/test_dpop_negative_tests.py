"""`dpop-negative-tests`: the 32 blocks of the certification suite at `GET /v1/records` (RFC 9449, 4.3).

Each block is followed by a good proof, which must still work: nothing of a bad one may stick to the token.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pytest
from httpx import Response
from starlette.testclient import TestClient

from broker.app import create_app
from broker.installation import Installation
from broker.settings import load_settings
from tests.consent.office import open_office
from tests.databases import Databases, _opened
from tests.installation import Clock, _installed, environment
from tests.lane.proofs import ABSENT, proof
from tests.lane.world import ANYTHING, World, code_of, furnish
from tests.oauth.forging import unsigned, with_header, with_shared_secret
from tests.oauth.world import LEFT_OUT, access_token_hash
from vault.jose import Jwk, generate_private_jwk

ISSUER: Final = "https://broker.example"  # a host that has letters, and the default port of its scheme
URL: Final = ISSUER + ANYTHING
HOUR: Final = 3600
RSA_KEY: Final = generate_private_jwk("PS256")
OTHER_KEY: Final = generate_private_jwk("ES256")

BAD_PROOF: Final = (401, "invalid_dpop_proof")
BAD_TOKEN: Final = (401, "invalid_token")


@dataclass(frozen=True)
class Caller:
    """Who holds a token for one consent, and its key; the consent has places for all that a block sends."""

    world: World
    token: str = field(repr=False)

    @property
    def seconds(self) -> int:
        return int(self.world.clock().timestamp())

    def proof(self, *, key: Jwk | None = None, **changes: Any) -> str:  # noqa: ANN401 - claims, or the header
        """A good proof, or one with other claims or another header."""
        used, at = key or self.world.key, self.world.clock()
        return proof(used, "GET", changes.pop("url", URL), access_token=self.token, now=at, **changes)

    def get(self, *proofs: str, scheme: str = "DPoP", name: str = "DPoP") -> Response:
        headers = [("Authorization", f"{scheme} {self.token}"), *((name, one) for one in proofs)]
        answer: Response = self.world.http.get(ANYTHING, headers=headers)
        return answer


Block = Callable[[Caller], Response]

REFUSED: Final[dict[str, Block]] = {
    "two DPoP headers": lambda it: it.get(it.proof(), it.proof()),
    "not a JWT": lambda it: it.get("not a JWT"),
    "missing typ": lambda it: it.get(with_header(it.proof(), {"typ": LEFT_OUT})),
    "missing alg": lambda it: it.get(with_header(it.proof(), {"alg": LEFT_OUT})),
    "missing jwk": lambda it: it.get(with_header(it.proof(), {"jwk": LEFT_OUT})),
    "missing jti": lambda it: it.get(it.proof(jti=ABSENT)),
    "missing htm": lambda it: it.get(it.proof(htm=ABSENT)),
    "missing htu": lambda it: it.get(it.proof(htu=ABSENT)),
    "missing iat": lambda it: it.get(it.proof(iat=ABSENT)),
    "missing ath": lambda it: it.get(it.proof(ath=ABSENT)),
    "wrong typ": lambda it: it.get(it.proof(header={"typ": "JWT"})),
    "alg RS256": lambda it: it.get(it.proof(key=RSA_KEY | {"alg": "RS256"}, header={"jwk": rsa_members()})),
    "alg none": lambda it: it.get(unsigned(it.proof())),
    "bad signature": lambda it: it.get(it.proof()[:-8] + "AAAAAAAA"),
    "private key in jwk": lambda it: it.get(
        it.proof(header={"jwk": bare(it.world.key) | {"d": it.world.key["d"]}})
    ),
    "wrong htm": lambda it: it.get(it.proof(htm="POST")),
    "different htu": lambda it: it.get(it.proof(htu=f"{ISSUER}/v1/deliveries")),
    "iat one hour before": lambda it: it.get(it.proof(iat=it.seconds - HOUR)),
    "iat one hour after": lambda it: it.get(it.proof(iat=it.seconds + HOUR)),
    "wrong ath": lambda it: it.get(it.proof(ath=access_token_hash("mda_another"))),
    "no proof": lambda it: it.get(),
}

TOKEN_REFUSED: Final[dict[str, Block]] = {
    # Such a proof is good; it is the token that is not its key's (RFC 9449 section 7.1).
    "other key": lambda it: it.get(it.proof(key=OTHER_KEY)),
    "downgrade to Bearer": lambda it: it.get(scheme="Bearer"),
}

ACCEPTED: Final[dict[str, Block]] = {
    "header name in other case": lambda it: it.get(it.proof(), name="dPoP"),
    "htu query ignored": lambda it: it.get(it.proof(htu=f"{URL}?a=b")),
    "htu fragment ignored": lambda it: it.get(it.proof(htu=f"{URL}#part")),
    "extra header ignored": lambda it: it.get(it.proof(header={"extra": {"a": 1}})),
    "extra claims ignored": lambda it: it.get(it.proof(extra=["a", 1], nonce="not asked for")),
    "host in other case": lambda it: it.get(it.proof(htu=f"https://BROKER.Example{ANYTHING}")),
    "scheme in other case": lambda it: it.get(it.proof(htu=f"HTTPS://broker.example{ANYTHING}")),
    "default port": lambda it: it.get(it.proof(htu=f"https://broker.example:443{ANYTHING}")),
}

# Beside the blocks: what else of a proof must not pass, or must.
MORE_REFUSED: Final[dict[str, Block]] = {
    "kty oct": lambda it: it.get(with_shared_secret(it.proof())),
    "default port of another scheme": lambda it: it.get(it.proof(htu=f"https://broker.example:80{ANYTHING}")),
    "exp passed (check-dpop-proof-nbf-exp)": lambda it: it.get(it.proof(exp=it.seconds - 1)),
    "nbf ahead (check-dpop-proof-nbf-exp)": lambda it: it.get(it.proof(nbf=it.seconds + 61)),
}
MORE_TOKEN_REFUSED: Final[dict[str, Block]] = {
    "a Bearer token with a good proof": lambda it: it.get(it.proof(), scheme="Bearer"),
}
MORE_ACCEPTED: Final[dict[str, Block]] = {
    "scheme dpop in small letters": lambda it: it.get(it.proof(), scheme="dpop"),
    "ensure-dpopproof-with-iat-10seconds-before-succeeds": lambda it: it.get(it.proof(iat=it.seconds - 10)),
    "ensure-dpopproof-with-iat-10seconds-after-succeeds": lambda it: it.get(it.proof(iat=it.seconds + 10)),
    "check-dpop-proof-nbf-exp": lambda it: it.get(it.proof(nbf=it.seconds - 10, exp=it.seconds + 50)),
}


def bare(key: Jwk) -> dict[str, Any]:
    return {name: key[name] for name in ("kty", "crv", "x", "y")}


def rsa_members() -> dict[str, Any]:
    return {name: RSA_KEY[name] for name in ("kty", "n", "e")}


@contextmanager
def resource(installation: Installation, databases: Databases, clock: Clock) -> Iterator[World]:
    """A broker of this issuer, with its lane."""
    root_file = installation.settings.keyring.root_file
    named = environment(databases, root_file) | {"MYDATA__SERVER__ISSUER": ISSUER}
    here = replace(installation, settings=load_settings(None, named))
    office = open_office(here, clock)
    link_id = furnish(office)
    with TestClient(create_app(here), base_url=ISSUER, raise_server_exceptions=False) as http:
        yield World(office, http, link_id)


@pytest.fixture(scope="module")
def shared(sqlite_templates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One broker for all blocks: each of them asks with a consent and a token of its own."""
    folder, clock = tmp_path_factory.mktemp("resource"), Clock()
    for which in ("data", "keyring"):
        shutil.copy(sqlite_templates / f"{which}.db", folder / f"{which}.db")
    for databases in _opened("sqlite", lambda which: f"sqlite:///{folder / f'{which}.db'}"):
        for installation in _installed(databases, clock, folder):
            with resource(installation, databases, clock) as world:
                yield world


@pytest.fixture
def caller(shared: World) -> Caller:
    return Caller(shared, shared.granted({"access.max_pulls": 5}).token)


def assert_a_good_proof_still_works(caller: Caller) -> None:
    answer = caller.get(caller.proof())
    assert answer.status_code == 200, answer.text
    assert answer.json()["records"]


def blocks(of: dict[str, Block]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("send", of.values(), ids=of.keys())


def test_there_are_32_blocks() -> None:
    """Jti reuse is the one that needs two requests, and two databases."""
    assert len(REFUSED) + len(TOKEN_REFUSED) + len(ACCEPTED) + len(["jti reuse"]) == 32


@blocks(REFUSED | MORE_REFUSED)
def test_dpop_negative_tests_refuse_the_proof(caller: Caller, send: Block) -> None:
    refusal = send(caller)
    assert code_of(refusal) == BAD_PROOF
    assert 'error="invalid_dpop_proof"' in refusal.headers["www-authenticate"]
    assert_a_good_proof_still_works(caller)


@blocks(TOKEN_REFUSED | MORE_TOKEN_REFUSED)
def test_dpop_negative_tests_refuse_the_token(caller: Caller, send: Block) -> None:
    assert code_of(send(caller)) == BAD_TOKEN
    assert_a_good_proof_still_works(caller)


@blocks(ACCEPTED | MORE_ACCEPTED)
def test_dpop_negative_tests_accept_the_proof(caller: Caller, send: Block) -> None:
    answer = send(caller)
    assert answer.status_code == 200, answer.text
    assert_a_good_proof_still_works(caller)


def test_dpop_negative_tests_jti_reuse(
    databases: Databases, installation: Installation, clock: Clock
) -> None:
    """On both databases; and the id is the key's own: another key may use the same one."""
    with resource(installation, databases, clock) as world:
        granted = world.granted({"access.max_pulls": 5})
        caller = Caller(world, granted.token)
        assert caller.get(caller.proof(jti="one")).status_code == 200
        assert code_of(caller.get(caller.proof(jti="one"))) == BAD_PROOF
        assert code_of(caller.get(caller.proof(jti="one", iat=caller.seconds + 1))) == BAD_PROOF
        other = Caller(replace(world, key=OTHER_KEY), world.token(granted.given, key=OTHER_KEY))
        assert other.get(other.proof(jti="one")).status_code == 200, "the replay key is (jkt, jti)"
        assert_a_good_proof_still_works(caller)


def test_an_access_token_in_the_address_is_no_token(caller: Caller) -> None:
    """RFC 9700 section 4.3.2, FAPI 2.0 section 5.3.3: only the header bears a token."""
    address = f"{ANYTHING}?access_token={caller.token}"
    answer = caller.world.http.get(address, headers={"DPoP": caller.proof()})
    assert code_of(answer) == BAD_TOKEN
    assert_a_good_proof_still_works(caller)


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html", "application/x-unknown", ""])
def test_any_accept_header_and_a_strange_customer_address_are_borne(caller: Caller, accept: str) -> None:
    """Section 3.2 of the discovery checks: the resource answers 200 whatever the client would accept."""
    headers = {
        "Authorization": f"DPoP {caller.token}",
        "DPoP": caller.proof(),
        "Accept": accept,
        "x-fapi-customer-ip-address": "2001:db8::1893:25c8:1946",
    }
    assert caller.world.http.get(ANYTHING, headers=headers).status_code == 200
