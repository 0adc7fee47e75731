"""The lock against guessing, on both databases and under concurrency (broker/web/signin/accounts.py)."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlmodel import select

from broker.db import transaction
from broker.installation import Installation
from broker.web.signin.accounts import Credentials, NewAccount, create_account, display_name, sign_in
from broker.web.signin.models import Account
from consent.collection import add_subject
from tests.installation import Clock
from tests.passwords import cheap_hash
from tests.web.stage import PASSWORD
from vault.errors import TamperedError

LIFETIME = timedelta(hours=12)
GUESSES = 12


@pytest.fixture
def account_id(installation: Installation, clock: Clock) -> str:
    password_hash = cheap_hash(PASSWORD)
    with transaction(installation.data) as work:
        subject_id = add_subject(work, installation.keyring, clock())
        new = NewAccount("citizen", "haneul", password_hash, subject_id, "김하늘")
        return create_account(work.session, installation.keyring, new, clock())


def guess(installation: Installation, clock: Clock, password: str) -> bool:
    found = sign_in(
        installation.data, installation.keyring, Credentials("haneul", password), clock(), lifetime=LIFETIME
    )
    return found is not None


def test_guesses_at_the_same_moment_count_one_by_one(
    installation: Installation, clock: Clock, account_id: str
) -> None:
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda n: guess(installation, clock, f"wrong {n}"), range(GUESSES)))
    assert not any(answers)
    with installation.data.read() as session:
        account = session.get_one(Account, account_id)
    assert account.failed_attempts == 5
    assert account.locked_until == clock() + timedelta(seconds=60)
    assert not guess(installation, clock, PASSWORD)
    clock.advance(timedelta(seconds=60))
    assert guess(installation, clock, PASSWORD)


def test_neither_sign_in_name_nor_name_is_stored_clear(installation: Installation, account_id: str) -> None:
    with installation.data.read() as session:
        account = session.exec(select(Account)).one()
    assert account.account_id == account_id
    assert account.name_sealed is not None
    assert "김하늘".encode() not in account.name_sealed
    assert b"haneul" not in account.username_index
    assert display_name(installation.keyring, account) == "김하늘"


def test_a_name_moved_to_another_account_is_refused(installation: Installation, account_id: str) -> None:
    with installation.data.read() as session:
        account = session.get_one(Account, account_id)
        session.expunge(account)
    account.account_id = "another"
    with pytest.raises(TamperedError):
        display_name(installation.keyring, account)
