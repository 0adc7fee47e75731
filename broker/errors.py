"""The one map from errors to answers: problem details (RFC 9457) for machines, a page for people.

Domain errors know no status: each has its row here. What has none is answered without detail. OAuth's
endpoints answer in OAuth's own form (broker/oauth).
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from broker.api.errors import (
    ApiTokenError,
    AuditorNeededError,
    BearerTokenError,
    CitizenNeededError,
    HolderDeliveryError,
    MediaTypeError,
    ScopeMissingError,
)
from broker.db import LockTimeoutError, UnfinishedError
from broker.deps import BadFormError, BodyTooLargeError
from broker.lane.pulls import OverloadedError
from broker.lane.shaping import CannotOpenError
from broker.logs import TRACE_HEADER
from broker.oauth import errors as oauth
from broker.rate_limits import TooManyRequestsError
from broker.settings import ConfigurationError
from broker.signals import errors as signals
from broker.strict_json import JsonFaultError
from broker.web.errors import PageError, SignInRequiredError
from connectors.errors import ConnectorError
from connectors.services.indemnity.claim_input import MissingDataError
from connectors.sources.json_lines import LineFaultError
from connectors.sources.mapping import RefusedValueError
from consent import errors as consent
from consent.ledger import errors as ledger
from consent.ledger import verify
from migrations.run import BrokenReferenceError, NewerDatabaseError
from vault import errors as vault

RenderPage = Callable[[Request, int, str, str], Response]
Finding = tuple[str, str]  # (path, rule), never a value

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
_SIGN_IN: Final = MappingProxyType({"WWW-Authenticate": 'Cookie realm="auditor"'})  # no standard names this
_CITIZEN_SIGN_IN: Final = MappingProxyType({"WWW-Authenticate": 'Cookie realm="citizen"'})
# RFC 6750 section 3.1
_SCOPE_NEEDED: Final = MappingProxyType({"WWW-Authenticate": 'DPoP error="insufficient_scope"'})
_BEARER: Final = MappingProxyType({"WWW-Authenticate": 'Bearer error="invalid_token"'})
_BASIC: Final = MappingProxyType({"WWW-Authenticate": oauth.BASIC_CHALLENGE})
_RETRY_AFTER: Final = MappingProxyType({"Retry-After": "1"})
_ALGORITHMS: Final = "ES256 PS256 EdDSA Ed25519"
_SERVER_ERROR: Final = 500
_PAGES: Final = frozenset({"ko", "en", "authorize", "end_session"})
OAUTH_PATHS: Final = frozenset({"/bc-authorize", "/introspect", "/par", "/register", "/revoke", "/token"})
_OAUTH_WORDS: Final = frozenset(oauth.OAuthCode) | {"invalid_token"}
# RFC 6749 section 4.1.2.1 names them; nothing closer is registered for a rate.
_OAUTH_CODES: Final = MappingProxyType(
    {429: "temporarily_unavailable", 500: "server_error", 503: "temporarily_unavailable"}
)
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """One row of the map: what the caller is told. `detail` is a fixed sentence, or nothing."""

    status: int
    code: str
    detail: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


_INTERNAL: Final = Answer(500, "internal_error")
_ERASED: Final = Answer(410, "erased", "The data was erased; nobody can read it any more.")
_BUSY: Final = Answer(
    503, "overloaded", "Too much is going on, or the database is away. Try again.", _RETRY_AFTER
)


def _unproven(code: str, detail: str) -> Answer:
    # RFC 9110 section 15.5.2: a 401 bears a challenge; RFC 9449 section 7.1: its form.
    return Answer(401, code, detail, {"WWW-Authenticate": f'DPoP error="{code}", algs="{_ALGORITHMS}"'})


ANSWERS: Final[Mapping[type[Exception], Answer]] = MappingProxyType(
    {
        # vault
        vault.TamperedError: _INTERNAL,
        vault.UnknownKeyError: _ERASED,
        vault.ErasedError: _ERASED,
        vault.KeyringMissingError: _INTERNAL,
        vault.KeyringExistsError: _INTERNAL,
        vault.KeyFileUnsafeError: _INTERNAL,
        vault.WrongPassphraseError: _INTERNAL,
        vault.KeyringLockedError: _INTERNAL,
        vault.ForeignProviderError: _INTERNAL,
        vault.UnknownRecordTypeError: Answer(
            404, "unknown_record_type", "The catalogue has no such record type."
        ),
        vault.RecordInvalidError: Answer(422, "record_invalid", "The record breaks rules of its type."),
        vault.UntrustedTokenError: _unproven("invalid_token", "The token is not acceptable."),
        vault.UntrustedCertificateError: _unproven("invalid_token", "The certificate is not acceptable."),
        vault.SourceKeyTakenError: Answer(
            409, "source_key_taken", "The key names another person's record already."
        ),
        # consent
        consent.InvalidTermsError: Answer(
            400, "invalid_authorization_details", "These terms cannot be agreed to."
        ),
        consent.UnknownPurposeError: Answer(404, "unknown_purpose", "No service declares this purpose."),
        consent.UnknownOrganisationError: Answer(
            404, "unknown_organisation", "No active organisation has this role."
        ),
        consent.AlreadyLinkedError: Answer(409, "already_linked", "The holder's number is linked already."),
        consent.NotLinkedError: Answer(
            403, "not_linked", "Nobody agreed to collect this: there is no living link."
        ),
        consent.NothingKeptError: Answer(
            409, "nothing_kept", "Nothing of the record was kept; its holder must deliver it again."
        ),
        consent.RecordFaultyError: Answer(
            409, "record_faulty", "The record has faults, and nobody but its holder can mend them."
        ),
        consent.AlreadyDecidedError: Answer(
            409, "already_decided", "The delivery has a decision, and nobody asked for its review."
        ),
        consent.DecisionReplacedError: Answer(
            409, "decision_replaced", "A later decision has taken its place."
        ),
        consent.NotFoundError: Answer(404, "not_found", "There is nothing here for you."),
        consent.WrongStateError: Answer(409, "wrong_state", "The consent's state does not allow this."),
        consent.DealInvalidError: Answer(422, "deal_invalid", "A deal cannot be opened like this."),
        consent.InvitationInvalidError: Answer(
            409, "invitation_invalid", "The invitation to the deal does not open this."
        ),
        consent.ReconsentNeededError: Answer(
            409, "reconsent_needed", "The text was revised. It goes on once it was read and signed again."
        ),
        consent.NothingToChangeError: Answer(
            409, "nothing_to_change", "The change would change nothing, or add what may not be added."
        ),
        consent.NoticeChangedError: Answer(
            409, "notice_changed", "The text has changed since it was shown. Read it again."
        ),
        consent.NoHolderError: Answer(
            409, "no_holder", "No holder is linked: there is nothing to agree to yet."
        ),
        consent.RequiredItemMissingError: Answer(
            422, "required_item_missing", "A required item was left off."
        ),
        consent.RightInvalidError: Answer(
            422, "right_invalid", "The request cannot be filed or answered like this."
        ),
        consent.RoleForbidsError: Answer(
            403, "role_forbids", "The role in which this broker is deployed does not allow this."
        ),
        consent.TooManyContactsError: Answer(
            429, "too_many_contacts", "Too many addresses were named today. Try again tomorrow."
        ),
        consent.SignerRefusedError: Answer(
            403, "signer_refused", "Whoever decides may not decide for this person."
        ),
        consent.CoHolderNeededError: Answer(
            409, "co_holder_needed", "Others hold this account too: ask for a new consent, which asks them."
        ),
        consent.ReceiptInvalidError: Answer(422, "receipt_invalid", "The receipt does not verify."),
        # consent/ledger
        ledger.EntryTooLargeError: _INTERNAL,
        ledger.LeafInvalidError: _INTERNAL,
        ledger.LogDamagedError: _INTERNAL,
        ledger.LogForkError: _INTERNAL,
        ledger.AnchorInvalidError: _INTERNAL,
        ledger.LogKeyInvalidError: _INTERNAL,
        ledger.NoteInvalidError: _INTERNAL,
        ledger.NotInLogError: Answer(404, "not_in_log", "The log does not have this."),
        ledger.DirectoryNotEmptyError: _INTERNAL,
        verify.FalsifiedError: _INTERNAL,
        verify.UncheckableError: _INTERNAL,
        verify.VerifierKeyInvalidError: _INTERNAL,
        # connectors: what goes wrong outside is for jobs and commands, and none of it is a caller's business
        ConnectorError: _INTERNAL,
        LineFaultError: _INTERNAL,
        MissingDataError: _INTERNAL,
        RefusedValueError: _INTERNAL,
        # broker
        ApiTokenError: _unproven("invalid_token", "There is no token, or it opens nothing for you."),
        BearerTokenError: Answer(401, "invalid_token", "The token opens nothing for you.", _BEARER),
        ScopeMissingError: Answer(
            403, "insufficient_scope", "The token does not bear this call's scope.", _SCOPE_NEEDED
        ),
        signals.StreamInvalidError: Answer(400, "stream_invalid", "The request breaks a rule of streams."),
        signals.StreamUnknownError: Answer(404, "unknown_stream", "You have no event stream of this id."),
        signals.StreamExistsError: Answer(409, "stream_exists", "You have your one event stream already."),
        signals.TooManySignalsError: Answer(
            429, "too_many_signals", "Too much waits for your event stream, or is kept for it.", _RETRY_AFTER
        ),
        HolderDeliveryError: Answer(422, "delivery_invalid", "The delivery is not one that can be read."),
        MediaTypeError: Answer(415, "unsupported_media_type", "The body must be application/json, in UTF-8."),
        JsonFaultError: Answer(400, "invalid_request", "The body is not JSON as this broker reads it."),
        TooManyRequestsError: Answer(
            429, "too_many_requests", "Too many requests. Try again later.", _RETRY_AFTER
        ),
        AuditorNeededError: Answer(
            401, "auditor_needed", "This is for auditors who are signed in.", _SIGN_IN
        ),
        CitizenNeededError: Answer(
            401, "citizen_needed", "This is for citizens who are signed in.", _CITIZEN_SIGN_IN
        ),
        # Nobody hears it: the client died, or hung up, with half of its body sent. It is no mistake of ours.
        ClientDisconnect: Answer(400, "body_incomplete", "The body did not come to its end."),
        BadFormError: Answer(400, "bad_form", "The body is no urlencoded form in UTF-8."),
        BodyTooLargeError: Answer(413, "body_too_large", "The body is larger than this broker takes."),
        ConfigurationError: _INTERNAL,
        OverloadedError: _BUSY,
        CannotOpenError: _INTERNAL,  # the lane answers it by its reason
        PageError: Answer(PageError.status, PageError.code),  # each page error has its own, see `answer_to`
        NewerDatabaseError: _INTERNAL,
        BrokenReferenceError: _INTERNAL,
        oauth.OAuthError: Answer(400, "invalid_request"),
        oauth.BasicRefusedError: Answer(401, "invalid_client", "The client is not proven.", _BASIC),
        oauth.NonceNeededError: _unproven("use_dpop_nonce", "The proof must bear the nonce of DPoP-Nonce."),
        oauth.InvalidProofError: _unproven("invalid_dpop_proof", "The DPoP proof is not acceptable."),
        oauth.CertificateNeededError: _unproven("invalid_token", "The token comes without its certificate."),
        oauth.AuthorizationPageError: Answer(
            400, "invalid_request", "The request cannot go back to who sent it."
        ),
        oauth.InteractionGoneError: Answer(410, "request_gone", "The request is over, or it is not yours."),
        oauth.ClientInvalidError: Answer(422, "client_invalid", "The client cannot be registered like this."),
        oauth.ClientExistsError: Answer(409, "client_exists", "The client id is taken."),
        oauth.RegistrationTokenError: Answer(401, "invalid_token", "The token does not open this.", _BEARER),
        oauth.RegistrationTokenMissingError: Answer(
            401, "invalid_token", "There is no token.", {"WWW-Authenticate": "Bearer"}
        ),
        oauth.InvitationUnknownError: Answer(404, "unknown_invitation", "No invitation has this id."),
        oauth.UnknownClientError: Answer(404, "unknown_client", "No client has this id."),
        # databases: a lock that came too late, a connection that is not there, a pool that is empty
        OperationalError: _BUSY,
        LockTimeoutError: _BUSY,
        UnfinishedError: Answer(
            503,
            "unfinished",
            "It is done; what follows from it is repeated until that is done too.",
            _RETRY_AFTER,
        ),
        # a value that the database does not take, such as a NUL in a text
        DataError: Answer(400, "invalid_request", "The request does not have the right form."),
        PoolTimeoutError: _BUSY,
    }
)

# Codes of answers that the framework gives by itself, where the phrase of the status is not the best name.
_FRAMEWORK_CODES: Final = MappingProxyType(
    {401: "invalid_token", 413: "body_too_large", 422: "invalid_request"}
)


def answer_to(error: Exception) -> Answer:
    """The row of an error's class, or of the nearest class it comes from; without one, 500."""
    if isinstance(error, PageError):
        return Answer(error.status, error.code)
    row = next((ANSWERS[kind] for kind in type(error).__mro__ if kind in ANSWERS), _INTERNAL)
    if isinstance(error, TooManyRequestsError):
        return replace(row, headers={"Retry-After": str(error.seconds)})
    if isinstance(error, oauth.OAuthError | oauth.AuthorizationPageError):
        detail = error.description if isinstance(error, oauth.RegistrationRefusedError) else row.detail
        return Answer(row.status, str(error.code), detail, row.headers)
    return row


