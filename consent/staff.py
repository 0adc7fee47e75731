"""What the staff look at or decide goes on record: who, why, and whose (Safety Measures Standard article 8).

Where a subject is known, the event is theirs; where none is, its detail lies under a key of the staff's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from consent.collection import COLLECTION_PURPOSE, record_link_event
from consent.evidence import Occurrence, Work, evidence
from consent.models import SourceLink
from consent.vocabulary import EventType
from vault.keys.keyring import Keyring
from vault.schema import random_id

STAFF_KEY: Final = "staff"
"""The name of the sealing key of details that are nobody's."""


@dataclass(frozen=True, slots=True)
class Staff:
    """Who acts for the operator, and the reason that they give."""

    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class StaffAct:
    """What a member of the staff did. Facts are public in the log; the detail is sealed, with who and why."""

    event: EventType
    staff: Staff
    facts: Mapping[str, str | int] = field(default_factory=dict)
    detail: Mapping[str, Any] = field(default_factory=dict)


def record_staff_act(
    work: Work, keyring: Keyring, act: StaffAct, link: SourceLink | None, now: datetime
) -> None:
    """Put an act into the log with this transaction's commit: under the link's handle if it is about one."""
    detail = {**act.detail, "by": act.staff.by, "reason": act.staff.reason}
    if link is not None:
        record_link_event(work, keyring, link, act.event, facts=act.facts, detail=detail, now=now)
        return
    occurrence = Occurrence(
        event=act.event,
        handle=random_id(),
        at=now,
        purpose=COLLECTION_PURPOSE,
        facts=act.facts,
        detail=detail,
    )
    work.record(evidence(keyring.sealing_key(STAFF_KEY), occurrence))
