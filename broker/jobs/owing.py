"""What recipients owe, as time goes on: a reminder before the day, and the record that it was missed."""

from datetime import datetime
from typing import Final

from sqlmodel import col, select

from broker.db import transaction
from broker.installation import Installation
from broker.jobs.isolation import one_at_a_time
from consent.lifecycle import lock
from consent.models import Obligation
from consent.obligations import check

_AT_ONCE: Final = 500


def check_obligations(installation: Installation, now: datetime) -> int:
    """Look at obligations whose time has come, each in a commit of its own; answers how many.

    One that cannot be looked at stays due, and does not count: it takes nobody's place.
    """
    done = 0
    with installation.data.read() as session:
        due = session.exec(
            select(Obligation.grant_id)
            .where(col(Obligation.check_at) <= now)
            .order_by(col(Obligation.check_at))
        ).all()
    for grant_id in due:
        if done == _AT_ONCE:
            break
        with one_at_a_time("obligations", grant_id=grant_id):
            with transaction(installation.data) as work:
                check(work, installation.keyring, lock(work, grant_id), now)
            done += 1
    return done
