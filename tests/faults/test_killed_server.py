"""`kill -9` in the middle of pulls: what was answered is on record, and the log holds together."""

import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import httpx
from sqlmodel import func, select

from consent.ledger.entries import read_head
from consent.ledger.models import LedgerEntry
from tests.databases import Databases
from tests.faults.site import Attempt, Site, attempts_in, kill_group, prepared
from tests.faults.test_withdrawal_under_fire import attempts_so_far
from tests.lane.proofs import proof

ANSWERED = 60


def test_a_killed_server_has_answered_nothing_that_is_not_on_record(
    databases: Databases, tmp_path: Path
) -> None:
    with prepared(databases, tmp_path, workers=2) as site:
        grant_ids = site.prepare(6)
        with site.serving() as server, site.pulling(2) as outputs:
            wait_for_answers(outputs, ANSWERED)
            time.sleep(1)
            kill_group(server)
        attempts = attempts_in(outputs)
        # On a busy machine a lock may come too late, which promises nothing.
        assert {(one.status, one.code) for one in attempts} <= {(200, None), (503, "overloaded")}
        answered = [one for one in attempts if one.status == httpx.codes.OK]
        assert len(answered) >= ANSWERED
        for grant_id in grant_ids:
            assert_on_record(site, grant_id, [one for one in answered if one.grant_id == grant_id])
        assert_head_counts_the_entries(site)
        assert site.verified_log().outcome == "verified"
        with site.serving():
            assert_same_again(site, answered[-1])
        assert site.verified_log().outcome == "verified"


def wait_for_answers(outputs: Sequence[Path], wanted: int) -> None:
    deadline = time.monotonic() + 180
    while sum(one.status == httpx.codes.OK for one in attempts_so_far(outputs)) < wanted:
        assert time.monotonic() < deadline, "the clients do not get going"
        time.sleep(0.1)


def assert_on_record(site: Site, grant_id: str, answered: list[Attempt]) -> None:
    delivered = site.delivered(grant_id)
    assert {one.delivery_id: one.payload_digest for one in answered}.items() <= delivered.items()
    told = Counter(payload for _, payload in site.chronicle(grant_id).releases())
    assert Counter(one.payload_digest for one in answered) <= told
    assert set(told) == set(delivered.values()), (
        "a delivery without its entry, or an entry without a delivery"
    )


def assert_head_counts_the_entries(site: Site) -> None:
    with site.installation.data.read() as session:
        size, _ = read_head(session)
        entries, last = session.exec(select(func.count(), func.max(LedgerEntry.idx))).one()
    assert (entries, last) == (size, size - 1)


def assert_same_again(site: Site, answered: Attempt) -> None:
    """After the restart a client that is in doubt asks with its old key, and gets the same."""
    url, token = f"{site.issuer}/v1/records", site.tokens[answered.grant_id]
    headers = {
        "Authorization": f"DPoP {token}",
        "DPoP": proof(site.key, "GET", url, access_token=token, now=datetime.now(UTC)),
        "Idempotency-Key": answered.key,
    }
    body = httpx.get(url, headers=headers, timeout=120).json()
    assert (body["delivery_id"], body["payload_digest"]) == (answered.delivery_id, answered.payload_digest)
