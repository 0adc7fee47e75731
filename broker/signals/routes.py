"""The routes of the Shared Signals transmitter (OpenID SSF 1.0 sections 7.1 and 8.1, RFC 8936).

A client's own token of scope `ssf` opens the client's own stream and nothing else; one of `ssf.read` only
shows it. It is bound to its client's key, but for clients of the profile `oidc`. The token is checked before
the body is read.
"""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from broker.api.errors import MediaTypeError
from broker.api.guards import Caller, StreamCaller, StreamReader
from broker.api.strict_body import is_json
from broker.deps import Installed, Now, Read, Tx, read_body
from broker.installation import Installation
from broker.oauth.scopes import SSF
from broker.signals import metadata, poll, requests, streams, subjects, verification
from broker.signals.errors import StreamInvalidError, StreamUnknownError
from broker.signals.event_types import supported_for
from broker.signals.streams import DeliveryMethod, Stream

router = APIRouter(tags=["Shared Signals"])

_NO_STORE: Final = {"Cache-Control": "no-store"}
_PUBLIC: Final = {"Cache-Control": "public, max-age=300"}
_JSON: Final[dict[str, Any]] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
}


async def _read(request: Request, caller: StreamCaller, installation: Installed) -> requests.Body:
    del caller  # a stranger is told nothing about a body
    if not is_json(request.headers.get("content-type", "")):
        raise MediaTypeError
    limits = installation.settings.limits
    return requests.parse(await read_body(request, limit=limits.body_bytes), depth=limits.json_depth)


JsonBody = Annotated[requests.Body, Depends(_read)]


@router.get("/.well-known/ssf-configuration")
def describe_transmitter(installed: Installed) -> Response:
    """Metadata of the transmitter (OpenID SSF 1.0 section 7.1)."""
    return JSONResponse(metadata.transmitter(installed.settings.server.issuer), headers=_PUBLIC)


@router.post("/ssf/stream", status_code=201, openapi_extra=_JSON)
def create_stream(caller: StreamCaller, body: JsonBody, installed: Installed, work: Tx, now: Now) -> Response:
    """Create your event stream; each client has one at most."""
    issuer = installed.settings.server.issuer
    wishes = requests.wishes_of(
        body, {"iss": issuer, "aud": caller.client_id}, is_loopback_allowed=_is_demo(installed)
    )
    stream = streams.create(work.session, installed.keyring, caller.client_id, wishes, now)
    return JSONResponse(_shown(stream, caller, issuer), status_code=201, headers=_NO_STORE)


@router.get("/ssf/stream")
def read_stream(
    caller: StreamReader, installed: Installed, session: Read, stream_id: str | None = None
) -> Response:
    """Read the configuration of your stream; without `stream_id` a list of all that you have."""
    issuer = installed.settings.server.issuer
    if stream_id is not None:
        stream = streams.own_stream(session, installed.keyring, caller.client_id, stream_id)
        return JSONResponse(_shown(stream, caller, issuer), headers=_NO_STORE)
    found = streams.find_stream(session, installed.keyring, caller.client_id)
    return JSONResponse([] if found is None else [_shown(found, caller, issuer)], headers=_NO_STORE)


@router.patch("/ssf/stream", openapi_extra=_JSON)
def update_stream(caller: StreamCaller, body: JsonBody, installed: Installed, work: Tx, now: Now) -> Response:
    """Change what you name of your stream's configuration, and nothing else."""
    stream = _own(caller, body, installed, work)
    shown = _shown(stream, caller, installed.settings.server.issuer)
    return _changed(caller, stream, requests.merged(body, shown), installed, work, now)


@router.put("/ssf/stream", openapi_extra=_JSON)
def replace_stream(
    caller: StreamCaller, body: JsonBody, installed: Installed, work: Tx, now: Now
) -> Response:
    """Replace your stream's configuration; what you do not name is as if you had never named it."""
    return _changed(caller, _own(caller, body, installed, work), body, installed, work, now)


@router.delete("/ssf/stream", status_code=204, response_class=Response)
def delete_stream(caller: StreamCaller, work: Tx, now: Now, stream_id: str | None = None) -> Response:
    """Delete your stream."""
    streams.remove(work.session, caller.client_id, _named(stream_id), now)
    return Response(status_code=204, headers=_NO_STORE)


