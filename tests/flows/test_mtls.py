"""The whole flow over mutual TLS, behind a real nginx, with the configuration that we ship (RFC 8705)."""

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

import httpx
import pytest
import requests
from requests_oauth2client import BearerToken, OAuth2Client, PublicApp

from broker.oauth.client_metadata import AuthMethod, ClientMetadata
from tests.certificates import Made, authority
from tests.certificates import made as certificate
from tests.flows.behind_nginx import Site, Software, agreed, issued, running

NAME = "CN=claims,O=Hanbit,C=KR"
BY_CHAIN = ClientMetadata(
    token_endpoint_auth_method=AuthMethod.TLS_CLIENT_AUTH,
    tls_client_auth_subject_dn=NAME,
    tls_client_certificate_bound_access_tokens=True,
)
BY_ITSELF = ClientMetadata(
    token_endpoint_auth_method=AuthMethod.SELF_SIGNED_TLS_CLIENT_AUTH,
    tls_client_certificate_bound_access_tokens=True,
)
METADATA = "/.well-known/oauth-authorization-server"
BILL = "health.medical_bill"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("site")) as running_site:
        yield running_site


@pytest.fixture
def trusting(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The person's browser knows the authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(site.authorities))


@pytest.fixture(scope="module")
def chained(site: Site) -> Made:
    """The certificate of the client by-chain."""
    site.register("by-chain", BY_CHAIN)
    return issued(site, NAME)


@pytest.fixture(scope="module")
def self_signed(site: Site) -> Made:
    """The certificate of the client by-itself."""
    own = certificate("CN=whatever")
    site.register("by-itself", BY_ITSELF, own.jwk)
    return own


Client = Callable[[str, Made | None], Software]


@pytest.fixture
def software(site: Site) -> Iterator[Client]:
    opened: list[httpx.Client] = []

    def make(client_id: str, sent: Made | None) -> Software:
        http = site.client(sent)
        opened.append(http)
        return Software(site, client_id, http, http.get(site.issuer + METADATA).json())

    yield make
    for http in opened:
        http.close()


def is_refused(answer: httpx.Response, code: str = "invalid_client") -> bool:
    return answer.status_code in {400, 401} and answer.json()["error"] == code


@pytest.mark.parametrize("client_id", ["by-chain", "by-itself"])
def test_a_forged_header_is_worth_nothing(
    site: Site, software: Client, chained: Made, self_signed: Made, client_id: str
) -> None:
    """Whatever a client writes into the headers, at either address: nginx puts the truth in their place."""
    good = {"by-chain": chained, "by-itself": self_signed}[client_id]
    other = issued(site, "CN=other")
    for value in (good.escaped_pem, good.rfc9440):
        forged = {"Client-Cert": value, "Client-Cert-Verified": "SUCCESS", "client_cert": value}
        for sent in (None, other):
            thief = software(client_id, sent)
            assert is_refused(thief.push(**forged))
            at_issuer = replace(thief, document={"mtls_endpoint_aliases": thief.document})
            assert is_refused(at_issuer.push(**forged))


def test_with_its_certificate_at_the_wrong_address_a_client_has_none(software: Client, chained: Made) -> None:
    client = software("by-chain", chained)
    assert is_refused(replace(client, document={"mtls_endpoint_aliases": client.document}).push())


def test_a_name_that_another_authority_wrote(site: Site, software: Client, chained: Made) -> None:
    for sent in (certificate(NAME), certificate(NAME, issuer=authority("CN=B"))):
        assert is_refused(software("by-chain", sent).push())
    with site.client(
        certificate(NAME, issuer=authority())
    ) as http:  # a signature that does not hold, nginx refuses by itself
        answer = http.post(f"{site.mtls_issuer}/par", data={"client_id": "by-chain"})
        assert (answer.status_code, "certificate error" in answer.text) == (400, True)
    assert software("by-chain", chained).push().status_code == 201


def test_only_who_enters_the_folder_reaches_the_socket(site: Site) -> None:
    """Whoever reaches it is believed, so nobody else may."""
    assert site.socket.is_socket()
    assert site.socket.parent.stat().st_mode & 0o077 == 0


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("client_id", ["by-chain", "by-itself"])
def test_the_whole_flow(
    site: Site, software: Client, chained: Made, self_signed: Made, client_id: str
) -> None:
    sent = {"by-chain": chained, "by-itself": self_signed}[client_id]
    client = software(client_id, sent)
    thief = software(client_id, issued(site, "CN=thief"))
    code = client.code()
    assert is_refused(thief.redeem(code))
    answer = client.redeem(code)
    assert answer.status_code == 200, answer.text
    tokens = answer.json()
    assert tokens["token_type"] == "Bearer"

    for stranger, base in (
        (thief, site.mtls_issuer),
        (software(client_id, None), None),
        (client, site.issuer),
    ):
        refused = stranger.pull(tokens["access_token"], base, **{"Client-Cert": sent.escaped_pem})
        assert (refused.status_code, refused.json()["code"]) == (401, "invalid_token")
        assert refused.headers.get_list("WWW-Authenticate")[0] == 'Bearer error="invalid_token"'

    pulled = client.pull(tokens["access_token"])
    assert pulled.status_code == 200, pulled.text
    assert pulled.json()["records"][BILL]

    told = client.post("introspection", {"token": tokens["access_token"]}).json()
    assert (told["active"], told["cnf"]) == (True, {"x5t#S256": sent.thumbprint})
    refreshed = client.post(
        "token", {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    ).json()
    assert client.pull(refreshed["access_token"]).json()["payload_digest"] == pulled.json()["payload_digest"]
    assert client.post("revocation", {"token": tokens["access_token"]}).status_code == 200
    assert client.pull(tokens["access_token"]).json()["code"] == "token_revoked"
    assert client.post("introspection", {"token": tokens["access_token"]}).json() == {"active": False}


@pytest.mark.usefixtures("trusting")
def test_a_client_library_that_we_did_not_write(site: Site, software: Client, chained: Made) -> None:
    """requests-oauth2client: to it we are a server that wants nothing but a name, and TLS does the rest."""
    document = software("by-chain", chained).document
    with requests.Session() as session:
        session.verify = str(site.authorities)
        session.trust_env = False  # a bundle of the environment would come before that one
        certificate_file, key_file = chained.write(site.folder, "library")
        session.cert = (str(certificate_file), str(key_file))
        library = OAuth2Client(
            **document["mtls_endpoint_aliases"],
            authorization_endpoint=document["authorization_endpoint"],
            issuer=document["issuer"],
            authorization_response_iss_parameter_supported=True,
            redirect_uri=site.redirect_uri,
            auth=PublicApp("by-chain"),
            session=session,
            testing=True,
        )
        terms = {**site.demo.terms, "locations": [f"{site.issuer}/v1/records"]}
        asked = library.authorization_request(
            scope="records.read", authorization_details=json.dumps([terms]), nonce=None
        )
        came_back = agreed(site, str(library.pushed_authorization_request(asked)))
        token = library.authorization_code(asked.validate_callback(site.redirect_uri + came_back))
        assert isinstance(token, BearerToken)
        refreshed = library.refresh_token(token)
        address = f"{site.mtls_issuer}/v1/records/{BILL}"
        assert session.get(address, auth=refreshed, timeout=60).json()["records"][BILL]
        assert library.introspect_token(refreshed)["cnf"] == {"x5t#S256": chained.thumbprint}
        assert library.revoke_access_token(refreshed)
        assert session.get(address, auth=refreshed, timeout=60).status_code == 401


def test_pages_are_not_at_the_address_for_certificates(site: Site, chained: Made) -> None:
    with site.client(chained) as http:
        for path in ("/", "/ko", "/authorize", "/readyz", "/log/checkpoint"):
            assert http.get(site.mtls_issuer + path).status_code == 404, path


# TLS itself (RFC 9325)


def shaken(port: int, context: ssl.SSLContext) -> tuple[str, str]:
    """Version and suite of a handshake with nginx."""
    with (
        closing(socket.create_connection(("127.0.0.1", port), timeout=120)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        return secured.version() or "", (secured.cipher() or ("",))[0]


@pytest.mark.parametrize(
    "suites", ["ECDHE+AES+SHA256:ECDHE+AES+SHA", "RSA+AESGCM", "DHE+AESGCM", "ECDHE+CHACHA20"]
)
def test_a_suite_that_is_not_recommended_is_refused(site: Site, suites: str) -> None:
    context = ssl.create_default_context(cafile=site.authorities)
    context.set_ciphers(suites)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    for port in (site.port, site.mtls_port):
        with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
            shaken(port, context)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_tls_1_1_is_refused(site: Site) -> None:
    context = ssl.create_default_context(cafile=site.authorities)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    for port in (site.port, site.mtls_port):
        with pytest.raises(ssl.SSLError, match=r"PROTOCOL_VERSION|protocol version"):
            shaken(port, context)


def test_what_is_recommended_is_spoken(site: Site) -> None:
    context = ssl.create_default_context(cafile=site.authorities)
    assert shaken(site.port, context)[0] == "TLSv1.3"
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert shaken(site.mtls_port, context) == ("TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256")
