"""Text from strangers: one spelling, unique names, claims of the right type."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.errors import UntrustedTokenError
from vault.untrusted import audience_claim, decode_base64url, instant_claim, parse_object, text_claim


@pytest.mark.parametrize(
    "text", ["", "A", "AA=", "AA==", "A A", "AA\n", "A+/A", "AB", "AAB", "가나", None, 7, b"AA"]
)
def test_base64url_of_another_spelling_is_refused(text: object) -> None:
    with pytest.raises(UntrustedTokenError):
        decode_base64url(text)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 1}}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": "\\ud800"}',
        b'{"\\udfff": 1}',
        b'{"a": "\xff"}',
        b'\xef\xbb\xbf{"a": 1}',
        b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
)
def test_json_that_two_readers_could_read_differently_is_refused(raw: bytes) -> None:
    with pytest.raises(UntrustedTokenError):
        parse_object(raw)


def test_an_object_is_read() -> None:
    assert parse_object('{"이름": [1, {"a": "\\u00e9"}]}'.encode()) == {"이름": [1, {"a": "é"}]}


@pytest.mark.parametrize("value", [None, "", 7, True, ["x"], {}])
def test_a_text_claim_is_text(value: object) -> None:
    with pytest.raises(UntrustedTokenError, match="jti"):
        text_claim({"jti": value}, "jti")
    with pytest.raises(UntrustedTokenError):
        text_claim({}, "jti")
    assert text_claim({"jti": "x"}, "jti") == "x"


@pytest.mark.parametrize("value", [None, "", 7, [], [""], ["a", 7], {"a": 1}])
def test_an_audience_is_text_or_texts(value: object) -> None:
    with pytest.raises(UntrustedTokenError, match="aud"):
        audience_claim({"aud": value})


def test_an_audience_comes_in_two_forms() -> None:
    assert audience_claim({"aud": "a"}) == ("a",)
    assert audience_claim({"aud": ["a", "b"]}) == ("a", "b")


@pytest.mark.parametrize(
    "value", [None, "1", True, [1], 10**20, -(10**20), 1e300, float("inf"), float("nan"), 10**400]
)
def test_an_instant_is_a_number_within_the_calendar(value: object) -> None:
    with pytest.raises(UntrustedTokenError, match="iat"):
        instant_claim({"iat": value}, "iat")


def test_an_instant_is_read_exactly() -> None:
    assert instant_claim({"iat": 1_795_000_000}, "iat") == datetime.fromtimestamp(1_795_000_000, UTC)
    assert instant_claim({"iat": 0.5}, "iat") == datetime(1970, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)


Json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["jti", "aud", "iat"]), Json))
def test_claims_of_any_type_give_values_or_the_one_error(claims: dict[str, Any]) -> None:
    with suppress(UntrustedTokenError):
        text_claim(claims, "jti")
    with suppress(UntrustedTokenError):
        audience_claim(claims)
    with suppress(UntrustedTokenError):
        instant_claim(claims, "iat")


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_noise_is_an_object_or_the_one_error(raw: bytes) -> None:
    with suppress(UntrustedTokenError):
        assert isinstance(parse_object(raw), dict)
