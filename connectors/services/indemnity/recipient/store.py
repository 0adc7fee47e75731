"""The insurer's own store: cases, deliveries, claims. One visit is claimed once, however often it arrives."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import orjson

from connectors.services.indemnity.recipient.broker_client import Delivered

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS claim_case (
    case_id TEXT PRIMARY KEY, state TEXT NOT NULL, oauth_state TEXT UNIQUE NOT NULL, browser_digest TEXT,
    code_verifier TEXT NOT NULL, access_token TEXT, grant_id TEXT, delivery_id TEXT,
    payload_digest TEXT, records TEXT, claim TEXT, claim_no TEXT, decision_id TEXT, refusal TEXT
);
CREATE TABLE IF NOT EXISTS claimed_visit (
    institution TEXT NOT NULL, bill_no TEXT NOT NULL, case_id TEXT NOT NULL REFERENCES claim_case,
    PRIMARY KEY (institution, bill_no)
);
"""


class CaseState(StrEnum):
    """How far a case has come; each step is durable before the next begins."""

    ASKED = "asked"
    REDEEMING = "redeeming"
    GRANTED = "granted"
    RECEIVED = "received"
    FILED = "filed"
    DECIDED = "decided"
    CLOSED = "closed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Case:
    """One person's claim, from the question to the confirmation."""

    case_id: str
    state: CaseState
    browser_digest: str | None
    code_verifier: str = field(repr=False)
    access_token: str | None = field(repr=False)
    grant_id: str | None
    delivery_id: str | None
    payload_digest: str | None
    records: dict[str, list[dict[str, Any]]] = field(repr=False)
    claim: dict[str, Any] | None = field(repr=False)
    claim_no: str | None
    decision_id: str | None
    refusal: str | None


class Store:
    """SQLite, synchronous=FULL; a connection for each call, so that threads may share it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._transaction() as connection:
            connection.executescript(_SCHEMA)

    def open_case(
        self, case_id: str, oauth_state: str, code_verifier: str, *, browser_digest: str | None = None
    ) -> None:
        """A request was pushed; the person is on their way to the broker, in the browser of that digest."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO claim_case (case_id, state, oauth_state, browser_digest, code_verifier)"
                " VALUES (?, ?, ?, ?, ?)",
                (case_id, CaseState.ASKED, oauth_state, browser_digest, code_verifier),
            )

    def case_of_state(self, oauth_state: str) -> Case | None:
        """The case that waits for this authorization response."""
        return self._one("oauth_state", oauth_state)

    def case(self, case_id: str) -> Case | None:
        """One case."""
        return self._one("case_id", case_id)

    def cases(self) -> list[Case]:
        """Every case, in the order in which they began."""
        with self._transaction() as connection:
            return [_case(row) for row in connection.execute("SELECT * FROM claim_case ORDER BY rowid")]

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

    def grant(self, case_id: str, access_token: str, grant_id: str) -> None:
        """The person agreed."""
        values = {"access_token": access_token, "grant_id": grant_id}
        self._move(case_id, CaseState.REDEEMING, CaseState.GRANTED, **values)

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

    def unclaimed(self, case_id: str, bills: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The bills that no other case has claimed."""
        with self._transaction() as connection:
            return [
                bill
                for bill in bills
                if connection.execute(
                    "SELECT 1 FROM claimed_visit WHERE institution = ? AND bill_no = ? AND case_id <> ?",
                    (*_visit(bill), case_id),
                ).fetchone()
                is None
            ]

    def file_claim(
        self, case_id: str, claim_no: str, claim: Mapping[str, Any], bills: Sequence[Mapping[str, Any]]
    ) -> None:
        """File the claim and take its visits, all or nothing. IntegrityError: another case was faster."""
        visits = sorted({_visit(bill) for bill in bills})
        with self._transaction() as connection:
            connection.executemany(
                "INSERT INTO claimed_visit (institution, bill_no, case_id) VALUES (?, ?, ?)",
                [(*visit, case_id) for visit in visits],
            )
            connection.execute(
                "UPDATE claim_case SET state = ?, claim_no = ?, claim = ? WHERE case_id = ? AND state = ?",
                (CaseState.FILED, claim_no, orjson.dumps(dict(claim)).decode(), case_id, CaseState.RECEIVED),
            )

    def decide(self, case_id: str, decision_id: str) -> None:
        """The decision is with the person."""
        self._move(case_id, CaseState.FILED, CaseState.DECIDED, decision_id=decision_id)

    def close_case(self, case_id: str) -> None:
        """The delivery is acknowledged; nothing is left to do."""
        self._move(case_id, CaseState.DECIDED, CaseState.CLOSED)

    def _one(self, column: str, value: str) -> Case | None:
        with self._transaction() as connection:
            row = connection.execute(
                f"SELECT * FROM claim_case WHERE {column} = ?",  # noqa: S608 - a column name of this file
                (value,),
            ).fetchone()
            return None if row is None else _case(row)

    def _move(self, case_id: str, before: CaseState, after: CaseState, **values: str) -> bool:
        """From one state to the next; False, and nothing changes, if the case is not in the first one.

        Two requests of a browser may run the same step at once: a case never goes back.
        """
        columns = "".join(f", {name} = ?" for name in values)
        with self._transaction() as connection:
            moved = connection.execute(
                f"UPDATE claim_case SET state = ?{columns} WHERE case_id = ? AND state = ?",  # noqa: S608 - column names of this file
                (after, *values.values(), case_id, before),
            )
            return moved.rowcount == 1

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=10)
        connection.row_factory = sqlite3.Row
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            with connection:
                yield connection
        finally:
            connection.close()


def _case(row: sqlite3.Row) -> Case:
    return Case(
        case_id=row["case_id"],
        state=CaseState(row["state"]),
        browser_digest=row["browser_digest"],
        code_verifier=row["code_verifier"],
        access_token=row["access_token"],
        grant_id=row["grant_id"],
        delivery_id=row["delivery_id"],
        payload_digest=row["payload_digest"],
        records=orjson.loads(row["records"]) if row["records"] else {},
        claim=orjson.loads(row["claim"]) if row["claim"] else None,
        claim_no=row["claim_no"],
        decision_id=row["decision_id"],
        refusal=row["refusal"],
    )


def _visit(bill: Mapping[str, Any]) -> tuple[str, str]:
    return bill["institution"]["hira_code"], bill["bill_no"]
