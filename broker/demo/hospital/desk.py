"""The records desk: checks each transmission request; answers a page, or one of the eleven legal grounds."""

import re
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

import orjson

from broker.demo.hospital.configuration import Configuration
from broker.demo.hospital.store import Store, of_one_format
from connectors.errors import OutboundError, TransmissionRefusedError
from connectors.http import OutboundClient
from connectors.sources.catalog import export_sources
from connectors.sources.demo_documents import detail, prescriptions
from connectors.sources.demo_hospital import new_visit
from connectors.sources.demo_people import DEMO_PEOPLE, DemoPerson
from connectors.sources.transmission import REPEATED, UNKNOWN_PERSON, PageWish, Received, read_transmission

_BILL, _DETAIL, _PRESCRIPTION = (
    "health.medical_bill",
    "health.medical_bill_detail",
    "health.prescription",
)
_NOT_SPECIFIC: Final = "REQUEST_NOT_SPECIFIC"
_CURSOR: Final = re.compile(r"([0-9]{1,15})\.([0-9]{1,15})")
_KEYS_LAST: Final = timedelta(minutes=5)
_DOUBTED_KEYS_LAST: Final = timedelta(seconds=5)
_OK, _FORBIDDEN, _GONE, _UNAVAILABLE = 200, 403, 410, 503


@dataclass(frozen=True, slots=True)
class Answered:
    """Status and body of an answer."""

    status: int
    body: dict[str, Any] = field(repr=False)


class BrokerKeys:
    """The broker's published keys, fetched again when they are old, or when they did not fit."""

    def __init__(self, http: OutboundClient, issuer: str, clock: Callable[[], datetime]) -> None:
        self._http = http
        self._issuer = issuer
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: Mapping[str, Any] | None = None
        self._fetched_at = clock()

    def get(self, *, are_doubted: bool = False) -> Mapping[str, Any]:
        """The key set. Raises OutboundError, ValueError if there is none to be had."""
        with self._lock:
            # Whoever sends rubbish makes us doubt: the broker is not to be asked for each of it.
            lasts = _DOUBTED_KEYS_LAST if are_doubted else _KEYS_LAST
            if self._keys is None or self._clock() - self._fetched_at > lasts:
                answer = self._http.request("GET", f"{self._issuer}/jwks")
                loaded = orjson.loads(answer.body)
                if answer.status != _OK or not isinstance(loaded, dict):
                    raise ValueError("the broker's key set cannot be read")
                self._keys, self._fetched_at = loaded, self._clock()
            return self._keys


class Desk:
    """One hospital's desk."""

    def __init__(
        self, configuration: Configuration, store: Store, keys: BrokerKeys, clock: Callable[[], datetime]
    ) -> None:
        self._configuration = configuration
        self._store = store
        self._keys = keys
        self._clock = clock
        self._visits = threading.Lock()
        self._formats = {
            source.record_type: source.format
            for source in export_sources()
            if source.holder_id == configuration.holder_id
        }

    def answer(self, token: str) -> Answered:
        """Answer a request: 200 with a page, 403 with a legal ground, 410 for a cursor that leads nowhere."""
        now = self._clock()
        try:
            received = self._received(token, now)
            self._check(received, now)
        except TransmissionRefusedError as refused:
            return Answered(_FORBIDDEN, {"refusal": refused.reason})
        except (OutboundError, ValueError):
            return Answered(_UNAVAILABLE, {"error": "the broker's keys cannot be had"})
        transmission, formats = received.transmission, self._formats_of(received)
        if transmission.cycle is not None:
            self._store.begin_transmission(transmission.number, formats, transmission.until)
        return self._page(transmission.number, formats, received.wish)

    def add_visit(self, patient_no: str) -> str | None:
        """A visit of today: bill, details, perhaps a prescription. The bill's number; None for a stranger."""
        person = next((one for one in DEMO_PEOPLE if one.patient_no == patient_no), None)
        if person is None:
            return None
        with self._visits:  # numbers are counted: one visit after the other
            return self._add_visit(person)

    def _add_visit(self, person: DemoPerson) -> str:
        bills = [one for one in self._store.documents() if one.format == self._formats[_BILL]]
        ordinal = 1 + sum(one.patient_no == person.patient_no for one in bills)
        today = (self._clock() + timedelta(hours=9)).date()  # Korean time
        bill = new_visit(Random(), person, ordinal, today)  # noqa: S311 - an invented visit
        seed = len(bills)
        documents = [(_BILL, bill), (_DETAIL, detail(bill, seed))]
        documents += [(_PRESCRIPTION, one) for one in prescriptions([bill], seed)]
        self._store.put([(self._formats[record_type], body) for record_type, body in documents])
        return str(bill["RCPT_NO"])

    def _received(self, token: str, now: datetime) -> Received:
        """The verified request; keys that do not fit may have been exchanged since they were fetched."""
        try:
            return self._read(token, self._keys.get(), now)
        except TransmissionRefusedError:
            return self._read(token, self._keys.get(are_doubted=True), now)

    def _read(self, token: str, keys: Mapping[str, Any], now: datetime) -> Received:
        configuration = self._configuration
        return read_transmission(
            token, keys, issuer=configuration.issuer, holder_id=configuration.holder_id, now=now
        )

    def _check(self, received: Received, now: datetime) -> None:
        """What the signature cannot say: first seen, of a patient of ours, of records that we have."""
        transmission = received.transmission
        if not self._store.take_request(received.jti, received.expires_at, now):
            raise TransmissionRefusedError(REPEATED, "the request was here before")
        if not self._formats_of(received):
            raise TransmissionRefusedError(_NOT_SPECIFIC, "nothing of what is asked for is here")
        patient = self._store.patient(transmission.number)
        if patient is None:
            raise TransmissionRefusedError(UNKNOWN_PERSON, "no patient has this number")
        if patient.refusal is not None:
            raise TransmissionRefusedError(patient.refusal, "the staff have decided so")

    def _formats_of(self, received: Received) -> list[str]:
        """The hospital's formats of what is asked for and here."""
        wanted = received.transmission.record_types
        return [self._formats[record_type] for record_type in wanted if record_type in self._formats]

    def _page(self, patient_no: str, formats: Collection[str], wish: PageWish) -> Answered:
        mark, after = self._store.newest_change(), wish.since
        if wish.cursor is not None:
            found = _CURSOR.fullmatch(wish.cursor)
            if found is None:
                return Answered(_GONE, {"error": "unknown cursor"})
            mark, after = int(found[1]), int(found[2])
        waiting = self._store.changed(patient_no, formats, after=after, until=mark)
        shown = of_one_format(waiting)[: wish.limit]
        document_format = shown[0].format if shown else next(iter(formats))
        has_more = len(shown) < len(waiting)
        return Answered(
            _OK,
            {
                "header": self._store.header(document_format),
                "records": [one.body for one in shown],
                "next_cursor": f"{mark}.{shown[-1].change}" if has_more else None,
                "search_timestamp": mark,
            },
        )
