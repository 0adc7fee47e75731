"""Reading leaves back."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.ledger.errors import LeafInvalidError
from consent.ledger.events import Event
from tests.consent.ledger.making import NOW, made_entry


@pytest.mark.parametrize(
    "leaf",
    [
        b"",
        b"\xff",
        b"[]",
        b"7",
        b"{}",
        b'{"v":2}',
        made_entry().leaf().replace(b'"v":1', b'"v":2'),
        made_entry().leaf().replace(b'"c"', b'"d"'),
        made_entry().leaf().replace(b"2026-11", b"2026-13"),
        made_entry().leaf().replace(b'"c":"', b'"c":"A'),
    ],
)
def test_a_leaf_that_we_did_not_write_is_refused(leaf: bytes) -> None:
    with pytest.raises(LeafInvalidError):
        Event.from_leaf(leaf)


@given(
    st.integers(0, 2**200),
    st.one_of(st.none(), st.text(max_size=9)),
    st.dictionaries(
        st.text(max_size=9), st.one_of(st.text(max_size=9), st.integers(-(2**53) + 1, 2**53 - 1))
    ),
)
def test_a_leaf_tells_the_entry(number: int, purpose: str | None, facts: dict[str, str | int]) -> None:
    entry = dataclasses.replace(made_entry(number), purpose=purpose, facts=facts)
    assert Event.from_leaf(entry.leaf()) == Event(
        type="delivery.released",
        at=NOW,
        handle="handle",
        recipient="hanbit-insurance",
        purpose=purpose,
        facts=facts,
        commitment=number.to_bytes(32, "big"),
    )
