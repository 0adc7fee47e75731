"""Codes and values in plain words (broker/web/citizen/wording.py, views.py)."""

import pytest

from broker.installation import load_purposes
from broker.web.auditor.wording import event_for_auditors
from broker.web.citizen import wording
from broker.web.citizen.views import describe_item, things
from broker.web.citizen.wording import Lexicon
from broker.web.i18n import LANGUAGES, Language, Words, load_words
from consent.terms import Terms, parse
from consent.vocabulary import ConsentState, EventType, Reason
from tests.web.stage import BILL, POLICY, bill, detail, policy
from vault.record_types.catalogue import Catalogue

WORDS = load_words()
CATALOGUE = Catalogue.load()
PURPOSE = load_purposes().get("insurance.indemnity_claim")


@pytest.fixture(params=LANGUAGES)
def words(request: pytest.FixtureRequest) -> Words:
    language: Language = request.param
    return WORDS[language]


def terms(*items: dict[str, object], **changes: object) -> Terms:
    return parse([detail(*items) | changes])


def test_every_state_event_and_reason_has_words(words: Words) -> None:
    assert all(wording.state_in_words(words, state) for state in ConsentState)
    for codes, in_words in (
        (EventType, wording.event_in_words),
        (EventType, event_for_auditors),
        (Reason, wording.reason_in_words),
    ):
        for code in codes:
            assert in_words(words, code) != code
        assert in_words(words, "later.invention") == "later.invention"


def test_every_state_has_its_place_on_the_home_page() -> None:
    groups = {state: wording.group_of(state) for state in ConsentState}
    assert [state for state, group in groups.items() if group == "active"] == [
        ConsentState.GIVEN,
        ConsentState.PAUSED,
    ]
    assert [state for state, group in groups.items() if group == "waiting"] == [
        ConsentState.REQUESTED,
        ConsentState.PARTIALLY_SIGNED,
    ]
    stoppable = {state for state in ConsentState if wording.can_be_stopped(state, was_given=True)}
    signed = {state for state in ConsentState if wording.can_be_stopped(state, was_given=False)}
    assert signed == {ConsentState.PARTIALLY_SIGNED}  # a signature can be taken back before it counts
    assert stoppable == {
        ConsentState.PARTIALLY_SIGNED,
        ConsentState.GIVEN,
        ConsentState.PAUSED,
        ConsentState.FULFILLED,
        ConsentState.EXPIRED,
    }


def test_a_document_discloses_every_field(words: Words) -> None:
    asked = terms(policy())
    shown = describe_item(words, asked.items[0], asked, PURPOSE, CATALOGUE.get(POLICY))
    assert len(shown.fields) == len(CATALOGUE.get(POLICY).fields)
    assert not shown.is_required
    assert not shown.is_sensitive
    assert shown.limits == ()


def test_fields_disclose_what_they_name(words: Words) -> None:
    asked = terms(bill(fields=["totals", "care_type"]))
    shown = describe_item(words, asked.items[0], asked, PURPOSE, CATALOGUE.get(BILL))
    assert [field.label for field in shown.fields] == [
        words.choose(ko="합계", en="Totals"),
        words.choose(ko="진료 구분", en="Kind of care"),
    ]
    assert shown.fields[1].example == words.choose(ko="외래", en="Outpatient")
    assert shown.is_required
    assert shown.is_sensitive


def test_without_a_filter_the_data_period_is_the_limit(words: Words) -> None:
    asked = terms(bill(filter=None))
    shown = describe_item(words, asked.items[0], asked, PURPOSE, CATALOGUE.get(BILL))
    assert shown.limits == (
        words.choose(
            ko="2026. 1. 1.(목)부터 2026. 11. 30.(월)까지의 자료",
            en="From 1 Jan 2026 (Thu) to 30 Nov 2026 (Mon)",
        ),
    )


def test_no_example_shows_a_code_or_python(words: Words) -> None:
    for code in CATALOGUE.codes():
        record_type = CATALOGUE.get(code)
        asked = terms(policy(record_type=code, required=True))
        for field in describe_item(words, asked.items[0], asked, PURPOSE, record_type).fields:
            assert not any(sign in field.example for sign in "{}[]_'"), field


def test_things_counts_what_it_does_not_name(words: Words) -> None:
    assert things(words, terms(bill()), CATALOGUE) == CATALOGUE.get(BILL).label(words.language)
    assert things(words, terms(bill(), policy()), CATALOGUE).startswith(
        CATALOGUE.get(BILL).label(words.language)
    )


def test_how_often_is_never_left_open(words: Words) -> None:
    access = terms().access
    assert wording.frequency_in_words(words, access) == words.gettext("Only once, not regularly")
    more = access.model_copy(update={"max_pulls": 3})
    assert "3" in wording.frequency_in_words(words, more)


def test_retention_says_what_happens_then(words: Words) -> None:
    kept = terms().retention
    assert "90" in wording.retention_in_words(words, kept)
    not_kept = terms(retention={"store": False, "period": "P0D", "on_end": "delete"}).retention
    assert wording.retention_in_words(words, not_kept) == words.gettext("Not kept: used once, then deleted")


def test_values_are_short_and_readable() -> None:
    ko = WORDS["ko"]
    lexicon = Lexicon({"a": "가"}, frozenset({"fee"}))
    assert wording.value_in_words(ko, True, lexicon) == "예"  # noqa: FBT003 - a JSON value
    assert wording.value_in_words(ko, 164400, lexicon) == "164,400"
    assert wording.value_in_words(ko, "2026-11-10", lexicon) == "2026. 11. 10.(화)"
    assert wording.value_in_words(ko, [], lexicon) == ""
    assert wording.value_in_words(ko, ["a", "b", "c"], lexicon) == "가 외 2건"
    assert wording.value_in_words(ko, {"x": "a", "fee": 9200, "z": 2}, lexicon) == "가, 9,200원"


def test_amounts_in_examples_are_won() -> None:
    asked = terms(bill(fields=["lines", "totals"]))
    shown = describe_item(WORDS["ko"], asked.items[0], asked, PURPOSE, CATALOGUE.get(BILL))
    assert [field.example for field in shown.fields] == ["진찰료, 9,200원 외 2건", "164,400원, 40,200원"]
