"""Claims after earlier ones: what goes to a person, what is told once, and that nothing is paid twice."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest

from connectors.services.indemnity.continuing import (
    Continued,
    Earlier,
    Records,
    Settled,
    continue_claim,
    keys_of,
)
from connectors.services.indemnity.papers import Key
from tests.connectors.services.indemnity.papers import (
    CLINIC,
    LATER,
    SEEN,
    TERTIARY,
    at,
    billed,
    detail,
    drugs,
    on,
    policy,
    prescription,
    row,
    simple,
    stay,
)

FRESH_YEAR = {
    "year_from": "2026-01-10",
    "year_to": "2027-01-09",
    "covered": 0,
    "noncovered": 0,
    "noncovered_visits": 0,
    "inpatient_own_share": 0,
    "manual_therapy": {"paid": 0, "sessions": 0},
    "injection": {"paid": 0, "sessions": 0},
    "mri": {"paid": 0, "sessions": 0},
}
FRESH = policy(ytd_used=FRESH_YEAR)
VISIT = simple(50_000, 0)
THERAPY = [SEEN, row("procedure", 0, covered_copay=50_000), row("other", 100_000, "manual_therapy")]
STAY = stay(VISIT["lines"])


class Insurance:
    """One insured person's claims, one after the other; what was settled passes through JSON, as it does."""

    def __init__(self, under: Mapping[str, Any] = FRESH) -> None:
        self.under = under
        self.claims: list[Continued] = []
        self.papers: dict[Key, Settled] = {}
        self.used: Mapping[str, Any] | None = None

    def brings(
        self,
        *bills: Mapping[str, Any],
        details: Sequence[Mapping[str, Any]] = (),
        by: Sequence[Mapping[str, Any]] = (),
        pharmacy: Sequence[Mapping[str, Any]] = (),
    ) -> Continued:
        """One delivery, and the claim that comes of it."""
        records = Records(bills, details, by, pharmacy)
        known = {key: one for key, one in self.papers.items() if key in keys_of(records)}
        continued = continue_claim(self.under, records, Earlier(known, self.used))
        for key, one in continued.papers.items():
            self.papers[key] = replace(one, lines=tuple(orjson.loads(orjson.dumps(one.lines))))
        if continued.papers and continued.used is not None:
            self.used = orjson.loads(orjson.dumps(dict(continued.used)))
        self.claims.append(continued)
        assert continued.claim.payable >= 0
        paid = sum(line.paid for line in continued.claim.lines)
        assert continued.claim.payable == paid - continued.already_paid
        return continued

    @property
    def payable(self) -> int:
        """Of all claims."""
        return sum(one.claim.payable for one in self.claims)

    def paid_for(self, number: str) -> int:
        return sum(one.paid for key, one in self.papers.items() if key[1] == number)


def is_silent(continued: Continued) -> bool:
    """Nothing is claimed, nobody is asked."""
    claim = continued.claim
    return (claim.lines, claim.reasons, claim.payable, claim.status) == ((), (), 0, "approved")


def rules_of(continued: Continued) -> list[str]:
    return [reason.rule_id for reason in continued.claim.reasons]


def left_to_a_person(insurance: Insurance, continued: Continued, rule_id: str) -> None:
    """One reason, no line, no money, and the year as it was."""
    assert (rules_of(continued), continued.claim.status) == ([rule_id], "review")
    assert (continued.claim.lines, continued.claim.payable, continued.already_paid) == ((), 0, 0)
    assert all(reason.explanation["ko"] and reason.explanation["en"] for reason in continued.claim.reasons)
    assert continued.used == insurance.claims[-2].used


