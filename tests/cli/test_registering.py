"""`mydata org`, `client`, `subject`, `staff`."""

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from broker.installation import Installation
from broker.web.signin.accounts import Credentials, sign_in
from tests.cli.conftest import Mydata, Ran, run
from vault.jose import generate_private_jwk, public_jwk

PASSWORD = "correct horse battery"
ORGANISATION = (
    *("org", "add", "hanbit-insurance", "--name-ko", "한빛손해보험", "--name-en", "Hanbit"),
    *("--registration-number", "110111-1234567", "--contact", "privacy@hanbit.example"),
)


def add_client(
    mydata: Mydata, key_set: object, options: Sequence[str] = (), scope: str = "records.read"
) -> Ran:
    file = Path("jwks.json")
    file.write_text(key_set if isinstance(key_set, str) else json.dumps(key_set))
    return mydata(
        *("client", "add", "hanbit-claims", "--organisation", "hanbit-insurance", "--name", "Claims"),
        *("--jwks", str(file), "--scope", scope, "--redirect-uri", "https://claims.hanbit.example/cb"),
        *(options or ("--purpose", "insurance.indemnity_claim")),
    )


def key_set() -> dict[str, object]:
    private = generate_private_jwk("ES256")
    return {"keys": [{**public_jwk(private), "kid": "k1"}]}


@pytest.fixture
def insurer(mydata: Mydata) -> Mydata:
    assert mydata(*ORGANISATION, "--recipient").code == 0
    return mydata


def test_an_organisation_needs_a_role(mydata: Mydata) -> None:
    assert mydata(*ORGANISATION).code == 2
    assert mydata("org", "list", "-o", "json").json() == []


def test_an_organisation_that_is_not_there_cannot_be_suspended(mydata: Mydata) -> None:
    ran = mydata("org", "suspend", "nobody")
    assert (ran.code, "mydata org list" in ran.err) == (1, True)


def test_an_organisation_is_added_listed_and_suspended(insurer: Mydata) -> None:
    (before,) = insurer("org", "list", "-o", "json").json()
    assert (before["name_ko"], before["recipient"], before["holder"]) == ("한빛손해보험", True, False)
    assert insurer("org", "suspend", "hanbit-insurance").code == 0
    assert insurer("org", "list", "-o", "json").json()[0]["status"] == "suspended"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{", "not JSON"),
        ("[]", "not a JWK set"),
        ({"keys": []}, "jwks"),
        ({"keys": [generate_private_jwk("ES256")]}, "jwks.keys"),
    ],
)
def test_a_key_set_that_is_none_is_refused(insurer: Mydata, given: object, said: str) -> None:
    ran = add_client(insurer, given)
    assert ran.code == 1
    assert said in ran.err
    assert insurer("client", "list", "-o", "json").json() == []


def test_every_fault_of_a_client_is_named(insurer: Mydata) -> None:
    ran = add_client(insurer, {"keys": []}, scope="everything")
    assert {"jwks.keys", "scope"} <= {line.strip().partition(":")[0] for line in ran.err.splitlines()}


def test_a_purpose_that_nobody_declares_is_refused(insurer: Mydata) -> None:
    assert add_client(insurer, key_set(), ("--purpose", "anything.else")).code == 1


def test_a_client_of_nobody_is_refused(mydata: Mydata) -> None:
    ran = add_client(mydata, key_set())
    assert (ran.code, "organisation_id" in ran.err) == (1, True)


def test_a_client_is_never_overwritten(insurer: Mydata) -> None:
    assert add_client(insurer, key_set()).code == 0
    assert add_client(insurer, key_set()).code == 1


def test_a_client_that_is_not_there(mydata: Mydata) -> None:
    for command in ("show", "suspend"):
        assert mydata("client", command, "nobody").code == 1


def test_a_client_is_added_shown_and_suspended(insurer: Mydata) -> None:
    assert add_client(insurer, key_set()).code == 0
    shown = insurer("client", "show", "hanbit-claims", "-o", "json").json()
    assert shown["key_ids"] == ["k1"]
    assert shown["purposes"] == ["insurance.indemnity_claim"]
    assert "k1" in insurer("client", "show", "hanbit-claims").out
    assert insurer("client", "suspend", "hanbit-claims").code == 0
    assert insurer("client", "list", "-o", "json").json()[0]["status"] == "suspended"


