"""Properties of whole years: visits, stays, drugs and special care as they come, under tight limits."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.services.indemnity.claim import Claim, compute
from connectors.services.indemnity.rules import Rules
from tests.connectors.services.indemnity.papers import (
    SEEN,
    billed,
    detail,
    drugs,
    on,
    policy,
    row,
)

RULES = Rules.load()
GROUPS = ("manual_therapy", "injection", "mri")
LIMITS = {
    "covered_per_visit": 150_000,
    "noncovered_per_visit": 200_000,
    "covered_per_year": 900_000,
    "noncovered_per_year": 700_000,
    "noncovered_visits_per_year": 4,
}

won = st.integers(0, 900_000)


@dataclass
class Episode:
    """A visit or a stay of one month with everything that came of it."""

    bills: list[dict[str, Any]]
    details: list[dict[str, Any]]
    drugs: list[dict[str, Any]] = field(default_factory=list)


@st.composite
def rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    made = [SEEN, row("procedure", draw(won), covered_copay=draw(won), covered_full_self=draw(won))]
    groups = draw(st.lists(st.sampled_from(GROUPS), max_size=3))
    made += [row("other", draw(won), group, count=str(draw(st.integers(1, 4)))) for group in groups]
    if draw(st.booleans()):
        made.append(row("room_single", draw(won)))
    if draw(st.booleans()):
        made.append(row("certificate", draw(st.integers(0, 20_000))))
    return made


@st.composite
def years(draw: st.DrawFn) -> list[Episode]:
    episodes = []
    for month in sorted(draw(st.sets(st.integers(2, 12), min_size=1, max_size=7))):
        is_stay = draw(st.integers(0, 3)) == 0
        days = on(f"2026-{month:02}-10", f"2026-{month:02}-14" if is_stay else None)
        episode = Episode([], [])
        for number in range(1 if is_stay else draw(st.integers(1, 2))):
            name, own = f"B-{month:02}-{number}", draw(rows())
            kind = {"care_type": "discharge" if is_stay else "outpatient"}
            episode.bills.append(billed(own, name) | days | kind)
            episode.details.append(detail(own, name))
        if draw(st.booleans()):
            told = {"prescription_no": f"2026{month:02}10-00001", "dispense_date": f"2026-{month:02}-11"}
            episode.drugs.append(drugs(draw(won), draw(won), f"R-{month:02}", **told))
        episodes.append(episode)
    return episodes


@st.composite
def policies(draw: st.DrawFn) -> dict[str, Any]:
    used: dict[str, Any] = {
        "year_from": "2026-01-10",
        "year_to": "2027-01-09",
        "covered": draw(st.integers(0, 1_000_000)),
        "noncovered": draw(st.integers(0, 800_000)),
        "noncovered_visits": draw(st.integers(0, 5)),
        "inpatient_own_share": draw(st.integers(0, 2_100_000)),
    }
    for group in GROUPS:
        used[group] = {"paid": draw(st.integers(0, 3_600_000)), "sessions": draw(st.integers(0, 51))}
    return policy(limits=LIMITS, ytd_used=used)


def claim_of(under: dict[str, Any], episodes: Sequence[Episode]) -> Claim:
    return compute(
        under,
        [one for episode in episodes for one in episode.bills],
        details=[one for episode in episodes for one in episode.details],
        pharmacy_bills=[one for episode in episodes for one in episode.drugs],
    )


@given(under=policies(), episodes=years())
def test_every_won_has_its_place_and_nothing_is_paid_beyond_it(
    under: dict[str, Any], episodes: list[Episode]
) -> None:
    claim = claim_of(under, episodes)
    for entry in claim.lines:
        assert 0 <= entry.paid <= entry.billed
        assert entry.deductible >= 0
        assert entry.over_limit >= 0
        if entry.deductible or entry.over_limit or entry.paid:
            assert entry.billed == entry.deductible + entry.over_limit + entry.paid
        assert set(entry.explanation) == {"ko", "en"}
        assert not any("{" in text for text in entry.explanation.values())
    papers = [paper for episode in episodes for paper in (*episode.bills, *episode.drugs)]
    assert sum(entry.billed for entry in claim.lines) == sum(one["totals"]["patient_total"] for one in papers)
    assert claim.payable == sum(entry.paid for entry in claim.lines)


@given(under=policies(), episodes=years())
def test_yearly_limits_are_never_exceeded(under: dict[str, Any], episodes: list[Episode]) -> None:
    used, claim = under["ytd_used"], claim_of(under, episodes)
    after = claim.used_after
    for part in ("covered", "noncovered"):
        assert used[part] <= after[part] <= max(used[part], LIMITS[f"{part}_per_year"])
    assert after["noncovered_visits"] <= max(used["noncovered_visits"], 4)
    assert after["inpatient_own_share"] <= max(used["inpatient_own_share"], 2_000_000)
    for group in GROUPS:
        rule = RULES.special[group]
        assert after[group]["paid"] <= max(used[group]["paid"], rule.most_per_year)
        if rule.most_sessions_per_year is not None:
            assert after[group]["sessions"] <= max(used[group]["sessions"], rule.most_sessions_per_year)
    # What the year has used more is what the lines pay, each under its own rule.
    special = sum(after[group]["paid"] - used[group]["paid"] for group in GROUPS)
    ordinary = sum(after[part] - used[part] for part in ("covered", "noncovered"))
    assert claim.payable == special + ordinary


@given(under=policies(), episodes=years(), randomness=st.randoms(use_true_random=False))
def test_the_order_in_which_records_come_does_not_matter(
    under: dict[str, Any], episodes: list[Episode], randomness: Random
) -> None:
    mixed = copy.deepcopy(episodes)
    randomness.shuffle(mixed)
    for episode in mixed:
        randomness.shuffle(episode.bills)
        randomness.shuffle(episode.details)
        for one in episode.details:
            randomness.shuffle(one["rows"])
    assert claim_of(under, mixed) == claim_of(under, episodes)


@settings(max_examples=150)
@given(under=policies(), episodes=years(), cut=st.integers(0, 7))
def test_a_year_claimed_in_two_parts_is_paid_the_same(
    under: dict[str, Any], episodes: list[Episode], cut: int
) -> None:
    whole = claim_of(under, episodes)
    first = claim_of(under, episodes[:cut])
    second = claim_of({**under, "ytd_used": first.used_after}, episodes[cut:])
    # Drugs without a visit stand at the end of each claim.
    assert sorted((*first.lines, *second.lines), key=repr) == sorted(whole.lines, key=repr)
    assert sorted((*first.reasons, *second.reasons), key=repr) == sorted(whole.reasons, key=repr)
    assert second.used_after == whole.used_after


@given(copies=st.integers(2, 4), seed=st.randoms(use_true_random=False))
def test_papers_that_came_more_than_once_pay_nothing_in_any_order(copies: int, seed: Random) -> None:
    some = [billed([SEEN, row("procedure", 50_000 + number)]) for number in range(copies)]
    mixed = list(some)
    seed.shuffle(mixed)
    claim = compute(policy(), mixed)
    assert claim == compute(policy(), some)
    assert (claim.payable, claim.status) == (0, "review")
