"""What the contract service is configured with: one JSON file, its keys beside it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson

from vault.jose import Jwk


@dataclass(frozen=True, slots=True)
class Configuration:
    """Who this service is at which broker, where it listens, and where it keeps what it received.

    `acknowledge` is `at_once`, or `when_told` for staff who want to look before they confirm.
    """

    issuer: str
    client_id: str
    recipient_id: str
    name: str
    host: str
    port: int
    redirect_uri: str
    holders: Mapping[str, tuple[str, ...]]
    store: Path
    staff_token: str = field(repr=False)
    acknowledge: Literal["at_once", "when_told"]
    client_key: Jwk = field(repr=False)
    proof_key: Jwk = field(repr=False)


def load_configuration(path: Path) -> Configuration:
    """Read a configuration file; relative paths are relative to it. Raises OSError, KeyError, ValueError."""
    raw: dict[str, Any] = orjson.loads(path.read_bytes())
    folder = path.parent
    return Configuration(
        issuer=raw["issuer"],
        client_id=raw["client_id"],
        recipient_id=raw["organisation"],
        name=raw["name"],
        host=raw["host"],
        port=int(raw["port"]),
        redirect_uri=raw["redirect_uri"],
        holders={role: tuple(holders) for role, holders in raw["holders"].items()},
        store=folder / raw["store"],
        staff_token=raw["staff_token"],
        acknowledge=raw["acknowledge"],
        client_key=orjson.loads((folder / raw["private_jwks"]).read_bytes())["keys"][0],
        proof_key=orjson.loads((folder / raw["proof_jwks"]).read_bytes())["keys"][0],
    )