# Care that the rules cannot open again: a person decides, once.


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # A stay, corrected; a stay that goes on; a stay whose detailed bill came late.
        ({"bills": [STAY]}, {"bills": [stay(simple(60_000, 0)["lines"])]}),
        (
            {"bills": [STAY]},
            {"bills": [STAY, stay(VISIT["lines"], "S-2", first="2026-11-07", last="2026-11-08")]},
        ),
        ({"bills": [STAY]}, {"bills": [STAY], "details": [detail([], "S-1")]}),
        # A visit that turns out to be a stay, and the other way round.
        ({"bills": [VISIT]}, {"bills": [stay(VISIT["lines"], "B-1")]}),
        ({"bills": [stay(VISIT["lines"], "B-1")]}, {"bills": [VISIT]}),
        # Special sessions: what they have used of the year is not given back.
        (
            {"bills": [billed(THERAPY)], "details": [detail(THERAPY)]},
            {"bills": [billed(THERAPY)], "details": [detail(THERAPY)], "pharmacy": [drugs(6_000)]},
        ),
        # Less than what was paid, down to nothing at all.
        ({"bills": [VISIT]}, {"bills": [simple(49_999, 0)]}),
        ({"bills": [VISIT]}, {"bills": [simple(0, 0)]}),
        ({"bills": [VISIT]}, {"bills": [VISIT | {"patient_class": "motor"}]}),
        ({"bills": [VISIT]}, {"bills": [VISIT | on("2027-02-01")]}),  # another year than the claim's
        # A doubtful further bill holds up a visit that was paid.
        ({"bills": [VISIT]}, {"bills": [VISIT, simple(9_000, 0, "B-2") | {"patient_class": "uninsured"}]}),
        # It has become one of two under its number.
        ({"bills": [VISIT]}, {"bills": [VISIT, simple(60_000, 0)]}),
        # It was settled with others, and is not with them any more: their deductible would have to change.
        ({"bills": [VISIT, simple(50_000, 0, "B-2")]}, {"bills": [VISIT | LATER, simple(50_000, 0, "B-2")]}),
        (
            {"bills": [VISIT, simple(50_000, 0, "B-2") | LATER], "pharmacy": [drugs(6_000)]},
            {
                "bills": [VISIT, simple(50_000, 0, "B-2") | LATER],
                "pharmacy": [drugs(60_000, prescription_no="20261111-00001", dispense_date="2026-11-11")],
            },
        ),
        # A stay around a visit that was paid.
        ({"bills": [VISIT]}, {"bills": [VISIT, stay([SEEN], last="2026-11-12")]}),
    ],
)
def test_care_that_the_rules_cannot_open_again(before: dict[str, Any], after: dict[str, Any]) -> None:
    insurance = Insurance()
    first = insurance.brings(*before["bills"], **{k: v for k, v in before.items() if k != "bills"})
    assert (first.claim.status, first.claim.payable > 0) == ("approved", True)
    paid = insurance.payable
    for number in range(3):
        again = insurance.brings(*after["bills"], **{k: v for k, v in after.items() if k != "bills"})
        if number:
            assert is_silent(again)
        else:
            assert rules_of(again) == ["review.reopened_care"]
            assert again.claim.reasons[0].bill_no
            left = [line for line in again.claim.lines if line.paid]
            assert (left, again.claim.payable, again.already_paid) == ([], 0, 0)
            assert {**(again.used or {})} == {**(first.used or {})}
        assert insurance.payable == paid
    assert sum(one.paid for one in insurance.papers.values()) == paid


def test_a_session_that_was_paid_nothing_has_used_the_year_too() -> None:
    insurance = Insurance(
        policy(ytd_used=FRESH_YEAR | {"manual_therapy": {"paid": 3_500_000, "sessions": 9}})
    )
    first = insurance.brings(billed(THERAPY), details=[detail(THERAPY)])
    assert [line.paid for line in first.claim.lines if line.part == "noncovered"] == [0]
    again = insurance.brings(billed(THERAPY), details=[detail(THERAPY)], pharmacy=[drugs(6_000)])
    left_to_a_person(insurance, again, "review.reopened_care")


def test_a_visit_during_a_stay() -> None:
    insurance = Insurance()
    insurance.brings(STAY)
    visit = simple(50_000, 0) | on("2026-11-03")
    left_to_a_person(insurance, insurance.brings(STAY, visit), "review.visit_during_stay")
    assert is_silent(insurance.brings(STAY, visit))
    assert insurance.paid_for("B-1") == 0


