"""The loan desk: takes an application from consent to acknowledgement, one durable step at a time."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from connectors.errors import OutboundError
from connectors.services.lending.asking import asked_terms
from connectors.services.lending.decision import ACCOUNTS, EMPLOYMENT, INCOME, LOANS, decide, findings_of
from connectors.services.lending.recipient.configuration import Configuration
from connectors.services.lending.recipient.store import Application, State, Store
from connectors.services.lending.rules import RULES
from connectors.services.relying_party.answers import AnswerNotSignedError, Answers, SignedAnswer
from connectors.services.relying_party.broker_client import (
    BrokerClient,
    BrokerRefusedError,
    Delivered,
    PayloadDamagedError,
)
from connectors.services.relying_party.broker_keys import KeysAwayError
from connectors.services.relying_party.site import browser_digest, is_same_browser
from vault.schema import random_id

_ASKED: Final = (INCOME, EMPLOYMENT, LOANS, ACCOUNTS)
_REFRESHABLE: Final = frozenset({"token_expired", "invalid_token"})
_FIRST_WAIT: Final = timedelta(seconds=1)
_LONGEST_WAIT: Final = timedelta(minutes=10)


class AmountRefusedError(Exception):
    """The bank lends no such amount."""


class Desk:
    """One bank's desk. Every step may be repeated: the broker and the store know it was done."""

    def __init__(
        self,
        configuration: Configuration,
        store: Store,
        broker: BrokerClient,
        answers: Answers,
        clock: Callable[[], datetime],
    ) -> None:
        self._configuration = configuration
        self._store = store
        self._broker = broker
        self._answers = answers
        self._clock = clock
        self._waits: dict[str, tuple[datetime, timedelta]] = {}

    def apply(self, amount: int, browser: str | None = None) -> tuple[str, str]:
        """Open an application; its id, and the address that the person is sent to. AmountRefusedError.

        `browser` is the cookie of the browser that asked: the answer must come back through the same one.
        """
        if not RULES.takes(amount):
            raise AmountRefusedError
        configuration, now = self._configuration, self._clock()
        terms = asked_terms(
            issuer=configuration.issuer,
            purpose=configuration.purpose,
            holders=configuration.holders,
            amount=amount,
            now=now,
        )
        started = self._broker.start(terms, now)
        application_id = random_id()
        digest = None if browser is None else browser_digest(browser)
        self._store.open_application(application_id, amount, (started.state, started.code_verifier), digest)
        return application_id, started.authorization_url

    def come_back(
        self,
        oauth_state: str,
        issuer: str,
        *,
        browser: str | None,
        code: str | None = None,
        error: str | None = None,
    ) -> Application | None:
        """The person came back. None for what no application waits for, of another issuer or browser."""
        application = self._store.of_state(oauth_state)
        # RFC 9207 section 2.4: a response of another issuer is an attack, not an answer.
        if application is None or issuer != self._configuration.issuer:
            return None
        if not is_same_browser(application.browser_digest, browser):
            return None
        if application.state is State.ASKED:
            if code is None:
                self._store.refuse(application, error or "no_code")
            elif self._store.begin_redeeming(application.application_id):
                self._redeem(application, code)
        self.advance(application.application_id)
        return self._store.find(application.application_id)

    def work(self) -> None:
        """Every step that is due anywhere; what is held up waits, longer each time."""
        unfinished, now = self._store.unfinished(tuple(self._steps())), self._clock()
        self._waits = {one: wait for one, wait in self._waits.items() if one in unfinished}
        for one in unfinished:
            if one in self._waits and self._waits[one][0] > now:
                continue
            if not self.advance(one):
                wait = min(2 * self._waits[one][1], _LONGEST_WAIT) if one in self._waits else _FIRST_WAIT
                self._waits[one] = now + wait, wait

    def advance(self, application_id: str) -> bool:
        """Do every step that is due; what the broker refuses ends it with its code. False: held up.

        A decision is never dropped: only the broker's word that it cannot be taken ends it.
        """
        steps = self._steps()
        while (application := self._store.find(application_id)) is not None and application.state in steps:
            try:
                steps[application.state](application)
            except BrokerRefusedError as refused:
                if refused.passes or application.state is State.DECIDED:
                    return False
                self._store.refuse(application, refused.code)
            except PayloadDamagedError:
                self._store.refuse(application, "payload_damaged")
            except AnswerNotSignedError:
                self._store.refuse(application, "answer_not_signed")
            except (OutboundError, KeysAwayError):
                return False
        return True

    def pull_again(self, application_id: str, *, with_same_key: bool) -> Delivered:
        """Pull once more, under the application's key or a new one. Raises BrokerRefusedError."""
        application = self._store.find(application_id)
        if application is None or application.access_token is None:
            raise BrokerRefusedError(404, "no_such_application")
        key = application.delivery_key if with_same_key else random_id()
        return self._broker.pull(application.access_token, key, self._clock())

    def acknowledge(self, application_id: str) -> None:
        """Confirm the delivery; the application is closed. Raises BrokerRefusedError."""
        application = self._store.find(application_id)
        if application is None or application.delivery_id is None:
            raise BrokerRefusedError(404, "no_such_application")
        self._acknowledge(application)

    def decide_again(self, application_id: str, decision: Mapping[str, Any]) -> None:
        """A person at the bank has looked, and decides (`status`, `payable`, `explanation`).

        Raises BrokerRefusedError: the broker takes another decision only where one waits for it.
        """
        application = self._store.find(application_id)
        if application is None or application.delivery_id is None or application.decision is None:
            raise BrokerRefusedError(404, "no_such_application")
        told = {"kind": "loan", "reference": application.reference, "lines": [], **decision}
        decision_id = self._broker.send_decision(application.delivery_id, told, self._clock())
        self._store.decide_again(application_id, told, decision_id)

    def _steps(self) -> Mapping[State, Callable[[Application], None]]:
        steps: dict[State, Callable[[Application], None]] = {
            State.GRANTED: self._receive,
            State.RECEIVED: self._decide,
        }
        if self._configuration.acknowledge == "at_once":
            steps[State.DECIDED] = self._acknowledge
        return steps

    def _redeem(self, application: Application, code: str) -> None:
        application_id = application.application_id
        try:
            granted = self._broker.redeem(code, application.code_verifier, self._clock())
        except BrokerRefusedError as refused:
            if refused.passes:
                self._store.ask_again(application_id)
            else:
                self._store.refuse(replace(application, state=State.REDEEMING), refused.code)
        except OutboundError:
            self._store.ask_again(application_id)
        else:
            self._store.grant(application_id, granted)

    def _receive(self, application: Application) -> None:
        """Pull, and keep nothing that the broker has not signed."""
        delivered = self._pull(application)
        self._verified(delivered)
        self._store.receive(application.application_id, delivered)

    def _pull(self, application: Application) -> Delivered:
        """With the token that there is, once more with a fresh one if its time is over."""
        now, key = self._clock(), application.delivery_key
        try:
            return self._broker.pull(application.access_token or "", key, now)
        except BrokerRefusedError as refused:
            if refused.code not in _REFRESHABLE or application.refresh_token is None:
                raise
        fresh = self._broker.refresh(application.refresh_token, now)
        self._store.refresh(application.application_id, fresh)
        return self._broker.pull(fresh, key, now)

    def _decide(self, application: Application) -> None:
        decision = decide(application.amount, findings_of(self._verified(application.delivered)), RULES)
        told = decision.to_json(application.reference, application.amount)
        decision_id = self._broker.send_decision(application.delivery_id or "", told, self._clock())
        self._store.decide(application.application_id, told, decision.rate, decision_id)

    def _verified(self, delivered: Delivered) -> dict[str, SignedAnswer | None]:
        purpose, now = self._configuration.purpose, self._clock()
        return {record_type: self._answers.of(delivered, record_type, purpose, now) for record_type in _ASKED}

    def _acknowledge(self, application: Application) -> None:
        self._broker.acknowledge(application.delivery_id or "", self._clock())
        self._store.close(application.application_id)
