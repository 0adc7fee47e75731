"""A recipient that may store what it got: deliveries with their obligation as a pull leaves them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlmodel import select

from consent.attestation import TYPE, AttestationRefused, Attested, Attestor, attest, dispute
from consent.disclosure import instant
from consent.lifecycle import lock
from consent.models import Delivery, Duty, Obligation
from consent.obligations import DAYS_AFTER_END, Standing, check, first_check, kept_deliveries, standing
from consent.obligations import find as find_obligation
from consent.owed import ObligationView, obligation_of
from consent.terms import Terms
from consent.versions import version_id_of
from consent.vocabulary import ObligationState
from tests.consent.details import terms_with
from tests.consent.office import CLIENT, RECIPIENT, Office
from tests.installation import ISSUER
from vault.jose import Jwk, generate_private_jwk, public_jwk, sign_with_jwk
from vault.schema import random_id

ABSENT: Final[Any] = object()
LONG: Final = {
    "access.kind": "periodic",
    "access.cycle": "P1W",
    "access.max_pulls": 100,
    "access.valid_until": "2027-11-30T00:00:00Z",
}


def long_terms() -> Terms:
    """A consent that goes on for a year, with ninety days of data life."""
    return terms_with(LONG)


@dataclass(frozen=True)
class Keeper:
    """The recipient of an office, with a registered key."""

    office: Office
    key: Jwk = field(default_factory=lambda: generate_private_jwk("ES256"))

    def agree(self) -> str:
        return self.office.agree(long_terms()).grant_id

    def deliver(self, grant_id: str, *, days: int = 90, version: int = 1) -> str:
        """A delivery of now; what may be stored opens the obligation, as the lane does it."""
        delivery_id, now = random_id(), self.office.clock()
        with self.office.work() as work:
            ordinal = len(kept_deliveries(work.session, grant_id)) + 1
            work.session.add(
                Delivery(
                    delivery_id=delivery_id,
                    grant_id=grant_id,
                    version_id=version_id_of(grant_id, version),
                    subject_id=self.office.subject_id,
                    recipient_id=RECIPIENT,
                    ordinal=ordinal if days else 99,
                    key_digest=delivery_id.encode(),
                    request_digest=b"r" * 32,
                    payload_digest=hashlib.sha256(delivery_id.encode()).digest(),
                    nonce_sealed=b"n",
                    record_count=3,
                    retention_days=days,
                    as_of=now,
                )
            )
            if days and find_obligation(work.session, grant_id) is None:
                work.session.add(
                    Obligation(
                        obligation_id=random_id(),
                        grant_id=grant_id,
                        subject_id=self.office.subject_id,
                        recipient_id=RECIPIENT,
                        state=ObligationState.PENDING,
                        days_after_end=DAYS_AFTER_END,
                        opened_at=now,
                        check_at=first_check(now, days, DAYS_AFTER_END),
                    )
                )
        return delivery_id

    def attestation(
        self,
        grant_id: str,
        /,
        *,
        key: Jwk | None = None,
        header: Mapping[str, Any] | None = None,
        **changes: Any,  # noqa: ANN401 - claims
    ) -> str:
        """A good attestation of now; claims and header members can be changed or left out."""
        now, view = self.office.clock(), self.view(grant_id)
        claims = {
            "iss": CLIENT,
            "aud": ISSUER,
            "iat": int(now.timestamp()),
            "jti": random_id(),
            "obligation_id": view.obligation_id,
            "grant_id": grant_id,
            "deliveries": sorted(one.payload_digest.hex() for one in view.deliveries),
            "deleted_at": instant(now),
            "method": "erased",
        } | changes
        used = key or self.key
        named = {"alg": used["alg"], "kid": used["kid"], "typ": TYPE} | dict(header or {})
        left = [
            {name: value for name, value in part.items() if value is not ABSENT} for part in (claims, named)
        ]
        return sign_with_jwk(left[0], used, left[1])

    def attest(
        self, grant_id: str, raw: str | None = None, *, recipient_id: str = RECIPIENT
    ) -> Attested | AttestationRefused:
        attestor = Attestor(CLIENT, recipient_id, {"keys": [public_jwk(self.key)]}, ISSUER)
        signed = raw if raw is not None else self.attestation(grant_id)
        with self.office.work() as work:
            obligation_id = self.row(grant_id).obligation_id
            return attest(work, self.office.keyring, obligation_id, signed, attestor, now=self.office.clock())

    def dispute(self, grant_id: str, subject_id: str | None = None) -> None:
        with self.office.work() as work:
            person = subject_id or self.office.subject_id
            dispute(work, self.office.keyring, grant_id, person, self.office.clock())

    def check(self, grant_id: str) -> None:
        """What the worker does when its time has come."""
        with self.office.work() as work:
            check(work, self.office.keyring, lock(work, grant_id), self.office.clock())

    def wait(self, grant_id: str, days: float) -> None:
        """Time passes, and the worker looks each half day."""
        end = self.office.clock() + timedelta(days=days)
        while self.office.clock() < end:
            self.office.clock.now = min(self.office.clock() + timedelta(hours=12), end)
            self.check(grant_id)

    # What can be seen of it

    def row(self, grant_id: str) -> Obligation:
        with self.office.installation.data.read() as session:
            return session.exec(select(Obligation).where(Obligation.grant_id == grant_id)).one()

    def standing(self, grant_id: str) -> Standing:
        with self.office.installation.data.read() as session:
            kept = kept_deliveries(session, grant_id)
            return standing(self.office.consent(grant_id), self.row(grant_id), kept)

    def view(self, grant_id: str) -> ObligationView:
        with self.office.installation.data.read() as session:
            view = obligation_of(session, self.office.subject_id, grant_id)
        assert view is not None
        return view

    def due_at(self, grant_id: str) -> datetime:
        return self.view(grant_id).due_at

    def duties(self, grant_id: str) -> list[str]:
        """The kinds of what the recipient is to be told, in the order in which it was owed."""
        with self.office.installation.data.read() as session:
            rows = session.exec(select(Duty).where(Duty.target == grant_id)).all()
        return [
            row.kind for row in sorted(rows, key=lambda row: row.created_at) if row.kind.startswith("tell")
        ]

    def events(self, grant_id: str) -> list[tuple[str, str | int | None]]:
        """Events of the obligation, each with its cause or reason."""
        return [
            (event.type, event.facts.get("reason") or event.facts.get("cause"))
            for event in self.office.timeline(grant_id)
            if event.type.startswith(("obligation.", "attestation."))
        ]
