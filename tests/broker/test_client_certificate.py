"""Whose word on client certificates is taken (RFC 9440): a trusted proxy's, in one header, in one form."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from urllib.parse import unquote

import pytest

from broker.installation import Installation
from broker.setting_sections import Server
from tests.certificates import UNTIL, made, new_key
from tests.installation import Clock
from tests.oauth.by_certificate import HEADER, INSURER, OTHER, PROXY, VERIFIED, Counter, opened

Headers = Sequence[tuple[str, str]]

SENT = [(HEADER, INSURER.rfc9440)]

# Every third certificate is as long as a multiple of three, and has no padding to leave out.
PADDED = next(value for value in iter(lambda: made().rfc9440, "") if "=" in value)
SUCCESS = [*SENT, (VERIFIED, "SUCCESS")]


@pytest.fixture
def counter(sqlite_installation: Installation, clock: Clock) -> Iterator[Counter]:
    yield from opened(sqlite_installation, clock)


@pytest.mark.parametrize("peer", ["10.0.0.8", "127.0.0.1", "::1", "testclient", None])
def test_a_header_of_anybody_else_is_none(counter: Counter, peer: str | None) -> None:
    assert counter.presented(SUCCESS, peer).certificate is None


def test_without_the_setting_no_header_counts(counter: Counter) -> None:
    assert counter.presented(SUCCESS, client_certificate_header="").certificate is None
    assert counter.presented(SUCCESS, client_certificate_header="X-Ssl-Cert").certificate is None


def test_several_headers_are_none(counter: Counter) -> None:
    for headers in ([*SENT, *SENT], [*SENT, (HEADER, OTHER.rfc9440)], [*SENT, (HEADER, "")]):
        presented = counter.presented(headers)
        assert presented.certificate is None
        assert "more than once" in presented.reason


@pytest.mark.parametrize(
    "value",
    [
        "",
        ":",
        "::",
        INSURER.rfc9440.strip(":"),
        INSURER.rfc9440 + ";a=1",
        f"{INSURER.rfc9440}, {OTHER.rfc9440}",
        PADDED.replace("=", ""),
        INSURER.rfc9440[:100] + ":",
        ":\xff\xfe\xfd:",
        INSURER.escaped_pem,
        unquote(INSURER.escaped_pem).replace("\n", " "),
        made(key=new_key("RSA-1024")).rfc9440,
    ],
)
def test_what_is_no_byte_sequence_of_a_good_certificate(counter: Counter, value: str) -> None:
    assert counter.presented([(HEADER, value)]).certificate is None


@pytest.mark.parametrize(
    "value", ["", "%", INSURER.rfc9440, INSURER.escaped_pem * 2, INSURER.escaped_pem + "%00", "%ff%fe"]
)
def test_what_is_no_escaped_pem(counter: Counter, value: str) -> None:
    presented = counter.presented([(HEADER, value)], client_certificate_format="escaped_pem")
    assert presented.certificate is None


def test_both_forms_are_read(counter: Counter) -> None:
    for form, value in (("rfc9440", INSURER.rfc9440), ("escaped_pem", INSURER.escaped_pem)):
        read = counter.presented([(HEADER.lower(), value)], client_certificate_format=form).certificate
        assert read is not None
        assert read.thumbprint == INSURER.thumbprint


def test_only_one_word_says_that_the_chain_is_good(counter: Counter) -> None:
    assert counter.presented(SUCCESS).is_verified
    assert not counter.presented(SENT).is_verified
    for more in ((VERIFIED, "SUCCESS"), (VERIFIED, "FAILED")):
        assert not counter.presented([*SUCCESS, more]).is_verified
    for said in ("success", "FAILED:expired", "NONE", "1", "SUCCESS, SUCCESS"):
        assert not counter.presented([*SENT, (VERIFIED, said)]).is_verified
    assert not counter.presented(SUCCESS, client_certificate_verified_header="").is_verified


def test_one_that_has_expired_is_none(counter: Counter) -> None:
    counter.office.world.clock.advance(UNTIL - counter.office.world.clock() + timedelta(seconds=1))
    presented = counter.presented(SUCCESS)
    assert (presented.certificate, presented.is_verified) == (None, False)


@pytest.mark.parametrize("peer", [PROXY, None])
def test_a_trusted_proxy_is_believed(counter: Counter, peer: str | None) -> None:
    presented = counter.presented(SUCCESS, peer, trusted_proxies=(PROXY, "unix"))
    assert presented.certificate is not None
    assert presented.is_verified


# Settings

ISSUER = "https://broker.example"


@pytest.mark.parametrize(
    "changes",
    [
        {"client_certificate_header": "Client-Cert"},
        {"client_certificate_verified_header": "Client-Cert-Verified"},
        {"mtls_issuer": "https://mtls.broker.example"},
        {
            "trusted_proxies": "unix",
            "client_certificate_header": "Client-Cert",
            "client_certificate_verified_header": "client-cert",
        },
        {"trusted_proxies": "unix", "client_certificate_header": "Client_Cert"},
        {"trusted_proxies": "unix", "client_certificate_header": "Authorization"},
        {"trusted_proxies": "unix", "client_certificate_header": "Client-Cert:"},
        {
            "trusted_proxies": "unix",
            "client_certificate_header": "Client-Cert",
            "client_certificate_format": "der",
        },
        {
            "trusted_proxies": "unix",
            "client_certificate_header": "Client-Cert",
            "mtls_issuer": "http://mtls.broker.example",
        },
        {
            "trusted_proxies": "unix",
            "client_certificate_header": "Client-Cert",
            "mtls_issuer": "https://mtls.broker.example/",
        },
    ],
)
def test_settings_that_would_believe_anybody_or_nobody(changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"client_certificate|mtls_issuer"):
        Server.model_validate({"issuer": ISSUER, **changes})


def test_settings_that_go_together() -> None:
    server = Server.model_validate(
        {
            "issuer": ISSUER,
            "trusted_proxies": "unix",
            "client_certificate_header": "Client-Cert",
            "client_certificate_verified_header": "Client-Cert-Verified",
            "mtls_issuer": "https://mtls.broker.example:8443",
        }
    )
    assert server.mtls_issuer == "https://mtls.broker.example:8443"
