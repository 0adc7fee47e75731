"""What has arrived is news to some recipients: periodic consents that cover it, and the duty to tell them.

The duty is a row of the transaction that stores the record, so neither stands without the other.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, func, select

from consent.disclosure import matches
from consent.models import Consent, ConsentCompartment, ConsentVersion, Delivery
from consent.outbox import DutyKind, owe
from consent.terms import Terms
from consent.versions import open_terms_with
from consent.vocabulary import ConsentState
from vault.errors import TamperedError
from vault.keys.keyring import Keyring
from vault.record_types.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class News:
    """A record version that has just been stored, with its plaintext, which only the matching reads."""

    compartment_id: str
    record_type: str
    data: Mapping[str, Any] = field(repr=False)


def announce(
    session: Session, keyring: Keyring, catalogue: Catalogue, news: Sequence[News], now: datetime
) -> list[str]:
    """Owe every recipient whose periodic consent covers any of `news` one event; answers the grant ids.

    Covered means covered to the letter: institution, dates and item, so that an event says nothing of a
    record that a pull would not show. The caller holds a lock on the links that the records came through,
    which giving a consent waits for: a consent that is not seen here sees the records in its first pull.
    """
    by_compartment: dict[str, list[News]] = defaultdict(list)
    for one in news:
        by_compartment[one.compartment_id].append(one)
    told = [
        consent
        for consent, terms, arrived in _covering(session, keyring, by_compartment, now)
        if any(_covers(terms, catalogue, one) for one in arrived)
    ]
    for consent in told:
        owe(session, DutyKind.TELL_RECIPIENT, consent.grant_id, now, client_id=consent.client_id)
    return [consent.grant_id for consent in told]


def _covering(
    session: Session, keyring: Keyring, by_compartment: Mapping[str, list[News]], now: datetime
) -> Iterator[tuple[Consent, Terms, list[News]]]:
    """Each periodic consent that opens one of the compartments, with what has arrived in them.

    One with no place left is left out: its recipient could not pull. So is one whose terms were tampered
    with: a pull puts that on record, and other people's records must not wait for it.
    """
    taken = (
        select(func.count())
        .select_from(Delivery)
        .where(
            col(Delivery.grant_id) == col(Consent.grant_id),
            col(Delivery.places_since) == col(Consent.places_since),
        )
        .scalar_subquery()
    )
    rows = session.exec(
        select(Consent, ConsentVersion, ConsentCompartment.compartment_id)
        .join(ConsentVersion, col(ConsentVersion.grant_id) == col(Consent.grant_id))
        .join(ConsentCompartment, col(ConsentCompartment.version_id) == col(ConsentVersion.version_id))
        .where(
            col(ConsentCompartment.compartment_id).in_(sorted(by_compartment)),
            col(Consent.state).in_((ConsentState.GIVEN, ConsentState.PAUSED)),
            col(Consent.valid_until) > now,
            col(ConsentVersion.number) == col(Consent.version_number),
            taken < col(Consent.max_pulls),
        )
    )
    opened: dict[str, list[str]] = defaultdict(list)
    versions: dict[str, tuple[Consent, ConsentVersion]] = {}
    for consent, version, compartment_id in rows:
        versions[consent.grant_id] = (consent, version)
        opened[consent.grant_id].append(compartment_id)
    audit_keys = keyring.audit_keys(consent.subject_id for consent, _ in versions.values())
    for grant_id in sorted(versions):
        consent, version = versions[grant_id]
        try:
            terms = open_terms_with(audit_keys[consent.subject_id], version.version_id, version.terms_sealed)
        except TamperedError:
            continue
        if terms.access.cycle is not None:
            yield consent, terms, [one for place in opened[grant_id] for one in by_compartment[place]]


def _covers(terms: Terms, catalogue: Catalogue, news: News) -> bool:
    item = terms.item(news.record_type)
    record_type = catalogue.get(news.record_type)
    return item is not None and matches(item, record_type, news.data, terms.data_period)
