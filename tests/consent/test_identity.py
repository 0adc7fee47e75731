"""Whose record it is: the number decides, name and birth date contradict, and nothing is guessed."""

import unicodedata
from datetime import timedelta

import pytest

from consent.collection import VALID_FOR, NewLink, link, unlink
from consent.identity import Identity, Match, identity_of, match, match_all
from consent.models import SourceLink
from consent.vocabulary import Doubt
from tests.consent.details import BILL, HOSPITAL, REGISTER
from tests.consent.office import Office
from vault.errors import ErasedError, TamperedError

NAME, BORN = "김하늘", "1997-03-02"


def linked(
    office: Office,
    number: str = "P-1",
    name: str | None = NAME,
    born_on: str | None = BORN,
    *,
    subject_id: str | None = None,
) -> str:
    new = NewLink(subject_id or office.newcomer(), HOSPITAL, number, (BILL,), "ko", name, born_on)
    with office.work() as work:
        return link(work, office.keyring, new, office.clock())


def matched(office: Office, told: Identity, holder_id: str = HOSPITAL) -> Match:
    with office.installation.data.read() as session:
        return match(session, office.keyring, holder_id, told, office.clock())


def answer(
    office: Office, told: Identity, holder_id: str = HOSPITAL
) -> tuple[str | None, Doubt | None, bool]:
    found = matched(office, told, holder_id)
    return found.link.link_id if found.link else None, found.doubt, found.is_number_linked


NOBODY = (None, Doubt.PERSON_NOT_LINKED, False)


def row(office: Office, link_id: str) -> SourceLink:
    with office.installation.data.read() as session:
        return session.get_one(SourceLink, link_id)


# Nobody's


def test_a_number_that_nobody_linked_is_nobodys(office: Office) -> None:
    linked(office, name=None, born_on=None)
    assert answer(office, Identity("P-2", NAME, BORN)) == NOBODY


def test_a_number_of_another_holder_is_nobodys(office: Office) -> None:
    linked(office)
    assert answer(office, Identity("P-1", NAME, BORN), REGISTER) == NOBODY


def test_a_part_of_a_number_is_nobodys(office: Office) -> None:
    linked(office, "P-100")
    for part in ("P-10", "P-1", "", "p-100", "P-100 "):
        assert answer(office, Identity(part)) == NOBODY


def test_an_ended_link_is_nobodys_and_forgets_who_it_was(office: Office) -> None:
    subject_id = office.newcomer()
    link_id = linked(office, subject_id=subject_id)
    with office.work() as work:
        unlink(work, office.keyring, link_id, subject_id, office.clock())
    assert answer(office, Identity("P-1", NAME, BORN)) == NOBODY
    assert identity_of(office.keyring, row(office, link_id)) is None
    assert row(office, link_id).person_index is None


def test_a_link_whose_year_is_over_is_nobodys(office: Office) -> None:
    link_id = linked(office)
    office.clock.advance(VALID_FOR - timedelta(seconds=1))
    assert answer(office, Identity("P-1")) == (link_id, None, True)
    office.clock.advance(timedelta(seconds=1))
    assert answer(office, Identity("P-1")) == NOBODY


def test_who_was_erased_is_nobody(office: Office) -> None:
    subject_id = office.newcomer()
    link_id = linked(office, subject_id=subject_id)
    office.keyring.erase_subject(subject_id, office.clock())
    assert answer(office, Identity("P-1", NAME)) == NOBODY
    with pytest.raises(ErasedError):
        identity_of(office.keyring, row(office, link_id))


# In doubt


def test_name_and_birth_date_alone_never_decide(office: Office) -> None:
    link_id = linked(office)
    assert answer(office, Identity("P-2", NAME, BORN)) == (link_id, Doubt.NUMBER_DIFFERS, False)


def test_two_people_of_one_name_and_birth_date_are_ambiguous_without_their_number(office: Office) -> None:
    linked(office, "P-1")
    linked(office, "P-2")
    assert answer(office, Identity("P-3", NAME, BORN)) == (None, Doubt.PERSON_AMBIGUOUS, False)


def test_a_number_of_one_with_name_and_birth_date_of_another_is_ambiguous(office: Office) -> None:
    link_id = linked(office, "P-1", name=None, born_on=None)
    linked(office, "P-2")
    assert answer(office, Identity("P-1", NAME, BORN)) == (link_id, Doubt.PERSON_AMBIGUOUS, True)


