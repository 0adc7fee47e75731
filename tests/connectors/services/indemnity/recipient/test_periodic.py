"""A consent that goes on: a visit, an event, a claim; and what the person does meanwhile."""

from tests.connectors.services.indemnity.papers import on
from tests.connectors.services.indemnity.recipient.watch import Watch

# A visit, an event, a claim.


def test_what_there_is_already_is_claimed_at_once(watch: Watch) -> None:
    (first,) = watch.pulls()
    assert (first.state, first.event_id, watch.insurer.case(watch.case_id).state) == (
        "closed",
        None,
        "standing",
    )
    assert first.claim is not None
    assert len(first.claim["lines"]) > 1
    assert first.claim["already_paid"] == 0
    (decision,) = watch.decisions(first)
    assert (decision["payable"], decision["reference"]) == (first.claim["payable"], first.claim_no)


def test_a_new_bill_is_one_further_claim_with_that_visit_only(watch: Watch) -> None:
    number = watch.visit()
    assert watch.is_told() == 1
    watch.works()
    assert len(watch.pulls()) == 2
    further = watch.pulls()[1]
    assert further.claim is not None
    assert (further.state, further.claim["payable"], further.claim["status"]) == (
        "closed",
        60_000,
        "approved",
    )
    assert {entry["bill_no"] for entry in further.claim["lines"]} == {number}
    (decision,) = watch.decisions(further)
    assert (decision["status"], decision["payable"]) == ("approved", 60_000)
    assert (watch.is_told(), len(watch.pulls())) == (0, 2)


def test_the_same_event_many_times_is_one_claim(watch: Watch) -> None:
    number = watch.visit()
    token = watch.event("again and again")
    for turn in range(10):
        assert watch.posts(token).status_code == 202
        if turn % 3 == 0:
            watch.works()
    watch.works()
    assert (watch.kept(), len(watch.pulls()), len(watch.claims_of(number))) == (["again and again"], 2, 1)


def test_events_that_came_together_need_one_pull(watch: Watch) -> None:
    numbers = [watch.visit(), watch.visit()]
    for event_id in ("one", "two", "three"):
        assert watch.posts(watch.event(event_id)).status_code == 202
    watch.works()
    watch.works()
    _, further = watch.pulls()
    assert (further.state, further.claim is not None) == ("closed", True)
    assert [len(watch.claims_of(number)) for number in numbers] == [1, 1]


def test_another_event_about_the_same_bill_closes_without_a_claim(watch: Watch) -> None:
    """The cycle is not over and nothing has arrived: the broker refuses, and that ends nothing."""
    number = watch.visit()
    for event_id in ("one", "two", "three"):
        assert watch.posts(watch.event(event_id)).status_code == 202
        watch.works()
    first, *further = watch.pulls()
    assert [case.state for case in (first, *further)] == ["closed"] * 4
    assert [case.claim is not None for case in further] == [True, False, False]
    assert [case.refusal for case in further] == [None] * 3
    assert len(watch.claims_of(number)) == 1
    watch.works()
    assert (len(watch.pulls()), watch.insurer.case(watch.case_id).state) == (4, "standing")


def test_a_pull_after_the_cycle_that_finds_nothing_new_decides_nothing(watch: Watch) -> None:
    watch.waits(days=8)
    assert watch.posts(watch.event("a week later")).status_code == 202
    watch.works()
    later = watch.pulls()[1]
    assert later.claim is not None
    assert (later.state, later.claim["lines"], later.decision_id) == ("closed", [], None)
    assert watch.decisions(later) == []


def test_a_correction_is_paid_the_difference_and_the_person_is_told_so(watch: Watch) -> None:
    day = watch.day()
    changes = {**on(day), "issue_date": day}
    for covered in (80_000, 90_000):
        watch.arrives("N-corrected", covered, changes)
        assert watch.is_told() == 1
        watch.works()
    paid, difference = watch.claims_of("N-corrected")
    assert (paid["payable"], paid["already_paid"]) == (60_000, 0)
    assert (difference["payable"], difference["already_paid"]) == (10_000, 60_000)
    (decision,) = watch.decisions(watch.pulls()[2])
    (first,) = watch.decisions(watch.pulls()[1])
    assert decision["payable"] == 10_000
    for language in ("ko", "en"):
        assert "60,000" in decision["explanation"][language]
        assert "60,000" not in first["explanation"][language]


# What the person does meanwhile.


def test_withdrawal_ends_it_and_takes_nothing_back(watch: Watch) -> None:
    kept, first = watch.visit(), watch.pulls()[0]
    watch.is_told()
    watch.works()
    watch.visit()
    watch.is_told()
    watch.person("withdraw")
    watch.works()
    closed, claimed, refused = watch.pulls()
    assert (closed, claimed.state, len(watch.claims_of(kept))) == (first, "closed", 1)
    assert (refused.state, refused.claim, refused.records) == ("refused", None, {})
    assert refused.refusal in {"consent_withdrawn", "token_revoked", "invalid_grant"}
    asked = list(watch.insurer.wire.asked)
    watch.waits(days=1)
    watch.works()
    assert watch.insurer.wire.asked == asked


def test_a_pause_between_event_and_pull_loses_nothing(watch: Watch) -> None:
    number = watch.visit()
    watch.is_told()
    watch.person("pause")
    for _ in range(5):
        watch.works()
        watch.waits(hours=5)
    assert (watch.pulls()[1].state, watch.claims_of(number)) == ("granted", [])
    watch.person("resume")
    watch.works()
    assert (watch.pulls()[1].state, len(watch.claims_of(number))) == ("closed", 1)
