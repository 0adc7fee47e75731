"""Between the lane's rows and its values: the same columns from both databases."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from broker.lane.pulls import (
    Answer,
    Found,
    KeyMaterial,
    NewDelivery,
    Proposal,
    Rechecked,
    StoredAuditKey,
    StoredDelivery,
    StoredGrant,
    StoredRecord,
    StoredShare,
)
from consent.obligations import first_check
from consent.policy import NEVER_DISCLOSED, Disclosed, SignIn
from consent.vocabulary import ConsentState, ObligationState
from vault.schema import from_microseconds, random_id, to_microseconds


def key_material(rows: Sequence[Mapping[str, Any]]) -> KeyMaterial:
    """Shares and audit keys from the rows of a union: a share has a version, an audit key a subject."""
    shares: dict[str, list[StoredShare]] = {}
    audit_keys: dict[str, StoredAuditKey] = {}
    for row in rows:
        key = (row["epoch_id"], row["key_id"], row["wrapped"])
        if row["subject_id"] is None:
            share = StoredShare(row["version_id"], row["compartment_id"], *key)
            shares.setdefault(share.version_id, []).append(share)
        else:
            audit_keys[row["subject_id"]] = StoredAuditKey(row["subject_id"], *key)
    return KeyMaterial(shares, audit_keys)


def found_of(rows: Sequence[Mapping[str, Any]]) -> Found:
    """What is known of one token: its columns repeat in every row, the records do not.

    The records are put in order here: a database's collation would reorder a pinned payload when it changes.
    """
    row = rows[0]
    named = [one for one in rows if one["record_id"] is not None]
    records = [_record(one) for one in named if one["ciphertext"] is not None]
    return Found(
        kind=row["kind"],
        cnf=row["cnf"],
        scope=row["scope"],
        expires_at=from_microseconds(row["expires_at"]),
        revoked_at=_instant(row["revoked_at"]),
        grant=None if row["grant_id"] is None else _grant(row),
        records=tuple(sorted(records, key=lambda record: record.record_id)),
        is_part_erased=len(records) < len(named),
        sign_in=_sign_in(row),
    )


def rechecked_of(row: Mapping[str, Any]) -> Rechecked:
    """What is true of a token's consent under the lock."""
    return Rechecked(row["change_count"], row["places_taken"], bool(row["token_is_revoked"]))


def answers_of(
    proposals: Sequence[Proposal], chosen: Sequence[Proposal], fresh: set[bytes]
) -> list[Answer | None]:
    """An answer for each proposal, in order: None for what was overtaken, a replay for a used proof."""
    held = {id(proposal) for proposal in chosen}
    return [
        None
        if id(proposal) not in held
        else proposal.answer
        if proposal.pull.jti_digest in fresh
        else Answer(is_replayed_proof=True)
        for proposal in proposals
    ]


def leaves_of(proposals: Sequence[Proposal]) -> dict[bytes, bytes]:
    """The leaves of the proposals' entries, by proof: made before the head is locked, because it is slow."""
    return {proposal.pull.jti_digest: proposal.entry.leaf() for proposal in proposals}


def delivery_row(delivery: NewDelivery) -> tuple[Any, ...]:
    """The columns of `delivery`, in the order of the insert."""
    return (
        delivery.delivery_id,
        delivery.grant_id,
        delivery.version_id,
        delivery.subject_id,
        delivery.recipient_id,
        delivery.ordinal,
        delivery.places_since,
        delivery.key_digest,
        delivery.request_digest,
        delivery.payload_digest,
        delivery.nonce_sealed,
        delivery.record_count,
        to_microseconds(delivery.as_of),
        delivery.retention_days,
    )


def obligation_rows(deliveries: Sequence[NewDelivery]) -> list[tuple[Any, ...]]:
    """The rows of `obligation` that deliveries open, in the order of the insert, unless they are there."""
    return [
        (
            random_id(),
            delivery.grant_id,
            delivery.subject_id,
            delivery.recipient_id,
            ObligationState.PENDING.value,
            delivery.days_after_end,
            to_microseconds(delivery.as_of),
            to_microseconds(first_check(delivery.as_of, delivery.retention_days, delivery.days_after_end)),
        )
        for delivery in deliveries
        if delivery.retention_days > 0
    ]


def pinned_rows(deliveries: Sequence[NewDelivery]) -> list[tuple[str, str, int]]:
    """The rows of `delivery_record`."""
    return [(one.delivery_id, record_id, version) for one in deliveries for record_id, version in one.pinned]


def entry_rows(
    accepted: Sequence[Proposal], size: int, leaves: Sequence[bytes], hashes: Sequence[bytes]
) -> list[tuple[Any, ...]]:
    """The rows of `ledger_entry`, with dense indexes from `size` on."""
    return [
        (
            size + place,
            proposal.entry.handle,
            leaves[place],
            hashes[place],
            proposal.entry.detail_sealed,
            to_microseconds(proposal.entry.at),
        )
        for place, proposal in enumerate(accepted)
    ]


def _grant(row: Mapping[str, Any]) -> StoredGrant:
    past = None
    if row["delivery_id"] is not None:
        past = StoredDelivery(
            delivery_id=row["delivery_id"],
            request_digest=row["request_digest"],
            payload_digest=row["payload_digest"],
            nonce_sealed=row["nonce_sealed"],
            as_of=from_microseconds(row["as_of"]),
        )
    return StoredGrant(
        grant_id=row["grant_id"],
        version_id=row["version_id"],
        current_version_id=row["current_version_id"],
        subject_id=row["subject_id"],
        recipient_id=row["recipient_id"],
        purpose=row["purpose"],
        handle=row["handle"],
        state=ConsentState(row["state"]),
        change_count=row["change_count"],
        valid_from=from_microseconds(row["valid_from"]),
        valid_until=from_microseconds(row["valid_until"]),
        max_pulls=row["max_pulls"],
        recipient_is_active=bool(row["recipient_is_active"]),
        terms_sealed=row["terms_sealed"],
        places_since=row["places_since"],
        places_taken=row["places_taken"],
        last_place_at=_instant(row["last_place_at"]),
        past=past,
        pause_at=_instant(row["pause_at"]),
    )


def _sign_in(row: Mapping[str, Any]) -> SignIn | None:
    at = _instant(row["auth_time"])
    return None if at is None or row["acr"] is None else SignIn(at, row["acr"])


def _record(row: Mapping[str, Any]) -> StoredRecord:
    return StoredRecord(
        record_id=row["record_id"],
        version=row["version"],
        compartment_id=row["compartment_id"],
        holder_id=row["holder_id"],
        record_type=row["record_type"],
        schema_revision=row["schema_revision"],
        ciphertext=row["ciphertext"],
        ciphertext_digest=row["ciphertext_digest"],
        disclosed=_disclosed(row),
    )


def _disclosed(row: Mapping[str, Any]) -> Disclosed:
    if not row["disclosed_times"]:
        return NEVER_DISCLOSED
    return Disclosed(row["disclosed_times"], _instant(row["disclosed_at"]), bool(row["is_acknowledged"]))


def _instant(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else from_microseconds(microseconds)
