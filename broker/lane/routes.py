"""The lane's routes: `/v1/records`, `/v1/deliveries` and `/introspect`, plain Starlette on the same app.

Order of checks: form of the request, proof of possession (RFC 9449 section 7, RFC 8705 section 3), then the
batch, where token and consent are looked up, decided and committed together.
"""

import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from broker.db import Database
from broker.installation import Installation
from broker.lane.answers import Problem, answer_response, problem_response
from broker.lane.batch import Batch
from broker.lane.deciding import Desk
from broker.lane.encrypting import encrypted, recipient_key, wants_encryption
from broker.lane.flush import Flush
from broker.lane.introspecting import Inquiry, InquiryStore, Introspection, Told
from broker.lane.introspection_route import PATH as INTROSPECTION_PATH
from broker.lane.introspection_route import introspect
from broker.lane.introspection_stores import PostgresInquiries, SqliteInquiries
from broker.lane.postgres import PostgresData, PostgresKeyring, open_pool
from broker.lane.pulls import Answer, DataStore, KeyringStore, OverloadedError, Pull
from broker.lane.shaping import Shaper
from broker.lane.sqlite import SqliteData, SqliteKeyring
from broker.oauth.errors import CertificateNeededError, InvalidProofError, NonceNeededError
from broker.oauth.senders import Bound, prove_access, read_token
from broker.oauth.step_up import rule_of
from broker.rate_limits import proven
from broker.service_keys import AnswerSigner
from vault.jose import Jwk

_MAX_KEY_LENGTH: Final = 255
_OK: Final = 200

MISSING_TOKEN: Final = Problem(
    401, "invalid_token", "The request bears no access token of scheme DPoP", is_challenge=True
)
INVALID_PROOF: Final = Problem(401, "invalid_dpop_proof", "The DPoP proof does not fit this request")
CERTIFICATE_NEEDED: Final = Problem(
    401, "invalid_token", "A token of scheme Bearer needs the client certificate that it is bound to"
)
NONCE_NEEDED: Final = Problem(401, "use_dpop_nonce", "The proof must bear the nonce of DPoP-Nonce")
KEY_MISSING: Final = Problem(400, "idempotency_key_missing", "A delivery needs an Idempotency-Key header")
KEY_MALFORMED: Final = Problem(
    400, "idempotency_key_malformed", "The Idempotency-Key is one header of 1 to 255 characters"
)
GET_ONLY: Final = Problem(405, "method_not_allowed", "Records are pulled with GET")
OVERLOADED: Final = Problem(503, "overloaded", "Too much waits already: come again")


@dataclass(frozen=True, slots=True)
class Lane:
    """The worker's batches: one flush of each is in flight at a time."""

    pulls: Batch[Pull, Answer]
    inquiries: Batch[Inquiry, Told]


def lane_routes() -> list[Route]:
    """The routes; the guard test and the OpenAPI document know them from here."""
    routes = [
        Route("/v1/records", _records, methods=["GET"]),
        Route("/v1/records/{record_type}", _records, methods=["GET"]),
        Route("/v1/deliveries", _deliver, methods=["POST"]),
        Route(INTROSPECTION_PATH, introspect, methods=["POST"]),
    ]
    for route in routes:
        # Starlette adds HEAD to GET: it would take a place and deliver nothing.
        route.methods = (route.methods or set()) - {"HEAD"}
    return routes


@asynccontextmanager
async def open_lane(installation: Installation) -> AsyncIterator[Lane]:
    """The worker's batches over their stores, for the life of the app."""
    data = await _data_store(installation.data)
    inquiries = await _inquiry_store(installation.data)
    keyring = await _keyring_store(installation.keyring_database)
    desk = Desk(
        shaper=Shaper(
            keyring=installation.keyring,
            catalogue=installation.catalogue,
            derivations=installation.derivations,
            signer=AnswerSigner(
                installation.keyring, installation.settings.server.issuer, installation.clock
            ),
        ),
        redelivery_window=timedelta(hours=installation.settings.delivery.redelivery_hours),
        days_after_end=installation.settings.obligations.days_after_end,
        deployment=installation.deployment,
        sign_in_rule=rule_of(installation.settings.oauth, installation.catalogue),
    )
    clock, settings = installation.clock, installation.settings
    introspection = Introspection(
        inquiries,
        keyring,
        desk,
        issuer=settings.server.issuer,
        clock=clock,
        oidc_clients=settings.oauth.oidc_clients,
    )
    lane = Lane(
        pulls=Batch(Flush(data, keyring, desk, clock).process), inquiries=Batch(introspection.process)
    )
    try:
        yield lane
    finally:
        await lane.pulls.close()
        await lane.inquiries.close()
        for store in (data, inquiries, keyring):
            await store.close()


