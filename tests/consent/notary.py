"""A notary: an installation with recipients, holders and people, and every step of a lease and of a sale."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlmodel import col, select

from broker.db import Transaction, transaction
from broker.installation import Installation
from connectors.services.lease.asking import HOLDERS, asked_terms
from consent import deals, lifecycle
from consent.collection import add_subject
from consent.deal_opening import Asker, Joined, NewDeal, Opened, find_invited, join, open_deal
from consent.ledger.events import Event
from consent.ledger.models import LedgerEntry
from consent.models import Consent, ConsentVersion, Deal, DealMember, Duty
from consent.organisations import NewOrganisation, register
from consent.purposes import Notice, Purposes
from consent.receipt_signature import ReceiptSigner
from consent.terms import Terms, parse
from consent.versions import REQUESTED_NUMBER, open_terms, version_id_of
from tests.installation import ISSUER, Clock
from vault.schema import random_id

LEASE_ROLES: Final = ("agent", "landlord", "tenant")
SERVICE: Final = Asker("zipsign-contracts", "zipsign")
BANK: Final = Asker("nuri-loans", "nuri-bank")
LONGEST: Final = timedelta(days=14)
MATTER: Final = "바람길 7, 2층 201호 전세"


@dataclass(frozen=True)
class Notary:
    """Where deals are opened, signed and ended; every step is a transaction of its own."""

    installation: Installation
    clock: Clock
    people: Mapping[str, str]

    @property
    def purposes(self) -> Purposes:
        return self.installation.purposes

    @contextmanager
    def work(self) -> Iterator[Transaction]:
        with transaction(self.installation.data) as work:
            yield work

    def open(
        self,
        kind: str = "lease",
        roles: Mapping[str, Asker] | None = None,
        *,
        matter: str = MATTER,
        deadline: datetime | None = None,
    ) -> Opened:
        askers = dict.fromkeys(LEASE_ROLES, SERVICE) if roles is None else roles
        new = NewDeal(SERVICE, askers, matter, deadline or self.clock() + timedelta(days=3))
        with self.work() as work:
            shape = self.installation.deal_shapes.get(kind)
            return open_deal(work, self.installation.keyring, shape, new, LONGEST, self.clock())

    def invited(self, opened: Opened, role: str) -> str:
        """The member id that an invitation opens."""
        member = self.member(opened.deal_id, role)
        with self.installation.data.read() as session:
            return find_invited(
                session, opened.invitations[role], member.client_id, member.purpose, self.clock()
            )

    def join(
        self,
        opened: Opened,
        role: str,
        subject_id: str | None = None,
        *,
        hours: int = 96,
        signed_by: str | None = None,
    ) -> Joined:
        member_id = self.member(opened.deal_id, role).member_id
        with self.work() as work:
            member = work.session.get_one(DealMember, member_id)
            terms = self.terms(member.role, member.purpose, hours=hours)
            new = lifecycle.NewConsent(
                subject_id=subject_id or self.people[role],
                recipient_id=member.recipient_id,
                client_id=member.client_id,
                terms=terms,
                notice_digest=self.purposes.get(member.purpose).notice_digest("ko"),
                language="ko",
                signed_by=signed_by,
            )
            shapes = self.installation.deal_shapes
            return join(work, self.installation.keyring, shapes, member_id, new, self.clock())

    def terms(self, role: str, purpose: str, *, hours: int) -> Terms:
        """What is asked for a role; for those of a sale the least that will do."""
        now = self.clock()
        if role in HOLDERS:
            asked = asked_terms(role, issuer=ISSUER, holders=HOLDERS[role], deadline=now, now=now)
        else:
            asked = asked_terms("tenant", issuer=ISSUER, holders=("city-hall",), deadline=now, now=now)
            asked |= {"purpose": purpose, "items": [_item_of(self.purposes, purpose)]}
        asked["access"]["valid_until"] = (now + timedelta(hours=hours)).isoformat()
        return parse([asked])

    def signature(self, grant_id: str, *, subject_id: str | None = None) -> lifecycle.Signature:
        consent = self.consent(grant_id)
        digest = self.purposes.get(consent.purpose).notice_digest("ko")
        with self.installation.data.read() as session:
            asked = session.get_one(ConsentVersion, version_id_of(grant_id, REQUESTED_NUMBER))
        items = open_terms(self.installation.keyring, consent.subject_id, asked).items
        granted = frozenset(item.record_type for item in items)
        return lifecycle.Signature(grant_id, subject_id or consent.subject_id, granted, digest, "ko")

    def sign(self, grant_id: str, *, signature: lifecycle.Signature | None = None) -> deals.Signed:
        with self.work() as work:
            return deals.sign(
                work,
                self.installation.keyring,
                signature or self.signature(grant_id),
                purposes=self.purposes,
                sign_receipt=self.sign_receipt,
                now=self.clock(),
            )

    def refuse(self, grant_id: str) -> None:
        subject_id = self.consent(grant_id).subject_id
        with self.work() as work:
            deals.refuse(work, self.installation.keyring, grant_id, subject_id, self.clock())

    def withdraw(self, grant_id: str) -> None:
        subject_id = self.consent(grant_id).subject_id
        with self.work() as work:
            deals.withdraw(work, self.installation.keyring, grant_id, subject_id, self.clock())

    def cancel(self, deal_id: str, client_id: str = SERVICE.client_id) -> None:
        with self.work() as work:
            deals.cancel(work, self.installation.keyring, deal_id, client_id, self.clock())

    def close(self, deal_id: str, purposes: Purposes | None = None) -> bool:
        with self.work() as work:
            keyring, wanted = self.installation.keyring, purposes or self.purposes
            return deals.close(work, keyring, deal_id, wanted, self.clock())

    def settle(self, grant_id: str) -> str:
        with self.work() as work:
            return deals.settle(
                work,
                self.installation.keyring,
                grant_id,
                purposes=self.purposes,
                sign_receipt=self.sign_receipt,
                now=self.clock(),
            )

    def doubtful(self, purposes: Purposes | None = None) -> list[str]:
        with self.installation.data.read() as session:
            return deals.doubtful_deals(session, purposes or self.purposes, self.clock())

    def expire(self, grant_id: str) -> None:
        """As the job does with a request that nobody answered, or a window that is over."""
        with self.work() as work:
            consent = lifecycle.lock(work, grant_id)
            lifecycle.expire(work, self.installation.keyring, consent, self.clock())

    # What can be seen of it

    def deal(self, deal_id: str) -> Deal:
        with self.installation.data.read() as session:
            return session.get_one(Deal, deal_id)

    def member(self, deal_id: str, role: str) -> DealMember:
        with self.installation.data.read() as session:
            query = select(DealMember).where(DealMember.deal_id == deal_id, DealMember.role == role)
            return session.exec(query).one()

    def consent(self, grant_id: str) -> Consent:
        with self.installation.data.read() as session:
            return session.get_one(Consent, grant_id)

    def states(self, *grant_ids: str) -> list[str]:
        return [self.consent(grant_id).state for grant_id in grant_ids]

    def duties(self, kind: str) -> list[str]:
        with self.installation.data.read() as session:
            return list(session.exec(select(Duty.target).where(Duty.kind == kind)))

    def events(self, handle: str) -> list[Event]:
        with self.installation.data.read() as session:
            rows = session.exec(
                select(LedgerEntry).where(LedgerEntry.handle == handle).order_by(col(LedgerEntry.idx))
            )
            return [Event.from_leaf(row.leaf) for row in rows]

    def sign_receipt(self, content: Mapping[str, Any]) -> str:
        key = self.installation.keyring.service_keys("receipt")[0]
        signer = ReceiptSigner(key.private_pem, key.kid, ISSUER)
        return signer.sign(content, receipt_id=random_id(), issued_at=int(self.clock().timestamp()))


def open_notary(installation: Installation, clock: Clock) -> Notary:
    """Two recipients, three holders, and a person for each role of a lease and of a sale."""
    with transaction(installation.data) as work:
        for organisation_id in ("zipsign", "nuri-bank", "city-hall", "court-registry", "tax-office"):
            is_recipient = organisation_id in {"zipsign", "nuri-bank"}
            organisation = NewOrganisation(
                organisation_id=organisation_id,
                name_ko=organisation_id,
                name_en=organisation_id,
                registration_number="104-81-00001",
                contact=f"privacy@{organisation_id}.example",
                is_recipient=is_recipient,
                is_holder=not is_recipient,
            )
            register(work.session, organisation, clock())
        people = {
            role: add_subject(work, installation.keyring, clock())
            for role in (*LEASE_ROLES, "seller", "buyer")
        }
    return Notary(installation, clock, {**people, "mortgage": people["buyer"]})


def revised(purposes: Purposes, code: str) -> Purposes:
    """The same purposes, with one text that reads otherwise now."""
    changed = purposes.get(code)
    notice = Notice(ko="새 안내", en="A new notice", revision="2026-12-24")
    return Purposes(
        {one.code: one for one in purposes.all()} | {code: changed.model_copy(update={"notice": notice})}
    )


def without(purposes: Purposes, code: str) -> Purposes:
    """The same purposes without one."""
    return Purposes({one.code: one for one in purposes.all() if one.code != code})


def _item_of(purposes: Purposes, code: str) -> dict[str, Any]:
    """One required item of a purpose, in the least revealing mode that is simple to ask."""
    item = next(one for one in purposes.get(code).items if one.required)
    asked = {"record_type": item.record_type, "required": True}
    if item.predicates:
        name, values = next(iter(item.predicates.items()))
        value = {"value": values[0]} if values else {}
        return asked | {"mode": "predicate", "predicate": {"name": name, **value}}
    return asked | {"mode": "fields", "fields": [item.fields[0]]}