def test_another_name_is_a_doubt(office: Office) -> None:
    link_id = linked(office)
    assert answer(office, Identity("P-1", "이정숙", BORN)) == (link_id, Doubt.NAME_DIFFERS, True)
    assert answer(office, Identity("P-1", "김하눌")) == (link_id, Doubt.NAME_DIFFERS, True)


def test_another_birth_date_is_a_doubt(office: Office) -> None:
    link_id = linked(office)
    assert answer(office, Identity("P-1", NAME, "1997-02-03")) == (link_id, Doubt.BIRTH_DATE_DIFFERS, True)


# Without a doubt


@pytest.mark.parametrize("name", [NAME, " 김 하늘 ", unicodedata.normalize("NFD", NAME), None])
def test_the_number_and_a_name_however_it_is_written(office: Office, name: str | None) -> None:
    link_id = linked(office)
    assert answer(office, Identity("P-1", name, BORN)) == (link_id, None, True)


def test_letter_case_and_width_are_not_another_name(office: Office) -> None:
    link_id = linked(office, name="Kim Haneul")
    assert answer(office, Identity("P-1", "ＫＩＭ  HANEUL")) == (link_id, None, True)


def test_a_link_that_knows_no_name_takes_any(office: Office) -> None:
    link_id = linked(office, name=None, born_on=None)
    assert answer(office, Identity("P-1", "이정숙", BORN)) == (link_id, None, True)


def test_twins_are_told_apart_by_their_numbers(office: Office) -> None:
    first, second = linked(office, "P-1"), linked(office, "P-2")
    assert answer(office, Identity("P-1", NAME, BORN)) == (first, None, True)
    assert answer(office, Identity("P-2", NAME, BORN)) == (second, None, True)


# Many at once


def test_many_are_matched_as_each_is_alone(office: Office) -> None:
    first, second = linked(office, "P-1"), linked(office, "P-2", "이정숙", "1950-01-01")
    linked(office, "P-3", name=None, born_on=None)
    gone = office.newcomer()
    linked(office, "P-4", subject_id=gone)
    office.keyring.erase_subject(gone, office.clock())
    asked = [
        Identity("P-1", NAME, BORN),
        Identity("P-1", "이정숙"),
        Identity("P-2", "이정숙"),
        Identity("P-2", NAME, BORN),
        Identity("P-3"),
        Identity("P-4", NAME),
        Identity("P-9", "이정숙", "1950-01-01"),
        Identity("P-9"),
    ]
    with office.installation.data.read() as session:
        found = match_all(session, office.keyring, HOSPITAL, asked, office.clock())
        assert match_all(session, office.keyring, HOSPITAL, [], office.clock()) == {}
    told = {one: (match.link and match.link.link_id, match.doubt) for one, match in found.items()}
    assert told == {one: answer(office, one)[:2] for one in asked}
    assert [told[asked[0]], told[asked[2]], told[asked[6]]] == [
        (first, None),
        (second, None),
        (second, Doubt.NUMBER_DIFFERS),
    ]


# At rest


def test_who_somebody_is_lies_sealed_and_opens_for_its_own_link_only(office: Office) -> None:
    subject_id, number = office.newcomer(), "P-1004477"  # too long to stand among random bytes by chance
    first, second = (linked(office, one, subject_id=subject_id) for one in (number, "P-2"))
    stored, other = row(office, first), row(office, second)
    assert identity_of(office.keyring, stored) == Identity(number, NAME, BORN)
    columns = b"".join(value for value in vars(stored).values() if isinstance(value, bytes))
    for secret in (number, NAME, BORN):
        assert secret.encode() not in columns
    stored.identity_sealed = other.identity_sealed
    with pytest.raises(TamperedError):
        identity_of(office.keyring, stored)


def test_a_link_of_before_there_was_an_identity_has_none(office: Office) -> None:
    link_id = linked(office)
    with office.work() as work:
        work.session.get_one(SourceLink, link_id).identity_sealed = None
    assert answer(office, Identity("P-1", "이정숙")) == (link_id, None, True)


def test_nothing_of_an_identity_is_in_a_text(office: Office) -> None:
    assert NAME not in repr(Identity("P-1", NAME, BORN))
    assert "P-1" not in repr(NewLink("s", HOSPITAL, "P-1", (BILL,), "ko", NAME, BORN))
