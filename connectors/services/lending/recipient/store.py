"""The bank's applications: each step is durable before the next begins, and none ever goes back."""

import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import orjson

from connectors.services.relying_party.broker_client import Delivered, Granted
from connectors.services.relying_party.database import RecipientDatabase

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS application (
    application_id TEXT PRIMARY KEY, state TEXT NOT NULL, amount INTEGER NOT NULL, oauth_state TEXT UNIQUE,
    browser_digest TEXT, code_verifier TEXT, access_token TEXT, refresh_token TEXT, grant_id TEXT,
    delivery_id TEXT UNIQUE, payload_digest TEXT, records TEXT, decision TEXT, rate INTEGER,
    decision_id TEXT, refusal TEXT
);
CREATE INDEX IF NOT EXISTS ix_application_state ON application (state)
"""
_FORGOTTEN: Final = "deleted_before_a_decision"


class State(StrEnum):
    """How far an application has come."""

    ASKED = "asked"
    REDEEMING = "redeeming"
    GRANTED = "granted"
    RECEIVED = "received"
    DECIDED = "decided"
    CLOSED = "closed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Application:
    """One person's application, from the question to the confirmation. `amount` in won."""

    application_id: str
    state: State
    amount: int
    browser_digest: str | None
    code_verifier: str = field(repr=False)
    access_token: str | None = field(repr=False)
    refresh_token: str | None = field(repr=False)
    grant_id: str | None
    delivery_id: str | None
    payload_digest: str | None
    records: dict[str, list[dict[str, Any]]] = field(repr=False)
    decision: dict[str, Any] | None = field(repr=False)
    rate: int | None
    decision_id: str | None
    refusal: str | None

    @property
    def delivery_key(self) -> str:
        """The idempotency key of the application's one pull."""
        return f"application-{self.application_id}"

    @property
    def reference(self) -> str:
        """What the bank and the person call it."""
        return f"L-{self.application_id[:10].upper()}"

    @property
    def delivered(self) -> Delivered:
        """What was received. Only once it was: ids and digest are there then."""
        return Delivered(self.delivery_id or "", self.grant_id or "", self.payload_digest or "", self.records)


