"""The claims desk: takes a case from consent to acknowledgement, one durable step at a time."""

import hashlib
import sqlite3
from collections.abc import Callable, Mapping
from datetime import datetime
from hmac import compare_digest
from typing import Any, Final

from connectors.errors import OutboundError
from connectors.services.indemnity.claim import compute
from connectors.services.indemnity.recipient.broker_client import (
    BrokerClient,
    BrokerRefusedError,
    Delivered,
    PayloadDamagedError,
)
from connectors.services.indemnity.recipient.configuration import Configuration, asked_terms
from connectors.services.indemnity.recipient.store import Case, CaseState, Store
from vault.schema import random_id

BILL: Final = "health.medical_bill"
POLICY: Final = "insurance.indemnity_policy"
DETAIL: Final = "health.medical_bill_detail"
PRESCRIPTION: Final = "health.prescription"
PHARMACY_BILL: Final = "health.pharmacy_bill"
_SERVER_ERROR: Final = 500

_SUMMARY: Final = {
    "approved": {
        "ko": "보험금 계산이 끝났습니다. 아래 줄마다 적용한 규칙을 확인하실 수 있습니다.",
        "en": "Your claim is settled. Each line below names the rule that was applied.",
    },
    "review": {
        "ko": "규칙만으로 정할 수 없는 부분이 있어 담당자가 확인하고 있습니다.",
        "en": "The rules do not settle everything; a person is looking at your claim.",
    },
}


