"""Records at the door, whichever way they came: matched to a link, collected, or kept apart for a person.

Import, asking and push all come through here, so one rule holds for all: nobody's record is guessed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from broker.db import Transaction
from broker.installation import Installation
from connectors.sources.base import Person, SourceRecord
from consent.collection import Arrival, collect, record_types_of
from consent.identity import Identity, Match, match
from consent.models import SourceLink
from consent.pending import NewPending, hold, let_go

NOT_COVERED: Final = "record_type_not_covered_by_collection_consent"
DISMISSED: Final = "dismissed_before"

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

    `origin` is where they came from (a file's name, `sync`, `push`): with its place it names a record.
    """
    matched = _match_all(work, installation, records, holder_id=holder_id, now=now)
    outcomes: dict[int, Outcome] = {}
    collected: dict[str, tuple[SourceLink, list[int]]] = {}
    covered: dict[str, tuple[str, ...]] = {}
    for number, (record, found) in enumerate(zip(records, matched, strict=True)):
        link = found.link
        if link is None or found.doubt is not None:
            outcomes[number] = _hold(
                work, installation, record, found, holder_id=holder_id, origin=origin, now=now
            )
            continue
        if link.link_id not in covered:
            covered[link.link_id] = record_types_of(installation.keyring, link)
        if record.record_type in covered[link.link_id]:
            collected.setdefault(link.link_id, (link, []))[1].append(number)
        else:
            outcomes[number] = Outcome(record.place, "refused", NOT_COVERED)
    for link, numbers in collected.values():
        own = [records[number] for number in numbers]
        arrivals = [
            Arrival(record.record_type, record.natural_key, record.data, record.as_of) for record in own
        ]
        results = collect(
            work, installation.keyring, installation.catalogue, link, arrivals=arrivals, now=now
        )
        for number, result in zip(numbers, results, strict=True):
            # What the holder has said something newer than changes nothing.
            what = "unchanged" if result.outcome == "outdated" else result.outcome
            outcomes[number] = Outcome(records[number].place, what)
    arrived = [
        _pending(records[number], holder_id, origin)
        for _, numbers in collected.values()
        for number in numbers
    ]
    if arrived:
        let_go(work.session, installation.keyring, arrived)
    return [outcomes[number] for number in range(len(records))]


def _match_all(
    work: Transaction,
    installation: Installation,
    records: Sequence[SourceRecord],
    *,
    holder_id: str,
    now: datetime,
) -> list[Match]:
    """Each person is looked for once in a batch."""
    found: dict[Person, Match] = {}
    for record in records:
        if record.person not in found:
            identity = _identity(record.person)
            found[record.person] = match(work.session, installation.keyring, holder_id, identity, now)
    return [found[record.person] for record in records]


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
    )


def _identity(person: Person) -> Identity:
    return Identity(person.number, person.name, person.born_on)
