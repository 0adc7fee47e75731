"""What auditors read: leaves in pages and the head, and no detail."""

import dataclasses

import pytest

from consent.auditing import EventView, HeadView, events, head
from consent.ledger.models import LedgerCheckpoint
from consent.ledger.tree import leaf_hash
from consent.vocabulary import EventType
from tests.consent.details import PURPOSE
from tests.consent.office import RECIPIENT, Office


def page(office: Office, *, before: int | None = None, limit: int = 50) -> list[EventView]:
    with office.installation.data.read() as session:
        return events(session, before=before, limit=limit)


def head_of(office: Office) -> HeadView:
    with office.installation.data.read() as session:
        return head(session)


def test_an_empty_log_has_no_events_and_the_empty_root(office: Office) -> None:
    assert page(office) == []
    seen = head_of(office)
    assert (seen.size, seen.checkpoint, seen.checkpoint_at) == (0, None, None)
    assert seen.root.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # RFC 9162


def test_events_are_told_the_newest_first_without_who_it_was(office: Office) -> None:
    given = office.agree()
    newest, oldest = page(office)
    assert (oldest.index, oldest.type, oldest.facts) == (0, EventType.CONSENT_REQUESTED, {"change": 0})
    assert (newest.index, newest.type) == (1, EventType.CONSENT_GIVEN)
    assert newest.facts == {"change": 1, "access": "once"}
    assert (newest.recipient, newest.purpose, newest.at) == (RECIPIENT, PURPOSE, office.clock())
    assert newest.handle == oldest.handle == office.consent(given.grant_id).handle
    told = str(dataclasses.asdict(newest))
    assert office.subject_id not in told
    assert given.grant_id not in told


@pytest.mark.parametrize("limit", [1, 2, 5, 50])
def test_pages_together_are_the_whole_log_once(office: Office, limit: int) -> None:
    for _ in range(5):
        office.request()
    seen: list[int] = []
    for _ in range(6):  # one page more than there can be
        rows = page(office, before=seen[-1] if seen else None, limit=limit)
        assert len(rows) <= limit
        seen += [row.index for row in rows]
    assert seen == [4, 3, 2, 1, 0]


def test_the_root_is_that_of_the_committed_leaves(office: Office) -> None:
    office.request()
    (only,) = page(office)
    assert head_of(office) == HeadView(size=1, root=only.leaf_hash, checkpoint=None, checkpoint_at=None)
    office.request()
    assert head_of(office).size == 2
    assert head_of(office).root != leaf_hash(b"")


def test_the_newest_checkpoint_is_told_beside_the_head(office: Office) -> None:
    with office.work() as work:
        for size, note in ((1, "older"), (3, "newer"), (2, "between")):
            work.session.add(LedgerCheckpoint(size=size, note=note, signed_at=office.clock()))
    seen = head_of(office)
    assert (seen.size, seen.checkpoint, seen.checkpoint_at) == (0, "newer", office.clock())
