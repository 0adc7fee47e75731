"""What has been settled under each policy: read, continued and written in one transaction.

One visit is claimed once, however often it arrives and whoever is faster: another case waits for the
transaction, and then finds the visit settled.
"""

import sqlite3
from collections.abc import Collection, Mapping
from typing import Any, Final

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

_SETTLED: Final = (
    "SELECT settled_paper.*, claim_case.reviewed_decision IS NOT NULL AS was_reviewed"
    " FROM settled_paper JOIN claim_case USING (case_id)"
)


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
            rows = connection.execute(_SETTLED).fetchall()
        return {(row["institution"], row["number"]): (row["case_id"], _settled(row)) for row in rows}


def _earlier(connection: sqlite3.Connection, policy_no: str, keys: Collection[Key]) -> Earlier:
    """Papers are known under whatever policy they were settled: nobody is paid twice for one."""
    papers = {}
    for key in keys:
        row = connection.execute(f"{_SETTLED} WHERE institution = ? AND number = ?", key).fetchone()
        if row is not None:
            papers[key] = _settled(row)
    year = connection.execute("SELECT used FROM policy_year WHERE policy_no = ?", (policy_no,)).fetchone()
    used: Mapping[str, Any] | None = None if year is None else orjson.loads(year["used"])
    return Earlier(papers, used)


def _settled(row: sqlite3.Row) -> Settled:
    """A paper; once a person has decided on its case, it stays with one."""
    return Settled(
        digest=row["digest"],
        lines=tuple(orjson.loads(row["lines"])),
        together=tuple((institution, number) for institution, number in orjson.loads(row["together"])),
        is_with_person=bool(row["is_with_person"] or row["was_reviewed"]),
    )


def _write(connection: sqlite3.Connection, case_id: str, policy_no: str, continued: Continued) -> None:
    connection.executemany(
        "INSERT INTO settled_paper"
        " (institution, number, policy_no, digest, lines, together, is_with_person, case_id)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (institution, number) DO UPDATE SET"
        " digest = excluded.digest, lines = excluded.lines, together = excluded.together,"
        " is_with_person = excluded.is_with_person, case_id = excluded.case_id",
        [
            (
                *key,
                policy_no,
                one.digest,
                orjson.dumps(list(one.lines)).decode(),
                orjson.dumps(one.together).decode(),
                one.is_with_person,
                case_id,
            )
            for key, one in continued.papers.items()
        ],
    )
    if continued.papers and continued.used is not None:
        connection.execute(
            "INSERT INTO policy_year (policy_no, used) VALUES (?, ?)"
            " ON CONFLICT (policy_no) DO UPDATE SET used = excluded.used",
            (policy_no, orjson.dumps(dict(continued.used)).decode()),
        )