def test_what_is_with_a_person_stays_there() -> None:
    """Corrected down and up again: nobody knows what the person makes of it, so nothing is computed."""
    insurance = Insurance()
    insurance.brings(VISIT)
    for amount in (40_000, 50_000, 90_000):
        left_to_a_person(insurance, insurance.brings(simple(amount, 0)), "review.reopened_care")
    left_to_a_person(
        insurance, insurance.brings(simple(90_000, 0), pharmacy=[drugs(6_000)]), "review.reopened_care"
    )
    assert (insurance.payable, insurance.paid_for("B-1")) == (40_000, 40_000)


def test_a_person_for_one_visit_keeps_no_other_waiting() -> None:
    insurance = Insurance()
    insurance.brings(VISIT)
    continued = insurance.brings(simple(40_000, 0), simple(50_000, 0, "B-2") | LATER)
    assert (rules_of(continued), continued.claim.payable) == (["review.reopened_care"], 40_000)
    assert {line.bill_no for line in continued.claim.lines} == {"B-2"}


# What cannot be read, is doubled or has no policy: told once, and claimed when it is put right.


def test_an_unreadable_bill_is_told_once() -> None:
    insurance = Insurance()
    broken = {name: value for name, value in VISIT.items() if name != "totals"}
    told = insurance.brings(broken)
    assert [(reason.rule_id, reason.path) for reason in told.claim.reasons] == [
        ("review.data_missing", "bills[0]: $.totals")
    ]
    assert is_silent(insurance.brings(broken))
    other = simple(50_000, 0, "B-2") | LATER
    assert insurance.brings(broken, other).claim.reasons == ()
    assert insurance.brings(VISIT, other).claim.payable == 40_000


@pytest.mark.parametrize("place", ["none", None, 7, {}, {"hira_code": 7}])
def test_a_detailed_bill_of_no_institution_explains_nothing(place: object) -> None:
    insurance = Insurance()
    stray = {**detail(THERAPY), "institution": place}
    assert insurance.brings(VISIT, details=[stray]).claim.payable == 40_000
    assert is_silent(insurance.brings(VISIT, details=[stray]))


def test_two_bills_of_one_number() -> None:
    insurance = Insurance()
    twice = insurance.brings(VISIT, simple(60_000, 0))
    assert (set(rules_of(twice)), twice.claim.payable) == ({"review.bill_twice"}, 0)
    assert is_silent(insurance.brings(simple(60_000, 0), VISIT))
    # The hospital takes one of them back.
    assert insurance.brings(simple(60_000, 0)).claim.payable == 48_000
    assert is_silent(insurance.brings(simple(60_000, 0)))


def test_two_bills_of_one_number_on_two_days() -> None:
    insurance = Insurance()
    bills = [VISIT, VISIT | LATER]
    twice = insurance.brings(*bills)
    assert (set(rules_of(twice)), twice.claim.payable) == ({"review.bill_twice"}, 0)
    assert is_silent(insurance.brings(*bills))


def test_one_number_of_two_institutions() -> None:
    insurance = Insurance()
    elsewhere = {"institution": {"hira_code": "31100079", "grade": CLINIC}}
    assert insurance.brings(VISIT).claim.payable == 40_000
    assert insurance.brings(VISIT, VISIT | elsewhere).claim.payable == 40_000
    # A pharmacy's receipt under the number of the hospital's bill: what was paid counts once.
    insurance = Insurance()
    insurance.brings(VISIT, pharmacy=[drugs(10_000, number="B-1")])
    assert insurance.paid_for("B-1") == insurance.payable == 48_000
    more = insurance.brings(VISIT, pharmacy=[drugs(20_000, number="B-1")])
    assert (more.claim.payable, more.already_paid, more.claim.status) == (8_000, 48_000, "approved")


NO_POLICIES: list[dict[str, Any]] = [
    {},
    {name: value for name, value in FRESH.items() if name != "limits"},
    policy(ytd_used={"year_from": "2026-01-10", "year_to": "2027-01-09"}),
    policy(ytd_used="none"),
    policy(ytd_used=FRESH_YEAR | {"covered": -1}),
    policy(ytd_used=FRESH_YEAR | {"year_from": 2026}),
]


