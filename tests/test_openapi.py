"""Schemathesis over the project's own OpenAPI document, with the tokens that each address needs.

Whatever is sent, no answer is a mistake of ours (5xx), none has a status or a media type that the document
does not name, and what is refused by the document's own rules is refused.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, urlencode, urlsplit

import httpx
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, CheckFunction, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from broker.db import transaction
from broker.installation import Installation
from broker.oauth import clients, scopes
from broker.oauth.clients import ClientRegistration
from broker.oauth.invitations import NewInvitation, invite
from tests.api.conftest import Office, made
from tests.installation import ISSUER, Clock
from tests.oauth.world import PURPOSE, REDIRECT_URI, Recipient, access_token_hash
from vault.jose import generate_private_jwk, public_jwk

# What refuses bad data, to which too much of it belongs (413, 414, 431).
REFUSALS: Final = [400, 401, 403, 404, 405, 406, 409, 410, 413, 414, 415, 422, 431]
CONFIG: Final = schemathesis.Config.from_dict(
    {"checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}}}
)
AnyOperation = APIOperation[Any, Any, Any, Any]
AnyCase = Case[Any]
OWN_SCOPES: Final = " ".join(sorted(scopes.CLIENT_OWN - scopes.OF_HOLDERS))
REGISTRATION: Final = "/register/{client_id}"
OAUTH_FORMS: Final = {"/bc-authorize", "/par", "/token", "/revoke", "/introspect"}
CHECKS: Final[list[CheckFunction]] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]


@dataclass
class Caller:
    """Whoever may call an address: a client of a recipient or of a holder, an auditor, a citizen."""

    office: Office
    app: FastAPI
    client: Recipient
    holder: Recipient
    auditor: dict[str, str]
    citizen: dict[str, str]
    tokens: dict[str, str]
    is_stranger: bool = False
    security: dict[str, list[str]] = field(default_factory=dict)
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)

    def operations(self) -> Iterator[AnyOperation]:
        """Without their credentials: those are this test's to give, and not Schemathesis's to take away."""
        document = json.loads(json.dumps(self.app.openapi()))
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                named = [name for one in operation.pop("security", []) for name in one]
                self.security[f"{method.upper()} {path}"] = named
                operation["parameters"] = [
                    one for one in operation.get("parameters", []) if one["name"] != "DPoP"
                ]
        for result in schemathesis.openapi.from_dict(document, config=CONFIG).get_all_operations():
            assert isinstance(result, Ok)
            yield result.ok()

    def send(self, case: AnyCase) -> httpx.Response:
        """The case as it was made, and what makes it come from somebody proven."""
        if case.operation.path == REGISTRATION and not self.is_stranger:
            case.path_parameters = {"client_id": self.tokens["registered"]}
        sent = case.as_transport_kwargs(base_url=ISSUER)
        headers = {name: str(value) for name, value in (sent.get("headers") or {}).items()}
        headers |= self.credentials(case, unquote(urlsplit(sent["url"]).path))
        for name, value in (sent.get("cookies") or {}).items():
            headers.setdefault("Cookie", f"{name}={value}")
        content = sent.get("data")
        if isinstance(content, dict | list):
            content = self.form(case, dict(content)).encode("utf-8", "surrogatepass")
        answer = self.office.http.request(
            sent["method"],
            sent["url"],
            params=sent.get("params"),
            headers=[(name.encode("latin-1"), plain(value)) for name, value in headers.items()],
            content=content,
            json=sent.get("json"),
        )
        self.statuses[case.operation.label, answer.status_code] += 1
        return answer

    def form(self, case: AnyCase, fields: dict[str, Any]) -> str:
        """An urlencoded form; at the OAuth endpoints with an assertion that proves the client."""
        if case.operation.path in OAUTH_FORMS and not self.is_stranger:
            fields |= self.client.authentication()
            if "client_id" in fields:
                fields["client_id"] = self.client.client_id
        return urlencode([(name, str(value)) for name, value in fields.items()], errors="replace")

    def credentials(self, case: AnyCase, path: str) -> dict[str, str]:
        """A fresh proof for this very request, or a cookie; nothing where the document asks for nothing."""
        security = self.security[case.operation.label]
        if self.is_stranger:
            return {}
        if "registration" in security:
            return bearer(self.tokens["own-registration" if case.path_parameters else "invitation"])
        if "session" in security:
            staff = not path.startswith("/v1/decisions")
            return (self.auditor if staff else self.citizen) | {"Origin": ISSUER}
        if "dpop" not in security and path not in OAUTH_FORMS:
            return {}
        speaker = self.holder if path.startswith("/v1/holders") else self.client
        claims: dict[str, Any] = {"htm": case.method.upper()}
        headers = {}
        if "dpop" in security:
            token = self.tokens["holder" if speaker is self.holder else token_for(case.operation.path)]
            claims["ath"] = access_token_hash(token)
            headers["Authorization"] = f"DPoP {token}"
        return headers | {"DPoP": speaker.proof(path, **claims)}


def registration_tokens(office: Office, http: httpx.Client) -> dict[str, str]:
    """An invitation for many, and a client that registered itself by it."""
    new = NewInvitation(organisation_id="insurer", scope="deliveries", uses=1000)
    with transaction(office.world.installation.data) as work:
        invitation = invite(work.session, new, office.world.clock())
    members = {"client_name": "new", "jwks": {"keys": [public_jwk(generate_private_jwk("ES256"))]}}
    answer = http.post("/register", json=members, headers=bearer(invitation.raw_token)).json()
    return {
        "invitation": invitation.raw_token,
        "own-registration": answer["registration_access_token"],
        "registered": answer["client_id"],
    }


def bearer(raw_token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {raw_token}"}


def token_for(path: str) -> str:
    return "person" if path.startswith("/v1/records") or path == "/v1/deliveries" else "own"


def plain(value: str) -> bytes:
    """A header's value as a server hands it on: without line ends."""
    return value.translate({0: " ", 10: " ", 13: " "}).encode("utf-8", "replace")


