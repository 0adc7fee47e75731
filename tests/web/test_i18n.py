"""Texts, dates and amounts in both languages (experience X4, X5)."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from importlib import resources
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from broker.web.i18n import Words, language_of_path, load_words, preferred_language
from broker.web.signin.paths import in_language

WEB = Path(str(resources.files("broker.web")))
MessageId = str | tuple[str, ...]


def used() -> set[MessageId]:
    """Every message id in the sources, a plural as a pair."""
    found = extract_from_dir(
        WEB,
        method_map=[("**.py", "python"), ("templates/**.html", "jinja2")],
        options_map={"templates/**.html": {"trimmed": "true", "silent": "false"}},
    )
    return {message for _, _, message, _, _ in found}


@pytest.fixture
def catalogue() -> Catalog:
    with (WEB / "locales" / "ko.po").open("rb") as file:
        return read_po(file, locale="ko", abort_invalid=True)


def translations(catalogue: Catalog) -> Iterator[tuple[MessageId, tuple[str, ...]]]:
    for message in catalogue:
        if message.id:
            texts = message.string if isinstance(message.string, (tuple, list)) else (message.string,)
            identifier = message.id if isinstance(message.id, str) else tuple(message.id)
            yield identifier, tuple(text or "" for text in texts)


def test_every_text_is_translated_and_none_is_stale(catalogue: Catalog) -> None:
    assert {message for message, _ in translations(catalogue)} == used()
    assert [message for message, texts in translations(catalogue) if not all(texts)] == []
    assert [message.id for message in catalogue if message.id and message.fuzzy] == []


def test_a_translation_fills_in_what_its_original_fills_in(catalogue: Catalog) -> None:
    def names(text: str) -> set[str]:
        return set(re.findall(r"%\((\w+)\)s", text))

    for message, texts in translations(catalogue):
        originals = (message,) if isinstance(message, str) else message
        wanted = set().union(*(names(original) for original in originals))
        for text in texts:
            assert names(text) == wanted, text


def test_korean_texts_are_korean_and_polite(catalogue: Catalog) -> None:
    for message, texts in translations(catalogue):
        for text in texts:
            bare = re.sub(r"%\(\w+\)s|\.jws|jwks\.json", "", text)
            assert re.search(r"[가-힣]", bare) or "%(" in text, message
            # A sentence ends in the polite form, everywhere in the same one. A file's name has dots too.
            for sentence in re.findall(r"[가-힣].*?[.?!](?!\w)", bare, re.DOTALL):
                assert re.search(r"(요|까)[.?!]$", sentence), text


def test_no_particle_hangs_on_a_name_that_may_end_either_way(catalogue: Catalog) -> None:
    for _, texts in translations(catalogue):
        for text in texts:
            assert (
                re.search(r"%\((recipient|holder|name|things)\)s(은|는|이|가|을|를|와|과|으로|로)\b", text)
                is None
            )


@pytest.fixture
def ko() -> Words:
    return load_words()["ko"]


@pytest.fixture
def en() -> Words:
    return load_words()["en"]


def test_moments_are_in_korean_time(ko: Words, en: Words) -> None:
    afternoon = datetime(2026, 11, 23, 6, 4, 59, tzinfo=UTC)
    assert ko.moment(afternoon) == "2026. 11. 23.(월) 15:04"
    assert en.moment(afternoon) == "23 Nov 2026 (Mon) 15:04"
    midnight = datetime(2026, 11, 30, 15, 0, tzinfo=UTC)
    assert ko.moment(midnight) == "2026. 12. 1.(화) 00:00"
    assert ko.day(midnight) == "2026. 12. 1.(화)"


def test_days(ko: Words, en: Words) -> None:
    assert ko.day(date(2026, 11, 1)) == "2026. 11. 1.(일)"
    assert en.day(date(2026, 11, 1)) == "1 Nov 2026 (Sun)"


@pytest.mark.parametrize(
    ("amount", "in_korean", "in_english"),
    [
        (12300, "12,300원", "₩12,300"),
        (0, "0원", "₩0"),
        (-500, "-500원", "-₩500"),
        (10**9, "1,000,000,000원", "₩1,000,000,000"),
    ],
)
def test_amounts(ko: Words, en: Words, amount: int, in_korean: str, in_english: str) -> None:
    assert ko.won(amount) == in_korean
    assert en.won(amount) == in_english


def test_counts_have_a_singular_where_the_language_has_one(ko: Words, en: Words) -> None:
    assert [en.ngettext("%(count)s record", "%(count)s records", count) for count in (1, 1200)] == [
        "1 record",
        "1,200 records",
    ]
    assert [ko.ngettext("%(count)s record", "%(count)s records", count) for count in (1, 1200)] == [
        "자료 1건",
        "자료 1,200건",
    ]


def test_the_switch_keeps_the_path() -> None:
    assert in_language("/ko/consents/abc?x=1", "en") == "/en/consents/abc?x=1"
    assert in_language("/ko", "en") == "/en"
    assert in_language("/livez", "en") == "/livez"


def test_only_our_languages_are_languages() -> None:
    assert language_of_path("/ko/consents") == "ko"
    assert language_of_path("/kox") is None
    assert language_of_path("/") is None
    assert preferred_language(None) == "ko"