class Desk:
    """One insurer's desk. Every step may be repeated: the broker and the store know it was done."""

    def __init__(
        self, configuration: Configuration, store: Store, broker: BrokerClient, clock: Callable[[], datetime]
    ) -> None:
        self._configuration = configuration
        self._store = store
        self._broker = broker
        self._clock = clock

    def open_case(self, browser: str | None = None) -> tuple[str, str]:
        """Ask the broker; answers the case and the address that the person is sent to.

        `browser` is the cookie of the browser that asked: the answer must come back through the same one.
        Without it the address goes to the person by other means, such as a letter.
        """
        configuration, now = self._configuration, self._clock()
        terms = asked_terms(
            issuer=configuration.issuer,
            purpose=configuration.purpose,
            institution=configuration.institution,
            holders=configuration.holders,
            now=now,
        )
        started = self._broker.start(terms, now)
        case_id = random_id()
        digest = None if browser is None else _digest(browser)
        self._store.open_case(case_id, started.state, started.code_verifier, browser_digest=digest)
        return case_id, started.authorization_url

    def come_back(
        self,
        oauth_state: str,
        issuer: str,
        *,
        browser: str | None,
        code: str | None = None,
        error: str | None = None,
    ) -> Case | None:
        """The person came back. None for a response that no case waits for, of another issuer or browser."""
        case = self._store.case_of_state(oauth_state)
        # RFC 9207 section 2.4: a response of another issuer is an attack, not an answer.
        if case is None or issuer != self._configuration.issuer:
            return None
        # RFC 9700 section 4.7: nor is one that another browser was made to bring.
        if case.browser_digest is not None and not compare_digest(
            case.browser_digest, _digest(browser or "")
        ):
            return None
        if case.state is CaseState.ASKED:
            if code is None:
                self._store.refuse(case, error or "no_code")
            elif self._store.begin_redeeming(case.case_id):
                self._redeem(case.case_id, code)
        self.advance(case.case_id)
        return self._store.case(case.case_id)

    def advance(self, case_id: str) -> None:
        """Do every step that is due; what the broker refuses ends the case with its code.

        A broker that cannot be reached, or not now, leaves the case where it is: coming back again goes on
        from there. A claim that is decided stays so, whatever becomes of the confirmation.
        """
        steps: Mapping[CaseState, Callable[[Case], None]] = {
            CaseState.GRANTED: self._receive,
            CaseState.RECEIVED: self._file,
            CaseState.FILED: self._decide,
        }
        if self._configuration.acknowledge == "at_once":
            steps = {**steps, CaseState.DECIDED: self._acknowledge}
        while (case := self._store.case(case_id)) is not None and case.state in steps:
            try:
                steps[case.state](case)
            except BrokerRefusedError as refused:
                if refused.status >= _SERVER_ERROR or case.state is CaseState.DECIDED:
                    return
                self._store.refuse(case, refused.code)
            except PayloadDamagedError:
                self._store.refuse(case, "payload_damaged")
            except OutboundError:
                return

    def pull_again(self, case_id: str, *, with_same_key: bool) -> Delivered:
        """Pull once more, under the case's key or a new one. Raises BrokerRefusedError."""
        case = self._store.case(case_id)
        if case is None or case.access_token is None:
            raise BrokerRefusedError(404, "no_such_case")
        key = _delivery_key(case) if with_same_key else random_id()
        return self._broker.pull(case.access_token, key, self._clock())

    def acknowledge(self, case_id: str) -> None:
        """Confirm the delivery; the case is closed."""
        case = self._store.case(case_id)
        if case is None or case.delivery_id is None:
            raise BrokerRefusedError(404, "no_such_case")
        self._acknowledge(case)

    def _redeem(self, case_id: str, code: str) -> None:
        case = self._store.case(case_id)
        if case is None:
            return
        try:
            granted = self._broker.redeem(code, case.code_verifier, self._clock())
        except BrokerRefusedError as refused:
            if refused.status >= _SERVER_ERROR:
                self._store.ask_again(case_id)
            else:
                self._store.refuse(case, refused.code)
        except OutboundError:
            self._store.ask_again(case_id)
        else:
            self._store.grant(case_id, granted.access_token, granted.grant_id)

    def _acknowledge(self, case: Case) -> None:
        self._broker.acknowledge(case.delivery_id or "", self._clock())
        self._store.close_case(case.case_id)

    def _receive(self, case: Case) -> None:
        delivered = self._broker.pull(case.access_token or "", _delivery_key(case), self._clock())
        self._store.receive(case.case_id, delivered)

    def _file(self, case: Case) -> None:
        """Compute over the visits that are not claimed yet, and file. If another case was faster, again."""
        bills = self._store.unclaimed(case.case_id, _data(case, BILL))
        policies = _data(case, POLICY)
        claim = compute(
            policies[0] if len(policies) == 1 else {},
            bills,
            details=_data(case, DETAIL),
            prescriptions=_data(case, PRESCRIPTION),
            pharmacy_bills=_data(case, PHARMACY_BILL),
        )
        claim_no = "C-" + hashlib.sha256(case.case_id.encode()).hexdigest()[:10].upper()
        try:
            self._store.file_claim(case.case_id, claim_no, claim.to_json(), bills)
        except sqlite3.IntegrityError:
            return

    def _decide(self, case: Case) -> None:
        decision = decision_of(case.claim_no or "", case.claim or {})
        decision_id = self._broker.send_decision(case.delivery_id or "", decision, self._clock())
        self._store.decide(case.case_id, decision_id)


def decision_of(claim_no: str, claim: Mapping[str, Any]) -> dict[str, Any]:
    """A filed claim (`Claim.to_json`) as the decision that the person reads."""
    return {
        "status": claim["status"],
        "reference": claim_no,
        "payable": claim["payable"],
        "lines": [
            {**line, "explanation": {"ko": line["explanation"]["ko"], "en": line["explanation"]["en"]}}
            for line in claim["lines"]
        ],
        "explanation": _SUMMARY[claim["status"]],
    }


def _data(case: Case, record_type: str) -> list[dict[str, Any]]:
    """What a case received of one record type; nothing, if the person left it off."""
    return [record["data"] for record in case.records.get(record_type, [])]


def _digest(browser: str) -> str:
    return hashlib.sha256(browser.encode()).hexdigest()


def _delivery_key(case: Case) -> str:
    return f"case-{case.case_id}"
