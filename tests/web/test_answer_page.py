"""The consent page where an answer is asked for, or would do: words, choices, and the look before."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from typing import Any, Final

import pytest
from sqlmodel import col, func, select

from broker.db import transaction
from broker.installation import Installation, load_purposes
from broker.web.citizen.answer_wording import answer_in_words, preview_in_words
from broker.web.i18n import Language, load_words
from consent.collection import Arrival, collect
from consent.derivations import Derivations
from consent.ledger.models import LedgerEntry
from consent.models import SourceLink
from consent.preview import Previewed
from consent.purposes import Purpose, Purposes
from consent.terms import Item, parse
from consent.vocabulary import ConsentState, Mode
from tests.installation import Clock
from tests.web.conftest import _staged, _with_profile
from tests.web.stage import BILL, POLICY, Form, Stage, bill, detail, policy, text_of
from vault.record_types.catalogue import Catalogue

OWN_NUMBER: Final = "HB-4-000777"  # not the example's
IN_FORCE: Final = {"mode": "predicate", "predicate": {"name": "in_force"}}
SPAN: Final = {"mode": "derived", "derivation": "test.span"}
SPAN_TEXT: Final = {"ko": "보험을 든 햇수", "en": "how many years you have been insured"}
IN_FORCE_KO: Final = "예/아니오만 알려요: 지금 유효한 실손보험이 있는지"
CATALOGUE: Final = Catalogue.load()
WORDS: Final = load_words()


def span(records: Any, as_of: date) -> Mapping[str, int | str]:  # noqa: ANN401 - JSON
    return {"years": as_of.year - int(records[0]["contract_date"][:4])}


def with_answers(purpose: Purpose) -> Purpose:
    """The insurer's purpose, were it content with answers about the policy."""
    raw = purpose.model_dump(mode="json")
    for item in raw["items"]:
        if item["record_type"] == POLICY:
            item["modes"] += ["predicate", "derived"]
            item["predicates"] = {"in_force": [], "generation_one_of": [["3", "4"]]}
            item["derivations"] = {"test.span": SPAN_TEXT}
            item["alternatives"] = [IN_FORCE, SPAN]
    return Purpose.model_validate(raw)


PURPOSE: Final = with_answers(load_purposes().get("insurance.indemnity_claim"))


@pytest.fixture
def stage(sqlite_installation: Installation, clock: Clock) -> Iterator[Stage]:
    """The usual stage with that purpose; the person's policy has arrived."""
    installation = replace(
        _with_profile(sqlite_installation, "demo"),
        purposes=Purposes({PURPOSE.code: PURPOSE}),
        derivations=Derivations([("test.span@1", span)]),
    )
    for stage in _staged(installation, clock):
        _arrive(stage)
        yield stage


def _arrive(stage: Stage) -> None:
    data = dict(CATALOGUE.get(POLICY).example) | {"policy_no": OWN_NUMBER}
    with transaction(stage.installation.data) as work:
        link = work.session.exec(
            select(SourceLink).where(col(SourceLink.holder_id) == "insurance-register")
        ).one()
        collect(
            work,
            stage.installation.keyring,
            stage.installation.catalogue,
            link,
            arrivals=[Arrival(POLICY, data["policy_no"], data)],
            now=stage.clock(),
        )


def log_size(stage: Stage) -> int:
    with stage.installation.data.read() as session:
        return session.exec(select(func.count()).select_from(LedgerEntry)).one()


def keys_of(stage: Stage, interaction_id: str) -> list[str]:
    """The values of the radio buttons for the policy."""
    form = Form(stage.http.get(f"/ko/consent/{interaction_id}").text)
    radios = [named for named in form.inputs if named.get("type") == "radio"]
    assert {named["name"] for named in radios} == {f"as.{POLICY}"}
    return [named["value"] or "" for named in radios]


# What cannot be chosen


@pytest.mark.parametrize("asked", [policy(**IN_FORCE, required=True), bill()], ids=["least", "no-answer"])
def test_where_nothing_less_serves_nothing_is_offered(signed_in: Stage, asked: dict[str, Any]) -> None:
    page = signed_in.http.get(f"/ko/consent/{signed_in.request(asked)}").text
    assert 'type="radio"' not in page


@pytest.mark.parametrize("decision", ["allow", "preview"])
def test_an_answer_that_is_not_offered_cannot_be_chosen(signed_in: Stage, decision: str) -> None:
    answer = signed_in.decide(signed_in.request(), decision, item=POLICY, **{f"as.{POLICY}": "0" * 16})
    assert answer.status_code == 400
    assert [consent.state for consent in signed_in.consents()] == [ConsentState.REQUESTED]


