"""What time ends on the way in: links whose year is over, and records that waited too long for a decision."""

from datetime import datetime

from broker.db import transaction
from broker.installation import Installation
from broker.jobs.isolation import one_at_a_time
from consent.collection import expire_link, overdue_links
from consent.pending_decisions import lapse, overdue_pending


def end_overdue_links(installation: Installation, now: datetime) -> int:
    """End every link whose time is over, each in a commit of its own; answers how many."""
    with installation.data.read() as session:
        overdue = overdue_links(session, now)
    ended = 0
    for link_id, subject_id in overdue:
        with one_at_a_time("links", link_id=link_id), transaction(installation.data) as work:
            ended += expire_link(work, installation.keyring, link_id, subject_id, now)
    return ended


def lapse_pending(installation: Installation, now: datetime) -> int:
    """Destroy what was kept apart for too long; answers how much of it had still waited."""
    with installation.data.read() as session:
        overdue = overdue_pending(session, now)
    lapsed = 0
    for pending_id in overdue:
        with one_at_a_time("pending", pending_id=pending_id), transaction(installation.data) as work:
            lapsed += lapse(work, installation.keyring, pending_id, now)
    return lapsed
