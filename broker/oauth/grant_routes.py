"""The grants endpoint of Grant Management for OAuth 2.0: a client reads its grant, or gives it up.

Both with a token of the client's own (client credentials), so both work without any token of the grant; or
with one that came with the grant and bears the scope (section 6.1 leaves the grant type open), for that one.
"""

from typing import Any, Final, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel
from starlette.status import HTTP_204_NO_CONTENT

from broker.api.guards import Caller, GrantQueryCaller, GrantRevokeCaller
from broker.deps import Installed, Now, Read, Tx
from broker.oauth.grants import scope_of
from broker.oauth.rich_authorization import RESOURCE_PATHS
from consent.errors import NotFoundError
from consent.granted import Granted, give_up, granted_to
from consent.vocabulary import VersionKind

router = APIRouter(prefix="/grants", tags=["OAuth 2"])

_NO_STORE: Final = "no-store"
_ASKED_BY_CLIENT: Final = frozenset({VersionKind.GRANT, VersionKind.AMENDMENT})


class GrantedScope(BaseModel):
    """A scope of the grant, and the resources that it is good for (RFC 8707)."""

    scope: str
    resource: list[str]


class GrantStatus(BaseModel):
    """What a grant allows now. No tokens, and nothing about the person.

    Times are NumericDates (RFC 7519 section 2). `claims` is empty: no grant opens claims. `updated_by` is
    `client` where the client asked for the version that stands, and `authorization_server` where the person
    narrowed or renewed it here.
    """

    scopes: list[GrantedScope]
    claims: list[str]
    authorization_details: list[dict[str, Any]]
    created_at: int
    last_updated: int
    expires_at: int
    updated_by: Literal["client", "authorization_server"]


@router.get("/{grant_id}")
def query_grant(  # noqa: PLR0913, PLR0917 - what the framework injects
    grant_id: str, caller: GrantQueryCaller, installed: Installed, session: Read, now: Now, response: Response
) -> GrantStatus:
    """Your grant as it stands. Needs scope `grant_management_query`; 404 for one not yours, or over."""
    _check_reach(caller, grant_id)
    granted = granted_to(session, installed.keyring, grant_id, caller.client_id, now)
    response.headers["Cache-Control"] = _NO_STORE
    scope = scope_of(session, granted.grant_id)
    return _status(granted, scope, installed.settings.server.issuer)


@router.delete("/{grant_id}", status_code=HTTP_204_NO_CONTENT)
def revoke_grant(
    grant_id: str, caller: GrantRevokeCaller, installed: Installed, work: Tx, now: Now
) -> Response:
    """Give your grant up: all its tokens end at once, and what you stored must be deleted.

    Needs scope `grant_management_revoke`; 404 for one that is not yours, or over.
    """
    _check_reach(caller, grant_id)
    give_up(work, installed.keyring, grant_id, caller.client_id, now)
    return Response(status_code=HTTP_204_NO_CONTENT, headers={"Cache-Control": _NO_STORE})


def _check_reach(caller: Caller, grant_id: str) -> None:
    """Raise NotFoundError for a token that came with another grant: to it, this one is as unknown."""
    if caller.grant_id not in {None, grant_id}:
        raise NotFoundError


def _status(granted: Granted, scope: str | None, issuer: str) -> GrantStatus:
    resources = granted.terms.locations or tuple(issuer + path for path in RESOURCE_PATHS)
    return GrantStatus(
        scopes=[] if scope is None else [GrantedScope(scope=scope, resource=list(resources))],
        claims=[],
        authorization_details=[granted.terms.to_detail()],
        created_at=int(granted.created_at.timestamp()),
        last_updated=int(granted.updated_at.timestamp()),
        expires_at=int(granted.expires_at.timestamp()),
        updated_by="client" if granted.kind in _ASKED_BY_CLIENT else "authorization_server",
    )
