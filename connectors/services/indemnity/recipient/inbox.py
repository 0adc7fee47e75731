"""Events that the broker pushes (RFC 8935): verified, kept once each, and answered before they are acted on.

What an event says is only a reason to ask: records come from a pull, which the consent decides.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from connectors.http import OutboundClient
from connectors.services.indemnity.recipient.configuration import Configuration
from connectors.services.indemnity.recipient.database import InsurerDatabase
from connectors.services.indemnity.recipient.store import CaseState, Review, add_pull
from connectors.services.relying_party.broker_keys import BrokerKeys
from connectors.services.relying_party.deleting import (
    CONSENT_ENDED,
    CONSENT_PAUSED,
    CONSENT_RESUMED,
    OBLIGATION_DUE,
)
from vault.errors import UntrustedTokenError
from vault.jose import peek, verify_jwt

RECORD_AVAILABLE: Final = "urn:mydata:event:record-available"
REVIEW_REQUESTED: Final = "urn:mydata:event:review-requested"
_TYPE: Final = "secevent+jwt"
_ENDS: Final = frozenset({CONSENT_ENDED, OBLIGATION_DUE})
_OF_CONSENT: Final = _ENDS | {CONSENT_PAUSED, CONSENT_RESUMED}


class EventRefusedError(Exception):
    """An event that is not taken: RFC 8935 section 2.4's code, and what is wrong."""

    def __init__(self, code: str, told: str) -> None:
        self.code = code
        self.told = told
        super().__init__(f"{code}: {told}")


class Inbox:
    """The insurer's door for events."""

    def __init__(self, configuration: Configuration, http: OutboundClient, database: InsurerDatabase) -> None:
        self._configuration = configuration
        self._database = database
        self._keys = BrokerKeys(configuration.issuer, http)

    def take(self, raw_token: str, now: datetime) -> None:
        """Verify an event and keep it; the same event again changes nothing.

        Raises EventRefusedError, KeysAwayError.
        """
        claims = self._verified(raw_token, now)
        event_id, (event_type, members) = claims.get("jti"), _event_of(claims)
        grant_id, delivery_id = members.get("grant_id"), members.get("delivery_id")
        if not isinstance(event_id, str) or not isinstance(grant_id, str):
            raise EventRefusedError("invalid_request", "jti and grant_id are needed")
        if event_type == REVIEW_REQUESTED and not isinstance(delivery_id, str):
            raise EventRefusedError("invalid_request", "delivery_id is needed")
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO event (event_id, event_type, grant_id, delivery_id) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (event_id) DO NOTHING",
                (event_id, event_type, grant_id, delivery_id if isinstance(delivery_id, str) else None),
            )

    def sort(self) -> bool:
        """Give each new event its work: a pull for something new, a person's look for a review.

        True if an event told of an end: something may have to be deleted.

        Events of one consent that came together need one pull, which begins after all of them. An event
        whose case is not here yet waits for it: the broker may be faster than the person's browser.
        """
        served: set[str] = set()
        has_end = False
        with self._database.transaction() as connection:
            for event in connection.execute("SELECT * FROM event WHERE is_done = 0").fetchall():
                if event["event_type"] == RECORD_AVAILABLE:
                    standing = connection.execute(
                        "SELECT case_id FROM claim_case WHERE grant_id = ? AND state = ?",
                        (event["grant_id"], CaseState.STANDING),
                    ).fetchone()
                    if standing is None:
                        continue
                    if event["grant_id"] not in served:
                        served.add(event["grant_id"])
                        add_pull(
                            connection, standing["case_id"], event["grant_id"], event_id=event["event_id"]
                        )
                elif event["event_type"] in _OF_CONSENT:
                    has_end = has_end or event["event_type"] in _ENDS
                else:
                    waits = connection.execute(
                        # What a person has just answered is on its way: that is the review.
                        "UPDATE claim_case SET review = CASE review WHEN ? THEN review ELSE ? END"
                        " WHERE delivery_id = ? AND state IN (?, ?)",
                        (
                            Review.ANSWERED,
                            Review.WAITING,
                            event["delivery_id"],
                            CaseState.DECIDED,
                            CaseState.CLOSED,
                        ),
                    )
                    if waits.rowcount == 0:
                        continue
                connection.execute("UPDATE event SET is_done = 1 WHERE event_id = ?", (event["event_id"],))
        return has_end

    def _verified(self, raw_token: str, now: datetime) -> dict[str, Any]:
        """RFC 8417 section 2 and RFC 8935 section 2.3."""
        try:
            header, _ = peek(raw_token)
            keys = self._keys.with_kid(header.get("kid"), now)
            _, claims = verify_jwt(raw_token, keys, algorithms=("ES256",), typ=_TYPE)
        except UntrustedTokenError as error:
            raise EventRefusedError("authentication_failed", error.reason) from None
        if claims.get("iss") != self._configuration.issuer:
            raise EventRefusedError("invalid_issuer", "not the broker that we know")
        if claims.get("aud") not in (self._configuration.client_id, [self._configuration.client_id]):
            raise EventRefusedError("invalid_audience", "for another client")
        return claims


def _event_of(claims: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The one event of a kind that we know."""
    events = claims.get("events")
    if isinstance(events, Mapping):
        for event_type in (RECORD_AVAILABLE, REVIEW_REQUESTED, *sorted(_OF_CONSENT)):
            members = events.get(event_type)
            if isinstance(members, Mapping):
                return event_type, members
    raise EventRefusedError("invalid_request", "no event that we know")
