"""A pull's answer encrypted to the recipient: compact JWE (RFC 7516) for `Accept: application/jose`.

The content is the very answer that would go in clear, so digests and redelivery stay as they are. Whoever
asks for it gets it encrypted or not at all, and no place is taken where it cannot be.
"""

import json
import re
from collections.abc import Sequence
from typing import Final

from anyio import to_thread
from sqlmodel import col, select
from starlette.responses import Response

from broker.db import Database
from broker.lane.answers import Problem
from broker.lane.pulls import Pull
from broker.oauth.models import Client, Token
from vault.errors import UntrustedTokenError
from vault.jose import Jwk, encrypt, encryption_key

MEDIA_TYPE: Final = "application/jose"
_NOUGHT: Final = re.compile(r"0(\.0{0,3})?")
NO_KEY: Final = Problem(406, "no_encryption_key", "The client has registered no key for ECDH-ES on P-256")


def wants_encryption(accepted: Sequence[str]) -> bool:
    """Whether the Accept headers name our media type (RFC 9110 section 12.5.1), with any weight but zero.

    A weight that is none counts as one: who asked for it does not get clear text by a slip.
    """
    for part in ",".join(accepted).split(","):
        media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weights = [piece.removeprefix("q=") for piece in parameters if piece.startswith("q=")]
        if media_type == MEDIA_TYPE and not any(_NOUGHT.fullmatch(weight) for weight in weights):
            return True
    return False


async def recipient_key(database: Database, pull: Pull) -> Jwk | Problem | None:
    """The public key of the client that a pull's token belongs to, or the problem that it has none.

    None if the token is not the caller's: whether it may pull at all is the lane's to say.
    """
    keys = await to_thread.run_sync(_client_keys, database, pull)
    if keys is None:
        return None
    try:
        return encryption_key(json.loads(keys))
    except UntrustedTokenError:
        return NO_KEY


async def encrypted(answer: Response, key: Jwk) -> Response:
    """The answer to a pull that was permitted, for this key alone."""
    sealed = await to_thread.run_sync(encrypt, bytes(answer.body), key)
    return Response(sealed, media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})


def _client_keys(database: Database, pull: Pull) -> str | None:
    with database.read() as session:
        statement = (
            select(Client.jwks)
            .join(Token, col(Token.client_id) == col(Client.client_id))
            .where(col(Token.token_hash) == pull.token_hash, col(Token.cnf) == pull.cnf)
        )
        return session.exec(statement).one_or_none()
