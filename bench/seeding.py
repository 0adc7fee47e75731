"""Consents as the lane finds them: one person, one record, one consent, one token each, in bulk.

The rows are those that the domain's functions leave; a pull of each must answer 200, so a row that is no
longer like theirs is noticed.
"""

import copy
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import rfc8785
from sqlalchemy import insert
from sqlmodel import Session, SQLModel

from bench.proofs import Ticket
from broker.demo.installing import CLIENT_ID
from broker.demo.people import HOSPITAL, INSTITUTION, INSURER, PURPOSE
from broker.installation import Installation
from broker.oauth.confirmation import of_key
from broker.oauth.models import Token
from broker.oauth.tokens import hash_of
from consent.models import Consent, ConsentCompartment, ConsentVersion, Subject
from consent.terms import Terms, parse
from consent.versions import terms_context, version_id_of
from consent.vocabulary import ConsentState
from vault.jose import Jwk, thumbprint
from vault.keys.local import LocalProvider
from vault.keys.models import AuditKey, CompartmentKey, ConsentShare, SubjectKey
from vault.keys.roots import Roots, load_roots
from vault.schema import random_id
from vault.seal import SealingKey, context_of, new_key, seal, wrap_key
from vault.store import Record, RecordIdentity, RecordVersion, record_context

RECORD_TYPE: Final = "health.medical_bill"

_CHUNK: Final = 1000
_DATA: Final = (Subject, Record, RecordVersion, Consent, ConsentVersion, ConsentCompartment, Token)
_KEYRING: Final = (SubjectKey, AuditKey, CompartmentKey, ConsentShare)

