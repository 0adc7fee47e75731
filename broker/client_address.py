"""Who is calling: the peer's address, or what a trusted reverse proxy says it is (X-Forwarded-For).

Only proxies that `server.trusted_proxies` names are believed; anybody may send the header.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from starlette.types import Scope

from broker.setting_rules import UNIX_SOCKET

_IPV6_SITE_BITS: Final = 64  # whoever has one address of IPv6 has as many as they like beside it


class TrustedProxies:
    """The reverse proxies of an installation, by addresses, networks, or `unix` for a local socket."""

    def __init__(self, names: Sequence[str]) -> None:
        self._is_socket_trusted = UNIX_SOCKET in names
        self._networks: tuple[IPv4Network | IPv6Network, ...] = tuple(
            ip_network(name) for name in names if name != UNIX_SOCKET
        )

    def trusts_peer(self, scope: Scope) -> bool:
        """Whether the request comes from one of these proxies, so that its headers may be believed."""
        return self._trusts(_peer(scope))

    def address_of(self, scope: Scope) -> str:
        """Whom the request is from: an address, of IPv6 its network of 64 bits; `unix` for a local socket.

        Behind trusted proxies it is the last address in X-Forwarded-For that is none of theirs.
        """
        address = _peer(scope)
        if self._trusts(address):
            for hop in reversed(_hops(scope)):
                read = _normal(hop)
                if read is None:
                    break  # what is no address, nobody can vouch for: the last one that is known counts
                address = read
                if not self._trusts(address):
                    break
        return _site(address)

    def _trusts(self, address: str) -> bool:
        if address == UNIX_SOCKET:
            return self._is_socket_trusted
        return bool(self._networks) and _is_in(address, self._networks)


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return UNIX_SOCKET if not client or not client[0] else _normal(client[0]) or client[0]


def _hops(scope: Scope) -> list[str]:
    """The header's addresses in the order of the hops, however many headers they came in."""
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return ",".join(values).split(",")


@lru_cache(maxsize=4096)
def _normal(text: str) -> str | None:
    """The one spelling of an address, without brackets and port; None if it is no address."""
    bare = text.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ip_address(bare)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


@lru_cache(maxsize=4096)
def _is_in(address: str, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    try:
        read = ip_address(address)
    except ValueError:
        return False
    return any(read in network for network in networks)


@lru_cache(maxsize=4096)
def _site(address: str) -> str:
    if ":" not in address:
        return address
    bare = address.partition("%")[0]
    return str(ip_network(f"{bare}/{_IPV6_SITE_BITS}", strict=False))
