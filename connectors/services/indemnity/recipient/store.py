"""The insurer's cases: each step is durable before the next begins, and a case never goes back.

A standing case is a periodic consent. It has a case of its own for each pull: one when the person agreed,
and one for each event that tells of something new.
"""

import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal

import orjson

from connectors.services.indemnity.recipient.database import InsurerDatabase
from connectors.services.relying_party.broker_client import Delivered, Granted
from vault.schema import random_id

AccessWish = Literal["once", "periodic"]

_FORGOTTEN: Final = "records_deleted"


class CaseState(StrEnum):
    """How far a case has come."""

    ASKED = "asked"
    REDEEMING = "redeeming"
    STANDING = "standing"
    GRANTED = "granted"
    RECEIVED = "received"
    FILED = "filed"
    DECIDED = "decided"
    CLOSED = "closed"
    REFUSED = "refused"


class Review(StrEnum):
    """A person's look at a case: waits for one, is answered, has been sent."""

    WAITING = "waiting"
    ANSWERED = "answered"
    SENT = "sent"


@dataclass(frozen=True, slots=True)
class Case:
    """One person's claim, from the question to the confirmation; or a standing case.

    `key_number` counts the idempotency keys that a case has used; `reviewed_decision` is a person's.
    """

    case_id: str
    state: CaseState
    access: AccessWish
    parent_id: str | None
    event_id: str | None
    browser_digest: str | None
    code_verifier: str = field(repr=False)
    access_token: str | None = field(repr=False)
    refresh_token: str | None = field(repr=False)
    grant_id: str | None
    key_number: int
    delivery_id: str | None
    payload_digest: str | None
    records: dict[str, list[dict[str, Any]]] = field(repr=False)
    claim: dict[str, Any] | None = field(repr=False)
    claim_no: str | None
    decision_id: str | None
    review: Review | None
    reviewed_decision: dict[str, Any] | None = field(repr=False)
    refusal: str | None

    @property
    def delivery_key(self) -> str:
        """The idempotency key of the case's pull: the same until it can answer no more."""
        return f"case-{self.case_id}-{self.key_number}"


