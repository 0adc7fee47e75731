"""An insurer whom a person lets claim after every visit, with the broker in the same process."""

import base64
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import orjson
import pytest
from httpx import Response
from sqlmodel import col, delete, select

from broker.db import transaction
from broker.demo.people import HOSPITAL, INSTITUTION
from broker.jobs import pushing
from broker.jobs.arriving import take_in
from broker.jobs.telling import tell_due
from broker.oauth.security_event import RECORD_AVAILABLE, REVIEW_REQUESTED, SecurityEvent, sign
from connectors.errors import UnreachableError
from connectors.http import Answer, OutboundClient
from connectors.services.indemnity.recipient.desk import BILL
from connectors.services.indemnity.recipient.store import Case
from connectors.sources.base import Person, SourceRecord
from connectors.sources.demo_people import DEMO_PEOPLE
from consent import lifecycle
from consent.delivery import open_decision
from consent.models import Consent, Decision, Duty
from consent.outbox import PUSHED
from tests.connectors.services.indemnity.papers import bill, line, on
from tests.connectors.services.indemnity.recipient.conftest import BrokerInPlace, Insurer, set_up
from vault.jose import sign_jwt
from vault.record_types.catalogue import Catalogue

PULL: Final = "/v1/deliveries"
PATIENCE: Final = 120
MEDIA_TYPE: Final = "application/secevent+jwt"
PATIENT: Final = DEMO_PEOPLE[0]
SAID: Final = {"ko": "담당자가 확인하여 지급합니다.", "en": "A person has checked it and pays."}


class PushWire(OutboundClient):
    """The broker's way to the insurer's door, without a socket."""

    insurer: Insurer

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        got = self.insurer.http.request(method, urlsplit(url).path, headers=dict(headers or {}), content=body)
        return Answer(got.status_code, dict(got.headers), got.content)


@dataclass
class Watch:
    """An insurer whom the first persona lets claim after every visit."""

    broker: BrokerInPlace
    insurer: Insurer
    case_id: str
    grant_id: str

    def day(self) -> str:
        """A day without a visit so far."""
        return (date(2026, 11, 23) + timedelta(days=next(self.broker.days))).isoformat()

    def visit(self, **changes: object) -> str:
        """A day at the hospital: a bill of 80,000 won; its number."""
        day = self.day()
        number = f"N-{day}"
        self.arrives(number, 80_000, {**on(day), "issue_date": day, **changes})
        return number

    def arrives(self, number: str, covered: int, changes: Mapping[str, object]) -> None:
        """The hospital sends a bill, or another version of one."""
        catalogue = self.broker.installation.catalogue
        data = orjson.loads(orjson.dumps(_plain(catalogue.get(BILL).example)))
        shown = bill([line(covered_copay=covered, covered_nhis=1)], number)
        data |= {name: shown[name] for name in ("bill_no", "care_type", "lines")}
        data["institution"] |= {"hira_code": INSTITUTION}
        data["totals"] |= {"over_cap": 0, "patient_total": covered, "payable": covered, "total": covered + 1}
        data |= changes
        record = SourceRecord(
            place="1",
            record_type=BILL,
            person=Person(PATIENT.patient_no, PATIENT.name),
            natural_key=Catalogue.load().get(BILL).natural_key_of(data),
            data=data,
        )
        installation = self.broker.installation
        with transaction(installation.data) as work:
            (outcome,) = take_in(
                work, installation, [record], holder_id=HOSPITAL, origin="test", now=self.broker.clock()
            )
        assert outcome.what in {"added", "corrected"}

    def is_told(self) -> int:
        """The broker pushes what is due; how many events of this consent the insurer took.

        Those of other tests' consents, which end when their time comes, are told too and not counted.
        """
        before = self._kept_of_own()
        tell_due(self.broker.installation, self.broker.clock())
        return len(self._kept_of_own() - before)

    def works(self) -> None:
        """The insurer's clerk, once round."""
        self.insurer.inbox.sort()
        self.insurer.desk.work()

    def waits(self, **time: float) -> None:
        self.broker.clock.advance(timedelta(**time))

    def pulls(self) -> list[Case]:
        """The standing case's pulls, the oldest first."""
        return [case for case in self.insurer.store.cases() if case.parent_id == self.case_id]

    def claims_of(self, number: str) -> list[dict[str, Any]]:
        claims = [case.claim for case in self.pulls() if case.claim is not None]
        return [claim for claim in claims if number in {entry["bill_no"] for entry in claim["lines"]}]

    def event(
        self,
        event_id: str,
        event_type: str = RECORD_AVAILABLE,
        *,
        grant_id: str | None = None,
        **members: str,
    ) -> str:
        """An event as the broker signs it."""
        client_id = self.insurer.configuration.client_id
        event = SecurityEvent(event_id, client_id, event_type, grant_id or self.grant_id, members)
        key = self.broker.installation.keyring.service_keys("oauth")[0]
        issuer = self.insurer.configuration.issuer
        return sign(event, issuer=issuer, key=key, now=self.broker.clock())

    def posts(self, token: str | bytes, media_type: str = MEDIA_TYPE) -> Response:
        answer: Response = self.insurer.http.post(
            "/events", content=token, headers={"Content-Type": media_type}
        )
        return answer

    def kept(self) -> list[str]:
        """The ids of the events that the insurer has kept."""
        with sqlite3.connect(self.insurer.configuration.store) as connection:
            return [event_id for (event_id,) in connection.execute("SELECT event_id FROM event")]

    def _kept_of_own(self) -> set[str]:
        with sqlite3.connect(self.insurer.configuration.store) as connection:
            found = connection.execute("SELECT event_id FROM event WHERE grant_id = ?", (self.grant_id,))
            return {event_id for (event_id,) in found}

    def decisions(self, case: Case) -> list[dict[str, Any]]:
        """What the broker has of the insurer's decisions on a case, in their order."""
        with self.broker.installation.data.read() as session:
            found = session.exec(
                select(Decision)
                .where(Decision.delivery_id == case.delivery_id)
                .order_by(col(Decision.number))
            ).all()
            return [open_decision(self.broker.installation.keyring, one) for one in found]

    def person(self, step: str) -> None:
        """The person pauses, resumes or withdraws the consent."""
        installation = self.broker.installation
        with transaction(installation.data) as work:
            subject_id = work.session.get_one(Consent, self.grant_id).subject_id
            getattr(lifecycle, step)(
                work, installation.keyring, self.grant_id, subject_id, self.broker.clock()
            )

    def answers(self, case_id: str, body: object, **headers: str) -> Response:
        """Staff answer a review."""
        answer: Response = self.insurer.http.post(
            f"/staff/cases/{case_id}/review", json=body, headers=headers or self.insurer.staff
        )
        return answer