def test_what_is_asked_as_the_least_cannot_be_widened_by_a_choice(signed_in: Stage) -> None:
    *_, derived, _ = keys_of(signed_in, signed_in.request(policy(required=True)))
    asked = signed_in.request(policy(**IN_FORCE, required=True))
    assert signed_in.decide(asked, "allow", **{f"as.{POLICY}": derived}).status_code == 400


# What is shown and chosen


def test_nothing_is_chosen_beforehand(signed_in: Stage) -> None:
    form = Form(signed_in.http.get(f"/ko/consent/{signed_in.request()}").text)
    assert not [named for named in form.inputs if "checked" in named]


def test_the_less_revealing_answers_are_offered_the_least_first(signed_in: Stage) -> None:
    page = signed_in.http.get(f"/ko/consent/{signed_in.request()}").text
    words = text_of(page)
    assert words.index(IN_FORCE_KO) < words.index("계산한 결과만 알려요: 보험을 든 햇수")
    assert "더 적게 알려 줘도 이 목적에는 충분해요" in words


def test_a_question_is_told_in_plain_words(signed_in: Stage) -> None:
    asked = policy(
        mode="predicate", predicate={"name": "generation_one_of", "value": ["3", "4"]}, required=True
    )
    korean = text_of(signed_in.http.get(f"/ko/consent/{signed_in.request(asked)}").text)
    assert "예/아니오만 알려요: 유효한 실손보험이 3, 4세대인지" in korean
    assert "답만 알려 줘도 될까요?" in korean
    english = text_of(signed_in.http.get(f"/en/consent/{signed_in.request(asked)}").text)
    assert "Tells only yes or no: whether your policy in force is of generation 3, 4" in english
    assert "What is in it" not in english


@pytest.mark.parametrize(("place", "mode"), [(0, Mode.PREDICATE), (1, Mode.DERIVED), (2, Mode.DOCUMENT)])
def test_what_was_chosen_is_agreed_to(signed_in: Stage, place: int, mode: Mode) -> None:
    interaction_id = signed_in.request()
    key = keys_of(signed_in, interaction_id)[place]
    answer = signed_in.decide(interaction_id, "allow", item=POLICY, **{f"as.{POLICY}": key})
    assert answer.status_code == 303
    (consent,) = signed_in.consents()
    assert consent.terms.item(POLICY).mode is mode  # type: ignore[union-attr] # it was ticked
    assert consent.terms.item(BILL).mode is Mode.FIELDS  # type: ignore[union-attr] # it is needed


def test_without_a_choice_it_is_as_asked(signed_in: Stage) -> None:
    assert signed_in.decide(signed_in.request(), "allow", item=POLICY).status_code == 303
    assert signed_in.consents()[0].terms.items == parse([detail()]).items


def test_the_language_switch_keeps_the_choice(signed_in: Stage) -> None:
    interaction_id = signed_in.request()
    key = keys_of(signed_in, interaction_id)[1]
    shown = signed_in.decide(interaction_id, "show", **{f"as.{POLICY}": key})
    marked = [named["value"] for named in Form(shown.text).inputs if "checked" in named]
    assert marked == [key]


# The look before


def test_a_look_shows_the_persons_own_records_and_writes_nothing_down(signed_in: Stage) -> None:
    interaction_id = signed_in.request()
    signed_in.http.get(f"/ko/consent/{interaction_id}")
    before = log_size(signed_in)
    page = signed_in.decide(interaction_id, "preview", item=POLICY)
    assert page.status_code == 200
    words = text_of(page.text)
    assert OWN_NUMBER in words
    assert "보낼 자료가 없어요" in words  # no bill has arrived
    assert log_size(signed_in) == before
    assert [consent.state for consent in signed_in.consents()] == [ConsentState.REQUESTED]


@pytest.mark.parametrize(("place", "said"), [(0, "예"), (1, "years: 3")])
def test_a_look_at_an_answer_shows_the_answer_alone(signed_in: Stage, place: int, said: str) -> None:
    interaction_id = signed_in.request()
    key = keys_of(signed_in, interaction_id)[place]
    page = signed_in.decide(interaction_id, "preview", item=POLICY, **{f"as.{POLICY}": key})
    shown = page.text[page.text.index('id="preview"') :]
    assert f"<strong>{said}</strong>" in shown
    assert OWN_NUMBER not in page.text
    assert f'value="{key}" form="decision" checked' in page.text


def test_a_look_at_nothing_says_so(signed_in: Stage) -> None:
    page = signed_in.decide(signed_in.request(policy()), "preview")
    assert "보낼 것이 없어요" in text_of(page.text)