async def _records(request: Request) -> Response:
    if request.method != "GET":
        # Starlette answers HEAD with a GET handler; here that would take a place and throw the records away.
        return problem_response(GET_ONLY)
    keys = request.headers.getlist("idempotency-key")
    return await _pull(request, keys or [secrets.token_urlsafe(32)])


async def _deliver(request: Request) -> Response:
    keys = request.headers.getlist("idempotency-key")
    return await _pull(request, keys) if keys else problem_response(KEY_MISSING)


async def _pull(request: Request, keys: list[str]) -> Response:
    if len(keys) != 1 or not 1 <= len(keys[0]) <= _MAX_KEY_LENGTH:
        return problem_response(KEY_MALFORMED)
    installation: Installation = request.app.state.installation
    lane: Lane = request.app.state.lane
    token = read_token(request, installation)
    if token is None:
        return problem_response(MISSING_TOKEN)
    bound = _bound(request, installation, token)
    if isinstance(bound, Problem):
        return problem_response(bound)
    record_type = request.path_params.get("record_type")
    pull = Pull(
        token_hash=hashlib.sha256(token[1].encode()).digest(),
        cnf=bound.cnf,
        jti_digest=bound.jti_digest,
        jti_expires_at=bound.expires_at,
        record_type=record_type,
        key_digest=hashlib.sha256(keys[0].encode()).digest(),
        request_digest=_request_digest(record_type),
    )
    key = await _recipient_key(request, installation, pull)
    if isinstance(key, Problem):
        return problem_response(key)
    try:
        told = await lane.pulls.submit(pull)
        if told.body is not None or told.reason is not None:
            proven()  # the token is the caller's own, whatever it opens
        answer = answer_response(told)
    except OverloadedError:
        return problem_response(OVERLOADED)
    return answer if key is None or answer.status_code != _OK else await encrypted(answer, key)


def _bound(request: Request, installation: Installation, token: tuple[str, str]) -> Bound | Problem:
    """What the request proves of its sender."""
    try:
        return prove_access(request, installation, token, installation.clock())
    except CertificateNeededError:
        return CERTIFICATE_NEEDED
    except NonceNeededError:
        return NONCE_NEEDED
    except InvalidProofError:
        return INVALID_PROOF


async def _recipient_key(request: Request, installation: Installation, pull: Pull) -> Jwk | Problem | None:
    """Whom the answer is encrypted to; None if that was not asked for."""
    if not wants_encryption(request.headers.getlist("accept")):
        return None
    return await recipient_key(installation.data, pull)


def _request_digest(record_type: str | None) -> bytes:
    """What was asked: the same key with another request is refused."""
    asked: dict[str, Any] = {"record_type": record_type}
    return hashlib.sha256(orjson.dumps(asked)).digest()


async def _data_store(database: Database) -> DataStore:
    if database.is_sqlite:
        return SqliteData(database.path)
    return PostgresData(await open_pool(database.url.render_as_string(hide_password=False)))


async def _inquiry_store(database: Database) -> InquiryStore:
    if database.is_sqlite:
        return SqliteInquiries(database.path)
    return PostgresInquiries(await open_pool(database.url.render_as_string(hide_password=False), size=1))


async def _keyring_store(database: Database) -> KeyringStore:
    if database.is_sqlite:
        return SqliteKeyring(database.path)
    return PostgresKeyring(await open_pool(database.url.render_as_string(hide_password=False)))
