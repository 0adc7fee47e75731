"""Many processes append at once; some change their mind, some are killed: dense, in order, none twice."""

import json
import multiprocessing
import os
import signal
from typing import Final

from sqlmodel import col, select

from broker.db import Database, transaction
from consent.ledger.entries import append, read_head
from consent.ledger.models import LedgerEntry
from consent.ledger.tree import extend, leaf_hash
from tests.consent.ledger.making import made_entry
from tests.databases import Databases

WRITERS: Final = 4
ROUNDS: Final = 15


class _ChangedMindError(Exception):
    pass


def write_rounds(url: str, writer: int) -> None:
    """Two entries a round; every fifth round is rolled back; an odd writer is killed before a late commit."""
    database = Database(url, pool_size=1)
    for number in range(ROUNDS):
        first = (writer * ROUNDS + number) * 2
        try:
            with transaction(database) as work:
                work.record(made_entry(first))
                work.record(made_entry(first + 1))
                if number % 5 == 4:
                    append(work.session, [made_entry(999_999)])
                    raise _ChangedMindError  # noqa: TRY301 - what a handler does
                if writer % 2 and number == ROUNDS - 2:
                    append(work.session, [made_entry(999_999)])
                    os.kill(os.getpid(), signal.SIGKILL)
        except _ChangedMindError:
            continue


def committed_numbers(writer: int) -> list[int]:
    rounds = [number for number in range(ROUNDS) if number % 5 != 4]
    if writer % 2:
        rounds.remove(ROUNDS - 2)
    return [number for r in rounds for number in ((writer * ROUNDS + r) * 2, (writer * ROUNDS + r) * 2 + 1)]


def test_many_writers(databases: Databases) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=write_rounds, args=(databases.data_url, n)) for n in range(WRITERS)]
    for process in writers:
        process.start()
    for process in writers:
        process.join(timeout=120)
    assert [process.exitcode for process in writers] == [0, -signal.SIGKILL, 0, -signal.SIGKILL]
    with databases.data.read() as session:
        rows = list(session.exec(select(LedgerEntry).order_by(col(LedgerEntry.idx))))
        head = read_head(session)
    assert [row.idx for row in rows] == list(range(len(rows)))
    assert head == extend(0, b"", [leaf_hash(row.leaf) for row in rows])
    numbers = [json.loads(row.leaf)["facts"]["number"] for row in rows]
    for writer in range(WRITERS):
        mine = [number for number in numbers if number // (2 * ROUNDS) == writer]
        assert mine == committed_numbers(writer)  # each once, and in the order of its commits
    assert len(numbers) == sum(len(committed_numbers(writer)) for writer in range(WRITERS))
