"""What clients ask of their streams, read strictly: anything that is wrong is one answer, 400 (SSF 1.0)."""

from collections.abc import Mapping
from typing import Any, Final

from broker.signals.errors import StreamInvalidError
from broker.signals.poll import MOST_EVENTS, Poll
from broker.signals.streams import DeliveryMethod, StreamStatus, Wishes
from broker.strict_json import read_json
from connectors.errors import OutboundError, rule_of
from connectors.http import check_url

Body = Mapping[str, Any]

MOST_TEXT: Final = 500
_MOST_ID: Final = 200
_MOST_URL: Final = 2000
_MOST_REQUESTED: Final = 100
_MOST_SETTLED: Final = 1000
_OF_RECEIVER: Final = frozenset({"delivery", "events_requested", "description"})
_OF_DELIVERY: Final = frozenset({"method", "endpoint_url", "authorization_header"})


def parse(raw: bytes, *, depth: int) -> Body:
    """A JSON object within a depth. Raises JsonFaultError, StreamInvalidError."""
    body = read_json(raw, depth=depth)
    if not isinstance(body, dict):
        raise StreamInvalidError([("$", "not_an_object")])
    return body


def id_of(body: Body) -> str:
    """The stream that a request is about. Raises StreamInvalidError."""
    return _text(body, "stream_id", longest=_MOST_ID, is_needed=True) or ""


def wishes_of(body: Body, expected: Body, *, is_loopback_allowed: bool) -> Wishes:
    """What a client says of its stream, as a whole.

    What the transmitter says (`expected`) may be there only as it stands, as SSF 1.0 section 8.1.1 asks; so
    may the address of a poll. Raises StreamInvalidError.
    """
    faults = [(name, "unknown_member") for name in sorted(body.keys() - _OF_RECEIVER - expected.keys())]
    faults += [
        (name, "not_as_it_stands")
        for name in sorted(body.keys() & expected.keys() - _OF_RECEIVER)
        if body[name] != expected[name]
    ]
    if faults:
        raise StreamInvalidError(faults)
    delivery = body.get("delivery", {"method": DeliveryMethod.POLL.value})
    method, endpoint, header = _delivery(delivery, is_loopback_allowed=is_loopback_allowed)
    if method is DeliveryMethod.POLL and endpoint is not None:
        if endpoint != expected.get("delivery", {}).get("endpoint_url"):
            raise StreamInvalidError([("delivery.endpoint_url", "not_as_it_stands")])
        endpoint = None
    return Wishes(method, endpoint, header, _requested(body), _text(body, "description", longest=MOST_TEXT))


def merged(body: Body, shown: Body) -> Body:
    """A change of some members as the whole that it makes of a configuration (SSF 1.0 section 8.1.1.3)."""
    return {name: shown[name] for name in _OF_RECEIVER if name in shown} | dict(body)


def status_of(body: Body) -> tuple[StreamStatus, str | None]:
    """The status that a client wants, and why. Raises StreamInvalidError."""
    _only(body, {"stream_id", "status", "reason"})
    status = body.get("status")
    if not isinstance(status, str) or status not in set(StreamStatus):
        raise StreamInvalidError([("status", "not_a_status")])
    return StreamStatus(status), _text(body, "reason", longest=MOST_TEXT)


def subject_of(body: Body) -> object:
    """The subject that is to be added or removed. Raises StreamInvalidError."""
    _only(body, {"stream_id", "subject", "verified"})
    if "subject" not in body:
        raise StreamInvalidError([("subject", "missing")])
    if not isinstance(body.get("verified", True), bool):
        raise StreamInvalidError([("verified", "not_a_boolean")])
    return body["subject"]


def state_of(body: Body) -> str | None:
    """What a verification is to echo. Raises StreamInvalidError."""
    _only(body, {"stream_id", "state"})
    return _text(body, "state", longest=MOST_TEXT)


