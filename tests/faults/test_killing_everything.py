"""`kill -9` of everybody at random moments: one claim per visit, one delivery per key, an honest log.

`KILLING_SEED=N` has the same chances again; where a kill hits is the machine's affair.
"""

import base64
import faulthandler
import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from typing import Any

import pytest
from sqlmodel import col, func, select

from connectors.services.indemnity.claim import Claim, compute
from connectors.services.indemnity.recipient.store import CaseState
from connectors.sources.base import ExportSource, SourceRecord
from connectors.sources.catalog import INSURANCE_REGISTER, SEOUL_HOSPITAL, SEOUL_HOSPITAL_DETAILS
from consent.evidence import open_detail
from consent.ledger.entries import read_head
from consent.ledger.models import LedgerEntry
from consent.models import Consent, Decision, Delivery, Duty
from tests.faults.killing import Scene, staged
from tests.flows.demos import mydata
from tests.postgres import Cluster
from vault.store import Record, RecordVersion


@dataclass(frozen=True)
class Written:
    """One entry of the log, its leaf read, its detail opened where a test asks for it."""

    index: int
    leaf: Mapping[str, Any]
    detail_sealed: bytes

    @property
    def type(self) -> str:
        return str(self.leaf["type"])

    def detail(self, scene: Scene, subject_id: str) -> dict[str, Any]:
        commitment = base64.urlsafe_b64decode(self.leaf["c"] + "=")
        key = scene.installation.keyring.audit_key(subject_id)
        handle = self.leaf["handle"]
        return open_detail(key, handle=handle, commitment=commitment, detail_sealed=self.detail_sealed)


