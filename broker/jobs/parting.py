"""What time ends between people: mandates, guardianships, and the hand-over to a child come of age."""

from datetime import datetime

from broker.db import transaction
from broker.installation import Installation
from broker.jobs.isolation import one_at_a_time
from consent import party_ends


def end_representations(installation: Installation, now: datetime) -> int:
    """End what is over and pause what is handed over, each in a commit of its own; answers how many.

    Deciding has refused both since the very instant; this puts it on record.
    """
    with installation.data.read() as session:
        overdue = party_ends.overdue(session, now)
        handed_over = party_ends.due_handovers(session, now)
    done = 0
    for representation_id in overdue:
        with (
            one_at_a_time("representations", representation_id=representation_id),
            transaction(installation.data) as work,
        ):
            done += party_ends.lapse(work, installation.keyring, representation_id, now)
    for grant_id in handed_over:
        with one_at_a_time("handovers", grant_id=grant_id), transaction(installation.data) as work:
            done += party_ends.hand_over(work, installation.keyring, grant_id, now)
    return done
