"""Instants are exact whole microseconds, and a time without a zone is not an instant."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.schema import from_microseconds, random_id, to_microseconds


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        to_microseconds(datetime(2026, 11, 23))  # noqa: DTZ001 - what is refused


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_comes_back_as_it_was(instant: datetime) -> None:
    assert from_microseconds(to_microseconds(instant)) == instant


def test_an_instant_of_another_zone_is_the_same_instant() -> None:
    seoul = datetime(2026, 11, 23, 9, tzinfo=timezone(timedelta(hours=9)))
    assert from_microseconds(to_microseconds(seoul)) == datetime(2026, 11, 23, tzinfo=UTC)


def test_ids_do_not_repeat() -> None:
    ids = {random_id() for _ in range(10_000)}
    assert len(ids) == 10_000
    assert {len(one) for one in ids} == {22}
    assert not any(one.startswith("-") for one in ids)  # it would be an option on a command line
