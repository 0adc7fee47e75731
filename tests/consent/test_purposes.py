"""Purpose declarations: what makes one invalid, and what its digest covers."""

from typing import Any, Final

import pytest
from pydantic import ValidationError

from broker.installation import load_purposes
from consent.errors import UnknownPurposeError
from consent.purposes import Purpose, Purposes, Text
from tests.consent.details import ABSENT, BILL, PURPOSE, objects_in
from vault.record_types.catalogue import Catalogue


def declaration() -> dict[str, Any]:
    return load_purposes().get(PURPOSE).model_dump(mode="json")


def declared_with(path: str, value: object) -> dict[str, Any]:
    changed = declaration()
    *steps, last = path.split(".")
    place: Any = changed
    for step in steps:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if value is ABSENT:
        del place[last]
    else:
        place[last] = value
    return changed


BROKEN: Final[tuple[tuple[str, object], ...]] = (
    ("code", ABSENT),
    ("legal_basis", ABSENT),
    ("refusal_effect", ABSENT),
    ("name.en", ABSENT),
    ("notice.ko", ABSENT),
    ("notice.revision", ABSENT),
    ("items", []),
    ("items.0.modes", []),
    ("items.0.modes", ["predicate"]),
    ("items.0.required", ABSENT),
    ("caps.kind", "always"),
    ("caps.max_pulls", 0),
    ("caps.max_days", 0),
    ("caps.max_lookback_days", 0),
    ("caps.max_retention_days", -1),
    ("periodic_caps.max_pulls", 0),
    ("periodic_caps.shortest_cycle_days", 6),
    ("periodic_caps.shortest_cycle_days", 31),
)


@pytest.mark.parametrize(("path", "value"), BROKEN)
def test_a_broken_declaration_is_refused(path: str, value: object) -> None:
    with pytest.raises(ValidationError):
        Purposes.load([declared_with(path, value)])


@pytest.mark.parametrize("path", list(objects_in(declaration())))
def test_a_member_that_nobody_knows_is_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        Purposes.load([declared_with(f"{path}.surprise".lstrip("."), 1)])


def test_one_code_cannot_be_declared_twice() -> None:
    with pytest.raises(ValueError, match="declared twice"):
        Purposes.load([declaration(), declaration()])


def test_an_unknown_purpose_is_refused_by_its_code() -> None:
    with pytest.raises(UnknownPurposeError) as caught:
        Purposes.load([]).get("no.such")
    assert caught.value.code == "no.such"
    assert "no.such" not in str(caught.value)


def test_purposes_are_found_by_code_and_listed_in_order() -> None:
    later, earlier = declaration() | {"code": "b.later"}, declaration() | {"code": "a.earlier"}
    purposes = Purposes.load([later, earlier])
    assert [purpose.code for purpose in purposes.all()] == ["a.earlier", "b.later"]
    assert purposes.get("b.later") == Purpose.model_validate(later)


def test_a_purpose_tells_what_it_allows_for_a_record_type() -> None:
    purpose = load_purposes().get(PURPOSE)
    allowed = purpose.item(BILL)
    assert allowed is not None
    assert allowed.record_type == BILL
    assert purpose.item("finance.nothing") is None


def test_a_text_is_korean_unless_english_is_wanted() -> None:
    text = Text(ko="동의", en="consent")
    assert [text.in_language(language) for language in ("ko", "en", "fr")] == ["동의", "consent", "동의"]


@pytest.mark.parametrize(
    "path", ["code", "name.en", "text.en", "refusal_effect.en", "notice.en", "notice.revision"]
)
def test_the_notice_digest_covers_every_text_that_is_shown(path: str) -> None:
    original, changed = load_purposes().get(PURPOSE), Purpose.model_validate(declared_with(path, "changed"))
    assert changed.notice_digest("en") != original.notice_digest("en")


@pytest.mark.parametrize("path", ["name.ko", "text.ko", "refusal_effect.ko", "notice.ko"])
def test_the_notice_digest_is_of_one_language(path: str) -> None:
    original, changed = load_purposes().get(PURPOSE), Purpose.model_validate(declared_with(path, "바뀜"))
    assert changed.notice_digest("en") == original.notice_digest("en")
    assert changed.notice_digest("ko") != original.notice_digest("ko")
    assert original.notice_digest("ko") != original.notice_digest("en")


def test_declared_purposes_name_record_types_and_fields_that_exist() -> None:
    catalogue = Catalogue.load()
    for purpose in load_purposes().all():
        for item in purpose.items:
            assert set(item.fields) <= set(catalogue.get(item.record_type).fields)