def _plain(frozen: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(frozen, Mapping):
        return {name: _plain(value) for name, value in frozen.items()}
    return [_plain(one) for one in frozen] if isinstance(frozen, list | tuple) else frozen


def watching(broker: BrokerInPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """A standing case whose first pull is claimed; the consent ends with the test."""
    _forget_what_is_owed(broker)
    insurer = set_up(broker, tmp_path, acknowledge="at_once")
    case_id, came = insurer.agreed(access="periodic")
    assert "자동 청구를 시작했습니다" in insurer.comes_back(came).text
    grant_id = insurer.case(case_id).grant_id
    assert grant_id is not None
    insurer.desk.work()
    watch = Watch(broker, insurer, case_id, grant_id)
    monkeypatch.setattr(PushWire, "insurer", insurer, raising=False)
    monkeypatch.setattr(pushing, "OutboundClient", PushWire)
    yield watch
    watch.person("withdraw")
    watch.is_told()  # the next test's insurer must not hear of it


def _forget_what_is_owed(broker: BrokerInPlace) -> None:
    """What an earlier test left untold would hold back this one's events, or come among them."""
    with transaction(broker.installation.data) as work:
        work.session.execute(delete(Duty).where(col(Duty.done_at).is_(None), col(Duty.kind).in_(PUSHED)))


def grants(broker: BrokerInPlace) -> set[str]:
    """Every consent that was ever given."""
    with broker.installation.data.read() as session:
        return set(session.exec(select(Consent.grant_id).where(col(Consent.given_at).is_not(None))))


def eventually(happens: Callable[[], object]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not happens():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _page_of(port: int) -> bool:
    try:
        return 'action="/cases"' in httpx.get(f"http://127.0.0.1:{port}/").text
    except httpx.TransportError:
        return False


def _review_of(watch: Watch, case: Case) -> str:
    return watch.event(
        f"review {case.case_id}",
        REVIEW_REQUESTED,
        delivery_id=case.delivery_id or "",
        decision_id=case.decision_id or "",
    )


def _days_of(number: str) -> dict[str, object]:
    day = number.removeprefix("N-")
    return {**on(day), "issue_date": day}


def _signed(watch: Watch, claims: Mapping[str, Any], typ: str = "secevent+jwt") -> str:
    """Whatever claims, with the broker's own key."""
    (key, *_) = watch.broker.installation.keyring.service_keys("oauth")
    return sign_jwt(claims, key.private_pem, kid=key.kid, typ=typ, alg=key.kind)


def _lost(path: str) -> Any:  # noqa: ANN401 - a tap
    """The broker answers, and nobody hears it."""

    def tap(asked: str, answer: Answer) -> Answer:
        if asked == path:
            raise UnreachableError("127.0.0.1")
        return answer

    return tap


def _changed(answer: Answer, **members: object) -> Answer:
    return Answer(answer.status, answer.headers, orjson.dumps(orjson.loads(answer.body) | members))


def _without(whole: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in whole.items() if key != name}


def _decoded(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
