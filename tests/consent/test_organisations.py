"""Organisations: roles and status hold, names follow the registration, suspension stops."""

from dataclasses import replace
from datetime import timedelta

import pytest

from consent.errors import UnknownOrganisationError
from consent.models import Organisation
from consent.organisations import (
    OrganisationStatus,
    find_holders,
    organisations,
    register,
    require_holders,
    suspend,
)
from tests.consent.details import HOSPITAL, REGISTER
from tests.consent.office import ORGANISATIONS, RECIPIENT, Office


def stored(office: Office, organisation_id: str) -> Organisation:
    with office.installation.data.read() as session:
        return session.get_one(Organisation, organisation_id)


def stop(office: Office, organisation_id: str) -> None:
    with office.work() as work:
        suspend(work.session, organisation_id)


def require(office: Office, *holder_ids: str) -> None:
    with office.installation.data.read() as session:
        require_holders(session, holder_ids)


@pytest.mark.parametrize("missing", [RECIPIENT, "no-such-holder", "", "x" * 100])
def test_what_is_no_holder_is_named_in_the_refusal(office: Office, missing: str) -> None:
    with pytest.raises(UnknownOrganisationError) as caught:
        require(office, HOSPITAL, missing, missing, REGISTER)
    assert caught.value.organisation_ids == [missing]


def test_every_missing_holder_is_named_in_order(office: Office) -> None:
    with pytest.raises(UnknownOrganisationError) as caught:
        require(office, "b", HOSPITAL, "a")
    assert caught.value.organisation_ids == ["a", "b"]


def test_a_suspended_holder_is_no_holder(office: Office) -> None:
    stop(office, HOSPITAL)
    with pytest.raises(UnknownOrganisationError):
        require(office, HOSPITAL, REGISTER)
    require(office, REGISTER)


def test_an_unknown_organisation_cannot_be_suspended(office: Office) -> None:
    with pytest.raises(UnknownOrganisationError) as caught:
        stop(office, "no-such")
    assert caught.value.organisation_ids == ["no-such"]


def test_active_holders_pass_and_so_does_nobody(office: Office) -> None:
    require(office, HOSPITAL, REGISTER, HOSPITAL)
    require(office)


def test_a_new_organisation_is_active_in_its_roles(office: Office) -> None:
    hospital, recipient = stored(office, HOSPITAL), stored(office, RECIPIENT)
    assert (hospital.status, hospital.is_holder, hospital.is_recipient) == (
        OrganisationStatus.ACTIVE,
        True,
        False,
    )
    assert (recipient.is_holder, recipient.is_recipient) == (False, True)
    assert hospital.created_at == office.clock()


def test_registering_again_changes_names_and_contact_and_nothing_else(office: Office) -> None:
    before = stored(office, HOSPITAL)
    stop(office, HOSPITAL)
    renamed = replace(
        ORGANISATIONS[0],
        name_ko="새병원",
        name_en="New Hospital",
        contact="new@example.org",
        registration_number="000",
        is_recipient=True,
        is_holder=False,
    )
    with office.work() as work:
        register(work.session, renamed, office.clock() + timedelta(days=1))
    after = stored(office, HOSPITAL)
    assert (after.name_ko, after.name_en, after.contact) == ("새병원", "New Hospital", "new@example.org")
    assert (after.is_holder, after.is_recipient, after.registration_number) == (
        before.is_holder,
        before.is_recipient,
        before.registration_number,
    )
    assert (after.status, after.created_at) == (OrganisationStatus.SUSPENDED, before.created_at)


def test_organisations_are_listed_by_id(office: Office) -> None:
    with office.installation.data.read() as session:
        assert [row.organisation_id for row in organisations(session)] == sorted(
            [HOSPITAL, REGISTER, RECIPIENT]
        )


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        ("", [HOSPITAL, REGISTER]),
        ("%", []),
        ("a_l", []),
        ("한빛손해보험", []),
        ("104-81-00001", []),
        ("220-82", []),
        ("한빛", [HOSPITAL]),
        ("\u1112\u1161\u11ab\u1107\u1175\u11be", [HOSPITAL]),  # the same, its letters apart
        ("HOSPITAL", [HOSPITAL]),
        ("seoulhanbit", [HOSPITAL]),
        ("2208210073", [HOSPITAL]),
        ("220-82-10073", [HOSPITAL]),
        ("e", [REGISTER, HOSPITAL]),
    ],
)
def test_holders_are_found_by_part_of_a_name_or_by_a_whole_number(
    office: Office, words: str, ids: list[str]
) -> None:
    with office.installation.data.read() as session:
        found = find_holders(session, words, limit=10)
    assert sorted(holder.organisation_id for holder in found) == sorted(ids)


def test_holders_are_found_by_id_and_active_ones_come_first(office: Office) -> None:
    def find(words: str, *holder_ids: str, limit: int = 10) -> list[tuple[str, bool]]:
        with office.installation.data.read() as session:
            found = find_holders(session, words, holder_ids=holder_ids, limit=limit)
        return [(holder.organisation_id, holder.is_active) for holder in found]

    assert find("nothing", REGISTER) == [(REGISTER, True)]
    assert find("nothing", RECIPIENT) == []
    stop(office, REGISTER)
    assert find("e") == [(HOSPITAL, True), (REGISTER, False)]
    assert find("e", limit=1) == [(HOSPITAL, True)]


def test_a_found_holder_has_a_name_in_each_language(office: Office) -> None:
    with office.installation.data.read() as session:
        (holder,) = find_holders(session, "Seoul", limit=2)
    assert (holder.name("ko"), holder.name("en")) == ("서울한빛병원", "Seoul Hanbit Hospital")