@pytest.mark.parametrize("missing", NO_POLICIES)
def test_a_policy_that_comes_late_lets_its_bills_be_claimed(missing: dict[str, Any]) -> None:
    insurance = Insurance(missing)
    told = insurance.brings(VISIT)
    assert (set(rules_of(told)), told.claim.payable, told.used) == ({"review.data_missing"}, 0, None)
    assert is_silent(insurance.brings(VISIT))
    more = insurance.brings(VISIT, pharmacy=[drugs(6_000)])
    assert (set(rules_of(more)), more.claim.payable) == ({"review.data_missing"}, 0)
    insurance.under = FRESH
    assert insurance.brings(VISIT, pharmacy=[drugs(6_000)]).claim.payable == 44_800
    assert is_silent(insurance.brings(VISIT, pharmacy=[drugs(6_000)]))


@pytest.mark.parametrize("missing", NO_POLICIES)
def test_a_policy_that_is_away_for_a_while_undoes_nothing(missing: dict[str, Any]) -> None:
    insurance = Insurance()
    insurance.brings(VISIT, STAY)
    paid = insurance.payable
    insurance.under = missing
    assert is_silent(insurance.brings(VISIT, STAY))
    told = insurance.brings(VISIT, STAY, pharmacy=[drugs(6_000)])
    assert (set(rules_of(told)), told.claim.payable) == ({"review.data_missing"}, 0)
    assert is_silent(insurance.brings(VISIT, STAY, pharmacy=[drugs(6_000)]))
    insurance.under = FRESH
    assert insurance.brings(VISIT, STAY, pharmacy=[drugs(6_000)]).claim.payable == 4_800
    assert is_silent(insurance.brings(VISIT, STAY, pharmacy=[drugs(6_000)]))
    assert insurance.payable == paid + 4_800


# Drugs that arrive after their visit was settled, on the fixed vectors: one deductible for both.


@pytest.mark.parametrize(
    ("visit", "later", "grade", "paid_first", "paid_then"),
    [
        ((44_000, 0), (6_000, 0), CLINIC, 34_000, 6_000),  # 50,000 covered: 40,000
        ((10_000, 0), (40_000, 0), CLINIC, 0, 40_000),
        ((4_500, 1_130), (4_000, 0), CLINIC, 0, 0),  # 8,500 covered and 1,130 not: nothing
        ((5_000, 0), (4_000, 0), CLINIC, 0, 0),  # 9,000: nothing
        ((100_000, 60_000), (20_000, 20_000), TERTIARY, 110_000, 36_000),  # 96,000 + 50,000
        ((120_000, 0), (0, 80_000), TERTIARY, 96_000, 50_000),
    ],
)
def test_drugs_that_arrive_later_are_paid_as_if_they_had_come_with_their_visit(
    visit: tuple[int, int], later: tuple[int, int], grade: str, paid_first: int, paid_then: int
) -> None:
    insurance, bill = Insurance(), simple(*visit) | at(grade)
    assert insurance.brings(bill).claim.payable == paid_first
    joined = insurance.brings(bill, by=[prescription()], pharmacy=[drugs(*later)])
    assert (joined.claim.payable, joined.already_paid, joined.claim.status) == (
        paid_then,
        paid_first,
        "approved",
    )
    assert joined.to_json()["already_paid"] == paid_first
    assert {line.bill_no for line in joined.claim.lines} == {"B-1", "R-1"}
    assert is_silent(insurance.brings(bill, by=[prescription()], pharmacy=[drugs(*later)]))


def test_drugs_that_arrive_before_their_visit_wait_for_it() -> None:
    insurance = Insurance()
    told = insurance.brings(pharmacy=[drugs(6_000)])
    assert rules_of(told) == ["review.pharmacy_visit_unknown"]
    assert is_silent(insurance.brings(pharmacy=[drugs(6_000)]))
    assert insurance.brings(VISIT, pharmacy=[drugs(6_000)]).claim.payable == 44_800


# Corrections and limits.


def test_a_bill_that_was_corrected_upwards_is_paid_the_difference() -> None:
    insurance = Insurance()
    insurance.brings(VISIT)
    higher = insurance.brings(simple(60_000, 40_000))
    assert (higher.claim.payable, higher.already_paid) == (18_000, 40_000)
    assert is_silent(insurance.brings(simple(60_000, 40_000)))
    assert insurance.used is not None
    assert (insurance.used["covered"], insurance.used["noncovered"]) == (48_000, 10_000)
    assert insurance.used["noncovered_visits"] == 1
    insurance.brings(simple(60_000, 50_000))
    assert (insurance.used["noncovered"], insurance.used["noncovered_visits"]) == (20_000, 1)


