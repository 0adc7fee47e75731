"""What must be in order around a person's consents: attestations, receipts, standing, statistics, erasure.

Each example is one person with some consents to one recipient, and ends with the person's erasure. Invariants
10, 12, 14, 22, 24 and 25, whatever order things happen in.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from io import BytesIO
from typing import Any, ClassVar, Final
from zipfile import ZipFile

from httpx import Response
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlmodel import col, func, select

from broker.jobs.cascading import follow_recipients
from broker.jobs.counting import keep_statistics
from broker.jobs.duties import drain
from broker.jobs.expiry import end_overdue
from broker.jobs.owing import check_obligations
from broker.oauth.models import Client
from consent.attestation import TYPE
from consent.counting import ABANDONED, ACTIVE, statistics
from consent.delivery import receive_decision
from consent.disclosure import instant
from consent.erasure import Erased, erase_subject
from consent.exporting import Exporter
from consent.models import Consent, Organisation
from consent.organisations import OrganisationStatus, reinstate, remove, suspend
from consent.owed import ObligationView, attestation_of, obligation_of
from consent.staff import Staff
from consent.states import LIVING, OPEN
from consent.statistics import (
    DELIVERIES,
    EXPIRED,
    FULFILLED,
    INVALIDATED,
    NARROWED,
    NEW_ONCE,
    NEW_ONGOING,
    PRE_AUTHORISATION,
    REDELIVERIES,
    REFUSALS,
    REJECTED,
    RENEWED,
    REVOKED,
)
from consent.vocabulary import ConsentState, ObligationState, StateReason, VersionKind
from tests.consent import changes as steps
from tests.consent.details import BILL, POLICY
from tests.consent.office import CLIENT, RECIPIENT
from tests.installation import ISSUER
from tests.invariants.papers import HARMS, Receipts, audit, leaves
from tests.invariants.scene import AMOUNTS, KEYS, WHICH, Scene, is_taken
from tests.lane.world import World
from vault.jose import Jwk, generate_private_jwk, public_jwk, sign_with_jwk, verify_jwt
from vault.keys.models import CompartmentKey, ConsentShare, SubjectKey
from vault.schema import random_id
from vault.store import Record, RecordVersion

STAFF: Final = Staff("minji", "request 7")
ASKED: Final = st.builds(
    lambda places, store: {
        "access.kind": "periodic" if places else "once",
        "access.max_pulls": places or 1,
        **({"access.cycle": "P1W"} if places else {}),
        "retention.store": store,
        "retention.period": "P30D" if store else "P0D",
    },
    st.integers(0, 3),
    st.sampled_from([True, True, False]),
)
STEPS: Final = st.sampled_from(["pause", "resume", "withdraw", "refuse", "narrow_down", "renew"])
ACTS: Final = {
    suspend: OrganisationStatus.SUSPENDED,
    reinstate: OrganisationStatus.ACTIVE,
    remove: OrganisationStatus.REMOVED,
}
SIGNING: Final = [generate_private_jwk("ES256") for _ in range(3)]
WRONG: Final[tuple[Callable[[list[str]], list[str]], ...]] = (
    lambda digests: digests[1:],
    lambda digests: [*digests, "ff" * 32],
    lambda digests: ["00" * 32, *digests[1:]],
    lambda digests: digests[::-1],
)
OF_END: Final = {
    ConsentState.WITHDRAWN: REVOKED,
    ConsentState.REVOKED: REVOKED,
    ConsentState.EXPIRED: EXPIRED,
    ConsentState.FULFILLED: FULFILLED,
    ConsentState.INVALIDATED: INVALIDATED,
}
OF_VERSION: Final = {VersionKind.NARROWING: NARROWED, VersionKind.RENEWAL: RENEWED}


class OrderMachine(RuleBasedStateMachine):
    """One person, one recipient, and everything that must be right afterwards."""

    world: ClassVar[World]
    steps_taken: ClassVar[int] = 0

    @initialize(amounts=st.lists(AMOUNTS, min_size=1, max_size=2), asked=ASKED)
    def begin(self, amounts: list[int], asked: dict[str, Any]) -> None:
        self.scene = Scene(self.world, amounts)
        self.office = self.scene.office
        self.receipts = Receipts(self.scene)
        self.status = OrganisationStatus.ACTIVE
        self.words: dict[str, tuple[list[str], Jwk]] = {}  # accepted attestations
        self.ends: dict[str, ConsentState] = {}
        self.refused: Counter[str] = Counter()
        self.repeated = 0
        self.delivered: set[str] = set()
        self.register({0})
        keep_statistics(self.world.installation, self.office.clock())
        self.before = self._published()
        self.agree(asked, both=True)
        self.pull(0, "one")

    # What the person does

    @precondition(lambda self: len(self.scene.grants) < 4)
    @rule(asked=ASKED, both=st.booleans())
    def agree(self, asked: dict[str, Any], both: bool) -> None:  # noqa: FBT001 - drawn
        grant_id = self.scene.ask(self.scene.terms(asked))
        is_given = is_taken(lambda: self.office.give(grant_id, [BILL, POLICY] if both else [BILL]))
        assert is_given == (self.status is OrganisationStatus.ACTIVE)

    @precondition(lambda self: len(self.scene.grants) < 4)
    @rule(asked=ASKED)
    def leave_unanswered(self, asked: dict[str, Any]) -> None:
        self.scene.ask(self.scene.terms(asked))

    @rule(which=WHICH, step=STEPS)
    def decide(self, which: int, step: str) -> None:
        grant_id = self.scene.one(which)
        if step in {"narrow_down", "renew"}:
            is_taken(lambda: getattr(steps, step)(self.office, grant_id))
        else:
            is_taken(lambda: getattr(self.office, step)(grant_id))

    # What the recipient does

    @rule(which=WHICH, key=KEYS)
    def pull(self, which: int, key: str) -> None:
        self._judge(self.scene.pull(self.scene.one(which), key))

    @precondition(lambda self: self.delivered)
    @rule(data=st.data())
    def acknowledge_and_decide(self, data: st.DataObject) -> None:
        """What it decided is the person's too, and goes with their erasure."""
        delivery_id = data.draw(st.sampled_from(sorted(self.delivered)))
        is_taken(lambda: self.office.acknowledge(delivery_id))
        said = f"because of {random_id()}"
        if is_taken(lambda: self._decide(delivery_id, said)):
            self.scene.secrets.append(said)

    @rule(keys=st.sets(st.integers(0, 2), min_size=1))
    def register(self, keys: set[int]) -> None:
        """The recipient's client has these keys from now on, and no others."""
        self.registered = set(keys)
        with self.world.installation.data.write() as session:
            client = session.get_one(Client, CLIENT)
            client.jwks = json.dumps({"keys": [public_jwk(SIGNING[key]) for key in sorted(keys)]})

    @precondition(lambda self: self.delivered)
    @rule(which=WHICH, key=st.integers(0, 2), is_right=st.booleans())
    def attest(self, which: int, key: int, is_right: bool) -> None:  # noqa: FBT001 - drawn
        """Invariant 10: a key that is registered now, over what was delivered, and nothing else closes it."""
        owed = self._some_owed(which)
        if owed is None:
            return
        wanted = sorted(one.payload_digest.hex() for one in owed.deliveries)
        wrong = [change(wanted) for change in WRONG if change(wanted) != wanted]
        for digests in [*wrong, *([wanted] if is_right else [])]:
            answer = self._attest(owed, self._word(owed, SIGNING[key], digests))
            if self.status is not OrganisationStatus.ACTIVE:
                assert answer.status_code == 401
            elif key not in self.registered:
                assert (answer.status_code, answer.json()["code"]) == (422, "attestation_key_unknown")
            elif digests != wanted:
                assert (answer.status_code, answer.json()["code"]) == (422, "attestation_digests_differ")
            else:
                assert answer.status_code == 200, answer.text
                if owed.grant_id not in self.words or self.words[owed.grant_id][0] != wanted:
                    self.words[owed.grant_id] = (wanted, SIGNING[key])  # the first one over these

    @precondition(lambda self: self.delivered)
    @rule(which=WHICH)
    def attest_with_a_claim_too_many(self, which: int) -> None:
        """Invariant 26: nobody knows what it would mean."""
        owed = self._some_owed(which)
        if owed is not None and self.status is OrganisationStatus.ACTIVE:
            digests = sorted(one.payload_digest.hex() for one in owed.deliveries)
            key = SIGNING[min(self.registered)]
            answer = self._attest(owed, self._word(owed, key, digests, remark="all of it"))
            assert (answer.status_code, answer.json()["code"]) == (422, "attestation_malformed")

    # What the operator does, and time

    @rule(act=st.sampled_from([suspend, reinstate, suspend, reinstate, suspend, reinstate, remove]))
    def judge_the_recipient(self, act: Any) -> None:  # noqa: ANN401 - a function
        """Invariant 22: a suspension can be taken back, a removal cannot."""
        is_done = is_taken(lambda: self._with_session(lambda session: act(session, RECIPIENT)))
        assert is_done == (self.status is not OrganisationStatus.REMOVED)
        self.status = ACTS[act] if is_done else self.status
        assert self.scene.recipient().status == self.status

    @rule()
    def follow(self) -> None:
        """Invariants 21 and 22: a suspension pauses, its end resumes what it paused, a removal ends all."""
        wanted = {one.grant_id: self._in_step(one) for one in self.scene.consents()}
        follow_recipients(self.world.installation, self.office.clock())
        assert {one.grant_id: (one.state, one.state_reason) for one in self.scene.consents()} == wanted
        assert follow_recipients(self.world.installation, self.office.clock()) == 0

    @rule(name=st.sampled_from(["한빛손해보험", "새한빛손해보험"]))
    def rename_the_recipient(self, name: str) -> None:
        """What was issued says what was so then (invariant 14); `Receipts.look` compares."""
        with self.office.work() as work:
            row = work.session.get_one(Organisation, RECIPIENT)
            row.name_ko, row.contact = name, f"{random_id()}@hanbit.example"

    @rule(by=st.sampled_from([timedelta(minutes=5), timedelta(days=3), timedelta(days=12)]))
    def wait(self, by: timedelta) -> None:
        self.office.clock.advance(by)

    @rule()
    def work(self) -> None:
        """The worker's round."""
        now = self.office.clock()
        end_overdue(self.world.installation, now)
        check_obligations(self.world.installation, now)
        drain(self.world.installation, now)

    @rule(harm=st.sampled_from(HARMS), place=st.floats(0, 1, exclude_max=True))
    def audit(self, harm: str, place: float) -> None:
        audit(self.scene, harm, place)

    @rule()
    def count(self) -> None:
        """Invariant 24: what is published is what one counts oneself over the rows."""
        now = self._published()
        told = {name: now[name] - self.before[name] for name in {*now, *self.before}}
        assert {name: count for name, count in told.items() if count} == dict(self._by_hand())
        keep_statistics(self.world.installation, self.office.clock())

    # What must hold after every step

    @invariant()
    def everything_is_in_order(self) -> None:
        type(self).steps_taken += 1
        for consent in self.scene.consents():
            state = ConsentState(consent.state)
            if state not in {*LIVING, *OPEN}:
                self.ends.setdefault(consent.grant_id, state)
            self._attested_only_by_its_word(consent.grant_id)
        self.receipts.look()

    def _attested_only_by_its_word(self, grant_id: str) -> None:
        """Invariant 10, as it is stored."""
        owed = self._owed(grant_id)
        if owed is None or grant_id not in self.words:
            assert owed is None or owed.state is not ObligationState.ATTESTED
            assert owed is None or owed.attested_at is None
            return
        digests, key = self.words[grant_id]
        is_covered = sorted(one.payload_digest.hex() for one in owed.deliveries) == digests
        assert (owed.state is ObligationState.ATTESTED) == is_covered
        with self.world.installation.data.read() as session:
            kept = attestation_of(session, self.office.keyring, self.office.subject_id, grant_id)
        assert kept is not None
        header = verify_jwt(kept.jws, {"keys": [public_jwk(key)]}, algorithms=["ES256"], typ=TYPE)
        assert header[1]["deliveries"] == digests

    # How a life ends

    def teardown(self) -> None:
        if not hasattr(self, "before"):
            return
        try:
            self._erase()
            self.work()
            self.everything_is_in_order()
            self.count()
            audit(self.scene, "flip", 0.5)
            self.receipts.prove()
        finally:
            self.scene.as_if_nothing_had_been()

    def _erase(self) -> None:
        """Invariant 25: the proof stays, and no value does."""
        told = self._told()
        assert all(secret in told for secret in self.scene.secrets)
        receipts, entries, deliveries = self.receipts.all(), leaves(self.scene), self._digests()
        with self.office.work() as work:
            erase_subject(work, self.office.keyring, self.office.subject_id, STAFF, self.office.clock())
        drain(self.world.installation, self.office.clock())
        told = self._told()
        assert [secret for secret in self.scene.secrets if secret in told] == []
        assert self._rows_left() == {}
        assert all(one.state not in {*LIVING, *OPEN} for one in self.scene.consents())
        assert receipts.items() <= self.receipts.all().items()
        assert entries.items() <= leaves(self.scene).items()
        assert deliveries == self._digests()
        for grant_id in self.scene.grants:
            self._judge(self.scene.pull(grant_id, "one"), after_erasure=True)
        with self.office.work() as work:
            again = erase_subject(
                work, self.office.keyring, self.office.subject_id, STAFF, self.office.clock()
            )
        assert again == Erased(consents=0, links=0, records=0)

    def _told(self) -> str:
        """Everything that can be told of the person: what their export holds."""
        with self.world.installation.data.read() as session:
            exporter = Exporter(session, self.office.keyring, self.office.subject_id, self.office.clock())
            whole = b"".join(exporter.stream({}))
        with ZipFile(BytesIO(whole)) as archive:
            return "\n".join(archive.read(name).decode() for name in archive.namelist())

    def _rows_left(self) -> dict[str, int]:
        """How much is left of what holds or opens a value, by table."""
        person, installation = self.office.subject_id, self.world.installation
        wanted = (
            (installation.data, Record, col(Record.subject_id) == person),
            (installation.data, RecordVersion, col(RecordVersion.subject_id) == person),
            (installation.keyring_database, SubjectKey, col(SubjectKey.subject_id) == person),
            (installation.keyring_database, CompartmentKey, col(CompartmentKey.subject_id) == person),
            (installation.keyring_database, ConsentShare, col(ConsentShare.grant_id).in_(self.scene.grants)),
        )
        left = {}
        for database, table, theirs in wanted:
            with database.read() as session:
                left[table.__name__] = session.exec(
                    select(func.count()).select_from(table).where(theirs)
                ).one()
        return {name: count for name, count in left.items() if count}

    # How it is done

    def _judge(self, answer: Response, *, after_erasure: bool = False) -> None:
        """Invariant 22: nobody who was suspended or removed is given anything, from the very instant."""
        if answer.status_code == 200:
            assert self.status is OrganisationStatus.ACTIVE
            assert not after_erasure
            delivery_id = answer.json()["delivery_id"]
            self.repeated += delivery_id in self.delivered
            self.delivered.add(delivery_id)
        else:
            assert answer.status_code in {401, 403, 410, 422}, answer.text
            self.refused[answer.json()["code"]] += 1

    def _in_step(self, consent: Consent) -> tuple[str, str | None]:
        """What a consent's state must be once it has followed its recipient."""
        is_waiting = consent.state_reason == StateReason.RECIPIENT_SUSPENDED
        is_over = consent.valid_until <= self.office.clock()
        if self.status is OrganisationStatus.REMOVED and consent.state in LIVING:
            return ConsentState.INVALIDATED, StateReason.RECIPIENT_REMOVED
        if (
            self.status is OrganisationStatus.SUSPENDED
            and consent.state == ConsentState.GIVEN
            and not is_over
        ):
            return ConsentState.PAUSED, StateReason.RECIPIENT_SUSPENDED
        if self.status is OrganisationStatus.ACTIVE and consent.state == ConsentState.PAUSED and is_waiting:
            return ConsentState.GIVEN, None
        return consent.state, consent.state_reason

    def _published(self) -> Counter[str]:
        """The statistics in one column."""
        with self.world.installation.data.read() as session:
            told = statistics(session, smallest=1)
        flat = Counter({ACTIVE: told[ACTIVE]["total"]})
        for name, value in told["total"].items():
            members = value if isinstance(value, dict) else {"": value}
            flat.update({f"{name}.{member}".removesuffix("."): count for member, count in members.items()})
        del flat[ABANDONED]
        return flat

    def _by_hand(self) -> Counter[str]:
        """What happened in this life, counted over rows, and over what the recipient was answered."""
        counted = Counter({REFUSALS + code: times for code, times in self.refused.items()})
        counted[REDELIVERIES] += self.repeated
        counted[DELIVERIES] += len(self.scene.deliveries())
        for version in self.scene.versions():
            if version.kind in OF_VERSION:
                counted[OF_VERSION[VersionKind(version.kind)]] += 1
        for consent in self.scene.consents():
            end = self.ends.get(consent.grant_id)
            if consent.given_at is not None:
                is_once = self.scene.terms_of(f"{consent.grant_id}.1").access.kind == "once"
                counted[NEW_ONCE if is_once else NEW_ONGOING] += 1
                counted[ACTIVE] += consent.state in LIVING
                if end is not None:
                    counted[OF_END[end]] += 1
            elif end is not None:
                counted[PRE_AUTHORISATION if end is ConsentState.EXPIRED else REJECTED] += 1
        return +counted

    def _digests(self) -> dict[str, bytes]:
        return {one.delivery_id: one.payload_digest for one in self.scene.deliveries()}

    def _decide(self, delivery_id: str, said: str) -> None:
        body: Mapping[str, Any] = {"status": "approved", "note": said}
        with self.office.work() as work:
            receive_decision(
                work,
                self.office.keyring,
                delivery_id,
                recipient_id=RECIPIENT,
                body=body,
                now=self.office.clock(),
            )

    def _owed(self, grant_id: str) -> ObligationView | None:
        with self.world.installation.data.read() as session:
            return obligation_of(session, self.office.subject_id, grant_id)

    def _some_owed(self, which: int) -> ObligationView | None:
        """One of the obligations, whatever the number."""
        all_owed = [owed for grant_id in self.scene.grants if (owed := self._owed(grant_id)) is not None]
        return all_owed[-1 - which % len(all_owed)] if all_owed else None

    def _word(self, owed: ObligationView, key: Jwk, digests: list[str], **more: str) -> str:
        now = self.office.clock()
        claims = {
            "iss": CLIENT,
            "aud": ISSUER,
            "iat": int(now.timestamp()),
            "jti": random_id(),
            "obligation_id": owed.obligation_id,
            "grant_id": owed.grant_id,
            "deliveries": digests,
            "deleted_at": instant(now),
            "method": "erased",
            **more,
        }
        return sign_with_jwk(claims, key, {"alg": key["alg"], "kid": key["kid"], "typ": TYPE})

    def _attest(self, owed: ObligationView, raw: str) -> Response:
        path = f"/v1/obligations/{owed.obligation_id}/attestation"
        token = self.scene.world.own_token()
        proof = self.scene.world.proof(token, path, method="POST")
        headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
        answer: Response = self.world.http.post(path, json={"attestation": raw}, headers=headers)
        return answer

    def _with_session(self, act: Any) -> None:  # noqa: ANN401 - a function
        with self.office.work() as work:
            act(work.session)
