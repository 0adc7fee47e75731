"""The addresses of registration by invitation (RFC 7591) and of its management (RFC 7592).

A stranger is told nothing, not even about a body: guards come before it. Calls without a token that opens
something count against their address, and so do registrations that are refused.
"""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends
from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from broker.api.strict_body import StrictJsonRoute
from broker.deps import Installed, Now, Read, Tx
from broker.oauth import invitations, registration
from broker.oauth.errors import (
    OAuthCode,
    RegistrationRefusedError,
    RegistrationTokenError,
    RegistrationTokenMissingError,
)
from broker.oauth.invitations import Invitation
from broker.oauth.registration import Managed
from broker.rate_limits import proven

_NO_STORE: Final = {"Cache-Control": "no-store"}
_MAX_TOKEN: Final = 200


class _RegistrationRoute(StrictJsonRoute):
    """JSON that is no object is refused by its own error too (RFC 7591 section 3.2.2).

    Nothing that a handler raises may be caught here: its transaction would see no error, and commit.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The strict handler."""
        handle = super().get_route_handler()

        async def handle_objects(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError:
                raise RegistrationRefusedError(
                    OAuthCode.INVALID_CLIENT_METADATA, "the body must be a JSON object"
                ) from None

        return handle_objects


def require_invitation(request: Request, installation: Installed, now: Now) -> Invitation:
    """The invitation whose token the request bears. Raises RegistrationTokenError."""
    raw_token = _bearer(request)
    with installation.data.read() as session:
        invitation = invitations.find_open(session, raw_token, now)
    if invitation is None:
        raise RegistrationTokenError
    return invitation


def require_managed(client_id: str, request: Request, installation: Installed) -> Managed:
    """The client at this address, by its registration access token. Raises RegistrationTokenError."""
    raw_token = _bearer(request)
    with installation.data.read() as session:
        managed = registration.find_managed(session, client_id, raw_token)
    if managed is None:
        raise RegistrationTokenError
    proven(managed.client_id)
    return managed


Invited = Annotated[Invitation, Depends(require_invitation)]
Itself = Annotated[Managed, Depends(require_managed)]

router = APIRouter(prefix="/register", tags=["OAuth 2"], route_class=_RegistrationRoute)


@router.post("", status_code=201)
def register_client(
    body: dict[str, Any], invited: Invited, installed: Installed, work: Tx, now: Now
) -> Response:
    """Register a client by an invitation: an initial access token of the operator's (RFC 7591)."""
    told = registration.register(work.session, installed, invited, body, now)
    return JSONResponse(told, status_code=201, headers=_NO_STORE)


@router.get("/{client_id}")  # noqa: FAST003 - the guard reads it
def read_client(managed: Itself, installed: Installed, session: Read) -> Response:
    """What is registered of you (RFC 7592 section 2.1)."""
    told = registration.told(session, installed, managed.client_id, managed.raw_token)
    return JSONResponse(told, headers=_NO_STORE)


@router.put("/{client_id}")  # noqa: FAST003 - the guard reads it
def change_client(
    body: dict[str, Any], managed: Itself, installed: Installed, work: Tx, now: Now
) -> Response:
    """Replace all that is registered of you, within your invitation (RFC 7592 section 2.2)."""
    told = registration.change(work.session, installed, managed, body, now)
    return JSONResponse(told, headers=_NO_STORE)


@router.delete("/{client_id}", status_code=204)  # noqa: FAST003 - the guard reads it
def delete_client(managed: Itself, work: Tx, now: Now) -> Response:
    """Give yourself up: your tokens end and you are refused; consents stand (RFC 7592 section 2.3)."""
    registration.delete(work.session, managed, now)
    return Response(status_code=204, headers=_NO_STORE)


def _bearer(request: Request) -> str:
    """The one token of the Authorization header (RFC 6750 section 2.1)."""
    found = request.headers.getlist("authorization")
    scheme, _, raw_token = found[0].partition(" ") if len(found) == 1 else ("", "", "")
    raw_token = raw_token.strip(" ")
    if not found:
        raise RegistrationTokenMissingError
    if scheme.lower() != "bearer" or not 0 < len(raw_token) <= _MAX_TOKEN or not raw_token.isascii():
        raise RegistrationTokenError
    return raw_token
