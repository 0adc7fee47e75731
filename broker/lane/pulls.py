"""What travels through the lane: a pull, what the databases know of it, and its answer. All frozen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from consent.ledger.entries import Entry
from consent.obligations import DAYS_AFTER_END
from consent.policy import NEVER_DISCLOSED, Disclosed, SignIn, SignInRule
from consent.vocabulary import ConsentState, Reason


class OverloadedError(Exception):
    """Too much waits already, a pull was overtaken too often, or a lock took too long: come again."""


@dataclass(frozen=True, slots=True)
class Pull:
    """One request, its proof of possession verified, its token not yet looked up."""

    token_hash: bytes
    cnf: str
    jti_digest: bytes
    jti_expires_at: datetime
    record_type: str | None
    key_digest: bytes
    request_digest: bytes

    @property
    def once(self) -> tuple[bytes, ...]:
        """No flush holds a token or a proof twice."""
        return self.token_hash, self.jti_digest


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A sealed record version that the consent's compartments hold, or that a delivery pinned."""

    record_id: str
    version: int
    compartment_id: str
    holder_id: str
    record_type: str
    schema_revision: int
    ciphertext: bytes
    ciphertext_digest: bytes
    disclosed: Disclosed = NEVER_DISCLOSED


@dataclass(frozen=True, slots=True)
class StoredDelivery:
    """The delivery that the pull's idempotency key made before."""

    delivery_id: str
    request_digest: bytes
    payload_digest: bytes
    nonce_sealed: bytes
    as_of: datetime


@dataclass(frozen=True, slots=True)
class StoredGrant:
    """The consent behind a token, as it is in the snapshot of this flush."""

    grant_id: str
    version_id: str
    current_version_id: str
    subject_id: str
    recipient_id: str
    purpose: str
    handle: str
    state: ConsentState
    change_count: int
    valid_from: datetime
    valid_until: datetime
    max_pulls: int
    recipient_is_active: bool
    terms_sealed: bytes
    places_since: int
    places_taken: int
    last_place_at: datetime | None
    past: StoredDelivery | None
    pause_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What the data database knows of a pull's token.

    `sign_in` is the person's sign-in behind it, if one is known.
    `is_part_erased`: the pull is for a delivery that was made, and not all that it held is there any more.
    """

    kind: str
    cnf: str
    scope: str
    expires_at: datetime
    revoked_at: datetime | None
    grant: StoredGrant | None
    records: tuple[StoredRecord, ...]
    is_part_erased: bool = False
    sign_in: SignIn | None = None


@dataclass(frozen=True, slots=True)
class StoredShare:
    """A wrapped compartment key that a consent version may use."""

    version_id: str
    compartment_id: str
    epoch_id: str
    key_id: bytes
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class StoredAuditKey:
    """A subject's wrapped audit key."""

    subject_id: str
    epoch_id: str
    key_id: bytes
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class KeyMaterial:
    """What the keyring database holds for one flush."""

    shares: Mapping[str, Sequence[StoredShare]]
    audit_keys: Mapping[str, StoredAuditKey]


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """The row that a first delivery of a key inserts, with the record versions it pins.

    What may be stored (`retention_days` is not 0) opens the consent's obligation, if there is none yet.
    """

    delivery_id: str
    grant_id: str
    version_id: str
    subject_id: str
    recipient_id: str
    ordinal: int
    places_since: int
    key_digest: bytes
    request_digest: bytes
    payload_digest: bytes
    nonce_sealed: bytes
    record_count: int
    as_of: datetime
    pinned: tuple[tuple[str, int], ...]
    retention_days: int = 0
    days_after_end: int = DAYS_AFTER_END


@dataclass(frozen=True, slots=True)
class Answer:
    """What the caller gets: a body to send, or a reason. `reason` None with no body is an unknown token.

    `needs` is what the sign-in behind the token is not, where that is the reason.
    """

    body: bytes | None = None
    reason: Reason | None = None
    is_replayed_proof: bool = False
    needs: SignInRule | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A pull decided on a snapshot: it holds only if the recheck under the head's lock agrees."""

    pull: Pull
    grant_id: str
    version_id: str
    change_count: int
    places_taken: int
    token_is_revoked: bool
    entry: Entry
    delivery: NewDelivery | None
    answer: Answer


@dataclass(frozen=True, slots=True)
class Rechecked:
    """What the second statement under the lock says of a proposal's consent."""

    change_count: int
    places_taken: int
    token_is_revoked: bool


class DataStore(Protocol):
    """The data database, as the lane sees it."""

    async def find(self, pulls: Sequence[Pull]) -> dict[int, Found]:
        """What is known of each pull's token, by position; a token that does not exist is absent."""

    async def commit(self, proposals: Sequence[Proposal]) -> list[Answer | None]:
        """Lock the head, check again, insert, commit. None: something changed, decide anew."""

    async def close(self) -> None:
        """Give the connections back."""


class KeyringStore(Protocol):
    """The keyring database, as the lane sees it. It only reads."""

    async def keys(self, version_ids: Sequence[str], subject_ids: Sequence[str]) -> KeyMaterial:
        """Shares of the versions and audit keys of the subjects."""

    async def close(self) -> None:
        """Give the connections back."""


def choose(proposals: Sequence[Proposal], now_true: Mapping[bytes, Rechecked]) -> list[Proposal]:
    """The proposals that still hold under the head's lock. `now_true` is by token hash.

    Nothing may have overtaken them since their snapshot, and only one of them may take a place of a
    consent version; the others are decided anew on what this commit leaves.
    """
    chosen: list[Proposal] = []
    placed: set[str] = set()
    for proposal in proposals:
        snapshot = Rechecked(proposal.change_count, proposal.places_taken, proposal.token_is_revoked)
        if now_true.get(proposal.pull.token_hash) != snapshot:
            continue
        if proposal.delivery is not None:
            if proposal.version_id in placed:
                continue
            placed.add(proposal.version_id)
        chosen.append(proposal)
    return chosen