def poll_of(body: Body) -> Poll:
    """A poll (RFC 8936 section 2.2). Raises StreamInvalidError."""
    _only(body, {"maxEvents", "returnImmediately", "ack", "setErrs"})
    asked = body.get("maxEvents", MOST_EVENTS)
    if isinstance(asked, bool) or not isinstance(asked, int) or asked < 0:
        raise StreamInvalidError([("maxEvents", "not_a_count")])
    if not isinstance(body.get("returnImmediately", False), bool):
        raise StreamInvalidError([("returnImmediately", "not_a_boolean")])
    acknowledged, errors = body.get("ack", []), body.get("setErrs", {})
    if not isinstance(acknowledged, list) or not all(isinstance(one, str) for one in acknowledged):
        raise StreamInvalidError([("ack", "not_a_list_of_ids")])
    if not isinstance(errors, dict) or not all(_is_error(one) for one in errors.values()):
        raise StreamInvalidError([("setErrs", "not_errors_by_id")])
    if len(acknowledged) + len(errors) > _MOST_SETTLED:
        raise StreamInvalidError([("ack", "too_many")])
    return Poll(
        min(asked, MOST_EVENTS),
        tuple(dict.fromkeys(acknowledged)),
        {name: one["err"] for name, one in errors.items()},
    )


def _is_error(raw: object) -> bool:
    return isinstance(raw, dict) and isinstance(raw.get("err"), str)


def _delivery(raw: object, *, is_loopback_allowed: bool) -> tuple[DeliveryMethod, str | None, str | None]:
    if not isinstance(raw, dict):
        raise StreamInvalidError([("delivery", "not_an_object")])
    faults = [(f"delivery.{name}", "unknown_member") for name in sorted(raw.keys() - _OF_DELIVERY)]
    if faults:
        raise StreamInvalidError(faults)
    named = raw.get("method")
    if not isinstance(named, str) or named not in set(DeliveryMethod):
        raise StreamInvalidError([("delivery.method", "not_supported")])
    method = DeliveryMethod(named)
    endpoint = _text(raw, "endpoint_url", longest=_MOST_URL, path="delivery.")
    header = _text(raw, "authorization_header", longest=_MOST_URL, path="delivery.")
    if method is DeliveryMethod.POLL:
        if header is not None:
            raise StreamInvalidError([("delivery.authorization_header", "for_push_only")])
        return method, endpoint, None
    if endpoint is None:
        raise StreamInvalidError([("delivery.endpoint_url", "missing")])
    try:
        check_url(endpoint, allow_loopback=is_loopback_allowed)
    except OutboundError as error:
        raise StreamInvalidError([("delivery.endpoint_url", rule_of(error))]) from None
    if "#" in endpoint or (header is not None and not header.isascii()):
        raise StreamInvalidError([("delivery", "not_usable")])
    return method, endpoint, header


def _requested(body: Body) -> tuple[str, ...] | None:
    """Unknown event types are kept, and not delivered (SSF 1.0 section 8.1.1)."""
    if "events_requested" not in body:
        return None
    raw = body["events_requested"]
    if not isinstance(raw, list) or len(raw) > _MOST_REQUESTED or not all(_is_event_type(one) for one in raw):
        raise StreamInvalidError([("events_requested", "not_a_list_of_event_types")])
    return tuple(dict.fromkeys(raw))


def _is_event_type(raw: object) -> bool:
    return isinstance(raw, str) and 0 < len(raw) <= _MOST_ID and raw.isprintable()


def _text(body: Body, name: str, *, longest: int, is_needed: bool = False, path: str = "") -> str | None:
    if name not in body and not is_needed:
        return None
    value = body.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= longest or not value.isprintable():
        raise StreamInvalidError([(path + name, "not_a_text")])
    return value


def _only(body: Body, allowed: set[str]) -> None:
    faults = [(name, "unknown_member") for name in sorted(body.keys() - allowed)]
    if faults:
        raise StreamInvalidError(faults)