def test_a_correction_that_changes_no_line_is_not_claimed() -> None:
    insurance = Insurance()
    insurance.brings(VISIT)
    assert is_silent(insurance.brings(VISIT | {"issue_date": "2026-11-12"}))
    rows = [row("laboratory", 0, covered_copay=50_000, covered_nhis=1)]
    late = insurance.brings(VISIT | {"issue_date": "2026-11-12"}, details=[detail(rows)])
    assert is_silent(late)
    assert late.papers


def test_a_yearly_limit_is_used_up_over_several_claims() -> None:
    insurance = Insurance(policy(ytd_used=FRESH_YEAR, limits__covered_per_year=70_000))
    bills = [simple(50_000, 0, f"B-{day}") | on(f"2026-11-{day}") for day in (10, 11, 12)]
    claims = [insurance.brings(*bills[: count + 1]) for count in range(3)]
    assert [one.claim.payable for one in claims] == [40_000, 30_000, 0]
    assert claims[2].claim.lines[0].over_limit == 40_000
    assert insurance.used is not None
    assert insurance.used["covered"] == 70_000


def test_what_a_visit_has_used_is_room_for_it_again() -> None:
    insurance = Insurance(policy(ytd_used=FRESH_YEAR, limits__covered_per_year=50_000))
    insurance.brings(VISIT)
    assert insurance.brings(simple(100_000, 0)).claim.payable == 10_000
    assert insurance.payable == 50_000


def test_a_new_policy_year_begins_with_its_own_figures() -> None:
    insurance = Insurance(policy(ytd_used=FRESH_YEAR, limits__covered_per_year=40_000))
    insurance.brings(VISIT)
    assert insurance.brings(VISIT, simple(50_000, 0, "B-2") | LATER).claim.payable == 0
    next_year = FRESH_YEAR | {"year_from": "2027-01-10", "year_to": "2028-01-09", "covered": 15_000}
    insurance.under = policy(ytd_used=next_year, limits__covered_per_year=40_000)
    new = simple(50_000, 0, "B-3") | on("2027-02-01")
    assert insurance.brings(VISIT, simple(50_000, 0, "B-2") | LATER, new).claim.payable == 25_000
    assert insurance.used is not None
    assert (insurance.used["year_from"], insurance.used["covered"]) == ("2027-01-10", 40_000)
    # What joins care of the old year now is not computed in the new one.
    late = insurance.brings(VISIT, simple(50_000, 0, "B-2") | LATER, new, pharmacy=[drugs(6_000)])
    assert (rules_of(late), late.claim.payable) == (["review.reopened_care"], 0)


def test_a_policy_that_is_out_of_date_does_not_begin_a_year_anew() -> None:
    insurance = Insurance(policy(ytd_used=FRESH_YEAR, limits__covered_per_year=40_000))
    old = insurance.under
    next_year = FRESH_YEAR | {"year_from": "2027-01-10", "year_to": "2028-01-09"}
    insurance.under = policy(ytd_used=next_year, limits__covered_per_year=40_000)
    bills = [simple(50_000, 0, f"B-{day}") | on(f"2027-02-{day:02}") for day in range(1, 4)]
    assert insurance.brings(bills[0]).claim.payable == 40_000
    for under, delivered in ((old, bills[:2]), (insurance.under, bills)):
        insurance.under = under
        assert insurance.brings(*delivered).claim.payable == 0


def test_within_a_year_the_policys_own_figures_are_older_than_ours() -> None:
    insurance = Insurance(policy(ytd_used=FRESH_YEAR, limits__covered_per_year=50_000))
    insurance.brings(VISIT)
    insurance.under = policy(ytd_used=FRESH_YEAR | {"covered": 1}, limits__covered_per_year=50_000)
    assert insurance.brings(VISIT, simple(50_000, 0, "B-2") | LATER).claim.payable == 10_000