def metadata_file(content: object) -> tuple[str, str]:
    file = Path("metadata.json")
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return "--metadata", str(file)


@pytest.mark.parametrize("profile", ["fapi1", "", "FAPI2"])
def test_a_profile_that_is_none_is_refused(insurer: Mydata, profile: str) -> None:
    ran = add_client(insurer, key_set(), ("--purpose", "insurance.indemnity_claim", "--profile", profile))
    assert (ran.code, "security_profile: " in ran.err) == (1, True)
    assert insurer("client", "list", "-o", "json").json() == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not JSON"),
        ([], "not client metadata"),
        ({"anything": 1}, "metadata.anything: "),
        ({"authorization_signed_response_alg": "RS256"}, "metadata.authorization_signed_response_alg: "),
        ({"request_object_signing_alg": "none"}, "metadata.request_object_signing_alg: "),
        ({"token_endpoint_auth_method": "tls_client_auth"}, "metadata.token_endpoint_auth_method"),
    ],
)
def test_metadata_that_are_none_are_refused(insurer: Mydata, content: object, said: str) -> None:
    options = ("--purpose", "insurance.indemnity_claim", *metadata_file(content))
    ran = add_client(insurer, key_set(), options)
    assert (ran.code, said in ran.err) == (1, True), ran.err
    assert insurer("client", "list", "-o", "json").json() == []


def test_a_client_has_the_profile_and_the_metadata_that_it_was_given(insurer: Mydata) -> None:
    chosen = {"authorization_signed_response_alg": "ES256", "introspection_signed_response_alg": "ES256"}
    options = ("--purpose", "insurance.indemnity_claim", "--profile", "fapi2_message_signing")
    assert add_client(insurer, key_set(), (*options, *metadata_file(chosen))).code == 0
    shown = insurer("client", "show", "hanbit-claims", "-o", "json").json()
    assert (shown["security_profile"], shown["metadata"]) == ("fapi2_message_signing", chosen)
    text = insurer("client", "show", "hanbit-claims").out
    assert "fapi2_message_signing" in text
    assert '"authorization_signed_response_alg": "ES256"' in text


def test_without_a_word_about_it_a_client_is_one_of_fapi_2(insurer: Mydata) -> None:
    assert add_client(insurer, key_set()).code == 0
    shown = insurer("client", "show", "hanbit-claims", "-o", "json").json()
    assert (shown["security_profile"], shown["metadata"]) == ("fapi2", {})


def plain_client(environ: dict[str, str], *options: str) -> Ran:
    return run(
        environ,
        *("client", "add", "hanbit-plain", "--organisation", "hanbit-insurance", "--name", "Sign-in"),
        *("--profile", "oidc", "--redirect-uri", "https://plain.hanbit.example/cb", *options),
    )


def test_a_client_of_plain_openid_connect_is_refused_unless_it_is_served(environ: dict[str, str]) -> None:
    assert run(environ, *ORGANISATION, "--recipient").code == 0
    ran = plain_client(environ, "--scope", "openid")
    assert (ran.code, "security_profile: " in ran.err) == (1, True)
    wanting = environ | {"MYDATA__OAUTH__OIDC_CLIENTS": "true"}
    ran = plain_client(wanting, "--scope", "openid deliveries")
    assert (ran.code, "scope: " in ran.err) == (1, True)
    assert run(environ, "client", "list", "-o", "json").json() == []


def test_a_client_of_plain_openid_connect_has_a_secret_that_is_shown_once(environ: dict[str, str]) -> None:
    wanting = environ | {"MYDATA__OAUTH__OIDC_CLIENTS": "true"}
    assert run(wanting, *ORGANISATION, "--recipient").code == 0
    made = plain_client(wanting, "--scope", "openid", "-o", "json").json()
    assert made["client_secret"].startswith("mds_")
    shown = run(wanting, "client", "show", "hanbit-plain", "-o", "json")
    assert made["client_secret"] not in shown.out
    assert shown.json()["metadata"] == {"token_endpoint_auth_method": "client_secret_basic"}
    assert (shown.json()["security_profile"], shown.json()["key_ids"]) == ("oidc", [])


