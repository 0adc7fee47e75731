"""One person in the world of the lane: each example has its own, while broker and log stay the same.

What only this person's records hold is remembered, so that a machine can say where it must not be found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from httpx import Response
from hypothesis import strategies as st
from sqlmodel import select

from broker.oauth.confirmation import of_key
from broker.oauth.tokens import Binding, Grant, issue_access
from consent import collection
from consent.collection import Arrival, NewLink
from consent.errors import ConsentError
from consent.models import Consent, ConsentVersion, Delivery, Organisation
from consent.organisations import OrganisationStatus
from consent.terms import Terms
from consent.versions import open_terms, version_id_of
from tests.consent.details import BILL, HOSPITAL, POLICY, REGISTER, terms_with
from tests.consent.office import CLIENT, RECIPIENT, Office
from tests.lane.world import DELIVERIES, World, bill, policy
from vault.jose import thumbprint
from vault.schema import random_id

LONG: Final = timedelta(days=3650)
# Nine digits: no digest, nonce or signature holds one by chance. They end in 1, so that neither one of them
# nor the sum of a few is a constant that somebody asks about, which ends in 0: questions are no secret.
AMOUNTS: Final = st.integers(10_000_001, 89_999_999).map(lambda tens: 10 * tens + 1)
KEYS: Final = st.sampled_from(["one", "two", "three"])
WHICH: Final = st.integers(0, 5)


class Scene:
    """A person with bills and a policy, their consents, and the recipient's view of them."""

    def __init__(self, world: World, amounts: Sequence[int] = ()) -> None:
        self.office: Office = replace(world.office, subject_id=world.office.newcomer())
        number = random_id()
        with self.office.work() as work:
            links = [
                collection.link(
                    work,
                    self.office.keyring,
                    NewLink(self.office.subject_id, holder_id, number, (record_type,), "ko"),
                    self.office.clock(),
                )
                for holder_id, record_type in ((HOSPITAL, BILL), (REGISTER, POLICY))
            ]
        self.world: World = replace(world, office=self.office, link_id=links[0])
        self.grants: list[str] = []
        self.amounts: list[int] = []
        self.secrets: list[str] = [number]
        self._tokens: dict[str, str] = {}
        of_policy = policy()
        self.office.collect(
            links[1], Arrival(of_policy.record_type, number, {**of_policy.data, "policy_no": number})
        )
        for amount in amounts:
            self.visit(amount)

    def visit(self, amount: int) -> None:
        """One more bill of today, whose amount nobody else has."""
        day, number = self.office.clock().date().isoformat(), random_id()
        of_visit = bill((number, "11100079", day, day))
        line = {"category": "consultation", "covered_copay": 0, "covered_nhis": 0, "noncovered": 0}
        totals = {
            **of_visit.data["totals"],
            "total": amount,
            "nhis_total": 0,
            "patient_total": amount,
            "paid": {"card": amount, "cash_receipt": 0, "cash": 0},
        }
        data = {**of_visit.data, "lines": [{**line, "covered_full_self": amount}], "totals": totals}
        self.world.collect(Arrival(BILL, number, data))
        self.amounts.append(amount)
        self.secrets += [str(amount), number]

    # Consents

    def terms(self, changes: Mapping[str, object], *, days: int = 10) -> Terms:
        """Terms whose window begins now, over everything of this year."""
        now = self.office.clock()
        return terms_with(
            {
                "access.valid_from": now.isoformat(),
                "access.valid_until": (now + timedelta(days=days)).isoformat(),
                "data_period.from": (now - timedelta(days=300)).date().isoformat(),
                "data_period.to": (now + timedelta(days=60)).date().isoformat(),
                "items.0.filter": {"institution": ["11100079"]},
                **changes,
            }
        )

    def ask(self, terms: Terms, *, signed_by: str | None = None) -> str:
        grant_id = self.office.request(terms, signed_by=signed_by)
        self.grants.append(grant_id)
        return grant_id

    def one(self, which: int) -> str:
        """One of the consents, whatever the number: 0 is the newest."""
        return self.grants[-1 - which % len(self.grants)]

    def consent(self, grant_id: str) -> Consent:
        return self.office.consent(grant_id)

    def consents(self) -> list[Consent]:
        """Every consent of the person, as it is stored."""
        with self.office.installation.data.read() as session:
            return list(
                session.exec(select(Consent).where(Consent.subject_id == self.office.subject_id)).all()
            )

    def versions(self) -> list[ConsentVersion]:
        with self.office.installation.data.read() as session:
            wanted = select(ConsentVersion).join(Consent).where(Consent.subject_id == self.office.subject_id)
            return list(session.exec(wanted).all())

    def terms_of(self, version_id: str) -> Terms:
        with self.office.installation.data.read() as session:
            version = session.get_one(ConsentVersion, version_id)
            return open_terms(self.office.keyring, self.office.subject_id, version)

    # What the recipient does

    def pull(self, grant_id: str, key: str) -> Response:
        return self.world.pull(self._token(grant_id), DELIVERIES, idempotency_key=key)

    def deliveries(self, grant_id: str | None = None) -> list[Delivery]:
        with self.office.installation.data.read() as session:
            rows = session.exec(select(Delivery).where(Delivery.subject_id == self.office.subject_id)).all()
        return [row for row in rows if grant_id in {None, row.grant_id}]

    def recipient(self) -> Organisation:
        with self.office.installation.data.read() as session:
            return session.get_one(Organisation, RECIPIENT)

    def as_if_nothing_had_been(self) -> None:
        """What no act undoes: the next example has the same recipient in good standing."""
        self.world.tamper(
            "UPDATE organisation SET status = :status WHERE organisation_id = :id",
            status=OrganisationStatus.ACTIVE,
            id=RECIPIENT,
        )

    def _token(self, grant_id: str) -> str:
        """A token of the version that stands, as the token endpoint would hand it out, but long-lived."""
        version_id = version_id_of(grant_id, self.consent(grant_id).version_number)
        if version_id not in self._tokens:
            now = self.office.clock()
            grant = Grant(grant_id, version_id, self.office.subject_id, now + LONG, self.terms_of(version_id))
            binding = Binding(CLIENT, "records.read", of_key(thumbprint(self.world.key)), grant)
            with self.office.work() as work:
                raw_token, _ = issue_access(work.session, binding, seconds=int(LONG.total_seconds()), now=now)
            self._tokens[version_id] = raw_token
        return self._tokens[version_id]


def is_taken(step: Any) -> bool:  # noqa: ANN401 - a step
    """Take a step that may be refused; whether it was taken."""
    try:
        step()
    except ConsentError:
        return False
    return True


def texts(value: object) -> list[str]:
    """Every text inside a JSON value."""
    if isinstance(value, str):
        return [value]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inside for text in texts(one)]
