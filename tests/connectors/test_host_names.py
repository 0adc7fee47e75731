"""Names of hosts: what has their form, and what only looks like it."""

import pytest

from connectors.host_names import is_host_name

LONGEST = ".".join(["a" * 63] * 3 + ["b" * 61])


@pytest.mark.parametrize(
    "name",
    ["", ".", "kr", "a.", ".a.kr", "a..kr", "-a.kr", "a-.kr", "a.-", "-.-", "a_b.kr", "a b.kr", "a%41.kr",
     "가.kr", "10.0.0.1", "a.1", "a.0x7f", "a.kr.", "x" * 64 + ".kr", LONGEST + "b", "xn--a.kr", "xn--.kr",
     "a.XN--a.kr", "a.kr\n"],
)  # fmt: skip
def test_what_is_no_name(name: str) -> None:
    assert not is_host_name(name)


@pytest.mark.parametrize(
    "name",
    ["a.kr", "hook.example", "3com.example", "A-b.Example", "xn--hq1bm8jm9l.kr", "a.xn--3e0b707e", LONGEST]
)  # fmt: skip
def test_names(name: str) -> None:
    assert is_host_name(name)
