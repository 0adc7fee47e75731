"""An installation with a person, two holders and a recipient, and every step of an agreement."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Barrier
from typing import Any, Final

from sqlmodel import col, func, select

from broker.db import Transaction, transaction
from broker.installation import Installation
from consent import lifecycle
from consent.collection import Arrival, NewLink, add_subject, collect, link
from consent.delivery import acknowledge
from consent.errors import ConsentError
from consent.granting import ReceiptSigner as SignReceipt
from consent.ledger.models import LedgerEntry
from consent.models import Consent, Delivery, SourceLink
from consent.organisations import NewOrganisation, register
from consent.purposes import Purpose
from consent.reading import TimelineEvent, consent_of
from consent.receipt_signature import ReceiptSigner
from consent.terms import Terms
from consent.versions import version_id_of
from consent.vocabulary import ConsentState, StateReason
from tests.consent.details import BILL, HOSPITAL, POLICY, PURPOSE, REGISTER, terms_with
from tests.installation import ISSUER, Clock
from vault.keys.keyring import Keyring
from vault.keys.models import ConsentShare
from vault.schema import random_id
from vault.store import PutResult

RECIPIENT: Final = "hanbit-insurance"
CLIENT: Final = "hanbit-claims"
PATIENT_NO: Final = "P-0001"
ORGANISATIONS: Final = tuple(
    NewOrganisation(
        organisation_id=organisation_id,
        name_ko=name_ko,
        name_en=name_en,
        registration_number=number,
        contact=f"privacy@{organisation_id}.example",
        is_recipient=organisation_id == RECIPIENT,
        is_holder=organisation_id != RECIPIENT,
    )
    for organisation_id, name_ko, name_en, number in (
        (HOSPITAL, "서울한빛병원", "Seoul Hanbit Hospital", "220-82-10073"),
        (REGISTER, "보험계약정보원", "Policy Register", "104-82-00001"),
        (RECIPIENT, "한빛손해보험", "Hanbit Insurance", "104-81-00001"),
    )
)


@dataclass(frozen=True)
class Office:
    """Where consents are asked for, given and ended; every step is a transaction of its own."""

    installation: Installation
    clock: Clock
    subject_id: str

    @property
    def keyring(self) -> Keyring:
        return self.installation.keyring

    @property
    def purpose(self) -> Purpose:
        return self.installation.purposes.get(PURPOSE)

    @contextmanager
    def work(self) -> Iterator[Transaction]:
        with transaction(self.installation.data) as work:
            yield work

    # What a person and a recipient do

    def request(
        self,
        terms: Terms | None = None,
        *,
        subject_id: str | None = None,
        co_holders: Sequence[str] = (),
        deal_id: str | None = None,
        signed_by: str | None = None,
    ) -> str:
        new = lifecycle.NewConsent(
            subject_id=subject_id or self.subject_id,
            recipient_id=RECIPIENT,
            client_id=CLIENT,
            terms=terms or terms_with(),
            notice_digest=self.purpose.notice_digest("ko"),
            language="ko",
            co_holders=frozenset(co_holders),
            deal_id=deal_id,
            signed_by=signed_by,
        )
        with self.work() as work:
            return lifecycle.request(work, self.keyring, new, self.clock())

    def give(
        self, grant_id: str, granted: Sequence[str] = (BILL, POLICY), *, holders: Sequence[str] = ()
    ) -> lifecycle.Given:
        """`holders` as the person was shown them, where the terms name none."""
        digest = self.purpose.notice_digest("ko")
        signature = lifecycle.Signature(
            grant_id, self.subject_id, frozenset(granted), digest, "ko", frozenset(holders)
        )
        return self.sign(signature)

    def sign(
        self,
        signature: lifecycle.Signature,
        *,
        purpose: Purpose | None = None,
        sign_receipt: SignReceipt | None = None,
    ) -> lifecycle.Given:
        with self.work() as work:
            return lifecycle.give(
                work,
                self.keyring,
                signature,
                purpose=purpose or self.purpose,
                sign_receipt=sign_receipt or self.sign_receipt,
                now=self.clock(),
            )

    def agree(self, terms: Terms | None = None, granted: Sequence[str] = (BILL, POLICY)) -> lifecycle.Given:
        return self.give(self.request(terms), granted)

    def refuse(self, grant_id: str) -> None:
        with self.work() as work:
            lifecycle.refuse(work, self.keyring, grant_id, self.subject_id, self.clock())

    def withdraw(self, grant_id: str) -> None:
        with self.work() as work:
            lifecycle.withdraw(work, self.keyring, grant_id, self.subject_id, self.clock())

    def pause(self, grant_id: str) -> None:
        with self.work() as work:
            lifecycle.pause(work, self.keyring, grant_id, self.subject_id, self.clock())

    def resume(self, grant_id: str) -> None:
        with self.work() as work:
            lifecycle.resume(work, self.keyring, grant_id, self.subject_id, self.clock())

    def revoke(self, grant_id: str, reason: StateReason = StateReason.SECURITY) -> None:
        with self.work() as work:
            lifecycle.revoke(work, self.keyring, grant_id, reason, self.clock())

    def invalidate(self, grant_id: str, reason: StateReason = StateReason.SOURCE_UNLINKED) -> None:
        with self.work() as work:
            consent = lifecycle.lock(work, grant_id)
            lifecycle.invalidate(work, self.keyring, consent, reason, self.clock())

    def complete(self, grant_id: str) -> lifecycle.Given:
        """The last one of several has signed."""
        with self.work() as work:
            return lifecycle.complete(
                work,
                self.keyring,
                lifecycle.lock(work, grant_id),
                purpose=self.purpose,
                sign_receipt=self.sign_receipt,
                now=self.clock(),
            )

    def fulfil(self, grant_id: str) -> None:
        with self.work() as work:
            lifecycle.fulfil(work, self.keyring, lifecycle.lock(work, grant_id), self.clock())

    def expire(self, grant_id: str) -> None:
        """At the end of the window, whatever the clock says."""
        with self.work() as work:
            consent = lifecycle.lock(work, grant_id)
            lifecycle.expire(work, self.keyring, consent, max(consent.valid_until, self.clock()))

    def deliver(self, grant_id: str, ordinal: int = 1) -> str:
        """A delivery's row as a pull leaves it."""
        delivery_id = random_id()
        with self.work() as work:
            work.session.add(
                Delivery(
                    delivery_id=delivery_id,
                    grant_id=grant_id,
                    version_id=version_id_of(grant_id, 1),
                    subject_id=self.subject_id,
                    recipient_id=RECIPIENT,
                    ordinal=ordinal,
                    key_digest=bytes([ordinal]) * 32,
                    request_digest=b"r" * 32,
                    payload_digest=b"p" * 32,
                    nonce_sealed=b"n",
                    record_count=3,
                    as_of=self.clock(),
                )
            )
        return delivery_id

    def acknowledge(self, delivery_id: str, recipient_id: str = RECIPIENT) -> None:
        with self.work() as work:
            acknowledge(work, self.keyring, delivery_id, recipient_id, self.clock())

    def link(
        self, holder_id: str = HOSPITAL, patient_no: str = PATIENT_NO, *, subject_id: str | None = None
    ) -> str:
        new = NewLink(subject_id or self.subject_id, holder_id, patient_no, (BILL,), "ko")
        with self.work() as work:
            return link(work, self.keyring, new, self.clock())

    def collect(self, link_id: str, *arrivals: Arrival) -> list[PutResult]:
        with self.work() as work:
            row = work.session.get_one(SourceLink, link_id)
            catalogue, now = self.installation.catalogue, self.clock()
            return collect(work, self.keyring, catalogue, row, arrivals=arrivals, now=now)

    def newcomer(self) -> str:
        """Another person."""
        with self.work() as work:
            return add_subject(work, self.keyring, self.clock())

    # What can be seen of it

    def consent(self, grant_id: str) -> Consent:
        with self.installation.data.read() as session:
            return session.get_one(Consent, grant_id)

    def timeline(self, grant_id: str) -> tuple[TimelineEvent, ...]:
        with self.installation.data.read() as session:
            return consent_of(session, self.keyring, self.subject_id, grant_id, self.clock()).timeline

    def event_types(self, grant_id: str) -> list[str]:
        return [event.type for event in self.timeline(grant_id)]

    def log_size(self) -> int:
        with self.installation.data.read() as session:
            return session.exec(select(func.count()).select_from(LedgerEntry)).one()

    def shares(self, grant_id: str) -> set[tuple[str, str]]:
        """Version and compartment of every share of a consent."""
        with self.installation.keyring_database.read() as session:
            rows = session.exec(select(ConsentShare).where(col(ConsentShare.grant_id) == grant_id))
            return {(row.version_id, row.compartment_id) for row in rows}

    def sign_receipt(self, content: Mapping[str, Any]) -> str:
        key = self.keyring.ensure_service_key("receipt", "ES256", self.clock())
        signer = ReceiptSigner(key.private_pem, key.kid, ISSUER)
        return signer.sign(content, receipt_id=random_id(), issued_at=int(self.clock().timestamp()))

    def receipt_jwks(self) -> dict[str, Any]:
        return {"keys": [key.public_jwk for key in self.keyring.service_keys("receipt")]}