Rows = dict[type[SQLModel], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Case:
    """One consent: who, what, and the keys of it."""

    subject_id: str
    compartment_id: str
    grant_id: str
    raw_token: str
    record: bytes
    subject_key: SealingKey
    audit_key: SealingKey
    compartment_key: SealingKey


def seed(installation: Installation, jwk: Jwk, count: int) -> list[Ticket]:
    """Add `count` consents whose tokens are bound to `jwk`; a ticket for each."""
    now, roots = installation.clock(), _roots(installation)
    terms, jkt = _terms(now), thumbprint(jwk)
    tickets: list[Ticket] = []
    for start in range(0, count, _CHUNK):
        cases = [_case(installation, start + number) for number in range(min(_CHUNK, count - start))]
        keyring_rows = [_keyring_rows(roots, case, now) for case in cases]
        data_rows = [_data_rows(case, terms, jkt, now) for case in cases]
        with installation.keyring_database.write() as session:
            _insert(session, _KEYRING, keyring_rows)
        with installation.data.write() as session:
            _insert(session, _DATA, data_rows)
        tickets += [Ticket(case.raw_token, case.grant_id) for case in cases]
    return tickets


def example(installation: Installation, number: int) -> dict[str, Any]:
    """A medical bill of our schema."""
    data = copy.deepcopy(dict(installation.catalogue.get(RECORD_TYPE).example))
    data["institution"]["hira_code"] = INSTITUTION
    return data | {"bill_no": f"20261102-{number:06}", "period": {"from": "2026-11-02", "to": "2026-11-02"}}


def _roots(installation: Installation) -> Roots:
    """The epoch's key: the keyring gives it to nobody, and makes one key at a time."""
    settings = installation.settings.keyring
    provider = LocalProvider(settings.root_file, settings.passphrase.get_secret_value())
    with installation.keyring_database.read() as session:
        return load_roots(session, provider)


def _insert(session: Session, models: tuple[type[SQLModel], ...], rows: list[Rows]) -> None:
    for model in models:
        session.connection().execute(insert(model), [one[model] for one in rows])


def _case(installation: Installation, number: int) -> _Case:
    subject_id = random_id()
    return _Case(
        subject_id=subject_id,
        compartment_id=installation.keyring.compartment_id(subject_id, HOSPITAL, RECORD_TYPE),
        grant_id=random_id(),
        raw_token=f"mda_{random_id()}{random_id()}",
        record=rfc8785.dumps(example(installation, number)),
        subject_key=new_key(),
        audit_key=new_key(),
        compartment_key=new_key(),
    )


def _terms(now: datetime) -> Terms:
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return parse(
        [
            {
                "type": "mydata_consent",
                "actions": ["read"],
                "purpose": PURPOSE,
                "items": [
                    {
                        "record_type": RECORD_TYPE,
                        "mode": "fields",
                        "fields": ["institution", "period", "lines", "totals"],
                        "required": True,
                        "filter": {
                            "institution": [INSTITUTION],
                            "period": {"from": "2026-11-01", "to": "2026-11-30"},
                        },
                    }
                ],
                "holders": [HOSPITAL],
                "access": {
                    "kind": "once",
                    "max_pulls": 1,
                    "valid_from": _instant(today),
                    "valid_until": _instant(today + timedelta(days=30)),
                },
                "data_period": {"from": "2026-01-01", "to": "2026-11-30"},
                "retention": {"store": True, "period": "P90D", "on_end": "delete"},
            }
        ]
    )


def _instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _keyring_rows(roots: Roots, case: _Case, now: datetime) -> Rows:
    """As `Keyring.ensure_subject` and `Keyring.share` leave them."""
    subject_id, compartment_id, epoch_id = case.subject_id, case.compartment_id, roots.current_epoch_id
    version_id = version_id_of(case.grant_id, 1)

    def of_subject(domain: str, key: SealingKey) -> dict[str, Any]:
        wrapped = roots.wrap(context_of(domain, subject_id, epoch_id, key.key_id), key)
        return _key(key, wrapped, now) | {"subject_id": subject_id, "epoch_id": epoch_id}

    key = case.compartment_key
    own = context_of("compartment-key@v1", subject_id, compartment_id, key.key_id)
    compartment = {"subject_id": subject_id, "compartment_id": compartment_id}
    shared = roots.wrap(context_of("share@v1", version_id, compartment_id, key.key_id), key)
    share = {"version_id": version_id, "grant_id": case.grant_id, "epoch_id": epoch_id}
    return {
        SubjectKey: of_subject("subject-key@v1", case.subject_key),
        AuditKey: of_subject("audit-key@v1", case.audit_key),
        CompartmentKey: _key(key, wrap_key(case.subject_key.secret, own, key.secret), now) | compartment,
        ConsentShare: _key(key, shared, now) | compartment | share,
    }


def _key(key: SealingKey, wrapped: bytes, now: datetime) -> dict[str, Any]:
    return {"key_id": key.key_id, "wrapped": wrapped, "created_at": now}


def _data_rows(case: _Case, terms: Terms, jkt: str, now: datetime) -> Rows:
    version_id = version_id_of(case.grant_id, 1)
    return {
        Subject: {"subject_id": case.subject_id, "created_at": now},
        **dict(_record_rows(case, now)),
        Consent: _consent(case, terms, now),
        ConsentVersion: {
            "version_id": version_id,
            "grant_id": case.grant_id,
            "number": 1,
            "terms_sealed": seal(case.audit_key, terms_context(version_id), terms.canonical()),
            "terms_digest": terms.digest(),
            "notice_digest": bytes(32),
            "language": "ko",
            "created_at": now,
        },
        ConsentCompartment: {"version_id": version_id, "compartment_id": case.compartment_id},
        Token: {
            "token_hash": hash_of(case.raw_token),
            "kind": "access",
            "client_id": CLIENT_ID,
            "grant_id": case.grant_id,
            "version_id": version_id,
            "subject_id": case.subject_id,
            "scope": "records.read",
            "cnf": of_key(jkt),
            "issued_at": now,
            "expires_at": now + timedelta(hours=6),  # a run takes longer than a real token lives
        },
    }


def _consent(case: _Case, terms: Terms, now: datetime) -> dict[str, Any]:
    return {
        "grant_id": case.grant_id,
        "subject_id": case.subject_id,
        "recipient_id": INSURER,
        "client_id": CLIENT_ID,
        "purpose": terms.purpose,
        "handle": random_id(),
        "state": ConsentState.GIVEN,
        "change_count": 1,
        "version_number": 1,
        "valid_from": terms.access.valid_from,
        "valid_until": terms.access.valid_until,
        "max_pulls": terms.access.max_pulls,
        "created_at": now,
        "given_at": now,
    }


def _record_rows(case: _Case, now: datetime) -> Iterator[tuple[type[SQLModel], dict[str, Any]]]:
    """As `vault.store.put` leaves them; what the source calls the record is nobody's here."""
    record_id, place = random_id(), (case.subject_id, case.compartment_id)
    identity = RecordIdentity(record_id, 1, *place, HOSPITAL, RECORD_TYPE, 1)
    ciphertext = seal(case.compartment_key, record_context(identity), case.record)
    whose = {"record_id": record_id, "subject_id": case.subject_id, "compartment_id": case.compartment_id}
    yield (
        Record,
        whose
        | {
            "holder_id": HOSPITAL,
            "record_type": RECORD_TYPE,
            "source_key": hashlib.sha256(record_id.encode()).digest(),
            "current_version": 1,
            "created_at": now,
        },
    )
    yield (
        RecordVersion,
        whose
        | {
            "version": 1,
            "schema_revision": 1,
            "content_key": hashlib.sha256(case.record).digest(),
            "ciphertext": ciphertext,
            "ciphertext_digest": hashlib.sha256(ciphertext).digest(),
            "received_at": now,
        },
    )
