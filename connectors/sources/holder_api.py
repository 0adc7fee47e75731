"""Asking a holder that has an interface: one signed request a page, and the page read as strictly as a file.

A holder may be late, away, broken, changed or wrong. Each of these is an error with a rule of its own, and
none of it leads anywhere but to the caller: no redirect is followed, no page is larger than the cap.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from connectors.errors import (
    HolderFaultError,
    HolderRefusedError,
    SourceRefusedError,
    TimedOutError,
    UnreachableError,
)
from connectors.http import RETRIED_STATUSES, Answer, OutboundClient
from connectors.sources.base import ExportSource, Faulty, Header, SourceFault, SourceRecord, faults_of
from connectors.sources.json_lines import LineFaultError, read_object
from connectors.sources.transmission import (
    MEDIA_TYPE,
    PageWish,
    SigningKey,
    Transmission,
    sign_transmission,
)
from vault.record_types.catalogue import Catalogue

_OK: Final = 200
_FORBIDDEN: Final = 403
_PAUSES: Final = (0.5, 2.0)
_LONGEST_CURSOR: Final = 500
_MARKS: Final = range(1 << 53)
_MEMBERS: Final = frozenset({"header", "records", "next_cursor", "search_timestamp"})
_REASON: Final = re.compile(r"[A-Z][A-Z_]{2,39}")


@dataclass(frozen=True, slots=True)
class Page:
    """One page: what was read, what could not be, the holder's mark, and where it goes on (None: nowhere)."""

    records: tuple[SourceRecord, ...] = field(repr=False)
    faulty: tuple[Faulty, ...]
    mark: int
    next_cursor: str | None = field(repr=False)

    @property
    def faults(self) -> tuple[SourceFault, ...]:
        """Each fault of each record that could not be read."""
        return tuple(fault for one in self.faulty for fault in faults_of("page", one))


@dataclass(frozen=True, slots=True)
class Question:
    """What one holder is asked, and how its answers are read: each page is of one of the sources."""

    endpoint: str
    sources: tuple[ExportSource, ...]
    transmission: Transmission


class HolderApi:
    """Asks holders in the name of one broker. `http` makes single attempts: each needs its own request."""

    def __init__(
        self,
        http: OutboundClient,
        key: SigningKey,
        issuer: str,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._http = http
        self._key = key
        self._issuer = issuer
        self._clock = clock
        self._sleep = sleep

    def ask(self, question: Question, wish: PageWish, catalogue: Catalogue) -> Page:
        """One page. Asks up to three times while the holder is late, away or busy.

        Raises HolderRefusedError (a legal ground), HolderFaultError (what its answer breaks), OutboundError.
        """
        answer = self._post(question, wish)
        if answer.status == _FORBIDDEN and _media_type(answer) == "application/json":
            raise HolderRefusedError(_reason(answer))
        if answer.status != _OK:
            raise HolderFaultError(f"status_{answer.status}")
        if _media_type(answer) != "application/json":
            raise HolderFaultError("wrong_content_type")
        return _page(_members(answer.body), question, wish, catalogue)

    def _post(self, question: Question, wish: PageWish) -> Answer:
        pauses = [*_PAUSES]
        while True:
            token = sign_transmission(
                question.transmission, wish, self._key, issuer=self._issuer, now=self._clock()
            )
            headers = {"Content-Type": MEDIA_TYPE, "Accept": "application/json"}
            try:
                answer = self._http.request("POST", question.endpoint, headers=headers, body=token.encode())
            except (TimedOutError, UnreachableError):
                if not pauses:
                    raise
            else:
                if answer.status not in RETRIED_STATUSES or not pauses:
                    return answer
            self._sleep(pauses.pop(0))


def _page(members: Mapping[str, Any], question: Question, wish: PageWish, catalogue: Catalogue) -> Page:
    header, raw_records = members["header"], members["records"]
    if not isinstance(header, dict) or not isinstance(raw_records, list):
        raise HolderFaultError("page_malformed")
    if len(raw_records) > wish.limit:
        raise HolderFaultError("too_many_records")
    source, checked = _source_of(header, question)
    records: list[SourceRecord] = []
    faulty: list[Faulty] = []
    for number, raw in enumerate(raw_records):
        place = f"records[{number}]"
        found = source.record_of(place, raw, checked, catalogue)
        if isinstance(found, SourceRecord):
            records.append(found)
        else:
            faulty.append(found)
    mark = members["search_timestamp"]
    if type(mark) is not int or mark not in _MARKS:
        raise HolderFaultError("page_malformed")
    return Page(tuple(records), tuple(faulty), mark, _cursor(members["next_cursor"], wish))


def _source_of(header: Mapping[str, Any], question: Question) -> tuple[ExportSource, Header]:
    source = next((one for one in question.sources if one.format == header.get("format")), None)
    if source is None:
        raise HolderFaultError("unknown_format")
    try:
        return source, source.header_of(header, "page")
    except SourceRefusedError as error:
        raise HolderFaultError(error.faults[0].rule) from error


def _members(body: bytes) -> dict[str, Any]:
    try:
        members = read_object(body)
    except LineFaultError as error:
        raise HolderFaultError(error.rule) from error
    if members.keys() != _MEMBERS:
        raise HolderFaultError("page_malformed")
    return members


def _cursor(raw: object, wish: PageWish) -> str | None:
    if raw is None:
        return None
    if not isinstance(raw, str) or not 0 < len(raw) <= _LONGEST_CURSOR or not raw.isascii():
        raise HolderFaultError("page_malformed")
    if raw == wish.cursor:
        raise HolderFaultError("cursor_repeats")
    return raw


def _reason(answer: Answer) -> str:
    """The ground that a refusal names: a code, or the answer is no refusal."""
    try:
        reason = read_object(answer.body).get("refusal")
    except LineFaultError as error:
        raise HolderFaultError(error.rule) from error
    if not isinstance(reason, str) or _REASON.fullmatch(reason) is None:
        raise HolderFaultError("refusal_without_reason")
    return reason


def _media_type(answer: Answer) -> str:
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower()