def problem(answer: Answer, *, trace_id: str, errors: Sequence[Finding] = ()) -> JSONResponse:
    """An answer as problem details (RFC 9457 section 3)."""
    body: dict[str, Any] = {
        "type": f"urn:mydata:problem:{answer.code}",
        "title": HTTPStatus(answer.status).phrase,
        "status": answer.status,
        "code": answer.code,
        "trace_id": trace_id,
        "errors": [{"path": path, "rule": rule} for path, rule in errors],
    }
    if answer.detail is not None:
        body["detail"] = answer.detail
    headers = {**answer.headers, TRACE_HEADER: trace_id}
    return JSONResponse(body, status_code=answer.status, headers=headers, media_type=PROBLEM_MEDIA_TYPE)


def oauth_refusal(answer: Answer) -> JSONResponse:
    """An answer in OAuth's own form (RFC 6749 section 5.2)."""
    by_status = _OAUTH_CODES.get(answer.status, oauth.OAuthCode.INVALID_REQUEST)
    code = answer.code if answer.code in _OAUTH_WORDS else by_status
    body = {"error": code} if answer.detail is None else {"error": code, "error_description": answer.detail}
    headers = {"Cache-Control": "no-store", **answer.headers}
    return JSONResponse(body, status_code=answer.status, headers=headers)