@pytest.fixture
def caller(sqlite_installation: Installation, clock: Clock) -> Iterator[Caller]:
    for office in made(sqlite_installation, clock):
        http: Any = office.http
        client = Recipient(office.http, clock, "everything", REDIRECT_URI)
        client.dpop_key = office.world.insurer.dpop_key  # to which the person's token is bound
        holder = Recipient(office.http, clock, "holders-records", "")
        with transaction(office.world.installation.data) as work:
            for new in (
                registration(client, "insurer", f"records.read {OWN_SCOPES}"),
                registration(holder, "hospital", "holders.records"),
            ):
                clients.add(work.session, new, is_loopback_allowed=False, now=clock())
        own = client.own_token(scope=OWN_SCOPES).json()["access_token"]
        tokens = {
            "own": own,
            "holder": holder.own_token(scope="holders.records").json()["access_token"],
            "person": office.grant()["access_token"],
            **registration_tokens(office, http),
        }
        auditor, citizen = office.sign_in("auditor"), office.sign_in("citizen", office.world.subject_id)
        yield Caller(office, http.app, client, holder, auditor, citizen, tokens)


def registration(recipient: Recipient, owner: str, scope: str) -> ClientRegistration:
    return ClientRegistration(
        client_id=recipient.client_id,
        organisation_id=owner,
        name=owner,
        jwks={"keys": [public_jwk(recipient.key)]},
        redirect_uris=(recipient.redirect_uri,) if recipient.redirect_uri else (),
        scope=scope,
        purposes=(PURPOSE,) if recipient.redirect_uri else (),
    )


def faults(caller: Caller, mode: GenerationMode, examples: int) -> list[str]:
    """What Schemathesis finds, by operation."""
    found: list[str] = []
    checks = [*CHECKS, negative_data_rejection] if mode is GenerationMode.NEGATIVE else CHECKS
    for operation in caller.operations():
        strategy = operation.as_strategy(generation_mode=mode)

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=strategy)
        def look(case: AnyCase) -> None:
            case.validate_response(caller.send(case), checks=checks)

        try:
            look()
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE  # it takes nothing that could be wrong
        except FailureGroup as group:
            found += [f"{operation.label}: {one}" for one in group.exceptions]
    return found


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_is_one_that_the_document_names(caller: Caller, mode: GenerationMode) -> None:
    assert faults(caller, mode, examples=3) == []
    assert behind_guards(caller)


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_a_long_look_finds_no_answer_that_the_document_does_not_name(
    caller: Caller, mode: GenerationMode
) -> None:
    assert faults(caller, mode, examples=30) == []


def behind_guards(caller: Caller) -> bool:
    """Whether the calls got past every guard: else nothing but guards were looked at."""
    past = {label for label, status in caller.statuses if status != 401}
    return past == {label for label, _ in caller.statuses}


def test_a_stranger_gets_no_answer_that_the_document_does_not_name(caller: Caller) -> None:
    caller.is_stranger = True
    assert faults(caller, GenerationMode.POSITIVE, examples=2) == []
    assert not {label for label, status in caller.statuses if status < 300 and caller.security[label]}


def test_the_document_says_of_every_guarded_address_how_to_prove_oneself(caller: Caller) -> None:
    list(caller.operations())
    guarded = {label.split(" ")[1] for label, named in caller.security.items() if named}
    document = caller.app.openapi()
    told = {
        path
        for path, methods in document["paths"].items()
        for one in methods.values()
        if "401" in one["responses"]
    }
    assert guarded == told - OAUTH_FORMS
    assert {name for named in caller.security.values() for name in named} == {
        "dpop",
        "registration",
        "session",
        "unbound",
    }


def test_no_operation_is_described_by_the_framework_where_it_answers_otherwise(caller: Caller) -> None:
    assert "HTTPValidationError" not in json.dumps(caller.app.openapi())
