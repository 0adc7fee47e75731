"""Whose call it is: headers count only from proxies that the settings name."""

import pytest
from pydantic import ValidationError

from broker.client_address import TrustedProxies
from broker.setting_sections import Server

PROXIES = ("192.0.2.0/24", "2001:db8::1")


def scope(peer: str | None, *forwarded: str) -> dict[str, object]:
    headers = [(b"host", b"x"), *((b"x-forwarded-for", value.encode()) for value in forwarded)]
    return {"type": "http", "client": None if peer is None else (peer, 1), "headers": headers}


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", ["198.51.100.7"], "203.0.113.9"),  # not a proxy of ours: what it says counts nothing
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", [""], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7"], "198.51.100.7"),
        ("192.0.2.1", ["1.1.1.1, 198.51.100.7"], "198.51.100.7"),  # the first one anybody can make up
        ("192.0.2.1", ["1.1.1.1", "198.51.100.7"], "198.51.100.7"),
        ("192.0.2.1", ["198.51.100.7, 192.0.2.8"], "198.51.100.7"),
        ("192.0.2.1", ["192.0.2.9, 192.0.2.8"], "192.0.2.9"),
        ("192.0.2.1", ["198.51.100.7, unknown"], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7, garbage, 192.0.2.8"], "192.0.2.8"),
        ("192.0.2.1", ["198.51.100.7:4711"], "198.51.100.7"),
        ("192.0.2.1", ["[2001:db8:1:2:3::4]:443"], "2001:db8:1:2::/64"),
        ("192.0.2.1", ["::ffff:198.51.100.7"], "198.51.100.7"),
        ("::ffff:192.0.2.1", ["198.51.100.7"], "198.51.100.7"),
        ("2001:db8::1", ["198.51.100.7"], "198.51.100.7"),
        ("2001:db8::2", ["198.51.100.7"], "2001:db8::/64"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("testclient", ["198.51.100.7"], "testclient"),
        (None, ["198.51.100.7"], "unix"),
        ("", ["198.51.100.7"], "unix"),
    ],
)
def test_the_last_address_that_is_no_proxy_of_ours_counts(
    peer: str | None, forwarded: list[str], address: str
) -> None:
    assert TrustedProxies(PROXIES).address_of(scope(peer, *forwarded)) == address


def test_a_local_socket_is_believed_if_it_is_named() -> None:
    assert TrustedProxies(["unix"]).address_of(scope(None, "198.51.100.7")) == "198.51.100.7"
    assert TrustedProxies(["unix"]).trusts_peer(scope(None))
    assert not TrustedProxies(["unix"]).trusts_peer(scope("192.0.2.1"))


def test_by_default_nobody_is_believed() -> None:
    assert TrustedProxies([]).address_of(scope("192.0.2.1", "198.51.100.7")) == "192.0.2.1"
    assert not TrustedProxies([]).trusts_peer(scope("192.0.2.1"))
    assert TrustedProxies(PROXIES).trusts_peer(scope("192.0.2.1"))


@pytest.mark.parametrize(
    "value", ["proxy.example", "10.0.0.0/33", "10.0.0.7/8", ["10.0.0.1", "?"], [1], 7, None]
)
def test_what_is_no_address_is_no_proxy(value: object) -> None:
    with pytest.raises(ValidationError):
        Server.model_validate({"issuer": "https://x.example", "trusted_proxies": value})


@pytest.mark.parametrize("value", ["10.0.0.0/8, unix,", ["10.0.0.0/8", "unix"], ("10.0.0.0/8", " unix ")])
def test_proxies_come_as_a_list_or_in_one_text(value: object) -> None:
    server = Server.model_validate({"issuer": "https://x.example", "trusted_proxies": value})
    assert server.trusted_proxies == ("10.0.0.0/8", "unix")
