"""What has been settled under each policy: read, continued and written in one transaction.

One visit is claimed once, however often it arrives and whoever is faster: another case waits for the
transaction, and then finds the visit settled.
"""

import sqlite3
from collections.abc import Collection, Mapping
from typing import Any

import orjson

from connectors.services.indemnity.continuing import (
    Continued,
    Earlier,
    Records,
    Settled,
    continue_claim,
    keys_of,
)
from connectors.services.indemnity.papers import Key
from connectors.services.indemnity.recipient.database import InsurerDatabase
from connectors.services.indemnity.recipient.store import CaseState


class Book:
    """Settled papers and policy years in the insurer's database."""

    def __init__(self, database: InsurerDatabase) -> None:
        self._database = database

    def file_claim(self, case_id: str, claim_no: str, policy: Mapping[str, Any], records: Records) -> None:
        """File what is new in `records` since the claims before: claim, papers and year, or nothing."""
        policy_no = str(policy.get("policy_no", ""))
        with self._database.transaction() as connection:
            earlier = _earlier(connection, policy_no, keys_of(records))
            continued = continue_claim(policy, records, earlier)
            filed = connection.execute(
                "UPDATE claim_case SET state = ?, claim_no = ?, claim = ? WHERE case_id = ? AND state = ?",
                (
                    CaseState.FILED,
                    claim_no,
                    orjson.dumps(continued.to_json()).decode(),
                    case_id,
                    CaseState.RECEIVED,
                ),
            )
            if filed.rowcount == 1:
                _write(connection, case_id, policy_no, continued)

    def settled(self) -> Mapping[Key, tuple[str, Settled]]:
        """Every settled paper: the case that settled it last, and how."""
        with self._database.transaction() as connection:
            rows = connection.execute("SELECT * FROM settled_paper").fetchall()
        return {
            (row["institution"], row["number"]): (
                row["case_id"],
                Settled(row["digest"], tuple(orjson.loads(row["lines"]))),
            )
            for row in rows
        }


def _earlier(connection: sqlite3.Connection, policy_no: str, keys: Collection[Key]) -> Earlier:
    """Papers are known under whatever policy they were settled: nobody is paid twice for one."""
    papers = {}
    for key in keys:
        row = connection.execute(
            "SELECT digest, lines FROM settled_paper WHERE institution = ? AND number = ?", key
        ).fetchone()
        if row is not None:
            papers[key] = Settled(row["digest"], tuple(orjson.loads(row["lines"])))
    year = connection.execute("SELECT used FROM policy_year WHERE policy_no = ?", (policy_no,)).fetchone()
    used: Mapping[str, Any] | None = None if year is None else orjson.loads(year["used"])
    return Earlier(papers, used)


def _write(connection: sqlite3.Connection, case_id: str, policy_no: str, continued: Continued) -> None:
    connection.executemany(
        "INSERT INTO settled_paper (institution, number, policy_no, digest, lines, case_id)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (institution, number) DO UPDATE SET"
        " digest = excluded.digest, lines = excluded.lines, case_id = excluded.case_id",
        [
            (*key, policy_no, one.digest, orjson.dumps(list(one.lines)).decode(), case_id)
            for key, one in continued.papers.items()
        ],
    )
    if continued.papers and continued.used is not None:
        connection.execute(
            "INSERT INTO policy_year (policy_no, used) VALUES (?, ?)"
            " ON CONFLICT (policy_no) DO UPDATE SET used = excluded.used",
            (policy_no, orjson.dumps(dict(continued.used)).decode()),
        )