def install_error_handlers(app: FastAPI, render_page: RenderPage | None = None) -> None:
    """Answer every error of this app by the map; under /ko and /en with `render_page`."""
    handlers = _Handlers(render_page)
    for kind in ANSWERS:
        app.add_exception_handler(kind, handlers.answer_domain)
    app.add_exception_handler(HTTPException, handlers.answer_framework)
    app.add_exception_handler(RequestValidationError, handlers.answer_invalid)
    app.add_exception_handler(Exception, handlers.answer_unknown)


class _Handlers:
    """The handlers of one app, and how it renders pages."""

    def __init__(self, render_page: RenderPage | None) -> None:
        self._render_page = render_page

    async def answer_domain(self, request: Request, error: Exception) -> Response:
        if isinstance(error, SignInRequiredError):
            return RedirectResponse(error.location, status_code=error.status)
        answer = answer_to(error)
        if answer.status >= _SERVER_ERROR:
            _note(request, error, answer)
        return self._answer(request, answer, _findings(error))

    async def answer_framework(self, request: Request, error: Exception) -> Response:
        """404, 405, 413 and the like; the framework's own words are not repeated."""
        if not isinstance(error, HTTPException):
            return await self.answer_unknown(request, error)
        phrase = HTTPStatus(error.status_code).phrase
        code = _FRAMEWORK_CODES.get(error.status_code, phrase.lower().replace(" ", "_").replace("-", "_"))
        return self._answer(request, Answer(error.status_code, code, headers=error.headers or {}), [])

    async def answer_invalid(self, request: Request, error: Exception) -> Response:
        """A request that breaks its model: where and which rule, never the value."""
        raw = error.errors() if isinstance(error, RequestValidationError) else []
        findings = [(".".join(str(part) for part in fault["loc"]), str(fault["type"])) for fault in raw]
        is_malformed = any(rule == "json_invalid" for _, rule in findings)
        answer = Answer(
            400 if is_malformed else 422, "invalid_request", "The request does not have the right form."
        )
        return self._answer(request, answer, findings)

    async def answer_unknown(self, request: Request, error: Exception) -> Response:
        """An error without a row is a mistake of ours: no detail out, class and places into the log."""
        _note(request, error, _INTERNAL)
        return self._answer(request, _INTERNAL, [])

    def _answer(self, request: Request, answer: Answer, findings: Sequence[Finding]) -> Response:
        trace_id = trace_id_of(request)
        if is_oauth(request.url.path):
            return oauth_refusal(answer)
        if self._render_page is None or not is_page(request.url.path):
            return problem(answer, trace_id=trace_id, errors=findings)
        page = self._render_page(request, answer.status, answer.code, trace_id)
        page.headers.update({**answer.headers, TRACE_HEADER: trace_id})
        return page


