"""A flush that fails: everybody in it is told, nothing of it stays, and the next one works."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import sleep

import psycopg
import pytest

from broker.installation import Installation
from broker.lane import postgres, sqlite
from consent.versions import terms_context
from tests.installation import Clock
from tests.lane.test_concurrency import at_once, codes, request_of
from tests.lane.world import World, code_of, opened
from tests.postgres import Cluster
from vault.seal import seal

OVERLOADED = (503, "overloaded")


@pytest.fixture
def impatient(installation: Installation, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world whose lane waits a second for a lock, not ten."""
    for store in (postgres, sqlite):
        monkeypatch.setattr(store, "LOCK_TIMEOUT_SECONDS", 1)
    with opened(installation, clock) as world:
        yield world


@contextmanager
def locked(world: World) -> Iterator[None]:
    """Somebody else holds the log's head: on SQLite a program that knows nothing of our file lock."""
    database = world.installation.data
    if database.is_sqlite:
        connection = sqlite3.connect(database.path, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield
        finally:
            connection.close()
        return
    url = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as holder:
        holder.execute("SELECT size FROM ledger_head FOR UPDATE")
        yield
        holder.rollback()


def test_a_lock_that_comes_too_late(impatient: World) -> None:
    granted = impatient.granted()
    proof = impatient.proof(granted.token)
    with locked(impatient):
        answer = impatient.pull(granted.token, proofs=[proof], idempotency_key="one")
        assert code_of(answer) == OVERLOADED
        assert int(answer.headers["retry-after"]) >= 1
    assert impatient.told(granted.grant_id) == []
    assert impatient.deliveries(granted.grant_id) == []
    # Nothing was committed, so not even the proof is used up.
    assert impatient.pull(granted.token, proofs=[proof], idempotency_key="one").status_code == 200


def test_a_lock_that_comes_in_time(world: World) -> None:
    granted = world.granted()
    with ThreadPoolExecutor(1) as thread:
        with locked(world):
            answer = thread.submit(world.pull, granted.token)
            sleep(0.3)
            assert not answer.done()
        assert answer.result(timeout=60).status_code == 200


@pytest.mark.parametrize("table", ["seen_jti", "delivery", "delivery_record", "ledger_entry"])
def test_a_flush_that_fails_half_way_leaves_nothing(world: World, table: str) -> None:
    everybody = [world.granted() for _ in range(6)]
    requests = [request_of(world, world.http, one.token, idempotency_key="one") for one in everybody]
    size = world.value("SELECT size FROM ledger_head")
    world.tamper(f"ALTER TABLE {table} RENAME TO gone")
    answers = at_once(requests)
    world.tamper(f"ALTER TABLE gone RENAME TO {table}")
    assert codes(answers) == {"500 internal_error": len(everybody)}
    assert world.value("SELECT size FROM ledger_head") == size
    assert world.value("SELECT count(*) FROM ledger_entry") == size
    assert world.value("SELECT count(*) FROM delivery") == 0
    assert world.value("SELECT count(*) FROM seen_jti") == 0
    assert codes(at_once(requests)) == {"200": len(everybody)}


def test_a_keyring_that_is_away(world: World) -> None:
    granted = world.granted()
    world.tamper_keyring("ALTER TABLE consent_share RENAME TO gone")
    assert world.pull(granted.token).status_code == 500
    world.tamper_keyring("ALTER TABLE gone RENAME TO consent_share")
    assert world.deliveries(granted.grant_id) == []
    assert world.pull(granted.token).status_code == 200


def test_terms_of_a_format_that_this_program_does_not_know_fail_alone(world: World) -> None:
    """Sealed by us, but not readable as terms: one pull's fault is not its neighbours'."""
    odd, *others = [world.granted() for _ in range(4)]
    key = world.installation.keyring.audit_key(world.office.subject_id)
    world.tamper(
        "UPDATE consent_version SET terms_sealed = :terms WHERE version_id = :id",
        terms=seal(key, terms_context(odd.version_id), b'{"type":"of another time"}'),
        id=odd.version_id,
    )
    requests = [request_of(world, world.http, one.token, idempotency_key="one") for one in (odd, *others)]
    first, *rest = at_once(requests)
    assert codes([first]) == {"500 internal_error": 1}
    assert codes(rest) == {"200": 3}


def test_connections_that_were_cut_are_replaced(postgresql_world: World, postgres: Cluster) -> None:
    world = postgresql_world
    granted = world.granted({"access.max_pulls": 20})
    assert world.pull(granted.token).status_code == 200
    for name in (world.installation.data.url.database, world.installation.keyring_database.url.database):
        postgres.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    answers = [world.pull(granted.token) for _ in range(6)]
    assert set(codes(answers)) <= {"200", "503 overloaded"}
    assert answers[-1].status_code == 200
    released = 1 + codes(answers)["200"]
    world.installation.data.engine.dispose()
    assert len(world.deliveries(granted.grant_id)) == released
    assert world.told(granted.grant_id) == [("delivery.released", None)] * released