class Store:
    """Applications in the bank's database."""

    def __init__(self, path: Path) -> None:
        self._database = RecipientDatabase(path, _SCHEMA)

    def open_application(
        self, application_id: str, amount: int, asked: tuple[str, str], browser_digest: str | None
    ) -> None:
        """A request was pushed, with this OAuth state and code verifier; the person is on their way."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO application"
                " (application_id, state, amount, oauth_state, code_verifier, browser_digest)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (application_id, State.ASKED, amount, *asked, browser_digest),
            )

    def of_state(self, oauth_state: str) -> Application | None:
        """The application that waits for this authorization response."""
        return self._one("oauth_state", oauth_state)

    def find(self, application_id: str) -> Application | None:
        """One application."""
        return self._one("application_id", application_id)

    def all(self) -> list[Application]:
        """Every application, in the order in which they began."""
        with self._database.transaction() as connection:
            return [
                _application(row) for row in connection.execute("SELECT * FROM application ORDER BY rowid")
            ]

    def unfinished(self, states: Collection[State]) -> list[str]:
        """The ids of applications that have something to do by themselves, the oldest first."""
        places = ", ".join("?" * len(states))
        with self._database.transaction() as connection:
            rows = connection.execute(
                f"SELECT application_id FROM application WHERE state IN ({places}) ORDER BY rowid",  # noqa: S608 - places only
                tuple(states),
            )
            return [row["application_id"] for row in rows]

    def begin_redeeming(self, application_id: str) -> bool:
        """The code is on its way to the broker; False if it is already. A code is good once."""
        return self._move(application_id, State.ASKED, State.REDEEMING)

    def ask_again(self, application_id: str) -> None:
        """The broker was not reached: the code may be tried again."""
        self._move(application_id, State.REDEEMING, State.ASKED)

    def recover(self) -> None:
        """After a death in the midst of redeeming nobody waits for the answer: let the browser try again."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE application SET state = ? WHERE state = ?", (State.ASKED, State.REDEEMING)
            )

    def grant(self, application_id: str, granted: Granted) -> None:
        """The person agreed."""
        self._move(
            application_id,
            State.REDEEMING,
            State.GRANTED,
            access_token=granted.access_token,
            refresh_token=granted.refresh_token,
            grant_id=granted.grant_id,
        )

    def refresh(self, application_id: str, access_token: str) -> None:
        """A new access token."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE application SET access_token = ? WHERE application_id = ?",
                (access_token, application_id),
            )

    def receive(self, application_id: str, delivered: Delivered) -> None:
        """The answers are here and safe."""
        self._move(
            application_id,
            State.GRANTED,
            State.RECEIVED,
            delivery_id=delivered.delivery_id,
            payload_digest=delivered.payload_digest,
            records=orjson.dumps(delivered.records).decode(),
        )

    def decide(
        self, application_id: str, decision: Mapping[str, Any], rate: int | None, decision_id: str
    ) -> None:
        """The decision is with the person."""
        told = orjson.dumps(dict(decision)).decode()
        self._move(
            application_id, State.RECEIVED, State.DECIDED, decision=told, rate=rate, decision_id=decision_id
        )

    def decide_again(self, application_id: str, decision: Mapping[str, Any], decision_id: str) -> None:
        """A person at the bank has decided, and the broker has taken it."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE application SET decision = ?, decision_id = ? WHERE application_id = ?",
                (orjson.dumps(dict(decision)).decode(), decision_id, application_id),
            )

    def close(self, application_id: str) -> None:
        """The delivery is acknowledged; nothing is left to do."""
        self._move(application_id, State.DECIDED, State.CLOSED)

    def refuse(self, application: Application, refusal: str) -> None:
        """The person or the broker said no."""
        self._move(application.application_id, application.state, State.REFUSED, refusal=refusal)

    def forget(self, grant_id: str, delivery_ids: Collection[str], *, is_over: bool) -> None:
        """Delete what came with these deliveries; what the bank decided is its own record and stays.

        An application that was not decided ends here. With `is_over` one that has not pulled ends too.
        """
        places = ", ".join("?" * len(delivery_ids))
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE application SET state = ?, refusal = ?"  # noqa: S608 - places only
                f" WHERE state = ? AND delivery_id IN ({places})",
                (State.REFUSED, _FORGOTTEN, State.RECEIVED, *delivery_ids),
            )
            connection.execute(
                f"UPDATE application SET records = NULL WHERE delivery_id IN ({places})",  # noqa: S608 - places only
                tuple(delivery_ids),
            )
            if is_over:
                connection.execute(
                    "UPDATE application SET state = ?, refusal = ? WHERE state = ? AND grant_id = ?",
                    (State.REFUSED, _FORGOTTEN, State.GRANTED, grant_id),
                )

    def _one(self, column: str, value: str) -> Application | None:
        with self._database.transaction() as connection:
            row = connection.execute(
                f"SELECT * FROM application WHERE {column} = ?",  # noqa: S608 - a column name of this file
                (value,),
            ).fetchone()
            return None if row is None else _application(row)

    def _move(self, application_id: str, before: State, after: State, **values: object) -> bool:
        """From one state to the next; False, and nothing changes, if it is not in the first one."""
        columns = "".join(f", {name} = ?" for name in values)
        with self._database.transaction() as connection:
            moved = connection.execute(
                f"UPDATE application SET state = ?{columns} WHERE application_id = ? AND state = ?",  # noqa: S608 - column names of this file
                (after, *values.values(), application_id, before),
            )
            return moved.rowcount == 1


def _application(row: sqlite3.Row) -> Application:
    return Application(
        application_id=row["application_id"],
        state=State(row["state"]),
        amount=row["amount"],
        browser_digest=row["browser_digest"],
        code_verifier=row["code_verifier"],
        access_token=row["access_token"],
        refresh_token=row["refresh_token"],
        grant_id=row["grant_id"],
        delivery_id=row["delivery_id"],
        payload_digest=row["payload_digest"],
        records=orjson.loads(row["records"]) if row["records"] else {},
        decision=orjson.loads(row["decision"]) if row["decision"] else None,
        rate=row["rate"],
        decision_id=row["decision_id"],
        refusal=row["refusal"],
    )