def trace_id_of(request: Request) -> str:
    """The id that `TraceMiddleware` gave the request; `-` without it."""
    return str(request.scope.get("trace_id", "-"))


def is_page(path: str) -> bool:
    """Whether people see what this path answers."""
    return path.split("/", 2)[1] in _PAGES


def is_oauth(path: str) -> bool:
    """Whether a path is an endpoint of the authorization server whose refusals are `{"error", …}`."""
    return path in OAUTH_PATHS or path.startswith("/register/")


def _note(request: Request, error: Exception, answer: Answer) -> None:
    fields = {"error": type(error).__name__, "status": answer.status, "code": answer.code}
    _log.error("request failed", extra={**fields, "trace_id": trace_id_of(request)}, exc_info=error)


def _findings(error: Exception) -> list[Finding]:
    of_consent = consent.InvalidTermsError | consent.RightInvalidError | consent.DealInvalidError
    if isinstance(error, of_consent | oauth.ClientInvalidError | signals.StreamInvalidError):
        return [(path, rule) for path, rule in error.faults]
    if isinstance(error, JsonFaultError):
        return [("body", error.rule)]
    if isinstance(error, vault.RecordInvalidError | HolderDeliveryError):
        return [(fault.path, fault.rule) for fault in error.faults]
    if isinstance(error, consent.RequiredItemMissingError):
        return [(record_type, "required") for record_type in error.record_types]
    return []
