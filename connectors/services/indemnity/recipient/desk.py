"""The claims desk: takes a case from consent to acknowledgement, one durable step at a time."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from connectors.errors import OutboundError
from connectors.services.indemnity.continuing import Records
from connectors.services.indemnity.recipient.book import Book
from connectors.services.indemnity.recipient.configuration import Configuration, asked_terms
from connectors.services.indemnity.recipient.store import AccessWish, Case, CaseState, Review, Store
from connectors.services.relying_party.broker_client import (
    BrokerClient,
    BrokerRefusedError,
    Delivered,
    PayloadDamagedError,
)
from connectors.services.relying_party.site import browser_digest, is_same_browser
from vault.schema import random_id

BILL: Final = "health.medical_bill"
POLICY: Final = "insurance.indemnity_policy"
DETAIL: Final = "health.medical_bill_detail"
PRESCRIPTION: Final = "health.prescription"
PHARMACY_BILL: Final = "health.pharmacy_bill"
_UNAUTHORISED: Final = 401
_REFRESHABLE: Final = frozenset({"token_expired", "invalid_token", "consent_superseded"})
_KEY_IS_OVER: Final = frozenset({"outside_window", "redelivery_differs", "key_reused"})
_MOST_KEYS: Final = 10
_ENDS: Final = frozenset(
    {
        "consent_expired",
        "consent_fulfilled",
        "consent_refused",
        "consent_withdrawn",
        "erased",
        "invalid_grant",
        "item_not_granted",
        "no_consent",
        "no_place_left",
        "token_revoked",
    }
)
"""What ends a pull of a standing case for good: anything else may pass, and its news would be lost."""
_FIRST_WAIT: Final = timedelta(seconds=0.5)
_LONGEST_WAIT: Final = timedelta(minutes=10)

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
        self,
        configuration: Configuration,
        store: Store,
        book: Book,
        broker: BrokerClient,
        clock: Callable[[], datetime],
    ) -> None:
        self._configuration = configuration
        self._store = store
        self._book = book
        self._broker = broker
        self._clock = clock
        self._waits: dict[str, tuple[datetime, timedelta]] = {}

    def now(self) -> datetime:
        """The insurer's clock."""
        return self._clock()

    def open_case(self, browser: str | None = None, access: AccessWish = "once") -> tuple[str, str]:
        """Ask the broker, for once or periodically; the case, and the address that the person is sent to.

        `browser` is the cookie of the browser that asked: the answer must come back through the same one.
        Without it the address goes to the person by other means, such as a letter.
        """
        configuration, now = self._configuration, self._clock()
        terms = asked_terms(
            issuer=configuration.issuer,
            purpose=configuration.purpose,
            institution=configuration.institution,
            holders=configuration.holders,
            access=access,
            now=now,
        )
        started = self._broker.start(terms, now)
        case_id = random_id()
        digest = None if browser is None else browser_digest(browser)
        self._store.open_case(
            case_id, started.state, started.code_verifier, access=access, browser_digest=digest
        )
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
        if not is_same_browser(case.browser_digest, browser):
            return None
        if case.state is CaseState.ASKED:
            if code is None:
                self._store.refuse(case, error or "no_code")
            elif self._store.begin_redeeming(case.case_id):
                self._redeem(case.case_id, code)
        self.advance(case.case_id)
        return self._store.case(case.case_id)

    def work(self) -> int:
        """Every step that is due in any case; answers how many cases had one.

        A case that is held up is tried again later, each time after a longer wait: each try that the broker
        refuses is on its records.
        """
        unfinished, now = self._store.unfinished(frozenset(self._steps())), self._clock()
        self._waits = {case_id: wait for case_id, wait in self._waits.items() if case_id in unfinished}
        due = [
            case_id for case_id in unfinished if case_id not in self._waits or self._waits[case_id][0] <= now
        ]
        for case_id in due:
            if not self.advance(case_id):
                _, waited = self._waits.get(case_id, (now, _FIRST_WAIT / 2))
                wait = min(2 * waited, _LONGEST_WAIT)
                self._waits[case_id] = now + wait, wait
        return len(due)

    def advance(self, case_id: str) -> bool:
        """Do every step that is due; what the broker refuses ends the case with its code. False: held up.

        A broker that cannot be reached, or not now, leaves the case where it is: the next time goes on from
        there. A claim that is filed stays so, whatever becomes of telling it: its care counts as settled.
        """
        is_held_up = False
        steps = self._steps()
        while (case := self._store.case(case_id)) is not None and case.state in steps:
            try:
                steps[case.state](case)
            except BrokerRefusedError as refused:
                if _holds_up(case, refused):
                    is_held_up = True
                    break
                self._store.refuse(case, refused.code)
            except PayloadDamagedError:
                if case.parent_id is not None:  # nobody would ask again: the same key gives the same payload
                    is_held_up = True
                    break
                self._store.refuse(case, "payload_damaged")
            except OutboundError:
                is_held_up = True
                break
        if case is not None and case.review is Review.ANSWERED:
            return self._send_review(case) and not is_held_up
        return not is_held_up

    def pull_again(self, case_id: str, *, with_same_key: bool) -> Delivered:
        """Pull once more, under the case's key or a new one. Raises BrokerRefusedError."""
        case = self._store.case(case_id)
        if case is None or case.access_token is None or case.access == "periodic":
            raise BrokerRefusedError(404, "no_such_case")  # a standing case's news are for its own pulls
        key = case.delivery_key if with_same_key else random_id()
        return self._broker.pull(case.access_token, key, self._clock())

    def acknowledge(self, case_id: str) -> None:
        """Confirm the delivery; the case is closed."""
        case = self._store.case(case_id)
        if case is None or case.delivery_id is None:
            raise BrokerRefusedError(404, "no_such_case")
        self._acknowledge(case)

    def answer_review(self, case_id: str, decision: Mapping[str, Any]) -> bool:
        """A person has looked at a case and decided; False unless it waits for one."""
        if not self._store.answer_review(case_id, decision):
            return False
        self.advance(case_id)
        return True

    def _steps(self) -> Mapping[CaseState, Callable[[Case], None]]:
        steps: dict[CaseState, Callable[[Case], None]] = {
            CaseState.GRANTED: self._receive,
            CaseState.RECEIVED: self._file,
            CaseState.FILED: self._decide,
        }
        if self._configuration.acknowledge == "at_once":
            steps[CaseState.DECIDED] = self._acknowledge
        return steps

    def _redeem(self, case_id: str, code: str) -> None:
        case = self._store.case(case_id)
        if case is None:
            return
        try:
            granted = self._broker.redeem(code, case.code_verifier, self._clock())
        except BrokerRefusedError as refused:
            if refused.passes:
                self._store.ask_again(case_id)
            else:
                self._store.refuse(case, refused.code)
        except OutboundError:
            self._store.ask_again(case_id)
        else:
            self._store.grant(case, granted)

    def _acknowledge(self, case: Case) -> None:
        self._broker.acknowledge(case.delivery_id or "", self._clock())
        self._store.close_case(case.case_id)

    def _receive(self, case: Case) -> None:
        """Pull under the case's key. A pull of a standing case may find that another has brought the news.

        Under a further key that says nothing: what the first one brought may be what was lost. It waits.
        """
        try:
            delivered = self._pull(case)
        except BrokerRefusedError as refused:
            is_first_key = case.key_number == 1
            if case.parent_id is not None and refused.code == "cycle_not_over" and is_first_key:
                self._store.close_without_news(case.case_id)
            elif case.parent_id is not None and refused.code in _KEY_IS_OVER and case.key_number < _MOST_KEYS:
                self._store.take_new_key(case)
            else:
                raise
        else:
            self._store.receive(case.case_id, delivered)

    def _pull(self, case: Case) -> Delivered:
        """With the token of the case, or of its standing case; once more with a fresh one."""
        owner = case if case.parent_id is None else self._store.case(case.parent_id) or case
        try:
            return self._broker.pull(owner.access_token or "", case.delivery_key, self._clock())
        except BrokerRefusedError as refused:
            is_stale = refused.status == _UNAUTHORISED and refused.code in _REFRESHABLE
            if not is_stale or owner.refresh_token is None:
                raise
        fresh = self._broker.refresh(owner.refresh_token, self._clock())
        self._store.refresh(owner.case_id, fresh)
        return self._broker.pull(fresh, case.delivery_key, self._clock())

    def _file(self, case: Case) -> None:
        """Compute over what no claim has settled yet, and file."""
        policies = _data(case, POLICY)
        records = Records(
            bills=_data(case, BILL),
            details=_data(case, DETAIL),
            prescriptions=_data(case, PRESCRIPTION),
            pharmacy_bills=_data(case, PHARMACY_BILL),
        )
        claim_no = "C-" + hashlib.sha256(case.case_id.encode()).hexdigest()[:10].upper()
        policy = policies[0] if len(policies) == 1 else {}
        self._book.file_claim(case.case_id, claim_no, policy, records)

    def _decide(self, case: Case) -> None:
        """Tell the person what was decided; a further pull with nothing to claim decides nothing."""
        claim = case.claim or {}
        if case.parent_id is not None and not claim["lines"] and not claim["reasons"]:
            self._store.decide(case.case_id, None, needs_person=False)
            return
        decision = decision_of(case.claim_no or "", claim)
        decision_id = self._broker.send_decision(case.delivery_id or "", decision, self._clock())
        self._store.decide(case.case_id, decision_id, needs_person=claim["status"] == "review")

    def _send_review(self, case: Case) -> bool:
        """Send what a person decided; False if not now. What the broker refuses goes back to the person."""
        decision = {"reference": case.claim_no or "", **(case.reviewed_decision or {})}
        try:
            decision_id = self._broker.send_decision(case.delivery_id or "", decision, self._clock())
        except BrokerRefusedError as refused:
            if refused.passes:
                return False
            self._store.reopen_review(case.case_id, refused.code)
        except OutboundError:
            return False
        else:
            self._store.finish_review(case.case_id, decision_id)
        return True


def _holds_up(case: Case, refused: BrokerRefusedError) -> bool:
    """Whether a case that was refused waits and is tried again, instead of ending with the code."""
    if refused.passes or case.state in {CaseState.FILED, CaseState.DECIDED}:
        return True
    has_keys_left = refused.code not in _KEY_IS_OVER or case.key_number < _MOST_KEYS
    return case.parent_id is not None and has_keys_left and refused.code not in _ENDS


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
        "explanation": _with_earlier(_SUMMARY[claim["status"]], claim.get("already_paid", 0)),
    }


def _with_earlier(summary: Mapping[str, str], already_paid: int) -> dict[str, str]:
    """The summary, and what was paid for the same care before."""
    if not already_paid:
        return dict(summary)
    return {
        "ko": f"{summary['ko']} 같은 진료에 앞서 지급한 {already_paid:,}원을 뺀 금액입니다.",
        "en": f"{summary['en']} What was paid for the same care before, ₩{already_paid:,}, is taken off.",
    }


def _data(case: Case, record_type: str) -> list[dict[str, Any]]:
    """What a case received of one record type; nothing, if the person left it off."""
    return [record["data"] for record in case.records.get(record_type, [])]
