"""Erasing some compartments of a subject: their keys and shares, and nobody else's."""

from datetime import datetime, timedelta

import pytest

from tests.databases import Databases
from tests.vault.keys.test_keyring import Citizen, shares
from vault.errors import UnknownKeyError
from vault.keys.keyring import Keyring


def test_others_keep_theirs(keyring: Keyring, databases: Databases, now: datetime) -> None:
    haneul, bora = Citizen(keyring, "haneul", now), Citizen(keyring, "bora", now)
    for citizen in (haneul, bora):
        keyring.share(f"{citizen.subject_id}.1", citizen.subject_id, citizen.compartments, now)
    gone, kept = haneul.compartments
    before = keyring.compartment_key("haneul", kept)
    for _ in range(2):
        keyring.erase_compartments("haneul", [gone, *bora.compartments])  # those are not hers
    with pytest.raises(UnknownKeyError):
        keyring.compartment_key("haneul", gone)
    assert keyring.compartment_key("haneul", kept) == before
    assert {share.compartment_id for share in shares(databases)} == {kept, *bora.compartments}
    assert keyring.ensure_compartment("haneul", gone, now) != before


def test_what_was_made_later_stays_with_its_shares(
    keyring: Keyring, databases: Databases, now: datetime
) -> None:
    haneul = Citizen(keyring, "haneul", now)
    anew, old = haneul.compartments
    keyring.share("old.1", "haneul", haneul.compartments, now)
    keyring.erase_compartments("haneul", [anew])
    later = now + timedelta(seconds=1)
    made = keyring.ensure_compartment("haneul", anew, later)
    keyring.share("new.1", "haneul", [anew], later)
    keyring.erase_compartments("haneul", haneul.compartments, made_until=now)
    assert keyring.compartment_key("haneul", anew) == made
    with pytest.raises(UnknownKeyError):
        keyring.compartment_key("haneul", old)
    assert [share.version_id for share in shares(databases)] == ["new.1"]
