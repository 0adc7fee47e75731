"""Rich authorization requests, RFC 9396: what a client asks a person for, checked before anyone sees it."""

import logging
from typing import Final

from sqlmodel import Session

from broker.oauth.clients import RegisteredClient
from broker.oauth.errors import OAuthCode, OAuthError
from broker.oauth.requests import Call
from broker.setting_sections import LimitsSection
from broker.strict_json import MEMBER_TWICE, NOT_JSON, TOO_DEEP, JsonFaultError, read_json
from consent.caps import check_caps
from consent.errors import InvalidTermsError, RoleForbidsError, UnknownOrganisationError, UnknownPurposeError
from consent.organisations import require_holders
from consent.terms import DETAIL_TYPE, Terms, parse

TYPES: Final = (DETAIL_TYPE,)
RESOURCE_PATHS: Final = ("/v1/records", "/v1/deliveries")
_MAX_DESCRIPTION: Final = 500
_JSON_FAULTS: Final = {
    MEMBER_TWICE: "a member came twice",
    TOO_DEEP: "nested too deeply",
    NOT_JSON: "not JSON",
}

_log: Final = logging.getLogger(__name__)


def read_details(call: Call, client: RegisteredClient) -> Terms:
    """The terms that a request asks for: well-formed, of a purpose of this client, within its caps.

    Raises OAuthError invalid_authorization_details. Over-asking is logged, not put in the ledger:
    there is no consent yet.
    """
    raw = call.parameters.get("authorization_details")
    if raw is None:
        raise _refused("one object of type mydata_consent is needed")
    try:
        terms = parse(_json(raw, call.installation.settings.limits))
        _check_locations(terms, call.issuer)
        _check_purpose(terms, call, client)
        _check_holders(terms, call.session)
        _check_role(terms, call)
    except InvalidTermsError as error:
        fields = {"client_id": client.client_id, "count": len(error.faults)}
        _log.info("authorization details refused", extra=fields)
        raise _refused(str(error)) from error
    except UnknownOrganisationError as error:
        raise _refused("holders: not all of them are holders here") from error
    except RoleForbidsError as error:
        raise _refused(str(error)) from error
    return terms


def _json(raw: str, limits: LimitsSection) -> object:
    if len(raw.encode()) > limits.authorization_details_bytes:
        raise _refused(f"longer than {limits.authorization_details_bytes} bytes")
    try:
        return read_json(raw, depth=limits.json_depth)
    except JsonFaultError as error:
        raise _refused(_JSON_FAULTS.get(error.rule, "not JSON in the form that is read here")) from error


def _check_locations(terms: Terms, issuer: str) -> None:
    allowed = {issuer + path for path in RESOURCE_PATHS}
    if not set(terms.locations or ()) <= allowed:
        raise InvalidTermsError([("locations", "not resources of this server")])


def _check_holders(terms: Terms, session: Session) -> None:
    # PostgreSQL takes no text with a NUL in it: what cannot be an id is not looked up.
    if any(not holder.isascii() or not holder.isprintable() for holder in terms.holders or ()):
        raise UnknownOrganisationError([])
    require_holders(session, terms.holders or ())


def _check_role(terms: Terms, call: Call) -> None:
    """Nobody is asked for a consent that this broker could not deliver under in its role."""
    catalogue = call.installation.catalogue
    classes = {catalogue.get(item.record_type).sensitivity for item in terms.items}
    call.installation.deployment.require_delivery(classes)


def _check_purpose(terms: Terms, call: Call, client: RegisteredClient) -> None:
    # A purpose that nobody declares and one of somebody else are the same answer.
    unknown = InvalidTermsError([("purpose", "not a purpose of this client")])
    if terms.purpose not in client.purposes:
        raise unknown
    try:
        purpose = call.installation.purposes.get(terms.purpose)
    except UnknownPurposeError as error:
        raise unknown from error
    check_caps(terms, purpose, call.installation.catalogue, call.now)


def _refused(description: str) -> OAuthError:
    # RFC 6749 section 5.2: printable ASCII without quotation mark and backslash. Paths may hold the
    # names that a client made up.
    plain = "".join(
        character if " " <= character <= "~" and character not in '"\\' else "?" for character in description
    )
    return OAuthError(OAuthCode.INVALID_AUTHORIZATION_DETAILS, plain[:_MAX_DESCRIPTION])