class Store:
    """Cases in the insurer's database."""

    def __init__(self, database: InsurerDatabase) -> None:
        self._database = database

    def open_case(
        self,
        case_id: str,
        oauth_state: str,
        code_verifier: str,
        *,
        access: AccessWish = "once",
        browser_digest: str | None = None,
    ) -> None:
        """A request was pushed; the person is on their way to the broker, in the browser of that digest."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO claim_case (case_id, state, access, oauth_state, browser_digest, code_verifier)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (case_id, CaseState.ASKED, access, oauth_state, browser_digest, code_verifier),
            )

    def case_of_state(self, oauth_state: str) -> Case | None:
        """The case that waits for this authorization response."""
        return self._one("oauth_state", oauth_state)

    def case(self, case_id: str) -> Case | None:
        """One case."""
        return self._one("case_id", case_id)

    def cases(self) -> list[Case]:
        """Every case, in the order in which they began."""
        with self._database.transaction() as connection:
            return [_case(row) for row in connection.execute("SELECT * FROM claim_case ORDER BY rowid")]

    def unfinished(self, states: frozenset[CaseState]) -> list[str]:
        """The ids of cases that have something to do by themselves, the oldest first."""
        places = ", ".join("?" * len(states))
        with self._database.transaction() as connection:
            rows = connection.execute(
                f"SELECT case_id FROM claim_case WHERE state IN ({places}) OR review = ? ORDER BY rowid",  # noqa: S608 - places only
                (*states, Review.ANSWERED),
            )
            return [row["case_id"] for row in rows]

    def refuse(self, case: Case, refusal: str) -> None:
        """The person or the broker said no."""
        self._move(case.case_id, case.state, CaseState.REFUSED, refusal=refusal)

    def begin_redeeming(self, case_id: str) -> bool:
        """The code is on its way to the broker; False if it is already, with another request of the browser.

        A code is good once: presented twice, it costs the tokens (RFC 6749 section 4.1.2).
        """
        return self._move(case_id, CaseState.ASKED, CaseState.REDEEMING)

    def ask_again(self, case_id: str) -> None:
        """The broker was not reached: the code may be tried again."""
        self._move(case_id, CaseState.REDEEMING, CaseState.ASKED)

    def recover(self) -> None:
        """After a death in the middle of redeeming nobody waits for the answer: let the browser try again."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE claim_case SET state = ? WHERE state = ?", (CaseState.ASKED, CaseState.REDEEMING)
            )

    def grant(self, case: Case, granted: Granted) -> None:
        """The person agreed. A standing case has its first pull at once."""
        values = {
            "access_token": granted.access_token,
            "refresh_token": granted.refresh_token,
            "grant_id": granted.grant_id,
        }
        is_standing = case.access == "periodic"
        after = CaseState.STANDING if is_standing else CaseState.GRANTED
        with self._database.transaction() as connection:
            if _moved(connection, case.case_id, CaseState.REDEEMING, after, **values) and is_standing:
                add_pull(connection, case.case_id, granted.grant_id, event_id=None)

    def refresh(self, case_id: str, access_token: str) -> None:
        """A new access token for a case."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE claim_case SET access_token = ? WHERE case_id = ?", (access_token, case_id)
            )

    def take_new_key(self, case: Case) -> None:
        """The case's key answers no more: its pull is asked for under another one."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE claim_case SET key_number = ? WHERE case_id = ? AND key_number = ? AND state = ?",
                (case.key_number + 1, case.case_id, case.key_number, CaseState.GRANTED),
            )

    def receive(self, case_id: str, delivered: Delivered) -> None:
        """The records are here and safe."""
        self._move(
            case_id,
            CaseState.GRANTED,
            CaseState.RECEIVED,
            delivery_id=delivered.delivery_id,
            payload_digest=delivered.payload_digest,
            records=orjson.dumps(delivered.records).decode(),
        )

    def close_without_news(self, case_id: str) -> None:
        """Another pull has brought what this one was to fetch."""
        self._move(case_id, CaseState.GRANTED, CaseState.CLOSED)

    def decide(self, case_id: str, decision_id: str | None, *, needs_person: bool) -> None:
        """The decision is with the person; without one, there was nothing new to decide."""
        review = {"review": str(Review.WAITING)} if needs_person else {}
        self._move(case_id, CaseState.FILED, CaseState.DECIDED, decision_id=decision_id, **review)

    def close_case(self, case_id: str) -> None:
        """The delivery is acknowledged; nothing is left to do."""
        self._move(case_id, CaseState.DECIDED, CaseState.CLOSED)

    def answer_review(self, case_id: str, decision: Mapping[str, Any]) -> bool:
        """A person has decided; False unless the case waits for one."""
        with self._database.transaction() as connection:
            answered = connection.execute(
                "UPDATE claim_case SET review = ?, reviewed_decision = ? WHERE case_id = ? AND review = ?",
                (Review.ANSWERED, orjson.dumps(dict(decision)).decode(), case_id, Review.WAITING),
            )
            return answered.rowcount == 1

    def reopen_review(self, case_id: str, refusal: str) -> None:
        """The broker did not take a person's decision: it waits for another one, and says why."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE claim_case SET review = ?, refusal = ? WHERE case_id = ? AND review = ?",
                (Review.WAITING, refusal, case_id, Review.ANSWERED),
            )

    def finish_review(self, case_id: str, decision_id: str) -> None:
        """The person's decision has reached the broker."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE claim_case SET review = ?, decision_id = ?, refusal = NULL"
                " WHERE case_id = ? AND review = ?",
                (Review.SENT, decision_id, case_id, Review.ANSWERED),
            )

    def forget(self, grant_id: str, delivery_ids: Collection[str], *, is_over: bool) -> None:
        """Delete the records of these deliveries, in whatever state their cases are.

        A claim that was filed is the insurer's own record and stays; one that was not ends here. With
        `is_over` a pull of the consent that is under way keeps nothing either.
        """
        places = ", ".join("?" * len(delivery_ids))
        with self._database.transaction() as connection:
            connection.execute(
                f"UPDATE claim_case SET state = ?, refusal = ? WHERE state = ? AND delivery_id IN ({places})",  # noqa: S608 - places only
                (CaseState.REFUSED, _FORGOTTEN, CaseState.RECEIVED, *delivery_ids),
            )
            connection.execute(
                f"UPDATE claim_case SET records = NULL WHERE delivery_id IN ({places})",  # noqa: S608 - places only
                tuple(delivery_ids),
            )
            if is_over:
                connection.execute(
                    "UPDATE claim_case SET state = ?, refusal = ? WHERE state = ? AND grant_id = ?",
                    (CaseState.REFUSED, _FORGOTTEN, CaseState.GRANTED, grant_id),
                )

    def _one(self, column: str, value: str) -> Case | None:
        with self._database.transaction() as connection:
            row = connection.execute(
                f"SELECT * FROM claim_case WHERE {column} = ?",  # noqa: S608 - a column name of this file
                (value,),
            ).fetchone()
            return None if row is None else _case(row)

    def _move(self, case_id: str, before: CaseState, after: CaseState, **values: str | None) -> bool:
        with self._database.transaction() as connection:
            return _moved(connection, case_id, before, after, **values)


def add_pull(connection: sqlite3.Connection, parent_id: str, grant_id: str, *, event_id: str | None) -> None:
    """A case of its own for one pull of a standing case; the same event gives it once."""
    connection.execute(
        "INSERT INTO claim_case (case_id, state, access, parent_id, event_id, grant_id)"
        " VALUES (?, ?, 'periodic', ?, ?, ?) ON CONFLICT (event_id) DO NOTHING",
        (random_id(), CaseState.GRANTED, parent_id, event_id, grant_id),
    )


def _moved(
    connection: sqlite3.Connection, case_id: str, before: CaseState, after: CaseState, **values: str | None
) -> bool:
    """From one state to the next; False, and nothing changes, if the case is not in the first one.

    Two requests of a browser may run the same step at once: a case never goes back.
    """
    columns = "".join(f", {name} = ?" for name in values)
    moved = connection.execute(
        f"UPDATE claim_case SET state = ?{columns} WHERE case_id = ? AND state = ?",  # noqa: S608 - column names of this file
        (after, *values.values(), case_id, before),
    )
    return moved.rowcount == 1


def _case(row: sqlite3.Row) -> Case:
    return Case(
        case_id=row["case_id"],
        state=CaseState(row["state"]),
        access=row["access"],
        parent_id=row["parent_id"],
        event_id=row["event_id"],
        browser_digest=row["browser_digest"],
        code_verifier=row["code_verifier"] or "",
        access_token=row["access_token"],
        refresh_token=row["refresh_token"],
        grant_id=row["grant_id"],
        key_number=row["key_number"],
        delivery_id=row["delivery_id"],
        payload_digest=row["payload_digest"],
        records=orjson.loads(row["records"]) if row["records"] else {},
        claim=orjson.loads(row["claim"]) if row["claim"] else None,
        claim_no=row["claim_no"],
        decision_id=row["decision_id"],
        review=Review(row["review"]) if row["review"] else None,
        reviewed_decision=orjson.loads(row["reviewed_decision"]) if row["reviewed_decision"] else None,
        refusal=row["refusal"],
    )
