"""Korean identifiers: vectors first, then properties."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.identifiers import (
    BANKS,
    CHECKS,
    FORMATS,
    INSTITUTION_GRADES,
    brn_checksum_holds,
    brn_kind,
    corporate_checksum_holds,
    foreigner_checksum_holds,
    is_foreigner_number,
    is_hira_code,
    is_rrn,
    kcd_without_dot,
    looks_like_rrn,
    prescription_day,
    rrn_checksum_holds,
)


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


# Forms by name: first what each refuses, then what it takes.

REFUSED: dict[str, tuple[str, ...]] = {
    "account-number": ("123456789", "12345678901234567", "110-000-000019", "11000000001a"),
    "bank-code": ("88", "0088", "08a"),
    "brn": ("1248100998", "124-81-0099", "124-81-009980"),
    "building-number": ("1" * 24, "1" * 26),
    "ci": ("A" * 88, "A" * 86 + "=", "A" * 85 + "-=="),
    "compact-day": ("20260230", "2026-11-10", "202611", "20261310"),
    "compact-instant": ("20261110", "20261110246000", "20260230000000", "2026111012000a"),
    "corporate-number": ("130111-000624", "1301110006246-", "130-1110006246"),
    "customs-code": ("한빛무역1234567", "A" * 16, "a" * 15),
    "di": ("A" * 63, "A" * 65, "=" * 64),
    "drug-code": ("64590001", "6459000100", "64590001A"),
    "e-payment-number": ("1" * 18, "1" * 20),
    "edi-code": ("AA15", "AA1541234", "aa154", "AA-54"),
    "export-declaration": ("1" * 14, "1" * 16),
    "foreigner-number": ("900101-1234567", "900101-512345", "901301-5123456"),
    "hira-code": ("1110007", "111000790", "1110007a"),
    "hs-code": ("850440", "85044090001"),
    "institution-grade": ("", "1", "12", "99"),
    "kcd-code": ("J2", "j20", "J20.", "J20.12345", "J20.9 ", "기침", "J20.9AB"),
    "legal-dong-code": ("1" * 9, "1" * 11),
    "material-code": ("BM1001H", "BM1001HBX"),
    "pnu": ("1" * 18, "1" * 20),
    "postal-code": ("4524", "100-011"),
    "prescription-number": ("20260230-00001", "2026111000", "20261110--00012", "20261110 00012"),
    "property-number": ("1101-2020-12345", "1101202012345678"),
    "road-code": ("1" * 11, "1" * 13),
    "rrn": ("900101-512345", "901301-1234567", "900101 1234567", "990229-1234567", "000101-5000000"),
}
TAKEN: dict[str, tuple[str, ...]] = {
    "account-number": ("1100000000", "110000000019", "1234567890123456"),
    "bank-code": ("088", "999"),
    "brn": ("124-81-00998",),
    "building-number": ("1114010300100120000000001",),
    "ci": ("A" * 85 + "/==",),
    "compact-day": ("20261110", "20240229"),
    "compact-instant": ("20261110235959",),
    "corporate-number": ("130111-0006246", "1301110006246"),
    "customs-code": ("한빛무역12345678901", "ABCDE1234567890"),
    "di": ("A" * 64, "A" * 63 + "="),
    "drug-code": ("645900010",),
    "e-payment-number": ("1" * 19,),
    "edi-code": ("AA154", "AA25400A"),
    "export-declaration": ("12345261234567X",),
    "foreigner-number": ("900101-5123456", "0001017123456", "900101-6123456", "000101-8123456"),
    "hira-code": ("11100079",),
    "hs-code": ("8504409000",),
    "institution-grade": ("01", "81", "93"),
    "kcd-code": ("J20", "M54.5", "M545", "S72.001", "C50.1A"),
    "legal-dong-code": ("1114010300",),
    "material-code": ("BM1001HB",),
    "pnu": ("1114010300100120000",),
    "postal-code": ("04524",),
    "prescription-number": ("20261110-00012", "2026111000012"),
    "property-number": ("1101-2020-123456", "11012020123456"),
    "road-code": ("111404103000",),
    "rrn": (
        "900101-1234567",
        "9001012234567",
        "000229-3000000",
        "000229-4000000",
        "991231-9000000",
        "991231-0000000",
    ),
}


def test_every_form_is_tested() -> None:
    assert FORMATS.keys() == REFUSED.keys() == TAKEN.keys()


@pytest.mark.parametrize(("name", "text"), [(name, text) for name in REFUSED for text in REFUSED[name]])
def test_what_has_not_the_form(name: str, text: str) -> None:
    assert not FORMATS[name](text)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name in TAKEN for text in TAKEN[name]])
def test_what_has_the_form(name: str, text: str) -> None:
    assert FORMATS[name](text)
    assert not FORMATS[name](f"{text}\n")
    assert not FORMATS[name](f" {text}")


@given(name=st.sampled_from(sorted(FORMATS)), text=st.text(max_size=30))
def test_no_text_hurts(name: str, text: str) -> None:
    assert FORMATS[name](text) in {True, False}


def test_the_century_decides_whether_a_birth_date_exists() -> None:
    assert is_rrn("000229-3000000")  # 2000 was a leap year
    assert not is_rrn("000229-1000000")  # 1900 was none
    assert not is_foreigner_number("000229-5000000")


@pytest.mark.parametrize("number", ["970514-2000001", "9705142000001"])
def test_an_old_check_digit_of_a_resident(number: str) -> None:
    assert not rrn_checksum_holds(number)
    # 9, 7, 0, 5, 1, 4, 2 by 2 to 8 and nothing but zeros: 114, which is 4 beyond a multiple of 11
    assert rrn_checksum_holds(number[:-1] + "7")


@given(born=st.dates(date(1900, 1, 1), date(2099, 12, 31)), serial=st.integers(0, 99_999))
def test_resident_numbers_have_at_most_one_check_digit(born: object, serial: int) -> None:
    century = "1" if str(born) < "2000" else "3"
    stem = f"{born:%y%m%d}{century}{serial:05}"
    holding = [last for last in range(10) if rrn_checksum_holds(f"{stem}{last}")]
    assert len(holding) == 1
    assert all(is_rrn(f"{stem}{last}") for last in range(10))  # the form is the same without one
    assert not any(foreigner_checksum_holds(f"{stem}{last}") for last in range(10))


@given(serial=st.integers(0, 99_999))
def test_foreigner_numbers_have_one_check_digit_and_it_is_another(serial: int) -> None:
    stem = f"9001015{serial:05}"
    holding = [last for last in range(10) if foreigner_checksum_holds(f"{stem}{last}")]
    assert len(holding) == 1
    assert not any(rrn_checksum_holds(f"{stem}{last}") for last in range(10))
    # Two more than the check digit of a resident's number with the same digits.
    weights = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)
    rest = sum(weight * int(digit) for weight, digit in zip(weights, stem, strict=True)) % 11
    assert holding == [(13 - rest) % 10]


def test_corporate_numbers() -> None:
    assert corporate_checksum_holds("130111-0006246")
    assert corporate_checksum_holds("1301110006246")
    assert not corporate_checksum_holds("130111-0006247")
    assert not corporate_checksum_holds("130111")


@pytest.mark.parametrize(
    ("brn", "kind"),
    [
        ("124-81-00998", "corporation"),
        ("124-01-00998", "individual"),
        ("124-79-00998", "individual"),
        ("124-82-00998", "non_profit"),
        ("124-83-00998", "state"),
        ("124-84-00998", "foreign"),
        ("124-85-00998", "branch"),
        ("124-86-00998", "corporation"),
        ("124-89-00998", "religious"),
        ("124-90-00998", "tax_exempt_individual"),
        ("124-99-00998", "tax_exempt_individual"),
        ("124-00-00998", None),
        ("124-80-00998", None),
        ("1248100998", None),
    ],
)
def test_who_has_a_business_number(brn: str, kind: str | None) -> None:
    assert brn_kind(brn) == kind


def test_the_day_of_a_prescription() -> None:
    assert prescription_day("20261110-00012") == "2026-11-10"
    assert prescription_day("2026111000012") == "2026-11-10"
    assert prescription_day("20261310-00012") is None
    assert prescription_day("00012") is None


@given(day=st.dates(min_value=date(2013, 1, 1), max_value=date(2099, 12, 31)), serial=st.integers(0, 99_999))
def test_a_prescription_number_with_its_dash_is_never_taken_for_a_resident(day: date, serial: int) -> None:
    assert not looks_like_rrn(f"{day:%Y%m%d}-{serial:05}")


def test_diagnosis_codes_compare_without_their_dot() -> None:
    assert kcd_without_dot("M54.5") == kcd_without_dot("M545") == "M545"


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        ("bank_is_known", "088", "999"),
        ("billing_code", "AA154", "상급"),
        ("billing_code", "645900010", "6459"),
        ("billing_code", "BM1001HB", ""),
        ("brn_checksum", "124-81-00998", "124-81-00997"),
        ("corporate_checksum", "130111-0006246", "130111-0006240"),
        ("no_rrn", "110000000019", "0001013000000"),
    ],
)
def test_checks_by_name(check: str, good: str, bad: str) -> None:
    assert CHECKS[check](good)
    assert not CHECKS[check](bad)


def test_banks_have_three_digits_and_a_name() -> None:
    assert all(FORMATS["bank-code"](code) and name for code, name in BANKS.items())
