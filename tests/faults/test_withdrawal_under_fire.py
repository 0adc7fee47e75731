"""Several processes pull while one withdraws: nothing that starts after the answer gets anything.

And in the log no release of a consent stands after its withdrawal.
"""

import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from broker.demo.citizen import Citizen
from tests.databases import Databases
from tests.faults.site import PASSWORD, USERNAME, Attempt, Site, attempts_in, prepared

PROCESSES = 3
EXPECTED = {(200, None), (401, "consent_withdrawn"), (503, "overloaded")}


def test_withdrawal_under_fire(databases: Databases, tmp_path: Path) -> None:
    with prepared(databases, tmp_path, workers=2) as site:
        fire(site, consents=16, seconds=8)


@pytest.mark.slow
def test_withdrawal_under_long_fire(databases: Databases, tmp_path: Path) -> None:
    with prepared(databases, tmp_path, workers=2) as site:
        fire(site, consents=120, seconds=90)


def fire(site: Site, *, consents: int, seconds: float) -> None:
    grant_ids = site.prepare(consents)
    stopped_first = grant_ids[: consents - 2]
    with site.serving(), site.pulling(PROCESSES) as outputs:
        wait_for_a_pull_of_each(outputs, stopped_first)
        answered_at = withdraw_each(site, stopped_first, seconds)
        wait_for_pulls_after(outputs, answered_at)
    attempts = attempts_in(outputs)
    assert {(attempt.status, attempt.code) for attempt in attempts} <= EXPECTED
    assert_nothing_after(attempts, answered_at)
    for grant_id in grant_ids:
        assert_log_tells_all(site, grant_id, [one for one in attempts if one.grant_id == grant_id])
        if grant_id in answered_at:
            assert_no_release_after_withdrawal(site, grant_id)
    assert site.verified_log().outcome == "verified"


def wait_for_a_pull_of_each(outputs: Sequence[Path], grant_ids: Sequence[str]) -> None:
    """The clients choose by chance: a consent that nobody has pulled yet would show nothing."""
    deadline = time.monotonic() + 180
    while True:
        pulled = {one.grant_id for one in attempts_so_far(outputs) if one.status == httpx.codes.OK}
        if pulled >= set(grant_ids):
            return
        assert time.monotonic() < deadline, "the clients do not get going"
        time.sleep(0.2)


def attempts_so_far(outputs: Sequence[Path]) -> list[Attempt]:
    """What the clients have written by now, but for a line that is not whole."""
    written = [output.read_text() for output in outputs if output.exists()]
    whole = [text[: text.rfind("\n") + 1] for text in written]
    return [Attempt(**json.loads(line)) for text in whole for line in text.splitlines()]


def wait_for_pulls_after(outputs: Sequence[Path], answered_at: dict[str, int]) -> None:
    """As many as show something: `assert_nothing_after` wants more of them than withdrawals."""
    deadline = time.monotonic() + 180
    while len(begun_after(attempts_so_far(outputs), answered_at)) <= len(answered_at):
        assert time.monotonic() < deadline, "too few pulls came after the withdrawals to show anything"
        time.sleep(0.2)


def begun_after(attempts: Sequence[Attempt], answered_at: dict[str, int]) -> list[Attempt]:
    return [one for one in attempts if one.started_at > answered_at.get(one.grant_id, one.started_at)]


def withdraw_each(site: Site, grant_ids: Sequence[str], seconds: float) -> dict[str, int]:
    """Stop one after the other through the page; when the answer to each had returned."""
    answered_at: dict[str, int] = {}

    def note(answer: httpx.Response) -> None:
        if answer.request.method == "POST" and answer.request.url.path.endswith("/stop"):
            assert answer.status_code == 303
            answered_at[answer.request.url.path.split("/")[3]] = time.monotonic_ns()

    citizen = Citizen(site.issuer, USERNAME, PASSWORD)
    citizen._http.event_hooks = {"response": [note]}
    started = time.monotonic()
    try:
        for number, grant_id in enumerate(grant_ids, start=1):
            citizen.stop(grant_id)
            pause = started + seconds * number / len(grant_ids) - time.monotonic()
            time.sleep(max(0.0, pause))
    finally:
        citizen.close()
    assert set(answered_at) == set(grant_ids)
    return answered_at


def assert_nothing_after(attempts: Sequence[Attempt], answered_at: dict[str, int]) -> None:
    after = begun_after(attempts, answered_at)
    assert len(after) > len(answered_at), "too few pulls came after the withdrawals to show anything"
    assert {(one.status, one.code) for one in after} <= EXPECTED - {(200, None)}
    before = [one for one in attempts if one.status == 200]
    assert {one.grant_id for one in before} >= set(answered_at), "a consent was never pulled before its end"


def assert_no_release_after_withdrawal(site: Site, grant_id: str) -> None:
    chronicle = site.chronicle(grant_id)
    end = chronicle.index_of("consent.withdrawn")
    assert [index for index, _ in chronicle.releases() if index > end] == []


def assert_log_tells_all(site: Site, grant_id: str, attempts: Sequence[Attempt]) -> None:
    """Every 200 has its delivery and an entry of its own; every entry and delivery was an answer."""
    answered = [one for one in attempts if one.status == 200]
    delivered = site.delivered(grant_id)
    assert {one.delivery_id: one.payload_digest for one in answered} == delivered
    told = Counter(payload for _, payload in site.chronicle(grant_id).releases())
    assert told == Counter(one.payload_digest for one in answered)