@pytest.mark.parametrize("rounds", [10, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_whoever_dies_each_visit_is_claimed_once_and_the_log_tells_all_of_it(
    request: pytest.FixtureRequest, tmp_path: Path, backend: str, rounds: int
) -> None:
    cluster: Cluster | None = request.getfixturevalue("postgres") if backend == "postgresql" else None
    seed = int(os.environ.get("KILLING_SEED", SystemRandom().randrange(10**9)))
    faulthandler.cancel_dump_traceback_later()  # a hundred rounds may take longer; each wait has its own end
    with staged(tmp_path, cluster, seed) as scene:
        scene.begin()
        scene.play(rounds)
        scene.end()
        consent = the_consent(scene)
        entries = written(scene)
        assert_everybody_was_killed(scene)
        assert_each_bill_is_in_the_vault_once(scene, consent, entries)
        assert_each_visit_is_claimed_once(scene)
        assert_one_delivery_per_key(scene, consent, entries)
        assert_each_decision_arrived_once(scene, consent, entries)
        assert_told_once_of_everything(scene, consent, entries)
        assert_the_log_verifies(scene, tmp_path / "log")


def the_consent(scene: Scene) -> Consent:
    with scene.installation.data.read() as session:
        return session.exec(select(Consent)).one()


def written(scene: Scene) -> list[Written]:
    """Every entry; their indexes are dense, and the head counts them."""
    with scene.installation.data.read() as session:
        size, _ = read_head(session)
        rows = session.exec(select(LedgerEntry).order_by(col(LedgerEntry.idx))).all()
    assert [row.idx for row in rows] == list(range(size))
    return [Written(row.idx, json.loads(row.leaf), row.detail_sealed) for row in rows]


def assert_everybody_was_killed(scene: Scene) -> None:
    assert [actor.name for actor in scene.actors.values() if actor.deaths < 2] == []


def assert_each_bill_is_in_the_vault_once(scene: Scene, consent: Consent, entries: Sequence[Written]) -> None:
    """One record of one version for each document; the log counts as many as are stored."""
    with scene.installation.data.read() as session:
        for source in (SEOUL_HOSPITAL, SEOUL_HOSPITAL_DETAILS):
            of_person = (Record.subject_id == consent.subject_id, Record.record_type == source.record_type)
            count = session.exec(select(func.count()).select_from(Record).where(*of_person)).one()
            assert count == len(scene.documents(source.format)), source.format
        versions = session.exec(select(RecordVersion.record_id, RecordVersion.version)).all()
        assert {version for _, version in versions} == {1}
        assert len(versions) == session.exec(select(func.count()).select_from(Record)).one()
    collected = [entry.leaf["facts"]["records"] for entry in entries if entry.type == "records.collected"]
    assert sum(collected) == len(versions)
    assert {entry.type for entry in entries} & {"record.held", "records.rejected", "record.tampered"} == set()


def assert_each_visit_is_claimed_once(scene: Scene) -> None:
    """What the engine pays for everything at once is what all claims together paid, bill by bill."""
    expected = computed_at_once(scene)
    claims = [case.claim for case in scene.cases if case.claim is not None]
    settled = {number: one.paid for (_, number), (_, one) in scene.book.settled().items()}
    bills = covered(scene, SEOUL_HOSPITAL)
    assert settled == {bill["bill_no"]: paid_in(expected.lines, bill["bill_no"]) for bill in bills}
    assert sum(claim["payable"] for claim in claims) == expected.payable > 0
    for claim in claims:
        assert claim["payable"] == sum(line["paid"] for line in claim["lines"]) - claim["already_paid"]
        assert (claim["status"], claim["payable"] >= 0) == ("approved", True)
    visits: dict[str, set[str]] = defaultdict(set)
    for bill in bills:
        visits[bill["period"]["from"]].add(bill["bill_no"])
    for day, numbers in visits.items():
        times = sum(any(line["bill_no"] in numbers for line in claim["lines"]) for claim in claims)
        # A further bill of the same day may have come after the first was claimed: the visit is opened again.
        assert 1 <= times <= len(numbers), day


def assert_one_delivery_per_key(scene: Scene, consent: Consent, entries: Sequence[Written]) -> None:
    """Deliveries, their entries and what the insurer received are the same things."""
    with scene.installation.data.read() as session:
        rows = session.exec(select(Delivery)).all()
    assert len({(row.version_id, row.key_digest) for row in rows}) == len(rows)
    assert sorted(row.ordinal for row in rows) == list(range(1, len(rows) + 1))
    of_broker = {row.delivery_id: (row.key_digest, row.payload_digest.hex()) for row in rows}
    of_insurer = {
        case.delivery_id: (hashlib.sha256(case.delivery_key.encode()).digest(), case.payload_digest)
        for case in scene.cases
        if case.delivery_id is not None
    }
    assert of_insurer == of_broker
    for event in ("delivery.released", "delivery.repeated"):
        told = [
            (entry.detail(scene, consent.subject_id)["delivery_id"], entry.leaf["facts"]["payload"])
            for entry in entries
            if entry.type == event
        ]
        known = {delivery_id: digest for delivery_id, (_, digest) in of_broker.items()}
        assert dict(told).items() <= known.items()
        assert event != "delivery.released" or sorted(told) == sorted(known.items())
    acknowledged = [
        entry.detail(scene, consent.subject_id)["delivery_id"]
        for entry in entries
        if entry.type == "delivery.acknowledged"
    ]
    assert sorted(acknowledged) == sorted(of_broker)


def assert_each_decision_arrived_once(scene: Scene, consent: Consent, entries: Sequence[Written]) -> None:
    with scene.installation.data.read() as session:
        of_broker = {row.decision_id: row.delivery_id for row in session.exec(select(Decision))}
    claiming = [case for case in scene.cases if case.claim and case.claim["lines"]]
    assert of_broker == {case.decision_id: case.delivery_id for case in claiming}
    told = [entry for entry in entries if entry.type == "decision.received"]
    details = [entry.detail(scene, consent.subject_id) for entry in told]
    assert sorted((one["decision_id"], one["delivery_id"]) for one in details) == sorted(of_broker.items())


def assert_told_once_of_everything(scene: Scene, consent: Consent, entries: Sequence[Written]) -> None:
    """Each arrival after the consent owes one event; each is told, and gives the insurer at most one case."""
    with scene.installation.data.read() as session:
        unsettled = session.exec(select(Duty).where(col(Duty.done_at).is_(None))).all()
    assert [(duty.kind, duty.fault) for duty in unsettled] == []
    duties = sorted(duty.duty_id for duty in scene.duties())
    (given,) = [entry.index for entry in entries if entry.type == "consent.given"]
    arrivals = [entry for entry in entries if entry.type == "records.collected" and entry.index > given]
    assert len(arrivals) == len(duties)
    told = [
        entry.detail(scene, consent.subject_id)["event_id"]
        for entry in entries
        if entry.type == "recipient.told"
    ]
    assert sorted(told) == duties
    assert sorted(scene.events()) == duties
    pulls = [case.event_id for case in scene.cases if case.parent_id is not None]
    # Events that came together share a pull; the first pull is nobody's event.
    assert max(Counter(pulls).values()) == 1
    assert {None} < set(pulls) <= {None, *duties}
    states = Counter(case.state for case in scene.cases)
    assert states == {CaseState.STANDING: 1, CaseState.CLOSED: len(pulls)}


def assert_the_log_verifies(scene: Scene, target: Path) -> None:
    exported = mydata("--config", scene.demo.config, "audit", "export", target)
    assert exported.code == 0, exported.err
    verified = mydata("audit", "verify", target)
    assert verified.code == 0, verified.out + verified.err


def computed_at_once(scene: Scene) -> Claim:
    """One computation over all that the hospital has and the consent covers, straight from the hospital."""
    policies = INSURANCE_REGISTER.read(
        scene.demo.plan.directory / "exports" / "policies.jsonl", scene.installation.catalogue
    )
    member_no = scene.persona.person.member_no
    (policy,) = [
        one.data for one in policies if isinstance(one, SourceRecord) and one.person.number == member_no
    ]
    bills, details = covered(scene, SEOUL_HOSPITAL), covered(scene, SEOUL_HOSPITAL_DETAILS)
    return compute(policy, bills, details=details)


def covered(scene: Scene, source: ExportSource) -> list[dict[str, Any]]:
    """The person's documents of one format in our schema, from the first day of the consent on."""
    header = source.header_of(scene.hospital.header(source.format), "header")
    read = [
        source.record_of(one.number, one.body, header, scene.installation.catalogue)
        for one in scene.documents(source.format)
    ]
    data = [one.data for one in read if isinstance(one, SourceRecord)]
    assert len(data) == len(read)
    return [one for one in data if one["period"]["from"] >= scene.first_day.isoformat()]


def paid_in(lines: Sequence[Any], number: str) -> int:
    return sum(line.paid for line in lines if line.bill_no == number)
