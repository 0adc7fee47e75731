"""Making the demo hospital: its configuration, keys, patients' documents, and how the broker knows it."""

import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import orjson

from broker.demo.hospital.store import Store
from broker.oauth.clients import ClientRegistration
from connectors.sources.json_lines import read_objects
from vault.jose import generate_private_jwk, public_jwk

_PRIVATE: Final = 0o600
_CLIENT_ID: Final = "seoul-hospital-records"


def install_hospital(
    folder: Path, *, issuer: str, holder_id: str, port: int, exports: Iterable[Path]
) -> ClientRegistration:
    """Write everything that the hospital needs into `folder`; answers its client, to be registered.

    Its staff's token stands in `config.json`, which is for the owner of the demo alone.
    """
    folder.mkdir()
    client_key = generate_private_jwk("ES256")
    _write_private(folder / "private.jwks.json", {"keys": [client_key]})
    _write_private(folder / "proof.jwks.json", {"keys": [generate_private_jwk("ES256")]})
    _write_private(
        folder / "config.json",
        {
            "issuer": issuer,
            "holder_id": holder_id,
            "client_id": _CLIENT_ID,
            "name": "서울한빛병원",
            "host": "127.0.0.1",
            "port": port,
            "store": "hospital.db",
            "staff_token": secrets.token_urlsafe(24),
            "private_jwks": "private.jwks.json",
            "proof_jwks": "proof.jwks.json",
        },
    )
    (folder / "hospital.db").touch(mode=_PRIVATE)
    store = Store(folder / "hospital.db")
    for export in exports:
        header, *documents = [line for _, line in read_objects(export) if isinstance(line, dict)]
        store.load(header, documents)
    return ClientRegistration(
        client_id=_CLIENT_ID,
        organisation_id=holder_id,
        name="Seoul Hanbit Hospital records",
        jwks={"keys": [public_jwk(client_key)]},
        scope="holders.records",
    )


def _write_private(path: Path, content: dict[str, Any]) -> None:
    path.touch(mode=_PRIVATE)
    path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
