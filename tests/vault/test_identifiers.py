"""Korean identifiers: vectors first, then properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.identifiers import INSTITUTION_GRADES, brn_checksum_holds, is_hira_code, looks_like_rrn


@pytest.mark.parametrize(
    "text",
    [
        "000101-3000000",
        "0001013000000",
        "991231-1234567",
        "000229-4000000",
        "000101-3******",
        "000101–3000000",
        "000101 - 3000000",
        "０００１０１－３００００００",
        "000101\u200b-3000000",
        "주민번호 000101-3000000 입니다",
        "a=0001013000000&b",
    ],
)
def test_what_looks_like_a_resident_registration_number(text: str) -> None:
    assert looks_like_rrn(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "P-0001",
        "11100079",
        "20261110-0031",
        "2026-11-10",
        "02-555-0100",
        "220-82-10073",
        "HB-4-000001",
        "001301-3000000",  # there is no thirteenth month
        "010229-3000000",  # 2001 had no 29 February
        "000101-300000",
        "000101-30000000",
        "00001013000000",
        "000101-3abcdef",
    ],
)
def test_what_does_not(text: str) -> None:
    assert not looks_like_rrn(text)


@given(
    born=st.dates(),
    rest=st.integers(0, 9_999_999),
    separator=st.sampled_from(["", "-", " ", " - "]),
    around=st.tuples(st.sampled_from(["", "번호: ", "x"]), st.sampled_from(["", " 끝", "."])),
)
def test_every_birth_date_with_seven_digits_is_caught(
    born: object, rest: int, separator: str, around: tuple[str, str]
) -> None:
    text = f"{around[0]}{born:%y%m%d}{separator}{rest:07}{around[1]}"
    assert looks_like_rrn(text)


@pytest.mark.parametrize("brn", ["124-81-00998", "220-81-62517", "120-81-47521", "116-82-00276"])
def test_known_business_numbers_hold(brn: str) -> None:
    assert brn_checksum_holds(brn)


@pytest.mark.parametrize(
    "brn", ["124-81-00997", "1248100998", "", "124-81-0099", "١٢٤-٨١-٠٠٩٩٨", "124-81-00998\n"]
)
def test_other_business_numbers_do_not(brn: str) -> None:
    assert not brn_checksum_holds(brn)


@given(st.integers(0, 999_999_999))
def test_each_nine_digits_have_exactly_one_check_digit(first_nine: int) -> None:
    digits = f"{first_nine:09}"
    holding = [
        last for last in range(10) if brn_checksum_holds(f"{digits[:3]}-{digits[3:5]}-{digits[5:]}{last}")
    ]
    assert len(holding) == 1


@pytest.mark.parametrize("code", ["", "1110007", "111000790", "1110007a", "11100079\n", "１１１０００７９"])
def test_what_is_no_care_institution_code(code: str) -> None:
    assert not is_hira_code(code)


def test_the_form_of_a_care_institution_code() -> None:
    assert is_hira_code("11100079")


def test_grades_are_two_digits_with_a_name() -> None:
    assert all(len(code) == 2 and code.isdigit() and name for code, name in INSTITUTION_GRADES.items())
    with pytest.raises(TypeError):
        INSTITUTION_GRADES["99"] = "없음"  # type: ignore[index]  # the point of the test
