"""A look before deciding: what a delivery would say, under the person's own keys, with no trace."""

from dataclasses import replace
from typing import Any, Final

import pytest

from consent.collection import Arrival
from consent.derivations import Derivations
from consent.preview import Previewed, Previewer
from tests.consent.details import BILL, HOSPITAL, REGISTER, terms_with
from tests.consent.office import Office
from vault.record_types.catalogue import Catalogue

EXAMPLE: Final = dict(Catalogue.load().get(BILL).example)
FIELDS: Final = {"record_type": BILL, "mode": "fields", "fields": ["totals"], "required": True}
ASKED: Final = {
    "record_type": BILL,
    "mode": "predicate",
    "predicate": {"name": "paid_at_least", "value": 124_200},
    "required": True,
}


def bill(number: str, **changes: object) -> Arrival:
    return Arrival(BILL, number, EXAMPLE | {"bill_no": number} | changes)


def look(office: Office, *items: dict[str, Any], holders: tuple[str, ...] = (HOSPITAL,)) -> list[Previewed]:
    with office.installation.data.read() as session:
        previewer = Previewer(
            session, office.keyring, office.installation.catalogue, Derivations([("test.n@1", count)])
        )
        terms = terms_with({"items": list(items)})
        return list(previewer.look(office.subject_id, terms, holders, office.clock()))


def count(records: Any, as_of: Any) -> dict[str, int | str]:  # noqa: ANN401 - JSON, a day
    return {"n": len(records), "day": as_of.isoformat()}


@pytest.fixture
def filled(office: Office) -> Office:
    """A person with one bill inside the usual period, and one outside."""
    office.collect(office.link(), bill("1"), bill("2", period={"from": "2025-01-02", "to": "2025-01-02"}))
    return office


def test_only_what_lies_within_the_terms_is_shown(filled: Office) -> None:
    (one,) = look(filled, FIELDS)
    assert one.records == ({"totals": EXAMPLE["totals"]},)
    assert one.answer is None


def test_an_answer_is_shown_as_an_answer(filled: Office) -> None:
    (one,) = look(filled, ASKED)
    assert one.records == ()
    assert one.answer is not None
    assert (one.answer["answer"], one.answer["rule"]) == (True, "paid_at_least@1")
    derived = {"record_type": BILL, "mode": "derived", "derivation": "test.n", "required": True}
    (one,) = look(filled, derived)
    assert one.answer is not None
    assert one.answer["answer"] == {"n": 1, "day": "2026-12-01"}


def test_other_holders_and_other_people_are_not_looked_at(filled: Office) -> None:
    assert look(filled, FIELDS, holders=(REGISTER,))[0].records == ()
    stranger = replace(filled, subject_id=filled.newcomer())
    assert look(stranger, FIELDS)[0].records == ()


def test_what_was_erased_is_not_shown(filled: Office) -> None:
    filled.keyring.erase_subject(filled.subject_id, filled.clock())
    assert look(filled, FIELDS)[0].records == ()


def test_a_look_leaves_no_trace(filled: Office) -> None:
    before = filled.log_size()
    look(filled, FIELDS)
    assert filled.log_size() == before
