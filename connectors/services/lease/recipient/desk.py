"""The contract desk: people are led to the broker, and once all have signed, each is pulled once."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from connectors.errors import OutboundError
from connectors.services.lease.asking import FIXED_DATE, INCOME, LICENCE, PURPOSES, TAXES, asked_terms
from connectors.services.lease.findings import Home
from connectors.services.lease.recipient.configuration import Configuration
from connectors.services.lease.recipient.store import (
    Attempt,
    Lease,
    LeaseState,
    Party,
    PartyState,
    Store,
)
from connectors.services.relying_party.answers import AnswerNotSignedError, Answers
from connectors.services.relying_party.broker_client import (
    BrokerClient,
    BrokerRefusedError,
    Delivered,
    PayloadDamagedError,
)
from connectors.services.relying_party.broker_keys import KeysAwayError
from connectors.services.relying_party.site import browser_digest, is_same_browser

_DAYS: Final = 7
_UNAUTHORISED: Final = 401
_SERVER_ERROR: Final = 500
_TOO_MANY: Final = 429
_STALE: Final = frozenset({"token_expired", "invalid_token"})
_FIRST_WAIT: Final = timedelta(seconds=1)
_LONGEST_WAIT: Final = timedelta(minutes=1)
_ANSWERS: Final = (INCOME, TAXES, LICENCE)
"""What the broker answers in the place of records: it is believed only with its signature."""


class Desk:
    """One service's desk. Every step may be repeated: the broker and the store know it was done."""

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

    def now(self) -> datetime:
        """The service's clock."""
        return self._clock()

    def begin(self, home: Home) -> Lease:
        """An agent begins a lease: a deal at the broker, and a link for each person.

        Raises BrokerRefusedError, OutboundError.
        """
        now = self._clock()
        deadline = (now + timedelta(days=_DAYS)).replace(microsecond=0)
        matter = f"{home.address} (보증금 {home.deposit:,}원, 월세 {home.rent:,}원)"
        deal_id, invitations = self._broker.open_deal("lease", matter, deadline, now)
        lease_id = self._store.add(deal_id, home, deadline, invitations)
        lease = self._store.lease(lease_id)
        if lease is None:
            raise LookupError
        return lease

    def lead(self, party: Party, browser: str) -> str:
        """The address at the broker that the person is sent to. Raises BrokerRefusedError, OutboundError."""
        lease, now = self._store.lease(party.lease_id), self._clock()
        if lease is None:
            raise LookupError
        terms = asked_terms(
            party.role,
            issuer=self._configuration.issuer,
            holders=self._configuration.holders[party.role],
            deadline=lease.deadline,
            now=now,
        )
        started = self._broker.start(terms, now, invitation=party.invitation)
        self._store.ask(party, started.state, started.code_verifier, browser_digest(browser))
        return started.authorization_url

    def come_back(
        self, oauth_state: str, issuer: str, *, browser: str | None, code: str | None, error: str | None
    ) -> Party | None:
        """The person came back. None for a response that nobody waits for, of another issuer or browser."""
        attempt = self._store.attempt(oauth_state)
        # RFC 9207 section 2.4, RFC 9700 section 4.7: such a response is an attack, not an answer.
        if attempt is None or issuer != self._configuration.issuer:
            return None
        if not is_same_browser(attempt.browser_digest, browser):
            return None
        if self._store.begin_redeeming(attempt):
            if code is None:
                self._store.come_back_without(attempt.party, error or "no_code")
            else:
                self._redeem(attempt, code)
        self._waits.pop(attempt.party.lease_id, None)
        self.advance(attempt.party.lease_id)
        return attempt.party

    def work(self) -> int:
        """Look after every lease that people are signing, as soon as it is time; answers how many were."""
        now = self._clock()
        signing = self._store.leases_in(LeaseState.SIGNING)
        self._waits = {lease_id: wait for lease_id, wait in self._waits.items() if lease_id in signing}
        due = [one for one in signing if one not in self._waits or self._waits[one][0] <= now]
        for lease_id in due:
            _, waited = self._waits.get(lease_id, (now, _FIRST_WAIT / 2))
            wait = min(2 * waited, _LONGEST_WAIT)
            self._waits[lease_id] = now + wait, wait
            self.advance(lease_id)
        return len(due)

    def advance(self, lease_id: str) -> None:
        """Ask how the deal stands; once all have signed, take each delivery, once. What fails comes again."""
        lease = self._store.lease(lease_id)
        if lease is None or lease.state is not LeaseState.SIGNING:
            return
        try:
            state = self._broker.deal_state(lease.deal_id, self._clock())
            if state == "COMPLETE":
                self._take_all(lease)
            elif state != "OPEN":
                self._store.end(lease_id, state.lower())
        except (OutboundError, KeysAwayError):
            return
        except BrokerRefusedError as refused:
            if not _passes(refused):
                self._store.end(lease_id, refused.code)
        except (AnswerNotSignedError, PayloadDamagedError):
            self._store.end(lease_id, "not_believed")

    def pull_again(self, lease_id: str, role: str, *, with_same_key: bool) -> tuple[int, str]:
        """What the broker answers to one more pull: status, and code or digest. For staff."""
        lease = self._store.lease(lease_id)
        if lease is None or role not in lease.parties:
            return 404, "no_such_party"
        party = lease.parties[role]
        key = party.delivery_key if with_same_key else f"{party.delivery_key}-again"
        try:
            delivered = self._broker.pull(party.access_token or "", key, self._clock())
        except BrokerRefusedError as refused:
            return refused.status, refused.code
        return 200, delivered.payload_digest

    def acknowledge(self, lease_id: str) -> int:
        """Confirm what was received and is safe; answers how many deliveries. Raises BrokerRefusedError."""
        lease = self._store.lease(lease_id)
        received = (
            []
            if lease is None
            else [one for one in lease.parties.values() if one.state is PartyState.RECEIVED]
        )
        for party in received:
            self._broker.acknowledge(party.delivery_id or "", self._clock())
            self._store.close_party(party)
        return len(received)

    def _redeem(self, attempt: Attempt, code: str) -> None:
        try:
            granted = self._broker.redeem(code, attempt.code_verifier, self._clock())
        except BrokerRefusedError as refused:
            if _passes(refused):
                self._store.ask_again(attempt)
            else:
                self._store.come_back_without(attempt.party, refused.code)
        except OutboundError:
            self._store.ask_again(attempt)
        else:
            self._store.sign(attempt, granted)

    def _take_all(self, lease: Lease) -> None:
        """Deliveries of all that have signed; then the lease is ready."""
        for party in lease.parties.values():
            if party.state is PartyState.SIGNED:
                self._take(party)
        enough = {PartyState.CLOSED}
        if self._configuration.acknowledge == "at_once":
            self.acknowledge(lease.lease_id)
        else:
            enough.add(PartyState.RECEIVED)
        left = self._store.lease(lease.lease_id)
        if left is not None and all(one.state in enough for one in left.parties.values()):
            self._store.make_ready(lease.lease_id)

    def _take(self, party: Party) -> None:
        """Raises AnswerNotSignedError for what is not wholly the broker's word to us."""
        delivered = self._pull(party)
        is_summed = any("derivation" in one["data"] for one in delivered.records.get(FIXED_DATE, []))
        for record_type in (*_ANSWERS, FIXED_DATE) if is_summed else _ANSWERS:
            self._answers.of(delivered, record_type, PURPOSES[party.role], self._clock())
        self._store.receive(party, delivered)

    def _pull(self, party: Party) -> Delivered:
        """Under the party's key; with a fresh token if the first one is too old: others may take days."""
        now = self._clock()
        try:
            return self._broker.pull(party.access_token or "", party.delivery_key, now)
        except BrokerRefusedError as refused:
            is_stale = refused.status == _UNAUTHORISED and refused.code in _STALE
            if not is_stale or party.refresh_token is None:
                raise
        fresh = self._broker.refresh(party.refresh_token, now)
        self._store.refresh(party, fresh)
        return self._broker.pull(fresh, party.delivery_key, now)


def _passes(refused: BrokerRefusedError) -> bool:
    """Not now, rather than no (RFC 9110 section 15.6, RFC 6585 section 4)."""
    return refused.status >= _SERVER_ERROR or refused.status == _TOO_MANY
