"""Deals that cannot come about any more: ended in one commit, with every consent that waits in them.

Signing refuses since that very instant; this puts it on record, and makes it sure after a crash.
"""

from datetime import datetime

from broker.db import Transaction, transaction
from broker.installation import Installation
from broker.jobs.isolation import one_at_a_time
from consent.deals import close, doubtful_deals
from consent.models import Duty


def end_overdue_deals(installation: Installation, now: datetime) -> int:
    """End every open deal that time or a new text has ended, each by itself; answers how many."""
    with installation.data.read() as session:
        deal_ids = doubtful_deals(session, installation.purposes, now)
    ended = 0
    for deal_id in deal_ids:
        with one_at_a_time("deals", deal_id=deal_id), transaction(installation.data) as work:
            ended += close(work, installation.keyring, deal_id, installation.purposes, now)
    return ended


def close_deal(work: Transaction, installation: Installation, duty: Duty, now: datetime) -> None:
    """A consent of the deal has ended: so has the deal, unless it is complete. Idempotent."""
    close(work, installation.keyring, duty.target, installation.purposes, now)