def open_office(installation: Installation, clock: Clock) -> Office:
    """An office with its organisations registered and one person."""
    with transaction(installation.data) as work:
        for organisation in ORGANISATIONS:
            register(work.session, organisation, clock())
        subject_id = add_subject(work, installation.keyring, clock())
    return Office(installation, clock, subject_id)


def consent_in(office: Office, state: ConsentState) -> str:
    """A fresh consent that has come to a state."""
    if state is ConsentState.PARTIALLY_SIGNED:
        grant_id = office.request(deal_id="a-deal")
        office.give(grant_id)
        return grant_id
    grant_id = office.request()
    match state:
        case ConsentState.REQUESTED:
            return grant_id
        case ConsentState.REFUSED:
            office.refuse(grant_id)
            return grant_id
    office.give(grant_id)
    match state:
        case ConsentState.PAUSED:
            office.pause(grant_id)
        case ConsentState.FULFILLED:
            office.fulfil(grant_id)
        case ConsentState.EXPIRED:
            office.expire(grant_id)
        case ConsentState.WITHDRAWN:
            office.withdraw(grant_id)
        case ConsentState.REVOKED:
            office.revoke(grant_id)
        case ConsentState.INVALIDATED:
            office.invalidate(grant_id)
    return grant_id


def at_once(*steps: Callable[[], object]) -> list[str]:
    """Run the steps in threads that start together; each one's outcome: `done`, or the error's name."""
    barrier = Barrier(len(steps))

    def run(step: Callable[[], object]) -> str:
        barrier.wait(timeout=120)
        try:
            step()
        except ConsentError as error:
            return type(error).__name__
        return "done"

    with ThreadPoolExecutor(len(steps)) as threads:
        return list(threads.map(run, steps))
