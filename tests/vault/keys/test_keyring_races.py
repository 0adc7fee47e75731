"""Several processes at one keyring: one key each, and none that outlives its erasure (V14)."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from threading import Barrier
from typing import TypeVar

import pytest
from sqlmodel import select

from broker.db import Database
from tests.databases import Databases
from vault.errors import ErasedError, KeyringExistsError, UnknownKeyError
from vault.keys.keyring import Keyring
from vault.keys.local import LocalProvider
from vault.keys.models import CompartmentKey, ConsentShare, EpochKey, IndexRoot, SubjectKey
from vault.seal import SealingKey

WORKERS = 4
T = TypeVar("T")


def race(
    databases: Databases, provider: LocalProvider, act: Callable[[Keyring, int], T], *, locked: bool = False
) -> list[T]:
    """What each worker answers: every one has engine and keyring of its own, as a process has."""
    barrier = Barrier(WORKERS)

    def work(number: int) -> T:
        database = Database(databases.keyring_url)
        try:
            keyring = Keyring(database, provider)
            if not locked:
                keyring.unlock()
            barrier.wait(timeout=120)
            return act(keyring, number)
        finally:
            database.close()

    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(work, range(WORKERS)))


def test_one_keyring_is_made(databases: Databases, provider: LocalProvider, now: datetime) -> None:
    def create(keyring: Keyring, _: int) -> str:
        try:
            keyring.create(now)
        except KeyringExistsError:
            return "refused"
        return "made"

    assert sorted(race(databases, provider, create, locked=True)) == ["made", "refused", "refused", "refused"]
    with databases.keyring.read() as session:
        assert (len(session.exec(select(EpochKey)).all()), len(session.exec(select(IndexRoot)).all())) == (
            1,
            1,
        )


@pytest.mark.parametrize("round_number", range(3))
def test_everyone_gets_the_same_keys(
    databases: Databases, keyring: Keyring, provider: LocalProvider, now: datetime, round_number: int
) -> None:
    compartment_id = keyring.compartment_id("haneul", "seoul-hospital", "health.medical_bill")

    def make(mine: Keyring, _: int) -> tuple[object, ...]:
        mine.ensure_subject("haneul", now)
        key = mine.ensure_compartment("haneul", compartment_id, now)
        mine.share("grant.1", "haneul", [compartment_id], now)
        service_key = mine.ensure_service_key("oauth", "ES256", now)
        return mine.audit_key("haneul"), key, service_key.kid

    answers = race(databases, provider, make)
    assert len(set(answers)) == 1
    with databases.keyring.read() as session:
        share = session.exec(select(ConsentShare)).one()
    assert keyring.open_share(share) == answers[0][1]


@pytest.mark.parametrize("round_number", range(3))
def test_two_importers_in_any_order_get_the_same_keys(
    databases: Databases, keyring: Keyring, provider: LocalProvider, now: datetime, round_number: int
) -> None:
    """Each asks for the same compartments of many subjects, every second one from the other end."""
    subjects = [f"subject-{number}" for number in range(30)]
    keyring.ensure_subjects(subjects, now)
    names = {keyring.compartment_id(subject, "seoul-hospital", "bill"): subject for subject in subjects}

    def make(mine: Keyring, number: int) -> dict[str, SealingKey]:
        order = sorted(names.items(), reverse=number % 2 == 1)
        return mine.ensure_compartments(dict(order), now)

    first, *others = race(databases, provider, make)
    assert first.keys() == names.keys()
    assert others == [first] * (WORKERS - 1)
    assert keyring.compartment_keys(names) == first


@pytest.mark.parametrize("round_number", range(5))
def test_no_key_of_a_batch_outlives_an_erasure(
    databases: Databases, keyring: Keyring, provider: LocalProvider, now: datetime, round_number: int
) -> None:
    keyring.ensure_subjects(["haneul", "bora"], now)
    wanted = {
        keyring.compartment_id(subject, f"holder-{number}", "type"): subject
        for subject in ("haneul", "bora")
        for number in range(8)
    }

    def work(mine: Keyring, number: int) -> None:
        if number == 0:
            mine.erase_subject("haneul", now)
            return
        with suppress(ErasedError):
            mine.ensure_compartments(wanted, now)

    race(databases, provider, work)
    with databases.keyring.read() as session:
        assert {row.subject_id for row in session.exec(select(CompartmentKey))} <= {"bora"}


@pytest.mark.parametrize("round_number", range(5))
def test_no_key_outlives_an_erasure(
    databases: Databases, keyring: Keyring, provider: LocalProvider, now: datetime, round_number: int
) -> None:
    compartment_ids = [keyring.compartment_id("haneul", f"holder-{number}", "type") for number in range(8)]

    def work(mine: Keyring, number: int) -> None:
        if number == 0:
            mine.erase_subject("haneul", now)
            return
        for compartment_id in compartment_ids:
            try:
                mine.ensure_subject("haneul", now)
                mine.share(f"grant-{number}.1", "haneul", [compartment_id], now)
            except (ErasedError, UnknownKeyError):
                return

    race(databases, provider, work)
    with databases.keyring.read() as session:
        for model in (SubjectKey, CompartmentKey, ConsentShare):
            assert session.exec(select(model)).all() == []
    with pytest.raises(ErasedError):
        keyring.ensure_subject("haneul", now)
