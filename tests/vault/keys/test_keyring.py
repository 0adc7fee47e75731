"""The keyring makes, opens and erases keys, and refuses keys that were moved or erased (V04, V11)."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import SQLModel, col, select, update

from tests.databases import Databases
from tests.vault.conftest import CHEAP
from vault.errors import (
    ErasedError,
    KeyringExistsError,
    KeyringLockedError,
    KeyringMissingError,
    TamperedError,
    UnknownKeyError,
    WrongPassphraseError,
)
from vault.keys.keyring import Keyring, ShareRow
from vault.keys.local import LocalProvider, create_root_file
from vault.keys.models import (
    AuditKey,
    CompartmentKey,
    ConsentShare,
    EpochKey,
    ErasedSubject,
    IndexRoot,
    SubjectKey,
)
from vault.seal import SealingKey


@dataclass
class Citizen:
    """A subject with a key, and two compartments."""

    keyring: Keyring
    subject_id: str
    now: datetime
    compartments: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.keyring.ensure_subject(self.subject_id, self.now)
        self.compartments = [
            self.keyring.compartment_id(self.subject_id, "seoul-hospital", record_type)
            for record_type in ("health.medical_bill", "health.prescription")
        ]


@pytest.fixture
def haneul(keyring: Keyring, now: datetime) -> Citizen:
    return Citizen(keyring, "haneul", now)


@pytest.fixture
def bora(keyring: Keyring, now: datetime) -> Citizen:
    return Citizen(keyring, "bora", now)


def shares(databases: Databases) -> list[ConsentShare]:
    with databases.keyring.read() as session:
        return list(
            session.exec(select(ConsentShare).order_by(ConsentShare.version_id, ConsentShare.compartment_id))
        )


def count(databases: Databases, model: type[SQLModel]) -> int:
    with databases.keyring.read() as session:
        return len(session.exec(select(model)).all())


def test_a_locked_keyring_opens_nothing(databases: Databases, provider: LocalProvider, now: datetime) -> None:
    locked = Keyring(databases.keyring, provider)
    with pytest.raises(KeyringLockedError):
        locked.index("patient_no", "P-1")
    with pytest.raises(KeyringLockedError):
        locked.ensure_subject("haneul", now)


def test_a_database_without_a_keyring_is_refused(databases: Databases, provider: LocalProvider) -> None:
    with pytest.raises(KeyringMissingError):
        Keyring(databases.keyring, provider).unlock()


def test_a_keyring_whose_current_epoch_is_gone_is_refused(keyring: Keyring, databases: Databases) -> None:
    with databases.keyring.write() as session:
        session.execute(update(EpochKey).values(state="destroyed"))
    with pytest.raises(KeyringMissingError):
        keyring.unlock()


def test_a_second_keyring_is_not_made(keyring: Keyring, databases: Databases, now: datetime) -> None:
    with pytest.raises(KeyringExistsError):
        keyring.create(now)
    assert (count(databases, EpochKey), count(databases, IndexRoot)) == (1, 1)


def test_a_wrong_passphrase_unlocks_nothing(keyring: Keyring, databases: Databases, tmp_path: Path) -> None:
    wrong = Keyring(databases.keyring, LocalProvider(tmp_path / "root.json", "battery staple"))
    with pytest.raises(WrongPassphraseError):
        wrong.unlock()
    with pytest.raises(KeyringLockedError):
        wrong.index("patient_no", "P-1")


def test_a_missing_root_file_unlocks_nothing(keyring: Keyring, databases: Databases, tmp_path: Path) -> None:
    with pytest.raises(KeyringMissingError):
        Keyring(databases.keyring, LocalProvider(tmp_path / "gone.json", "correct horse")).unlock()


def test_a_foreign_root_file_unlocks_nothing(keyring: Keyring, databases: Databases, tmp_path: Path) -> None:
    create_root_file(tmp_path / "other.json", "correct horse", cost=CHEAP)
    with pytest.raises(TamperedError):
        Keyring(databases.keyring, LocalProvider(tmp_path / "other.json", "correct horse")).unlock()


def test_a_wrapped_epoch_moved_to_another_name_is_refused(keyring: Keyring, databases: Databases) -> None:
    with databases.keyring.write() as session:
        session.execute(update(EpochKey).values(epoch_id="renamed"))
    with pytest.raises(TamperedError):
        keyring.unlock()


def test_keys_that_were_never_made_are_unknown(keyring: Keyring, now: datetime) -> None:
    for attempt in (
        lambda: keyring.audit_key("nobody"),
        lambda: keyring.compartment_key("nobody", "0" * 32),
        lambda: keyring.ensure_compartment("nobody", "0" * 32, now),
        lambda: keyring.share("grant.1", "nobody", ["0" * 32], now),
    ):
        with pytest.raises(UnknownKeyError) as caught:
            attempt()
        assert type(caught.value) is UnknownKeyError


def test_a_compartment_of_one_is_none_of_the_other(haneul: Citizen, bora: Citizen, now: datetime) -> None:
    keyring, stolen = haneul.keyring, haneul.compartments[0]
    keyring.ensure_compartment("haneul", stolen, now)
    for attempt in (
        lambda: keyring.compartment_key("bora", stolen),
        lambda: keyring.ensure_compartment("bora", stolen, now),
        lambda: keyring.share("grant.1", "bora", [stolen], now),
    ):
        with pytest.raises(UnknownKeyError):
            attempt()


def test_many_keys_are_made_at_once_and_each_is_the_one_that_is_found_alone(
    haneul: Citizen, bora: Citizen, databases: Databases, now: datetime
) -> None:
    keyring, first = haneul.keyring, haneul.compartments[0]
    there = keyring.ensure_compartment("haneul", first, now)
    wanted = dict.fromkeys(haneul.compartments, "haneul") | dict.fromkeys(bora.compartments, "bora")
    made = keyring.ensure_compartments(wanted, now)
    assert set(made) == set(wanted)
    assert made[first] == there
    assert len(set(made.values())) == len(wanted)
    assert keyring.compartment_keys(wanted) == made == keyring.ensure_compartments(wanted, now)
    assert {name: keyring.compartment_key(owner, name) for name, owner in wanted.items()} == made
    assert count(databases, CompartmentKey) == len(wanted)
    assert (
        keyring.ensure_compartments({}, now) == keyring.compartment_keys({}) == keyring.audit_keys([]) == {}
    )
    audit_keys = {name: keyring.audit_key(name) for name in ("haneul", "bora")}
    assert keyring.audit_keys(["bora", "haneul", "bora"]) == audit_keys


@pytest.mark.parametrize("refused", ["nobody", "erased", "stolen"])
def test_of_many_keys_none_is_made_if_one_is_refused(
    haneul: Citizen, bora: Citizen, databases: Databases, now: datetime, refused: str
) -> None:
    keyring = haneul.keyring
    wanted = dict.fromkeys(haneul.compartments, "haneul")
    expected = ErasedError if refused == "erased" else UnknownKeyError
    if refused == "erased":
        keyring.erase_subject("bora", now)
        wanted[bora.compartments[0]] = "bora"
    elif refused == "nobody":
        wanted["0" * 32] = "nobody"
    else:
        keyring.ensure_compartment("bora", bora.compartments[0], now)
        wanted[bora.compartments[0]] = "haneul"
    before = count(databases, CompartmentKey)
    with pytest.raises(expected):
        keyring.ensure_compartments(wanted, now)
    assert count(databases, CompartmentKey) == before
    with pytest.raises(UnknownKeyError):
        keyring.audit_keys(["haneul", "nobody"])


def test_of_many_keys_those_of_the_erased_are_left_out(haneul: Citizen, bora: Citizen, now: datetime) -> None:
    keyring = haneul.keyring
    wanted = dict.fromkeys(haneul.compartments, "haneul") | dict.fromkeys(bora.compartments, "bora")
    made = keyring.ensure_compartments(wanted, now)
    keyring.erase_subject("bora", now)
    assert keyring.compartment_keys(wanted) == {name: made[name] for name in haneul.compartments}
    with pytest.raises(UnknownKeyError):
        keyring.compartment_keys(wanted | {"0" * 32: "haneul"})


def test_who_was_erased_is_known_and_nobody_else(haneul: Citizen, bora: Citizen, now: datetime) -> None:
    keyring = haneul.keyring
    keyring.erase_subject("bora", now)
    assert [keyring.is_erased(name) for name in ("haneul", "bora", "nobody")] == [False, True, False]


def test_of_many_subjects_none_gets_keys_if_one_was_erased(
    keyring: Keyring, databases: Databases, now: datetime
) -> None:
    keyring.ensure_subject("haneul", now)
    keyring.erase_subject("bora", now)
    with pytest.raises(ErasedError):
        keyring.ensure_subjects(["haneul", "bora", "chorok"], now)
    assert count(databases, SubjectKey) == count(databases, AuditKey) == 1
    keyring.ensure_subjects(["chorok", "haneul", "chorok"], now)
    assert count(databases, SubjectKey) == count(databases, AuditKey) == 2


@pytest.mark.parametrize("model", [SubjectKey, AuditKey])
def test_wrapped_keys_exchanged_between_subjects_are_refused(
    haneul: Citizen,
    bora: Citizen,
    databases: Databases,
    now: datetime,
    model: type[SubjectKey] | type[AuditKey],
) -> None:
    haneul.keyring.ensure_compartment("haneul", haneul.compartments[0], now)

    def open_compartment(subject_id: str) -> SealingKey:
        return haneul.keyring.compartment_key(subject_id, haneul.compartments[0])

    with databases.keyring.write() as session:
        mine: Any = session.get_one(model, "haneul")
        theirs: Any = session.get_one(model, "bora")
        mine.key_id, theirs.key_id = theirs.key_id, mine.key_id
        mine.wrapped, theirs.wrapped = theirs.wrapped, mine.wrapped
        session.add_all([mine, theirs])
    with pytest.raises(TamperedError):
        (haneul.keyring.audit_key if model is AuditKey else open_compartment)("haneul")


def test_a_compartment_key_given_to_another_subject_is_refused(
    haneul: Citizen, bora: Citizen, databases: Databases, now: datetime
) -> None:
    haneul.keyring.ensure_compartment("haneul", haneul.compartments[0], now)
    with databases.keyring.write() as session:
        session.execute(update(CompartmentKey).values(subject_id="bora"))
    with pytest.raises(TamperedError):
        haneul.keyring.compartment_key("bora", haneul.compartments[0])


@pytest.mark.parametrize(
    "change",
    [
        {"version_id": "grant.2"},
        {"compartment_id": "0" * 32},
        {"key_id": b"x" * 16},
        {"wrapped": b"\x01" + b"x" * 60},
    ],
)
def test_a_share_moved_or_altered_is_refused(
    haneul: Citizen, databases: Databases, now: datetime, change: dict[str, Any]
) -> None:
    haneul.keyring.share("grant.1", "haneul", haneul.compartments[:1], now)
    row = shares(databases)[0]
    whole = ShareRow(row.epoch_id, row.version_id, row.compartment_id, row.key_id, row.wrapped)
    with pytest.raises(TamperedError):
        haneul.keyring.open_share(whole._replace(**change))


def test_a_share_of_an_epoch_that_is_gone_is_unknown(
    haneul: Citizen, databases: Databases, now: datetime
) -> None:
    haneul.keyring.share("grant.1", "haneul", haneul.compartments[:1], now)
    row = shares(databases)[0]
    whole = ShareRow("elsewhen", row.version_id, row.compartment_id, row.key_id, row.wrapped)
    with pytest.raises(UnknownKeyError):
        haneul.keyring.open_share(whole)


@pytest.mark.parametrize("version_id", ["grant", "grant.", ".1", "grant.x", ""])
def test_a_share_needs_a_version_of_a_grant(haneul: Citizen, now: datetime, version_id: str) -> None:
    with pytest.raises(ValueError, match="grant_id"):
        haneul.keyring.share(version_id, "haneul", haneul.compartments, now)


def test_what_was_erased_stays_erased(
    haneul: Citizen, bora: Citizen, databases: Databases, now: datetime
) -> None:
    keyring = haneul.keyring
    for citizen in (haneul, bora):
        keyring.share(f"{citizen.subject_id}-grant.1", citizen.subject_id, citizen.compartments, now)
    audit_key = keyring.audit_key("haneul")
    keyring.erase_subject("haneul", now)
    keyring.erase_subject("haneul", now)
    for attempt in (
        lambda: keyring.compartment_key("haneul", haneul.compartments[0]),
        lambda: keyring.ensure_compartment("haneul", haneul.compartments[0], now),
        lambda: keyring.share("haneul-grant.2", "haneul", haneul.compartments, now),
        lambda: keyring.ensure_subject("haneul", now),
    ):
        with pytest.raises(ErasedError) as caught:
            attempt()
        assert caught.value.subject_id == "haneul"
    assert keyring.audit_key("haneul") == audit_key
    assert {row.subject_id for row in shares(databases)} == {"bora"}
    assert (count(databases, SubjectKey), count(databases, CompartmentKey)) == (1, 2)
    assert count(databases, ErasedSubject) == 1
    keyring.compartment_key("bora", bora.compartments[0])


def test_a_subject_erased_before_it_had_keys_gets_none(keyring: Keyring, now: datetime) -> None:
    keyring.erase_subject("haneul", now)
    with pytest.raises(ErasedError):
        keyring.ensure_subject("haneul", now)


def test_shares_end_with_their_grant_and_only_with_theirs(
    haneul: Citizen, databases: Databases, now: datetime
) -> None:
    for version_id in ("grant.1", "grant.2", "grant-b.1"):
        haneul.keyring.share(version_id, "haneul", haneul.compartments, now)
    assert haneul.keyring.delete_shares("grant") == 4
    assert haneul.keyring.delete_shares("grant") == 0
    assert {row.version_id for row in shares(databases)} == {"grant-b.1"}


def test_shares_of_earlier_versions_end_and_later_ones_stay(
    haneul: Citizen, databases: Databases, now: datetime
) -> None:
    versions = ["grant.1", "grant.2", "grant.10", "grant-b.1"]
    for version_id in versions:
        haneul.keyring.share(version_id, "haneul", haneul.compartments, now)
    assert haneul.keyring.delete_shares_before("grant.2") == 2
    assert haneul.keyring.delete_shares_before("grant.2") == 0
    assert {row.version_id for row in shares(databases)} == {"grant.2", "grant.10", "grant-b.1"}
    assert haneul.keyring.delete_version_shares("grant.2") == 2
    assert {row.version_id for row in shares(databases)} == {"grant.10", "grant-b.1"}


def test_making_keys_again_changes_nothing(haneul: Citizen, databases: Databases, now: datetime) -> None:
    keyring, compartment_id = haneul.keyring, haneul.compartments[0]
    audit_key, key = keyring.audit_key("haneul"), keyring.ensure_compartment("haneul", compartment_id, now)
    keyring.share("grant.1", "haneul", haneul.compartments, now)
    before = [row.wrapped for row in shares(databases)]
    keyring.ensure_subject("haneul", now)
    keyring.share("grant.1", "haneul", haneul.compartments, now)
    assert keyring.audit_key("haneul") == audit_key
    assert keyring.ensure_compartment("haneul", compartment_id, now) == key
    assert keyring.compartment_key("haneul", compartment_id) == key
    assert [row.wrapped for row in shares(databases)] == before


def test_a_share_opens_the_compartment_in_another_process(
    haneul: Citizen, databases: Databases, provider: LocalProvider, now: datetime
) -> None:
    haneul.keyring.share("grant.1", "haneul", haneul.compartments, now)
    other = Keyring(databases.keyring, provider)
    other.unlock()
    opened = {row.compartment_id: other.open_share(row) for row in shares(databases)}
    assert opened == {name: haneul.keyring.compartment_key("haneul", name) for name in haneul.compartments}
    assert {row.grant_id for row in shares(databases)} == {"grant"}


def test_keys_of_a_retired_epoch_open(
    haneul: Citizen, databases: Databases, provider: LocalProvider, now: datetime
) -> None:
    """What a rotation leaves behind: rows of the old epoch, new keys under the new one."""
    old = haneul.keyring.audit_key("haneul")
    with databases.keyring.write() as session:
        session.execute(update(EpochKey).values(state="retired"))
        session.execute(update(IndexRoot).where(col(IndexRoot.name) == "index").values(name="set aside"))
    haneul.keyring.create(now)
    with databases.keyring.write() as session:
        session.execute(update(IndexRoot).where(col(IndexRoot.name) == "index").values(name="unused"))
        session.execute(update(IndexRoot).where(col(IndexRoot.name) == "set aside").values(name="index"))
    haneul.keyring.unlock()
    haneul.keyring.ensure_subject("bora", now)
    with databases.keyring.read() as session:
        assert session.get_one(AuditKey, "bora").epoch_id != session.get_one(AuditKey, "haneul").epoch_id
    assert haneul.keyring.audit_key("haneul") == old
    haneul.keyring.audit_key("bora")


def test_ids_indexes_and_named_keys_depend_on_every_part_of_their_name(keyring: Keyring) -> None:
    ids = {
        keyring.compartment_id(*parts)
        for parts in (("a", "b", "c"), ("ab", "", "c"), ("a", "bc", ""), ("c", "b", "a"))
    }
    assert len(ids) == 4
    assert all(len(name) == 32 and int(name, 16) >= 0 for name in ids)
    indexes = {
        keyring.index("patient_no", "P-1"),
        keyring.index("bill_no", "P-1"),
        keyring.index("patient_no", "P-2"),
    }
    assert {len(index) for index in indexes} == {32}
    assert len(indexes) == 3
    assert keyring.sealing_key("par") != keyring.sealing_key("other")


def test_names_give_the_same_after_a_restart(
    keyring: Keyring, databases: Databases, provider: LocalProvider
) -> None:
    again = Keyring(databases.keyring, provider)
    again.unlock()
    assert again.index("patient_no", "P-1") == keyring.index("patient_no", "P-1")
    assert again.sealing_key("par") == keyring.sealing_key("par")
    assert again.compartment_id("a", "b", "c") == keyring.compartment_id("a", "b", "c")


def test_no_repr_shows_a_key(haneul: Citizen, now: datetime) -> None:
    roots = haneul.keyring._roots
    shown = repr(haneul.keyring) + repr(roots)
    for secret in (roots._index_root, *roots._epochs.values()):
        assert repr(secret) not in shown
    key = haneul.keyring.ensure_compartment("haneul", haneul.compartments[0], now)
    assert repr(key.secret) not in repr(key)