def test_no_look_without_asking_for_it(signed_in: Stage) -> None:
    assert OWN_NUMBER not in signed_in.http.get(f"/ko/consent/{signed_in.request()}").text


# Words


def item(record_type: str, name: str, value: object = None) -> Item:
    predicate = {"name": name} | ({} if value is None else {"value": value})
    members = {"record_type": record_type, "mode": "predicate", "required": True, "predicate": predicate}
    return Item.model_validate(members)


def told(
    record_type: str,
    name: str,
    value: object = None,
    rule: Mapping[str, Any] | None = None,
    language: Language = "ko",
) -> str:
    declared = CATALOGUE.get(record_type)
    if rule:
        text = {"ko": "{value}", "en": "{value}"}
        declared = replace(declared, predicates={name: {"version": 1, "text": text} | dict(rule)})
    words = answer_in_words(WORDS[language], item(record_type, name, value), PURPOSE, declared)
    assert words is not None
    return words.partition(": ")[2]


HOUSEHOLD: Final = "resident.household"


@pytest.mark.parametrize(
    ("rule", "value", "korean", "english"),
    [
        ({"operation": "at_least", "path": "a", "unit": "won"}, 30_000_000, "30,000,000원", "₩30,000,000"),
        ({"operation": "at_least", "path": "a", "unit": "years"}, 7, "7년", "7 full years"),
        ({"operation": "at_least", "path": "a", "unit": "months"}, 1, "1개월", "1 month"),
        ({"operation": "at_least", "path": "a", "unit": "days"}, 30, "30일", "30 days"),
        ({"operation": "at_least", "path": "a", "unit": "times"}, 2, "2번", "2 times"),
        ({"operation": "at_least", "path": "a"}, 1200, "1,200", "1,200"),
        ({"operation": "age_at_least", "path": "a"}, 19, "19세", "19 years"),
        ({"operation": "at_least", "path": "a", "value": "day"}, "2026-11-10", "2026. 11. 10.(화)", None),
        ({"operation": "at_least", "path": "a", "value": "day"}, "soon", "soon", "soon"),
        ({"operation": "equals", "path": "a", "value": "string"}, "x", "x", "x"),
        ({"operation": "one_of", "path": "formed_reason"}, ["moved_in", "other"], "전입, 그 밖", None),
        ({"operation": "one_of", "each": "members", "path": "relation"}, ["child"], "자녀", "Child"),
        (
            {"operation": "one_of", "path": "a", "value_labels": {"x": {"ko": "엑스", "en": "ex"}}},
            ["x"],
            "엑스",
            "ex",
        ),
    ],
)
def test_constants_are_told_as_people_say_them(
    rule: dict[str, Any], value: object, korean: str, english: str | None
) -> None:
    assert told(HOUSEHOLD, "asked", value, rule) == korean
    if english is not None:
        assert told(HOUSEHOLD, "asked", value, rule, "en") == english


def test_a_predicate_that_is_gone_keeps_its_name() -> None:
    assert told(HOUSEHOLD, "no_such") == "no_such"


def test_a_derivation_that_is_gone_keeps_its_name() -> None:
    members = {"record_type": BILL, "mode": "derived", "required": True, "derivation": "gone"}
    words = answer_in_words(WORDS["en"], Item.model_validate(members), PURPOSE, CATALOGUE.get(BILL))
    assert words == "Tells only what is worked out from it: gone"


@pytest.mark.parametrize(("said", "shown"), [(None, "Not known: no record says it"), (False, "No")])
def test_every_answer_has_words(said: bool | None, shown: str) -> None:  # noqa: FBT001 - the answer itself
    previewed = Previewed(item(POLICY, "in_force"), (), {"answer": said})
    assert preview_in_words(WORDS["en"], previewed, CATALOGUE.get(POLICY)).line == shown


def test_a_record_is_shown_in_full_line_by_line() -> None:
    record_type = CATALOGUE.get(BILL)
    lines = [dict(record_type.example["lines"][0]) | {"category": None, "more": ["a", 1]}] * 51
    asked = Item.model_validate({"record_type": BILL, "mode": "document", "required": True})
    shown = preview_in_words(WORDS["en"], Previewed(asked, ({"lines": lines},), None), record_type)
    (((label, told_lines),),) = shown.records
    assert label == record_type.fields["lines"].label["en"]
    assert told_lines[0] == ", ₩9,200, ₩9,200, ₩0, ₩0, a, 1"
    assert told_lines[-1] == "and 1 more"
    assert len(told_lines) == 51
