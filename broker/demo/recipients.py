"""The demo's recipients beside the insurer: each one's files and client, and what the demo tells of it."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from broker.oauth.clients import ClientRegistration
from vault.jose import generate_private_jwk, public_jwk

_PRIVATE: Final = 0o600
_SCOPE: Final = "openid records.read deliveries obligations grant_management_query grant_management_revoke"


@dataclass(frozen=True, slots=True)
class Recipient:
    """A recipient that is a process of its own. `key` is its folder's and its page's name.

    `module` is what `python -m` runs with the configuration; `settings` are the members of that which are
    its own. `authorization_details` are what the first persona can grant to its client; `deals` are what
    several personas can sign together.
    """

    key: str
    module: str
    port: int
    client_id: str
    organisation: str
    name: str
    client_name: str
    purposes: tuple[str, ...]
    settings: Mapping[str, Any]
    authorization_details: Sequence[Mapping[str, Any]]
    scope: str = _SCOPE
    deals: Sequence[Mapping[str, Any]] = ()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class InstalledRecipient:
    """A recipient whose files are there, and its client as the broker is to register it."""

    recipient: Recipient
    config: Path
    private_jwks: Path
    registration: ClientRegistration
    staff_token: str = field(repr=False)

    def deals(self) -> list[dict[str, Any]]:
        """Its client with each kind of deal that it opens: what is asked there cannot be granted alone."""
        client = {name: told for name, told in self.client().items() if name != "authorization_details"}
        return [client | dict(deal) for deal in self.recipient.deals]

    def client(self) -> dict[str, Any]:
        """Its client, as `mydata demo --json` tells it."""
        return {
            "client_id": self.recipient.client_id,
            "organisation": self.recipient.organisation,
            "private_jwks": str(self.private_jwks),
            "redirect_uris": list(self.registration.redirect_uris),
            "scope": self.recipient.scope,
            "authorization_details": [dict(one) for one in self.recipient.authorization_details],
        }


def install_recipient(
    recipient: Recipient, directory: Path, *, issuer: str, acknowledge: str, client_url: str
) -> InstalledRecipient:
    """Write a recipient's configuration and keys into a folder of its own below `directory`."""
    folder = directory / recipient.key
    folder.mkdir()
    client_key, staff_token = generate_private_jwk("ES256"), secrets.token_urlsafe(24)
    _write_private(folder / "private.jwks.json", {"keys": [client_key]})
    _write_private(folder / "proof.jwks.json", {"keys": [generate_private_jwk("ES256")]})
    callback = f"{recipient.url}/callback"
    _write_private(
        folder / "config.json",
        {
            "issuer": issuer,
            "client_id": recipient.client_id,
            "organisation": recipient.organisation,
            "name": recipient.name,
            "host": "127.0.0.1",
            "port": recipient.port,
            "redirect_uri": callback,
            "store": f"{recipient.key}.db",
            "staff_token": staff_token,
            "acknowledge": acknowledge,
            "private_jwks": "private.jwks.json",
            "proof_jwks": "proof.jwks.json",
            **recipient.settings,
        },
    )
    registration = ClientRegistration(
        client_id=recipient.client_id,
        organisation_id=recipient.organisation,
        name=recipient.client_name,
        jwks={"keys": [public_jwk(client_key)]},
        redirect_uris=(callback, client_url),
        scope=recipient.scope,
        purposes=recipient.purposes,
    )
    private_jwks = folder / "private.jwks.json"
    return InstalledRecipient(recipient, folder / "config.json", private_jwks, registration, staff_token)


def _write_private(path: Path, content: Mapping[str, Any]) -> None:
    path.touch(mode=_PRIVATE)
    path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
