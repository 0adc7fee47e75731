"""The hospital's own configuration: a JSON file, its keys beside it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from vault.jose import Jwk


@dataclass(frozen=True, slots=True)
class Configuration:
    """Who this hospital is at which broker, where it listens, and where it keeps its patients' bills."""

    issuer: str
    holder_id: str
    client_id: str
    name: str
    host: str
    port: int
    store: Path
    staff_token: str = field(repr=False)
    client_key: Jwk = field(repr=False)
    proof_key: Jwk = field(repr=False)


def load_configuration(path: Path) -> Configuration:
    """Read a configuration file; relative paths are relative to it. Raises OSError, KeyError, ValueError."""
    raw: dict[str, Any] = orjson.loads(path.read_bytes())
    folder = path.parent
    return Configuration(
        issuer=raw["issuer"],
        holder_id=raw["holder_id"],
        client_id=raw["client_id"],
        name=raw["name"],
        host=raw["host"],
        port=int(raw["port"]),
        store=folder / raw["store"],
        staff_token=raw["staff_token"],
        client_key=orjson.loads((folder / raw["private_jwks"]).read_bytes())["keys"][0],
        proof_key=orjson.loads((folder / raw["proof_jwks"]).read_bytes())["keys"][0],
    )