def test_a_client_of_plain_openid_connect_may_have_an_event_stream_alone(environ: dict[str, str]) -> None:
    wanting = environ | {"MYDATA__OAUTH__OIDC_CLIENTS": "true"}
    assert run(wanting, *ORGANISATION, "--recipient").code == 0
    stream = ("--organisation", "hanbit-insurance", "--name", "Stream", "--scope", "ssf.read ssf")
    made = run(wanting, "client", "add", "hanbit-stream", *stream, "--profile", "oidc", "-o", "json")
    assert made.json()["client_secret"].startswith("mds_")
    shown = run(wanting, "client", "show", "hanbit-stream", "-o", "json").json()
    assert (shown["scope"], shown["redirect_uris"]) == (["ssf", "ssf.read"], [])
    checked = run(wanting, "client", "check", "hanbit-stream", "-o", "json")
    assert checked.code == 0
    verdicts = {one["requirement"]: one["verdict"] for one in checked.json()}
    assert verdicts["client.sender-constraint"] == "warning"


def test_a_client_gets_a_new_secret(environ: dict[str, str]) -> None:
    wanting = environ | {"MYDATA__OAUTH__OIDC_CLIENTS": "true"}
    assert run(wanting, *ORGANISATION, "--recipient").code == 0
    assert add_client(lambda *said, **more: run(wanting, *said, **more), key_set()).code == 0
    for nobody, said in (("nobody-at-all", "No client has this id"), ("hanbit-claims", "has no secret")):
        ran = run(wanting, "client", "rotate", nobody)
        assert (ran.code, said in ran.err) == (1, True)
    made = plain_client(wanting, "--scope", "openid", "-o", "json").json()
    renewed = run(wanting, "client", "rotate", "hanbit-plain", "-o", "json").json()
    assert set(renewed) == {"client_id", "client_secret"}
    assert renewed["client_secret"].startswith("mds_")
    assert renewed["client_secret"] != made["client_secret"]
    shown = run(wanting, "client", "show", "hanbit-plain", "-o", "json")
    assert renewed["client_secret"] not in shown.out


def test_a_short_password_and_none_at_all_are_refused(mydata: Mydata) -> None:
    assert mydata("subject", "add", "haneul", "--password-stdin", stdin="short\n").code == 2
    ran = mydata("subject", "add", "haneul")
    assert (ran.code, "--password-stdin" in ran.err) == (2, True)


def test_a_citizen_can_sign_in_and_the_name_is_taken(
    mydata: Mydata, sqlite_installation: Installation
) -> None:
    made = mydata(
        "subject",
        "add",
        "haneul",
        "--name",
        "김하늘",
        "--password-stdin",
        "-o",
        "json",
        stdin=f"{PASSWORD}\n",
    )
    assert set(made.json()) == {"subject_id", "account_id"}
    assert signed_in(sqlite_installation, "haneul") == "citizen"
    again = mydata("subject", "add", "Haneul", "--password-stdin", stdin=f"{PASSWORD}\n")
    assert (again.code, "taken" in again.err) == (1, True)


def test_an_auditor_can_sign_in(mydata: Mydata, sqlite_installation: Installation) -> None:
    assert (
        mydata(
            "staff", "add", "auditor-1", "--role", "auditor", "--password-stdin", stdin=f"{PASSWORD}\n"
        ).code
        == 0
    )
    assert signed_in(sqlite_installation, "auditor-1") == "auditor"
    assert (
        mydata("staff", "add", "x", "--role", "citizen", "--password-stdin", stdin=f"{PASSWORD}\n").code == 2
    )


def signed_in(installation: Installation, username: str) -> str | None:
    credentials = Credentials(username, PASSWORD)
    found = sign_in(
        installation.data,
        installation.keyring,
        credentials,
        installation.clock(),
        lifetime=timedelta(hours=1),
    )
    return None if found is None else found.role
