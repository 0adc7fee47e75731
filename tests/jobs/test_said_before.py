"""What a file said first: another content under the same name is noticed, however long the file."""

from pathlib import Path

import pytest

from broker.jobs.said_before import SaidBefore

MANY = 60_000


def test_another_content_under_a_name_is_a_contradiction_from_then_on() -> None:
    with SaidBefore() as said:
        assert not said.is_contradicted(("P-1", "B-1"), b"one")
        assert said.is_contradicted(("P-1", "B-1"), b"two")
        assert said.is_contradicted(("P-1", "B-1"), b"two")
        assert said.is_contradicted(("P-1", "B-1"), b"one")  # which of them is right, nobody here knows


def test_what_is_known_to_be_at_odds_stays_so_whatever_comes_next() -> None:
    with SaidBefore() as said:
        assert said.is_contradicted(("P-1", "B-1"), b"one", is_at_odds=True)
        assert said.is_contradicted(("P-1", "B-1"), b"one")


@pytest.mark.parametrize(
    "other", [("P-1", "B-2"), ("P-2", "B-1"), ("P-1B", "-1"), ("B-1", "P-1"), ("P-1B-1",)]
)
def test_another_name_contradicts_nothing(other: tuple[str, ...]) -> None:
    with SaidBefore() as said:
        assert not said.is_contradicted(("P-1", "B-1"), b"one")
        assert not said.is_contradicted(other, b"two")


def test_two_files_know_nothing_of_each_other() -> None:
    with SaidBefore() as first, SaidBefore() as second:
        first.is_contradicted(("P-1", "B-1"), b"one")
        assert not second.is_contradicted(("P-1", "B-1"), b"two")


def test_memory_does_not_grow_with_what_was_said() -> None:
    with SaidBefore() as said:
        for number in range(MANY // 10):
            said.is_contradicted(("P-1", str(number)), b"one")
        before = _resident_kib()
        for number in range(MANY):
            said.is_contradicted(("P-1", str(number)), b"one")
        assert _resident_kib() - before < 4096
        assert said.is_contradicted(("P-1", "0"), b"two")


def _resident_kib() -> int:
    (line,) = [one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmRSS:")]
    return int(line.split()[1])
