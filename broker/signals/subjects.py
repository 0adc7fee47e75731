"""Which subjects a stream tells of: all but those that its client has removed (OpenID SSF 1.0 section 8.1.3).

A client is never told whether a subject is known: what can be nobody of ours is answered like anybody else.
Subjects match as section 3.4 says; of a complex one `user` and `application` count.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from sqlmodel import Session, col, delete, func, select

from broker.signals.errors import StreamInvalidError, TooManySignalsError
from broker.signals.models import StreamSubject
from broker.signals.streams import Stream
from vault.keys.keyring import Keyring

_FIELD: Final = "stream_subject"
_EVERYBODY: Final = "*"  # no pairwise identifier is like this
_PAIRWISE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_MOST_SUBJECTS: Final = 100_000
_MOST_MEMBERS: Final = 20
_SIMPLE: Final[Mapping[str, frozenset[str]]] = {
    "account": frozenset({"uri"}),
    "email": frozenset({"email"}),
    "iss_sub": frozenset({"iss", "sub"}),
    "opaque": frozenset({"id"}),
    "phone_number": frozenset({"phone_number"}),
    "did": frozenset({"url"}),
    "uri": frozenset({"uri"}),
    "jwt_id": frozenset({"iss", "jti"}),
    "saml_assertion_id": frozenset({"issuer", "assertion_id"}),
    "ip-addresses": frozenset({"ip-addresses"}),
    "aliases": frozenset({"identifiers"}),
}
"""The formats of RFC 9493 section 3.2 and SSF 1.0 section 3, and what each must have."""


def include(  # noqa: PLR0913 - which subject of which stream, and how
    session: Session, keyring: Keyring, issuer: str, stream: Stream, raw_subject: object, *, is_included: bool
) -> None:
    """Add a subject to a stream, or remove it. Raises StreamInvalidError, TooManySignalsError."""
    who = _named(_checked(raw_subject, "subject"), issuer, stream.client_id)
    if who is None:
        return
    rows = col(StreamSubject.stream_id) == stream.stream_id
    if who == _EVERYBODY:
        session.exec(delete(StreamSubject).where(rows))
    index = keyring.index(_FIELD, who)
    row = session.get(StreamSubject, (stream.stream_id, index))
    if row is not None:
        row.is_included = is_included
        return
    if session.exec(select(func.count()).select_from(StreamSubject).where(rows)).one() >= _MOST_SUBJECTS:
        raise TooManySignalsError
    session.add(StreamSubject(stream_id=stream.stream_id, subject_index=index, is_included=is_included))


def is_told_of(session: Session, keyring: Keyring, stream: Stream, pairwise: str) -> bool:
    """Whether the stream tells of this person: as its client said of them, else of everybody."""
    by_name = {who: keyring.index(_FIELD, who) for who in (pairwise, _EVERYBODY)}
    rows = session.exec(
        select(StreamSubject).where(
            StreamSubject.stream_id == stream.stream_id,
            col(StreamSubject.subject_index).in_(by_name.values()),
        )
    )
    said = {bytes(row.subject_index): row.is_included for row in rows}
    return said.get(by_name[pairwise], said.get(by_name[_EVERYBODY], True))


def _checked(raw: object, path: str, *, is_member: bool = False) -> dict[str, Any]:
    """A subject of a form that there is; a complex one only outside of another."""
    if not isinstance(raw, dict) or len(raw) > _MOST_MEMBERS:
        raise StreamInvalidError([(path, "not_a_subject")])
    form = raw.get("format")
    if form == "complex" and not is_member:
        members = [name for name in raw if name != "format"]
        if not members:
            raise StreamInvalidError([(path, "no_member")])
        for name in members:
            _checked(raw[name], f"{path}.{name}", is_member=True)
        return raw
    needed = _SIMPLE.get(form) if isinstance(form, str) else None
    if needed is None:
        raise StreamInvalidError([(f"{path}.format", "unknown_format")])
    for name in sorted(needed):
        if not (
            isinstance(raw.get(name), list) if name in {"identifiers", "ip-addresses"} else raw.get(name)
        ):
            raise StreamInvalidError([(f"{path}.{name}", "missing")])
        if name not in {"identifiers", "ip-addresses"} and not isinstance(raw[name], str):
            raise StreamInvalidError([(f"{path}.{name}", "not_a_string")])
    return raw


def _named(subject: Mapping[str, Any], issuer: str, client_id: str) -> str | None:
    """Whom a subject names: a pairwise identifier, everybody of the client, or nobody of ours (None)."""
    if subject["format"] != "complex":
        return _person(subject, issuer)
    application = subject.get("application")
    if application is not None and application != {"format": "opaque", "id": client_id}:
        return None
    if "user" in subject:
        return _person(subject["user"], issuer)
    return None if application is None else _EVERYBODY


def _person(subject: Mapping[str, Any], issuer: str) -> str | None:
    is_ours = subject["format"] == "iss_sub" and subject["iss"] == issuer
    return subject["sub"] if is_ours and _PAIRWISE.fullmatch(subject["sub"]) else None
