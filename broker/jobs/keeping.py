"""What cannot be taken as it is, kept apart for a person: records with faults, and records at odds.

A record that breaks a rule is named where it came in, and waits here under `mydata source pending`, so
that it is neither mended by a guess nor lost. So is each of two records of one name that say different.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from broker.db import Transaction
from broker.installation import Installation
from broker.jobs.arriving import DISMISSED, Outcome
from connectors.sources.base import Faulty, Person, SourceRecord
from consent.identity import Identity, Match, match_all
from consent.organisations import require_holders
from consent.pending import HoldOutcome, NewPending, hold
from consent.vocabulary import Doubt
from vault.store import canonical

_NAMED_FAULTS: Final = 3


def keep_faulty(  # noqa: PLR0913 - where to, what came, from whom, by which way, and when
    work: Transaction,
    installation: Installation,
    faulty: Sequence[Faulty],
    *,
    holder_id: str,
    origin: str,
    now: datetime,
) -> None:
    """Keep apart records that have faults: as they came, where their owner agreed to their collection.

    Of anybody else a notice: where it stood, and what is wrong. Raises UnknownOrganisationError.
    """
    if not faulty:
        return
    require_holders(work.session, [holder_id])
    told = {one.place: _identity(one.person) for one in faulty if one.person is not None}
    found = match_all(work.session, installation.keyring, holder_id, set(told.values()), now)
    for one in faulty:
        identity = told.get(one.place)
        matched = None if identity is None else found[identity]
        new = NewPending(
            holder_id=holder_id,
            record_type=one.record_type,
            natural_key=one.natural_key or "",
            identity=identity or Identity(""),
            place=_place(origin, one),
            data={
                "faults": [{"path": fault.path, "rule": fault.rule} for fault in one.faults],
                "raw": one.raw,
            },
            name=_name(origin, one),
        )
        _keep(work, installation, new, _faulty_match(matched, one), now)


def divide(records: Iterable[SourceRecord]) -> tuple[list[SourceRecord], list[SourceRecord]]:
    """Records of one delivery that agree, and those that contradict another one of their own name."""
    known: dict[tuple[str, str, str], bytes] = {}
    at_odds: set[tuple[str, str, str]] = set()
    listed = list(records)
    for record in listed:
        content = canonical(record.data)
        if known.setdefault(_called(record), content) != content:
            at_odds.add(_called(record))
    return (
        [record for record in listed if _called(record) not in at_odds],
        [record for record in listed if _called(record) in at_odds],
    )


def keep_contradicting(  # noqa: PLR0913 - where to, what came, from whom, by which way, and when
    work: Transaction,
    installation: Installation,
    records: Sequence[SourceRecord],
    *,
    holder_id: str,
    origin: str,
    now: datetime,
) -> list[Outcome]:
    """Keep apart records that contradict others: which of them is right, only the holder can say."""
    if not records:
        return []
    require_holders(work.session, [holder_id])
    identities = [_identity(record.person) for record in records]
    found = match_all(work.session, installation.keyring, holder_id, set(identities), now)
    outcomes = []
    for record, identity in zip(records, identities, strict=True):
        matched = found[identity]
        doubt = matched.doubt or Doubt.CONTRADICTS_ANOTHER
        new = NewPending(
            holder_id=holder_id,
            record_type=record.record_type,
            natural_key=record.natural_key,
            identity=identity,
            place=f"{origin}: {record.place}",
            data=record.data,
            name=sha256(canonical(record.data)).hexdigest(),
            as_of=record.as_of,
        )
        match = Match(matched.link, doubt, is_number_linked=matched.is_number_linked)
        outcomes.append(_outcome(record.place, doubt, _keep(work, installation, new, match, now)))
    return outcomes


def _keep(
    work: Transaction, installation: Installation, new: NewPending, match: Match, now: datetime
) -> HoldOutcome:
    keep_for = timedelta(days=installation.settings.collection.pending_days)
    return hold(work, installation.keyring, new, match, keep_for=keep_for, now=now)


def _outcome(place: str, doubt: Doubt, standing: HoldOutcome) -> Outcome:
    if standing == "admitted":
        return Outcome(place, "unchanged")
    if standing == "dismissed":
        return Outcome(place, "refused", DISMISSED)
    return Outcome(place, "held", doubt)


def _faulty_match(matched: Match | None, one: Faulty) -> Match:
    """Whose timeline it stands in, if the number was read; what must not be kept leaves a notice only."""
    if matched is None:
        return Match(None, Doubt.RECORD_FAULTY, is_number_linked=False)
    is_kept = matched.is_number_linked and one.raw is not None
    return Match(matched.link, Doubt.RECORD_FAULTY, is_number_linked=is_kept)


def _name(origin: str, one: Faulty) -> str | None:
    """What tells it from others: the holder's own name for it, or what it says, or where it stood.

    Under the holder's own name it goes away by itself once the mended record has arrived.
    """
    if one.person is not None and one.natural_key is not None:
        return None
    return one.fingerprint or f"{origin}: {one.place}"


def _place(origin: str, one: Faulty) -> str:
    named = [f"{fault.path} {fault.rule}" for fault in one.faults[:_NAMED_FAULTS]]
    more = ["…"] if len(one.faults) > _NAMED_FAULTS else []
    return f"{origin}: {one.place} {', '.join([*named, *more])}"


def _called(record: SourceRecord) -> tuple[str, str, str]:
    return record.person.number, record.record_type, record.natural_key


def _identity(person: Person) -> Identity:
    return Identity(person.number, person.name, person.born_on)
