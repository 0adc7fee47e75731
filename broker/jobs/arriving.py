"""Records at the door, whichever way they came: matched to a link, collected, or kept apart for a person.

Import, asking and push all come through here, so one rule holds for all: nobody's record is guessed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from broker.db import Transaction
from broker.installation import Installation
from connectors.sources.base import Person, SourceRecord
from consent.collection import Arrival, collect_all, record_types_of_all
from consent.identity import Identity, Match, match_all
from consent.pending import NewPending, hold, let_go
from consent.roles import Capability

NOT_COVERED: Final = "record_type_not_covered_by_collection_consent"
DISMISSED: Final = "dismissed_before"
OTHER_ROLE: Final = "linked_in_another_role"

What = Literal["added", "corrected", "unchanged", "held", "refused"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one record; `rule` says why it is kept apart or refused."""

    place: str
    what: What
    rule: str | None = None


def take_in(  # noqa: PLR0913 - where to, what came, from whom, by which way, and when
    work: Transaction,
    installation: Installation,
    records: Sequence[SourceRecord],
    *,
    holder_id: str,
    origin: str,
    now: datetime,
) -> list[Outcome]:
    """Collect what is somebody's without a doubt, keep apart what is not; one outcome each, in order.

    `origin` is where they came from (a file's name, `sync`, `push`): with its place it names a record. Raises
    RoleForbidsError in a role that stores nothing.
    """
    installation.deployment.require(Capability.STORE)
    identities = [_identity(record.person) for record in records]
    found = match_all(work.session, installation.keyring, holder_id, set(identities), now)
    certain = {
        match.link.link_id: match.link
        for match in found.values()
        if match.link is not None and match.doubt is None
    }
    covered = record_types_of_all(installation.keyring, certain.values())
    outcomes: dict[int, Outcome] = {}
    collected: dict[str, list[int]] = {}
    for number, (record, identity) in enumerate(zip(records, identities, strict=True)):
        match = found[identity]
        if match.link is None or match.doubt is not None:
            outcomes[number] = _hold(
                work, installation, record, match, holder_id=holder_id, origin=origin, now=now
            )
        elif match.link.role != installation.deployment.role:
            outcomes[number] = Outcome(record.place, "refused", OTHER_ROLE)
        elif record.record_type in covered[match.link.link_id]:
            collected.setdefault(match.link.link_id, []).append(number)
        else:
            outcomes[number] = Outcome(record.place, "refused", NOT_COVERED)
    outcomes |= _collect(work, installation, records, collected, now)
    arrived = [
        _pending(records[number], holder_id, origin) for numbers in collected.values() for number in numbers
    ]
    if arrived:
        let_go(work.session, installation.keyring, arrived)
    return [outcomes[number] for number in range(len(records))]


def _collect(
    work: Transaction,
    installation: Installation,
    records: Sequence[SourceRecord],
    collected: Mapping[str, Sequence[int]],
    now: datetime,
) -> dict[int, Outcome]:
    """Collect records through their links; `collected` names each link's by their numbers."""
    arrivals = {
        link_id: [
            Arrival(record.record_type, record.natural_key, record.data, record.as_of)
            for record in map(records.__getitem__, numbers)
        ]
        for link_id, numbers in collected.items()
    }
    results = collect_all(work, installation.keyring, installation.catalogue, arrivals, now)
    outcomes: dict[int, Outcome] = {}
    for link_id, numbers in collected.items():
        for number, result in zip(numbers, results[link_id], strict=True):
            # What the holder has said something newer than changes nothing.
            what = "unchanged" if result.outcome == "outdated" else result.outcome
            outcomes[number] = Outcome(records[number].place, what)
    return outcomes


def _hold(  # noqa: PLR0913 - one record, what is doubtful about it, and where it came from
    work: Transaction,
    installation: Installation,
    record: SourceRecord,
    found: Match,
    *,
    holder_id: str,
    origin: str,
    now: datetime,
) -> Outcome:
    keep_for = timedelta(days=installation.settings.collection.pending_days)
    new = _pending(record, holder_id, origin)
    standing = hold(work, installation.keyring, new, found, keep_for=keep_for, now=now)
    if standing == "admitted":
        return Outcome(record.place, "unchanged")
    if standing == "dismissed":
        return Outcome(record.place, "refused", DISMISSED)
    return Outcome(record.place, "held", found.doubt)


def _pending(record: SourceRecord, holder_id: str, origin: str) -> NewPending:
    return NewPending(
        holder_id=holder_id,
        record_type=record.record_type,
        natural_key=record.natural_key,
        identity=_identity(record.person),
        place=f"{origin}: {record.place}",
        data=record.data,
        as_of=record.as_of,
    )


def _identity(person: Person) -> Identity:
    return Identity(person.number, person.name, person.born_on)
