"""Terms and receipts at rest: bound to their version and to their person."""

import pytest

from consent.models import ConsentVersion
from consent.versions import (
    open_receipt,
    open_terms,
    open_terms_with,
    seal_receipt,
    seal_terms,
    version_id_of,
)
from tests.consent.details import terms_with
from tests.consent.office import Office
from vault.errors import TamperedError, UnknownKeyError


def version_of(office: Office, version_id: str) -> ConsentVersion:
    with office.installation.data.read() as session:
        return session.get_one(ConsentVersion, version_id)


@pytest.mark.parametrize("version_id", ["grant.0", "grant.2", "other.1", "grant.1 ", ""])
def test_terms_and_receipts_do_not_open_as_another_version(sqlite_office: Office, version_id: str) -> None:
    keyring, subject_id = sqlite_office.keyring, sqlite_office.subject_id
    terms = seal_terms(keyring, subject_id, "grant.1", terms_with())
    receipt = seal_receipt(keyring, subject_id, "grant.1", "a.b.c")
    with pytest.raises(TamperedError):
        open_terms_with(keyring.audit_key(subject_id), version_id, terms)
    with pytest.raises(TamperedError):
        open_receipt(keyring, subject_id, version_id, receipt)


def test_a_receipt_does_not_open_as_terms(sqlite_office: Office) -> None:
    keyring, subject_id = sqlite_office.keyring, sqlite_office.subject_id
    terms = seal_terms(keyring, subject_id, "grant.1", terms_with())
    with pytest.raises(TamperedError):
        open_receipt(keyring, subject_id, "grant.1", terms)


def test_nothing_opens_for_another_person(sqlite_office: Office) -> None:
    keyring, stranger = sqlite_office.keyring, sqlite_office.newcomer()
    receipt = seal_receipt(keyring, sqlite_office.subject_id, "grant.1", "a.b.c")
    with pytest.raises(TamperedError):
        open_receipt(keyring, stranger, "grant.1", receipt)
    with pytest.raises(UnknownKeyError):
        open_receipt(keyring, "nobody", "grant.1", receipt)


def test_terms_and_receipts_come_back_as_they_were(office: Office) -> None:
    given = office.agree()
    version = version_of(office, given.version_id)
    assert version.version_id == version_id_of(given.grant_id, 1)
    opened = open_terms(office.keyring, office.subject_id, version)
    assert opened == given.terms
    assert opened.canonical() == given.terms.canonical()
    assert version.receipt_sealed is not None
    receipt = open_receipt(office.keyring, office.subject_id, version.version_id, version.receipt_sealed)
    assert receipt == given.receipt_jws


def test_what_lies_in_the_row_says_nothing(office: Office) -> None:
    given = office.agree()
    version = version_of(office, given.version_id)
    assert version.receipt_sealed is not None
    assert str(given.receipt_jws).startswith("eyJhbGciOi")
    for word in (b"health", b"seoul-hospital", b"eyJhbGciOi"):
        assert word not in version.terms_sealed + version.receipt_sealed


def test_terms_outlive_an_erasure(office: Office) -> None:
    given = office.agree()
    office.keyring.erase_subject(office.subject_id, office.clock())
    version = version_of(office, given.version_id)
    assert open_terms(office.keyring, office.subject_id, version) == given.terms