@router.get("/ssf/status")
def read_status(
    caller: StreamReader, installed: Installed, session: Read, stream_id: str | None = None
) -> Response:
    """Whether your stream is enabled, paused or disabled."""
    stream = streams.own_stream(session, installed.keyring, caller.client_id, _named(stream_id))
    return JSONResponse(stream.as_status(), headers=_NO_STORE)


@router.post("/ssf/status", openapi_extra=_JSON)
def update_status(caller: StreamCaller, body: JsonBody, installed: Installed, work: Tx, now: Now) -> Response:
    """Enable your stream, pause it (events are kept) or disable it (they are not)."""
    stream = _own(caller, body, installed, work)
    status, reason = requests.status_of(body)
    set_to = streams.set_status(work.session, installed.keyring, stream, status, reason, now)
    return JSONResponse(set_to.as_status(), headers=_NO_STORE)


@router.post("/ssf/subjects/add", response_class=Response, openapi_extra=_JSON)
def add_subject(caller: StreamCaller, body: JsonBody, installed: Installed, work: Tx) -> Response:
    """Be told of a subject again. The answer does not tell whether there is such a subject."""
    _include(caller, body, installed, work, is_included=True)
    return Response(status_code=200, headers=_NO_STORE)


@router.post("/ssf/subjects/remove", status_code=204, response_class=Response, openapi_extra=_JSON)
def remove_subject(caller: StreamCaller, body: JsonBody, installed: Installed, work: Tx) -> Response:
    """Be told of a subject no more. The answer does not tell whether there is such a subject."""
    _include(caller, body, installed, work, is_included=False)
    return Response(status_code=204, headers=_NO_STORE)


@router.post("/ssf/verify", status_code=204, response_class=Response, openapi_extra=_JSON)
def verify_stream(caller: StreamCaller, body: JsonBody, installed: Installed, work: Tx, now: Now) -> Response:
    """Have a verification event come through your stream, with your `state` in it."""
    stream = _own(caller, body, installed, work)
    verification.ask(work.session, stream, requests.state_of(body), now)
    return Response(status_code=204, headers=_NO_STORE)


@router.post("/ssf/poll/{stream_id}", openapi_extra=_JSON)
def poll_stream(
    stream_id: str, caller: StreamCaller, body: JsonBody, installed: Installed, now: Now
) -> Response:
    """Fetch events of your stream, and acknowledge those that you took (RFC 8936). Never waits."""
    asked = requests.poll_of(body)
    with installed.data.read() as session:
        stream = streams.own_stream(session, installed.keyring, caller.client_id, stream_id)
    if stream.wishes.method is not DeliveryMethod.POLL:
        raise StreamUnknownError  # this address is not one of it
    found = poll.answer(installed, stream, asked, now)
    shown = {"sets": found.sets} | ({"moreAvailable": True} if found.is_more else {})
    return JSONResponse(shown, headers=_NO_STORE)


def _is_demo(installed: Installation) -> bool:
    return installed.settings.server.profile == "demo"


def _named(stream_id: str | None) -> str:
    if stream_id is None:
        raise StreamInvalidError([("stream_id", "missing")])
    return stream_id


def _own(caller: Caller, body: requests.Body, installed: Installation, work: Tx) -> Stream:
    return streams.own_stream(
        work.session, installed.keyring, caller.client_id, requests.id_of(body), is_locked=True
    )


def _shown(stream: Stream, caller: Caller, issuer: str) -> dict[str, Any]:
    """The configuration. Who may only look is not shown what our pushes prove themselves with."""
    shown = stream.as_configuration(issuer, supported_for(is_plain=caller.is_plain))
    if SSF not in caller.scopes:
        shown["delivery"].pop("authorization_header", None)
    return shown


def _changed(  # noqa: PLR0913, PLR0917 - whose stream, and to what
    caller: Caller, stream: Stream, body: requests.Body, installed: Installation, work: Tx, now: Now
) -> Response:
    issuer = installed.settings.server.issuer
    expected = _shown(stream, caller, issuer)
    wishes = requests.wishes_of(body, expected, is_loopback_allowed=_is_demo(installed))
    changed = streams.change(work.session, installed.keyring, stream, wishes, now)
    return JSONResponse(_shown(changed, caller, issuer), headers=_NO_STORE)


def _include(
    caller: Caller, body: requests.Body, installed: Installation, work: Tx, *, is_included: bool
) -> None:
    stream, subject = _own(caller, body, installed, work), requests.subject_of(body)
    issuer = installed.settings.server.issuer
    subjects.include(work.session, installed.keyring, issuer, stream, subject, is_included=is_included)
