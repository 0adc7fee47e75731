"""Whole years of visits, delivered bit by bit: many claims pay what one would, and nothing twice."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.services.indemnity.claim import compute
from connectors.services.indemnity.continuing import (
    Continued,
)
from tests.connectors.services.indemnity.papers import (
    HOSPITAL,
    LATER,
    detail,
    drugs,
    on,
    policy,
    prescription,
    row,
    simple,
)
from tests.connectors.services.indemnity.test_continuing import (
    FRESH,
    FRESH_YEAR,
    STAY,
    VISIT,
    Insurance,
    is_silent,
)

# Properties of whole years of visits.

Paper = tuple[str, dict[str, Any]]
TIGHT = {
    "covered_per_visit": 150_000,
    "noncovered_per_visit": 200_000,
    "covered_per_year": 400_000,
    "noncovered_per_year": 300_000,
    "noncovered_visits_per_year": 3,
}
AMPLE = {
    "covered_per_visit": 200_000,
    "noncovered_per_visit": 200_000,
    "covered_per_year": 50_000_000,
    "noncovered_per_year": 50_000_000,
    "noncovered_visits_per_year": 100,
}
won = st.integers(0, 400_000)


@st.composite
def visits(draw: st.DrawFn) -> list[Paper]:
    """Bills and drugs of some visits, in the order of their days."""
    papers: list[Paper] = []
    for day in sorted(draw(st.sets(st.integers(1, 28), min_size=1, max_size=6))):
        papers += [
            ("bill", simple(draw(won), draw(won), f"B-{day}-{number}") | on(f"2026-11-{day:02}"))
            for number in range(draw(st.integers(1, 2)))
        ]
        if draw(st.booleans()):
            told = {"prescription_no": f"202611{day:02}-00001", "dispense_date": f"2026-11-{day:02}"}
            papers.append(("drugs", drugs(draw(won), draw(won), f"R-{day}", **told)))
    return papers


def delivered(insurance: Insurance, papers: Sequence[Paper]) -> Continued:
    bills, pharmacy = split(papers)
    return insurance.brings(*bills, pharmacy=pharmacy)


def split(papers: Sequence[Paper]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return [one for kind, one in papers if kind == "bill"], [one for kind, one in papers if kind == "drugs"]


def at_once(under: Mapping[str, Any], papers: Sequence[Paper]) -> Any:  # noqa: ANN401 - a claim
    bills, pharmacy = split(papers)
    return compute(under, bills, pharmacy_bills=pharmacy)


@settings(max_examples=40)
@given(papers=visits(), limits=st.sampled_from([TIGHT, AMPLE]), draw=st.data())
def test_in_day_order_many_claims_pay_what_one_would(
    papers: list[Paper], limits: dict[str, int], draw: st.DataObject
) -> None:
    under = policy(ytd_used=FRESH_YEAR, limits=limits)
    insurance = Insurance(under)
    ends = draw.draw(st.lists(st.integers(0, len(papers)), max_size=8), label="ends")
    for end in [*sorted(ends), len(papers)]:
        delivered(insurance, papers[:end])
        assert insurance.payable == at_once(under, papers[:end]).payable
    whole = at_once(under, papers)
    assert insurance.used == whole.used_after
    assert all(one.claim.status == "approved" for one in insurance.claims)
    assert is_silent(delivered(insurance, papers))


@settings(max_examples=30)
@given(papers=visits(), draw=st.data())
def test_in_any_order_many_claims_pay_what_one_would_where_no_year_is_used_up(
    papers: list[Paper], draw: st.DataObject
) -> None:
    under = policy(ytd_used=FRESH_YEAR, limits=AMPLE)
    insurance, order = Insurance(under), draw.draw(st.permutations(papers), label="order")
    for end in range(1, len(order) + 1):
        delivered(insurance, order[:end])
        assert is_silent(delivered(insurance, list(reversed(order[:end]))))
    whole = at_once(under, papers)
    assert insurance.payable == whole.payable
    for number in {key[1] for key in insurance.papers}:
        assert insurance.paid_for(number) == sum(line.paid for line in whole.lines if line.bill_no == number)


@settings(max_examples=30)
@given(papers=visits(), draw=st.data())
def test_whatever_the_order_no_visit_is_paid_twice_and_no_limit_is_exceeded(
    papers: list[Paper], draw: st.DataObject
) -> None:
    under = policy(ytd_used=FRESH_YEAR, limits=TIGHT)
    insurance, here = Insurance(under), list[Paper]()
    for paper in draw.draw(st.permutations(papers), label="order"):
        here.append(paper)
        for _ in range(draw.draw(st.integers(1, 3), label="times")):
            delivered(insurance, here)
    assert insurance.payable == sum(one.paid for one in insurance.papers.values())
    used = insurance.used
    assert used is not None
    assert used["covered"] + used["noncovered"] == insurance.payable
    assert used["covered"] <= TIGHT["covered_per_year"]
    assert used["noncovered"] <= TIGHT["noncovered_per_year"]
    assert used["noncovered_visits"] <= TIGHT["noncovered_visits_per_year"]
    for day in {one["period"]["from"] for kind, one in papers if kind == "bill"}:
        own = [paper for paper in papers if day in (paper[1].get("period", {}).get("from"), _drug_day(paper))]
        alone = at_once(policy(ytd_used=FRESH_YEAR, limits=AMPLE), own).payable
        numbers = {one.get("bill_no") or one["receipt_no"] for _, one in own}
        assert sum(insurance.paid_for(number) for number in numbers) <= alone


def _drug_day(paper: Paper) -> str | None:
    return paper[1]["dispense_date"] if paper[0] == "drugs" else None


junk = st.one_of(
    st.none(),
    st.integers(-(2**40), 2**40),
    st.text(max_size=4),
    st.just({}),
    st.just([]),
    st.sampled_from(["2026-13-01", "outpatient", "discharge", HOSPITAL, -1, "motor"]),
)


@settings(max_examples=60)
@given(draw=st.data())
def test_whatever_is_wrong_with_the_data_nothing_breaks_and_it_is_told_once(draw: st.DataObject) -> None:
    shared: dict[str, Any] = {
        "policy": FRESH,
        "bills": [VISIT, simple(60_000, 40_000, "B-2") | LATER, STAY],
        "details": [detail([row("laboratory", 0, covered_copay=50_000, covered_nhis=1)])],
        "by": [prescription()],
        "pharmacy": [drugs(6_000)],
    }
    whole = copy.deepcopy(shared)
    insurance = Insurance(whole["policy"])
    insurance.brings(*whole["bills"][:1])
    for _ in range(draw.draw(st.integers(1, 3), label="faults")):
        _damage(whole, draw)
    insurance.under = whole["policy"]
    delivery = {name: whole[name] for name in ("details", "by", "pharmacy")}
    insurance.brings(*whole["bills"], **delivery)
    assert is_silent(insurance.brings(*whole["bills"], **delivery))


def _damage(whole: dict[str, Any], draw: st.DataObject) -> None:
    """Put junk somewhere below the lists of records."""
    place: Any = whole[draw.draw(st.sampled_from(sorted(whole)), label="kind")]
    if isinstance(place, list):
        place = place[draw.draw(st.integers(0, len(place) - 1), label="record")]
    while True:
        steps = sorted(place) if isinstance(place, dict) else list(range(len(place)))
        step = draw.draw(st.sampled_from(steps), label="step")
        inner = place[step]
        if not isinstance(inner, dict | list) or not inner or draw.draw(st.booleans(), label="here"):
            place[step] = draw.draw(junk, label="junk")
            return
        place = inner
